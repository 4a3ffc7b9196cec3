"""Linux system calls, typed, over one pointer and one error: the only place in the project that reaches for ctypes.

Import the subject that is needed (``from ocicommon.linux import mounts``): this package itself imports nothing, and its
modules import next to nothing, because a runtime pays for every one of them at each start.
"""
