"""`python -m railcar`, and what the launcher starts with -S: then this file's own place is the only search path."""

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def archived() -> bool:
    """Have the compiled modules served from one file, if there is one that fits."""
    import gc
    import marshal
    import posix

    gc.disable()  # the process is short, and the container must not be born during a collection
    package = __file__.rpartition("/")[0]
    path = f"{package}/__pycache__/all.{sys.implementation.cache_tag}.bin"
    try:
        fd = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC | posix.O_NOFOLLOW)
    except OSError:
        return False
    try:
        found = posix.fstat(fd)
        # Of another user, or writable for others, it could hold anything.
        if found.st_uid not in (0, posix.geteuid()) or found.st_mode & 0o022:
            return False
        data = posix.pread(fd, 32768, 0)
        if int.from_bytes(data[4:8], "little") != found.st_size:
            return False
        head = marshal.loads(data[8 : 8 + int.from_bytes(data[:4], "little")])
        names: dict[str, Any] = {"__name__": "railcar.archive"}
        exec(head[1], names)
        return bool(names["use"](path, package.rpartition("/")[0], head, fd))
    except (OSError, ValueError, EOFError, TypeError, IndexError):
        return False
    finally:
        posix.close(fd)


if sys.flags.no_site:
    sys.path.append(__file__.rpartition("/")[0].rpartition("/")[0])
    ready = archived()
else:
    sys.path[:] = [entry for entry in sys.path if entry]
    ready = True

from railcar.cli.main import main  # noqa: E402

main(ready)
