"""Reading a bundle's config.json: a quick check of the shapes that the rest of railcar relies on.

Unknown keys are kept and ignored (config.md, "Extensibility"). What this check refuses, `ocicommon.runtime` explains
in full where it can be imported; it is not imported for a config that is right.
"""

import os

from railcar import documents
from railcar.errors import ConfigError, errno_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

#: The largest uid or gid that is an id: 2^32-1 means "leave unchanged" to the kernel.
MAXIMUM_ID = 2**32 - 2
NAMESPACE_TYPES = ("pid", "network", "mount", "ipc", "uts", "user", "cgroup", "time")


class Loaded:
    """A config.json: its `value`, its `raw` bytes (kept with the state) and the absolute `bundle` and `rootfs`."""

    __slots__ = ("bundle", "raw", "rootfs", "value")

    def __init__(self, value: "dict[str, Any]", raw: bytes, bundle: str, rootfs: str) -> None:
        self.value, self.raw, self.bundle, self.rootfs = value, raw, bundle, rootfs


def load(bundle: str, file_name: str = "config.json") -> Loaded:
    """Read and check `bundle`/config.json, or another file (relative to the bundle).

    Raises ConfigError with one sentence that says what to change.
    """
    bundle = os.path.realpath(bundle)
    path = os.path.join(bundle, file_name)
    try:
        with open(path, "rb", buffering=0) as file:
            raw = file.read()
    except FileNotFoundError:
        hint = "" if os.path.isdir(bundle) else f" ({bundle} is not a directory)"
        raise ConfigError(
            f"no {file_name} in the bundle {bundle}{hint}; `railcar spec` writes one: no such file or directory"
        ) from None
    except OSError as error:
        hint = "" if os.path.isdir(bundle) else f"{bundle} is no directory, as a bundle is: "
        raise ConfigError(f"cannot read {path}: {hint}{errno_text(error.errno or 0)}") from None
    value = documents.parse(raw, path)
    check(value, path)
    root = value.get("root")
    if root is None:
        raise ConfigError(f'{path}: "root" is missing: a Linux container needs root.path')
    rootfs = os.path.join(bundle, root["path"])
    if not os.path.isdir(rootfs):
        raise ConfigError(f"{path}: root.path is {root['path']}, and {rootfs} is not a directory")
    plain = "/" not in root["path"] and root["path"] not in (".", "..") and not os.path.islink(rootfs)
    return Loaded(value, raw, bundle, rootfs if plain else os.path.realpath(rootfs))


def check(value: "Any", path: str) -> None:
    """Check the shapes that planning relies on. Raises ConfigError that begins with `path`."""
    try:
        _config(value)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error.message}") from None


def _config(value: "Any") -> None:
    _shape(value, dict, "the document")
    version(value.get("ociVersion"))
    root = value.get("root")
    if root is not None:
        _shape(root, dict, "root")
        _text(root.get("path"), "root.path")
        if not root["path"]:
            raise ConfigError("root.path is empty")
    if value.get("process") is not None:
        process(value["process"], "process")
    for key in ("hostname", "domainname"):
        if value.get(key) is not None:
            _text(value[key], key)
    _each(value.get("mounts"), "mounts", _mount)
    annotations = value.get("annotations")
    if annotations is not None:
        _shape(annotations, dict, "annotations")
        for key, item in annotations.items():
            _text(item, f"annotations.{key}")
    hooks = value.get("hooks")
    if hooks is not None:
        _shape(hooks, dict, "hooks")
        for kind in ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"):
            _each(hooks.get(kind), f"hooks.{kind}", _hook)
    if value.get("linux") is not None:
        _linux(value["linux"])


def version(value: "Any") -> None:
    """`ociVersion` must be a semantic version whose major is 1 (or 0, from before the first release)."""
    if value is None:
        raise ConfigError('"ociVersion" is missing (1.0.0 or later)')
    _text(value, "ociVersion")
    parts = value.split("+")[0].split("-")[0].split(".")
    if len(parts) != 3 or not all(part.isascii() and part.isdigit() for part in parts):
        raise ConfigError(f'ociVersion is "{value}": it is a version like 1.2.0')
    if int(parts[0]) > 1:
        raise ConfigError(f'ociVersion is "{value}": railcar knows 1.x')


def process(value: "Any", where: str) -> None:
    """Check a process object, of config.json or of `exec --process`. Raises ConfigError."""
    _shape(value, dict, where)
    cwd = value.get("cwd")
    _text(cwd, f"{where}.cwd")
    if not cwd.startswith("/"):
        raise ConfigError(f'{where}.cwd is "{cwd}": it must be an absolute path')
    arguments = value.get("args")
    if not arguments:
        raise ConfigError(f"{where}.args is missing or empty: it needs the program to run")
    _each(arguments, f"{where}.args", _text)
    _each(value.get("env"), f"{where}.env", _text)
    user = value.get("user") or {}
    _shape(user, dict, f"{where}.user")
    for key in ("uid", "gid", "umask"):
        if user.get(key) is not None:
            identifier(user[key], f"{where}.user.{key}")
    _each(user.get("additionalGids"), f"{where}.user.additionalGids", identifier)
    _each(value.get("rlimits"), f"{where}.rlimits", _rlimit)
    capabilities = value.get("capabilities")
    if capabilities is not None:
        _shape(capabilities, dict, f"{where}.capabilities")
        for kind in ("bounding", "effective", "permitted", "inheritable", "ambient"):
            _each(capabilities.get(kind), f"{where}.capabilities.{kind}", _text)
    for key in ("terminal", "noNewPrivileges"):
        if value.get(key) is not None:
            _shape(value[key], bool, f"{where}.{key}")
    if value.get("oomScoreAdj") is not None:
        whole(value["oomScoreAdj"], f"{where}.oomScoreAdj", -1000, 1000)
    for key in ("apparmorProfile", "selinuxLabel"):
        if value.get(key) is not None:
            _text(value[key], f"{where}.{key}")
    for key in ("consoleSize", "scheduler", "ioPriority", "execCPUAffinity"):
        if value.get(key) is not None:
            _shape(value[key], dict, f"{where}.{key}")


