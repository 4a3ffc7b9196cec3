"""Makes the archive: what hot commands import, compiled, in one file, so that a start opens one file instead of ninety.

The file lies in railcar's `__pycache__`, where the interpreter itself keeps what it compiled: who may write there may
write the modules as well. It is made by the first start that may (usually the first as root), and is bound to the
interpreter's build and to the installation: another Python, or another install, does not read it.
"""

import marshal
import os
import sys

from railcar import archive

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType
    from typing import Any

_HOME = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PATH = os.path.join(_HOME, "railcar", "__pycache__", f"all.{sys.implementation.cache_tag}.bin")
_PACKAGES = ("railcar", "ocicommon/linux")
_STUB = "railcar.stub" + {"x86_64": ".x86_64", "aarch64": ".aarch64"}.get(os.uname().machine, "")
_MAKING = (
    "railcar.console ocicommon.linux.bpf ocicommon.linux.keyring ocicommon.linux.seccomp ocicommon.linux.sockets "
    + _STUB
)
#: Commands that have a piece of their own, and what they import within functions each time.
HOT = {
    "create": _MAKING,
    "run": f"{_MAKING} railcar.foreground",
    "exec": "railcar.cgroups railcar.cgroups.group railcar.console railcar.foreground ocicommon.linux.keyring "
    f"ocicommon.linux.seccomp ocicommon.linux.sockets {_STUB}",
    "start": "railcar.cgroups railcar.cgroups.group",
    "state": "railcar.cgroups railcar.cgroups.group",
    "kill": "",
    "delete": "",
    "list": "railcar.cgroups railcar.cgroups.group",
}
_ALWAYS = ("railcar", "railcar.cli", "railcar.cli.main")
#: What starts the archive, and what only commands use that nobody waits for.
_RARE = """
railcar.__main__ railcar.bytecode railcar.library railcar.helper railcar.doctor railcar.features
railcar.cli.help railcar.cli.completion railcar.cli.man railcar.cli.spec railcar.cli.doctor railcar.cli.validate
railcar.cli.features railcar.cli.inspect railcar.cli.events railcar.cli.update railcar.cgroups.systemd
railcar.cgroups.dbus railcar.cgroups.manager railcar.cgroups.stats railcar.cgroups.update
ocicommon.linux.seccomp.default ocicommon.linux.recording ocicommon.linux.netlink ocicommon.linux.loop
"""
_LEFT_OUT = frozenset(_RARE.split())
#: Bytes before the first piece.
_ROOM = 32768
#: Extension modules that are files: found without a search.
_EXTENSIONS = ("_json", "_ctypes", "_socket", "fcntl", "select", "_struct", "_posixsubprocess", "termios")


def make() -> bool:
    """Compile all modules into the archive, replacing it in one step; False when this user may not."""
    directory = os.path.dirname(PATH)
    if not os.access(_HOME, os.W_OK):
        return False
    owner = os.stat(_HOME).st_uid
    if owner not in (0, os.geteuid()) or os.stat(_HOME).st_mode & 0o022:
        return False  # in a directory of another user, or of everybody, nothing is left that root would execute
    mark = archive.stamp(_HOME)
    compiled: dict[str, tuple[str, bool, CodeType]] = {}
    needs: dict[str, list[str]] = {}
    for name, path, package in _modules():
        with open(path, "rb") as file:
            source = file.read()
        compiled[name] = (path, package, compile(source, path, "exec", dont_inherit=True, optimize=2))
        needs[name] = _imported(source)
    body = bytearray()

    def add(value: "Any") -> tuple[int, int]:
        piece = marshal.dumps(value)
        body.extend(piece)
        return len(body) - len(piece), len(piece)

    # Places are counted from the file's start: the head has a fixed room.
    pieces: dict[str, tuple[int, int]] = {}
    for command, more in HOT.items():
        order: list[str] = []
        seen: set[str] = set()
        for name in (*_ALWAYS, f"railcar.cli.{command}", *more.split()):
            _collect(name, needs, order, seen)
        pieces[command] = add([(name, *compiled[name]) for name in order])
    index = {name: (*_shifted(add(code)), package, path) for name, (path, package, code) in compiled.items()}
    place = add(index)
    head = marshal.dumps(
        (
            mark,
            compiled["railcar.archive"][2],
            {command: _shifted(found) for command, found in pieces.items()},
            _shifted(place),
            _extensions(),
        )
    )
    if len(head) > _ROOM - 8:
        return False
    size = _ROOM + len(body)
    start = len(head).to_bytes(4, "little") + size.to_bytes(4, "little") + head
    temporary = f"{PATH}.{os.getpid()}"
    try:
        os.makedirs(directory, exist_ok=True)
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
    except OSError:
        return False
    try:
        with open(fd, "wb", buffering=0) as out:
            out.write(start.ljust(_ROOM, b"\0") + body)
        os.rename(temporary, PATH)
    except OSError:
        try:
            os.unlink(temporary)
        except OSError:
            pass
        return False
    return True


def _shifted(place: tuple[int, int]) -> tuple[int, int]:
    return place[0] + _ROOM, place[1]


def _imported(source: bytes) -> list[str]:
    """What a module imports when it is imported itself, in order; of `from a import b`, both a and a.b."""
    import ast

    found: list[str] = []
    waiting: list[ast.stmt] = list(ast.parse(source).body)
    while waiting:
        statement = waiting.pop(0)
        if isinstance(statement, ast.Import):
            found += [alias.name for alias in statement.names]
        elif isinstance(statement, ast.ImportFrom) and statement.module:
            found.append(statement.module)
            found += [f"{statement.module}.{alias.name}" for alias in statement.names]
        elif isinstance(statement, ast.If):
            if not (isinstance(statement.test, ast.Name) and statement.test.id == "TYPE_CHECKING"):
                waiting[:0] = statement.body + statement.orelse
        elif isinstance(statement, ast.Try):
            waiting[:0] = statement.body
    return found


def _collect(name: str, needs: dict[str, list[str]], order: list[str], seen: set[str]) -> None:
    """Put a module and all that it needs into `order`, each after what it needs."""
    if name not in needs or name in seen:
        return
    seen.add(name)
    for other in needs[name]:
        _collect(other, needs, order, seen)
    order.append(name)
    _collect(name.rpartition(".")[0], needs, order, seen)


def _extensions() -> dict[str, str]:
    from importlib.machinery import ExtensionFileLoader, PathFinder

    found = {}
    for name in _EXTENSIONS:
        spec = None if name in sys.builtin_module_names else PathFinder.find_spec(name)
        if spec is not None and spec.origin and isinstance(spec.loader, ExtensionFileLoader):
            found[name] = spec.origin
    return found


def _modules() -> "list[tuple[str, str, bool]]":
    """(name, file, whether it is a package) of everything that a start may import from here."""
    found = [("ocicommon", os.path.join(_HOME, "ocicommon", "__init__.py"), True)]
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
