"""What the container's program gets: identity, limits, environment, placement. config.md, "process"."""

import os

from ocicommon.linux import capabilities
from ocicommon.linux.process import RESOURCES

from railcar import config
from railcar.errors import ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_UNLIMITED = 2**64 - 1
_PERSONALITIES = {"LINUX": 0x0000, "LINUX32": 0x0008}
_POLICIES = {
    "SCHED_OTHER": 0,
    "SCHED_FIFO": 1,
    "SCHED_RR": 2,
    "SCHED_BATCH": 3,
    "SCHED_ISO": 4,
    "SCHED_IDLE": 5,
    "SCHED_DEADLINE": 6,
}
_SCHED_FLAGS = {
    "SCHED_FLAG_RESET_ON_FORK": 0x01,
    "SCHED_FLAG_RECLAIM": 0x02,
    "SCHED_FLAG_DL_OVERRUN": 0x04,
    "SCHED_FLAG_KEEP_POLICY": 0x08,
    "SCHED_FLAG_KEEP_PARAMS": 0x10,
    "SCHED_FLAG_UTIL_CLAMP_MIN": 0x20,
    "SCHED_FLAG_UTIL_CLAMP_MAX": 0x40,
}
_IO_CLASSES = {"IOPRIO_CLASS_RT": 1, "IOPRIO_CLASS_BE": 2, "IOPRIO_CLASS_IDLE": 3}


class Process:
    """A process to become. Sets of capabilities are ints of bits, or None where the config says nothing of them.

    `groups` is None where the runtime's own are kept.
    `scheduler`: (policy, nice, priority, flags, runtime, deadline, period); `io_priority`: (class, level);
    `affinity`: (initial, final) CPU lists as written. `rlimits`: (resource, soft, hard). `label` is what goes to
    `attribute` of /proc/thread-self/attr before the exec.
    """

    __slots__ = (
        "affinity",
        "ambient",
        "arguments",
        "attribute",
        "bounding",
        "console_size",
        "cwd",
        "effective",
        "environment",
        "gid",
        "groups",
        "inheritable",
        "io_priority",
        "label",
        "no_new_privileges",
        "oom_score_adj",
        "permitted",
        "personality",
        "rlimits",
        "scheduler",
        "search",
        "terminal",
        "uid",
        "umask",
        "warnings",
    )

    def __init__(self) -> None:
        self.arguments: list[bytes] = []
        self.environment: list[bytes] = []
        self.search = DEFAULT_PATH
        self.cwd = "/"
        self.uid = self.gid = 0
        self.groups: list[int] | None = []
        self.umask = 0o022
        self.bounding: int | None = None
        self.effective = self.permitted = self.inheritable = self.ambient = 0
        self.no_new_privileges = False
        self.rlimits: list[tuple[int, int, int]] = []
        self.oom_score_adj: int | None = None
        self.personality: int | None = None
        self.scheduler: tuple[int, int, int, int, int, int, int] | None = None
        self.io_priority: tuple[int, int] | None = None
        self.affinity = ("", "")
        self.terminal = False
        self.console_size: tuple[int, int] | None = None
        self.label = b""
        self.warnings: list[str] = []
        self.attribute = b"thread-self/attr/exec"


def keep_groups(process: Process, annotations: "Any", holder: "int | str" = "self") -> None:
    """Leave the groups as they are: by crun's annotation, or where the user namespace of a process may set none.

    The latter is that of an engine without root and with no id but the user's own, which asks for an image's groups
    all the same. Nothing is said of it: the engine would show it as what the process says. user_namespaces(7).
    """
    if (annotations or {}).get("run.oci.keep_original_groups") == "1":
        process.groups = None
    elif process.groups and _may_set_no_groups(holder):
        process.groups = []


def _may_set_no_groups(holder: "int | str") -> bool:
    try:
        with open(f"/proc/{holder}/setgroups") as file:
            return file.read().strip() == "deny"
    except OSError:
        return False


