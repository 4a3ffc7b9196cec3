"""What hot commands import, compiled, in one file, so that a start opens one file instead of ninety.

The file lies in railcar's `__pycache__`, where the interpreter itself keeps what it compiled: who may write there may
write the modules as well. It is made by the first start that may (usually the first as root), and is bound to the
interpreter's build and to the installation: another Python, or another install, does not read it.
"""

import marshal
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import CodeType, ModuleType
    from typing import Any

_HOME = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PATH = os.path.join(_HOME, "railcar", "__pycache__", f"all.{sys.implementation.cache_tag}.bin")
_PACKAGES = ("railcar", "ocicommon/linux")
#: What starts before the archive is read, and what only commands use that nobody waits for.
_RARE = """
railcar railcar.__main__ railcar.bytecode railcar.library railcar.library_helper railcar.doctor railcar.features
railcar.cli.help railcar.cli.completion railcar.cli.man railcar.cli.spec railcar.cli.doctor railcar.cli.validate
railcar.cli.features railcar.cli.inspect railcar.cli.events railcar.cli.update railcar.cgroups.systemd
railcar.cgroups.dbus railcar.cgroups.stats railcar.cgroups.update ocicommon.linux.seccomp.default
ocicommon.linux.recording ocicommon.linux.netlink ocicommon.linux.bpf ocicommon.linux.loop
"""
_LEFT_OUT = frozenset(_RARE.split())


class Finder:
    """Finds modules in the archive; each is unmarshalled when it is imported."""

    def __init__(self, index: "dict[str, tuple[int, int, bool, str]]", data: memoryview) -> None:
        self._index, self._data = index, data

    def find_spec(self, name: str, path: "Sequence[str] | None" = None, target: "ModuleType | None" = None) -> "Any":
        """importlib's protocol for meta path finders."""
        found = self._index.get(name)
        if found is None:
            return None
        spec = _Spec(name, self, origin=found[3], is_package=found[2])
        if found[2]:
            spec.submodule_search_locations = [os.path.dirname(found[3])]
        spec.has_location = True
        return spec

    def create_module(self, spec: "Any") -> None:
        """The default module."""

    def exec_module(self, module: "ModuleType") -> None:
        """Run the module's code."""
        start, length, _, _ = self._index[module.__name__]
        exec(marshal.loads(self._data[start : start + length]), module.__dict__)

    def get_code(self, name: str) -> "CodeType":
        """The module's code, for `python -m`."""
        start, length, _, _ = self._index[name]
        code: CodeType = marshal.loads(self._data[start : start + length])
        return code


_Spec: "Any" = type(sys.__spec__)  # importlib.machinery.ModuleSpec, without importing importlib


def stamp() -> str:
    """What the archive is bound to: the interpreter's build, and when and as what these packages were installed."""
    marks = [sys.version, _HOME]
    for name in ("railcar/cli/main.py", "railcar/creating.py", "ocicommon/linux/calls.py", "ocicommon/__init__.py"):
        found = os.stat(os.path.join(_HOME, name))
        marks.append(f"{found.st_ino}.{found.st_size}.{found.st_mtime_ns}.{found.st_ctime_ns}")
    return "\n".join(marks)


def use() -> bool:
    """Have imports served from the archive; False when there is none that fits."""
    try:
        fd = os.open(PATH, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            found = os.fstat(fd)
            # Of another user, or writable for others, it could hold anything.
            if found.st_uid not in (0, os.geteuid()) or found.st_mode & 0o022:
                return False
            data = os.read(fd, found.st_size)
        finally:
            os.close(fd)
        length = int.from_bytes(data[:4], "little")
        mark, index = marshal.loads(data[4 : 4 + length])
        if len(data) != found.st_size or mark != stamp():
            return False
    except (OSError, ValueError, EOFError, TypeError):
        return False
    sys.meta_path.insert(0, Finder(index, memoryview(data)[4 + length :]))
    return True


def make() -> bool:
    """Compile all modules into the archive, replacing it in one step; False when this user may not."""
    directory = os.path.dirname(PATH)
    if not os.access(_HOME, os.W_OK):
        return False
    owner = os.stat(_HOME).st_uid
    if owner not in (0, os.geteuid()) or os.stat(_HOME).st_mode & 0o022:
        return False  # in a directory of another user, or of everybody, nothing is left that root would execute
    mark = stamp()
    body = bytearray()
    index: dict[str, tuple[int, int, bool, str]] = {}
    for name, path, package in _modules():
        with open(path, "rb") as file:
            code = marshal.dumps(compile(file.read(), path, "exec", dont_inherit=True, optimize=2))
        index[name] = (len(body), len(code), package, path)
        body += code
    head = marshal.dumps((mark, index))
    temporary = f"{PATH}.{os.getpid()}"
    try:
        os.makedirs(directory, exist_ok=True)
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
    except OSError:
        return False
    try:
        with open(fd, "wb", buffering=0) as out:
            out.write(len(head).to_bytes(4, "little") + head + body)
        os.rename(temporary, PATH)
    except OSError:
        try:
            os.unlink(temporary)
        except OSError:
            pass
        return False
    return True


def _modules() -> "list[tuple[str, str, bool]]":
    """(name, file, whether it is a package) of everything that a start may import from here."""
    found = []
    for package in _PACKAGES:
        for directory, names, files in os.walk(os.path.join(_HOME, package)):
            names[:] = [name for name in names if name != "__pycache__"]
            for file in files:
                if not file.endswith(".py"):
                    continue
                path = os.path.join(directory, file)
                dotted = path[len(_HOME) + 1 : -3].replace("/", ".")
                is_package = dotted.endswith(".__init__")
                name = dotted.removesuffix(".__init__")
                if name not in _LEFT_OUT:
                    found.append((name, path, is_package))
    return found
