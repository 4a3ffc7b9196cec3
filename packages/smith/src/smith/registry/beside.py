"""Verifying what arrives in a thread beside the one that receives and writes it: hashing lets others run."""

import queue
import threading

from ocicommon.digest import Verifier

from smith.registry.transport import CHUNK

RING = 4
AT_ONCE = 4 * CHUNK


class Beside:
    """A ring of buffers between a receiver and a verifier. `end` has to be called whatever happens."""

    def __init__(self, verifier: Verifier, size: int) -> None:
        """`size` bytes are expected: for few of them no thread is started."""
        self._verifier = verifier
        self._free: queue.SimpleQueue[memoryview] = queue.SimpleQueue()
        self._full: queue.SimpleQueue[tuple[memoryview, int] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        if size > AT_ONCE:
            self._thread = threading.Thread(target=self._run, daemon=True)
            self._thread.start()
        for _ in range(RING if self._thread else 1):
            self._free.put(memoryview(bytearray(min(CHUNK, size + 1))))

    def _run(self) -> None:
        while (item := self._full.get()) is not None:
            buffer, count = item
            self._verifier.update(buffer[:count])
            self._free.put(buffer)

    def buffer(self) -> memoryview:
        """Room for the next bytes; give it back by `take`."""
        return self._free.get()

    def take(self, buffer: memoryview, count: int) -> None:
        """The first `count` bytes of a buffer are to be verified; it must not be touched any more."""
        if self._thread is None:
            self._verifier.update(buffer[:count])
            self._free.put(buffer)
        else:
            self._full.put((buffer, count))

    def end(self) -> None:
        """Waits until everything is hashed."""
        if self._thread is not None:
            self._full.put(None)
            self._thread.join()
            self._thread = None