def identifier(value: "Any", where: str) -> None:
    """A uid or gid."""
    whole(value, where, 0, MAXIMUM_ID)


def whole(value: "Any", where: str, minimum: int, maximum: int) -> None:
    """A JSON integer in a range; true and 1.0 are none."""
    if type(value) is not int:
        raise ConfigError(f"{where} is {_show(value)}: it must be a whole number")
    if not minimum <= value <= maximum:
        raise ConfigError(f"{where} is {value}: it must be from {minimum} to {maximum}")


def _linux(linux: "Any") -> None:
    _shape(linux, dict, "linux")
    _each(linux.get("namespaces"), "linux.namespaces", _namespace)
    seen: set[str] = set()
    for entry in linux.get("namespaces") or ():
        if entry["type"] in seen:
            raise ConfigError(f'linux.namespaces has "{entry["type"]}" twice')
        seen.add(entry["type"])
    for key in ("uidMappings", "gidMappings"):
        _each(linux.get(key), f"linux.{key}", _mapping)
    for key in ("maskedPaths", "readonlyPaths"):
        _each(linux.get(key), f"linux.{key}", _text)
    for key in (
        "sysctl",
        "resources",
        "seccomp",
        "timeOffsets",
        "netDevices",
        "personality",
        "intelRdt",
        "memoryPolicy",
    ):
        if linux.get(key) is not None:
            _shape(linux[key], dict, f"linux.{key}")
    for key in ("cgroupsPath", "rootfsPropagation", "mountLabel"):
        if linux.get(key) is not None:
            _text(linux[key], f"linux.{key}")
    _each(linux.get("devices"), "linux.devices", _device)


def _namespace(value: "Any", where: str) -> None:
    _shape(value, dict, where)
    if value.get("type") not in NAMESPACE_TYPES:
        raise ConfigError(f"{where}.type is {_show(value.get('type'))}: it is one of {', '.join(NAMESPACE_TYPES)}")
    path = value.get("path")
    if path is not None:
        _text(path, f"{where}.path")
        if path and not path.startswith("/"):
            raise ConfigError(f'{where}.path is "{path}": it must be absolute')


def _mapping(value: "Any", where: str) -> None:
    _shape(value, dict, where)
    for key in ("containerID", "hostID"):
        whole(value.get(key), f"{where}.{key}", 0, MAXIMUM_ID)
    whole(value.get("size"), f"{where}.size", 1, 2**32 - 1)


def _mount(value: "Any", where: str) -> None:
    _shape(value, dict, where)
    _text(value.get("destination"), f"{where}.destination")
    for key in ("type", "source"):
        if value.get(key) is not None:
            _text(value[key], f"{where}.{key}")
    _each(value.get("options"), f"{where}.options", _text)
    for key in ("uidMappings", "gidMappings"):
        _each(value.get(key), f"{where}.{key}", _mapping)


def _hook(value: "Any", where: str) -> None:
    _shape(value, dict, where)
    path = value.get("path")
    _text(path, f"{where}.path")
    if not path.startswith("/"):
        raise ConfigError(f'{where}.path is "{path}": it must be absolute')
    _each(value.get("args"), f"{where}.args", _text)
    _each(value.get("env"), f"{where}.env", _text)
    if value.get("timeout") is not None:
        whole(value["timeout"], f"{where}.timeout", 1, 2**31)


def _device(value: "Any", where: str) -> None:
    _shape(value, dict, where)
    _text(value.get("path"), f"{where}.path")
    _text(value.get("type"), f"{where}.type")


def _rlimit(value: "Any", where: str) -> None:
    _shape(value, dict, where)
    _text(value.get("type"), f"{where}.type")
    for key in ("soft", "hard"):
        whole(value.get(key), f"{where}.{key}", -1, 2**64 - 1)


def _each(values: "Any", where: str, one: "Callable[[Any, str], None]") -> None:
    if values is None:
        return
    _shape(values, list, where)
    for index, item in enumerate(values):
        one(item, f"{where}[{index}]")


def _text(value: "Any", where: str) -> None:
    if not isinstance(value, str):
        raise ConfigError(f"{where} is {_show(value)}: it must be a string")
    if "\0" in value:
        raise ConfigError(f"{where} holds a NUL character, which no string in a process can")
    if not value.isascii():
        try:
            os.fsencode(value)
        except UnicodeEncodeError:
            raise ConfigError(f"{where} holds half of a surrogate pair, which is no character") from None


def _shape(value: "Any", kind: type, where: str) -> None:
    if type(value) is not kind:
        names = {dict: "an object", list: "an array", bool: "true or false"}
        raise ConfigError(f"{where} is {_show(value)}: it must be {names[kind]}")


def _show(value: "Any") -> str:
    if value is None:
        return "missing"
    text = documents.compact(value)
    return text if len(text) <= 60 else text[:57] + "..."