def plan(process: "dict[str, Any]", linux: "dict[str, Any] | None" = None, preserve: int = 0) -> Process:
    """Decide from a process object that `config.process` has checked. Raises ConfigError."""
    result = Process()
    result.arguments = [os.fsencode(word) for word in process["args"]]
    result.environment, result.search = environment(process.get("env") or (), preserve)
    result.cwd = process["cwd"]
    user = process.get("user") or {}
    result.uid, result.gid = user.get("uid") or 0, user.get("gid") or 0
    result.groups = list(user.get("additionalGids") or ())
    result.umask = 0o022 if user.get("umask") is None else user["umask"] & 0o777
    _capabilities(result, process.get("capabilities"))
    result.no_new_privileges = bool(process.get("noNewPrivileges"))
    result.rlimits = rlimits(process.get("rlimits") or ())
    result.oom_score_adj = process.get("oomScoreAdj")
    result.terminal = bool(process.get("terminal"))
    size = process.get("consoleSize")
    if size:
        where = "process.consoleSize"
        result.console_size = (_number(size, "height", where, 0, 65535), _number(size, "width", where, 0, 65535))
    _label(result, process)
    result.scheduler = _scheduler(process.get("scheduler"))
    result.io_priority = _io_priority(process.get("ioPriority"))
    affinity = process.get("execCPUAffinity") or {}
    result.affinity = (affinity.get("initial") or "", affinity.get("final") or "")
    for text in result.affinity:
        if type(text) is not str:
            raise ConfigError(f"process.execCPUAffinity has {text!r}: it takes lists of CPUs like 0-2,5")
    persona = (linux or {}).get("personality")
    if persona:
        if persona.get("domain") not in tuple(_PERSONALITIES):
            raise ConfigError(f"linux.personality.domain is {persona.get('domain')!r}: it can be LINUX or LINUX32")
        result.personality = _PERSONALITIES[persona["domain"]]
    return result


def environment(entries: "Any", preserve: int = 0) -> tuple[list[bytes], str]:
    """(the environment, its PATH): of a name that comes twice the last counts, in the place of the first.

    With `preserve` descriptors passed on by a LISTEN_FDS protocol, LISTEN_PID is process 1's. sd_listen_fds(3)
    """
    found: dict[str, str] = {}
    for entry in entries:
        name, equals, value = entry.partition("=")
        if not equals or not name:
            raise ConfigError(f'process.env holds "{entry}": it must be NAME=VALUE')
        found[name] = value
    listening = os.environ.get("LISTEN_FDS", "") if preserve else ""
    if listening.isdigit() and "LISTEN_FDS" not in found:
        found["LISTEN_FDS"] = listening
    if "LISTEN_FDS" in found:
        found["LISTEN_PID"] = "1"
    return [os.fsencode(f"{name}={value}") for name, value in found.items()], found.get("PATH") or DEFAULT_PATH


def capability_set(names: "Any", warnings: list[str]) -> int:
    """The bits of these names. One that does not exist is left out with a warning, as config.md asks."""
    bits = 0
    for name in names or ():
        try:
            bits |= 1 << capabilities.bit(name)
        except KeyError:
            upper = name.upper() if name.upper().startswith("CAP_") else "CAP_" + name.upper()
            near = [known for known in capabilities.NAMES if known == upper or known[:9] == upper[:9]]
            hint = f" (perhaps {near[0]}?)" if near else ""
            warning = f'process.capabilities has "{name}", which is no capability{hint}: it is left out'
            if warning not in warnings:
                warnings.append(warning)
    return bits


def _capabilities(result: Process, sets: "dict[str, Any] | None") -> None:
    if sets is None:
        # config.md: without the object the process gets none.
        result.bounding = 0
        return
    result.bounding = capability_set(sets.get("bounding"), result.warnings)
    result.effective = capability_set(sets.get("effective"), result.warnings)
    result.permitted = capability_set(sets.get("permitted"), result.warnings)
    result.inheritable = capability_set(sets.get("inheritable"), result.warnings)
    result.ambient = capability_set(sets.get("ambient"), result.warnings)
    outside = result.effective & ~result.permitted
    if outside:
        raise ConfigError(
            f"process.capabilities.effective has {capabilities.names(outside)[0]},"
            " which process.capabilities.permitted lacks"
        )


