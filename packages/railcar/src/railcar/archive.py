"""The first code of a start: modules come from one file, those of a hot command in one piece.

`railcar.bytecode` makes the file: a head (stamp, this module's code, where the pieces lie), a piece for each hot
command, and the other modules one by one. `railcar.__main__` reads the head and runs this module's code from it.
"""

import marshal
import posix
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType
    from typing import Any

_Spec: "Any" = type(sys.__spec__)  # importlib.machinery.ModuleSpec, without importing importlib
_Module: "Any" = type(sys)
#: Files whose change means another install.
MARKS = ("railcar/cli/main.py", "railcar/creating.py", "ocicommon/linux/calls.py", "ocicommon/__init__.py")
#: What `os` defines beside what it takes from posix, in as far as hot commands need it.
_SEEK = {"SEEK_SET": 0, "SEEK_CUR": 1, "SEEK_END": 2}


def stamp(home: str) -> str:
    """What the archive is bound to: the interpreter's build, and when and as what these packages were installed."""
    marks = [sys.version]
    for name in MARKS:
        found = posix.stat(f"{home}/{name}")
        marks.append(f"{found.st_ino}.{found.st_size}.{found.st_mtime_ns}.{found.st_ctime_ns}")
    return "\n".join(marks)


class Finder:
    """Finds modules in the archive. The index is read when a module is asked for that is in no piece."""

    def __init__(self, path: str, inode: int, place: tuple[int, int], extensions: dict[str, str]) -> None:
        self._path, self._inode, self._place, self._extensions = path, inode, place, extensions
        self._index: dict[str, tuple[int, int, bool, str]] | None = None

    def find_spec(self, name: str, path: "Sequence[str] | None" = None, target: "ModuleType | None" = None) -> "Any":
        """importlib's protocol for meta path finders."""
        if name in self._extensions:
            origin = self._extensions[name]
            loader = sys.modules["_frozen_importlib_external"].ExtensionFileLoader(name, origin)
            found: Any = _Spec(name, loader, origin=origin)
            found.has_location = True
            return found
        if not name.startswith(("railcar", "ocicommon")):
            return None
        try:
            if self._index is None:
                self._index = marshal.loads(self._read(*self._place))
            entry = self._index.get(name)
            if entry is None:
                return None
            spec = self.spec(name, entry[3], entry[2])
            spec.loader_state = marshal.loads(self._read(entry[0], entry[1]))
        except OSError:
            return None  # replaced, or gone: the files themselves are there
        return spec

    def spec(self, name: str, origin: str, package: bool) -> "Any":
        """A module's specification."""
        made = _Spec(name, self, origin=origin, is_package=package)
        if package:
            made.submodule_search_locations = [origin.rpartition("/")[0]]
        made.has_location = True
        return made

    def create_module(self, spec: "Any") -> None:
        """The default module."""

    def exec_module(self, module: "Any") -> None:
        """Run the module's code."""
        exec(module.__spec__.loader_state, module.__dict__)

    def _read(self, start: int, length: int) -> bytes:
        # Opened each time: a descriptor that stays would take a number that --preserve-fds may promise.
        fd = posix.open(self._path, posix.O_RDONLY | posix.O_CLOEXEC | posix.O_NOFOLLOW)
        try:
            if posix.fstat(fd).st_ino != self._inode:
                raise FileNotFoundError(self._path)
            return posix.pread(fd, length, start)
        finally:
            posix.close(fd)

    def load(self, piece: bytes) -> None:
        """Run all modules of a piece: they are in an order in which each finds made what it imports."""
        modules = sys.modules
        made = []
        for name, origin, package, code in marshal.loads(piece):
            module = _Module(name)
            names = module.__dict__
            names["__file__"] = origin
            names["__loader__"] = self
            names["__spec__"] = self.spec(name, origin, package)
            parent, _, last = name.rpartition(".")
            names["__package__"] = name if package else parent
            if package:
                names["__path__"] = [origin.rpartition("/")[0]]
            modules[name] = module
            made.append((code, names, parent, last, module))
        try:
            for code, names, parent, last, module in made:
                exec(code, names)
                if parent:
                    setattr(modules[parent], last, module)
        except (ImportError, KeyError):  # an order that does not hold here: then each module is found by itself
            for _, names, _, _, _ in made:
                del modules[names["__name__"]]


class _System(_Module):  # type: ignore[misc]
    """`os` for a start that needs little of it: posix's names and the paths; anything else brings the real one.

    `os` makes twenty abstract base classes for its `environ`: a tenth of the time of a small command.
    """

    def __getattr__(self, name: str) -> "Any":
        if name.startswith("__") or sys.modules.get("os") is not self:
            raise AttributeError(f"module 'os' has no attribute {name!r}")
        del sys.modules["os"]
        try:
            real = __import__("os")
        except BaseException:
            sys.modules["os"] = self
            raise
        self.__dict__.update(real.__dict__)
        return getattr(real, name)


def small_os() -> None:
    """Put the small `os` where the interpreter has not imported the real one."""
    if "os" in sys.modules:
        return
    small: Any = _System("os")
    small.__dict__.update({name: value for name, value in posix.__dict__.items() if name[:2] != "__"}, **_SEEK)
    # posix has it as a dictionary of bytes that knows nothing of putenv.
    del small.environ
    encoding, errors = sys.getfilesystemencoding(), sys.getfilesystemencodeerrors()
    fspath = posix.fspath

    def fsencode(filename: "Any") -> bytes:
        found = fspath(filename)
        return found.encode(encoding, errors) if isinstance(found, str) else found

    def fsdecode(filename: "Any") -> str:
        found = fspath(filename)
        return found.decode(encoding, errors) if isinstance(found, bytes) else found

    small.fsencode, small.fsdecode = fsencode, fsdecode
    small.name, small.sep, small.devnull, small.linesep, small.curdir, small.pardir = (
        "posix", "/", "/dev/null", "\n", ".", "..",
    )  # fmt: skip
    small.pathsep, small.altsep, small.extsep, small.defpath = ":", None, ".", "/bin:/usr/bin"
    sys.modules["os"] = small
    import posixpath

    small.path = sys.modules["os.path"] = posixpath


def use(path: str, home: str, head: "tuple[Any, ...]", fd: int) -> bool:
    """Have imports served from the archive behind `fd`; False when it is of another install."""
    mark, _, pieces, place, extensions = head
    try:
        if mark != stamp(home):
            return False
    except OSError:
        return False
    finder = Finder(path, posix.fstat(fd).st_ino, place, extensions)
    small_os()
    sys.meta_path.insert(0, finder)
    # The interpreter's own account of imports is to show each module.
    if "importtime" not in sys._xoptions:
        for word in sys.argv[1:]:
            if word in pieces:  # if it is an option's value, what was loaded in vain does no harm
                start, length = pieces[word]
                finder.load(posix.pread(fd, length, start))
                break
    return True