def rlimits(entries: "Any") -> list[tuple[int, int, int]]:
    """(resource number, soft, hard), -1 as no limit. Raises ConfigError."""
    found: dict[int, tuple[int, int, int]] = {}
    for entry in entries:
        kind = entry["type"]
        if kind not in RESOURCES:
            raise ConfigError(f'process.rlimits has "{kind}": the types are {", ".join(RESOURCES)}')
        number = RESOURCES[kind]
        if number in found:
            raise ConfigError(f"process.rlimits has {kind} twice")
        soft, hard = entry["soft"] % 2**64, entry["hard"] % 2**64
        if soft > hard:
            raise ConfigError(f"process.rlimits: the soft {kind} of {soft} is above the hard one of {hard}")
        found[number] = (number, min(soft, _UNLIMITED), min(hard, _UNLIMITED))
    return list(found.values())


def _has_apparmor() -> bool:
    """Whether AppArmor is in force: a kernel may have it, and another module in its place."""
    try:
        with open("/sys/module/apparmor/parameters/enabled", "rb", buffering=0) as file:
            return file.read(1) == b"Y"
    except OSError:
        return False


def _label(result: Process, process: "dict[str, Any]") -> None:
    apparmor, selinux = process.get("apparmorProfile"), process.get("selinuxLabel")
    if selinux and not os.path.exists("/sys/fs/selinux/enforce"):
        raise ConfigError(f'process.selinuxLabel "{selinux}" needs SELinux, which is not enabled here: leave it out')
    if apparmor and not _has_apparmor():
        if apparmor == "unconfined":
            return
        raise ConfigError(
            f'process.apparmorProfile "{apparmor}" needs AppArmor, which is not enabled here: leave it out'
        )
    if selinux:
        result.label = os.fsencode(selinux)
    elif apparmor:
        result.label = b"exec " + os.fsencode(apparmor)
        result.attribute = b"thread-self/attr/apparmor/exec"


def _scheduler(given: "dict[str, Any] | None") -> "tuple[int, int, int, int, int, int, int] | None":
    if not given:
        return None
    policy = given.get("policy")
    if policy not in tuple(_POLICIES):
        raise ConfigError(f"process.scheduler.policy is {policy!r}: it is one of {', '.join(_POLICIES)}")
    flags = 0
    named = given.get("flags") or []
    if type(named) is not list:
        raise ConfigError(f"process.scheduler.flags is {named!r}: it must be an array")
    for flag in named:
        if flag not in tuple(_SCHED_FLAGS):
            raise ConfigError(f'process.scheduler.flags has "{flag}": the flags are {", ".join(_SCHED_FLAGS)}')
        flags |= _SCHED_FLAGS[flag]
    where = "process.scheduler"
    priority = _number(given, "priority", where, -(2**31), 2**31 - 1)
    if policy in ("SCHED_FIFO", "SCHED_RR") and not 1 <= priority <= 99:
        raise ConfigError(f"process.scheduler.priority is {priority}: {policy} takes 1 to 99")
    rest = (_number(given, key, where, 0, 2**64 - 1) for key in ("runtime", "deadline", "period"))
    runtime, deadline, period = rest
    return _POLICIES[policy], _number(given, "nice", where, -20, 19), priority, flags, runtime, deadline, period


def _io_priority(given: "dict[str, Any] | None") -> tuple[int, int] | None:
    if not given:
        return None
    kind = given.get("class")
    if kind not in tuple(_IO_CLASSES):
        raise ConfigError(f"process.ioPriority.class is {kind!r}: it is one of {', '.join(_IO_CLASSES)}")
    return _IO_CLASSES[kind], _number(given, "priority", "process.ioPriority", 0, 7)


def _number(given: "dict[str, Any]", key: str, where: str, minimum: int, maximum: int) -> int:
    """A member that is 0 when it is missing. Raises ConfigError for what is no whole number in the range."""
    value = given.get(key)
    if value is None:
        return 0
    config.whole(value, f"{where}.{key}", minimum, maximum)
    return int(value)


def cpu_list(text: str, where: str) -> list[int]:
    """`0-2,5` as CPU numbers. Raises ConfigError."""
    found: set[int] = set()
    for part in text.replace(" ", "").split(","):
        first, dash, last = part.partition("-")
        ends = (first, last if dash else first)
        if (
            not all(end.isascii() and end.isdigit() for end in ends)
            or int(ends[0]) > int(ends[1])
            or int(ends[1]) > 8191
        ):
            raise ConfigError(f'{where} is "{text}": it is a list of CPUs like 0-2,5')
        found.update(range(int(ends[0]), int(ends[1]) + 1))
    return sorted(found)
