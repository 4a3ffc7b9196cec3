"""All that is decided of a container before the first side effect: `railcar.plan`, the root and the cgroup together."""

from ocicommon.linux.capabilities import capget, names

from railcar import cgroups, config, spelling, stub
from railcar.cgroups.mounts import mounts_for
from railcar.errors import ConfigError
from railcar.plan import namespaces as namespace_plan
from railcar.plan import process as process_plan
from railcar.plan import seccomp as seccomp_plan
from railcar.rootfs import planning

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any


class Options:
    """What the command line adds to the bundle. `preserve`: number of descriptors from 3 on that are passed on."""

    __slots__ = (
        "cgroup_manager",
        "config",
        "console",
        "console_socket",
        "init",
        "no_new_keyring",
        "no_pivot",
        "pid_file",
        "pidfd_socket",
        "preserve",
        "rootless",
        "systemd_cgroup",
    )

    def __init__(self) -> None:
        self.pid_file = self.console = self.console_socket = self.pidfd_socket = ""
        self.init = self.no_pivot = self.no_new_keyring = self.systemd_cgroup = self.rootless = False
        self.preserve = 0
        self.cgroup_manager = "cgroupfs"
        self.config = "config.json"


def plan(loaded: config.Loaded, container_id: str, options: Options) -> "Plans":
    """Decide. Raises ConfigError."""
    plans: Plans = _explained(loaded, lambda: Plans(loaded, container_id, options))
    return plans


def plan_filter(plans: "Plans") -> None:
    """Compile the seccomp filter, where `Plans` has left that for later. Raises ConfigError."""
    if plans.filter_waits:
        _explained(plans.loaded, plans.compile_filter)


def _explained(loaded: config.Loaded, decide: "Callable[[], Any]") -> "Any":
    """What `decide` returns. Where it stumbles over a shape that the quick check let through, the specification's
    models say what is wrong with it."""
    try:
        return decide()
    except (AttributeError, KeyError, IndexError, OverflowError, TypeError, ValueError):
        from railcar import validation

        for finding in validation.validate(loaded.bundle):
            if finding.severity == validation.ERROR:
                raise ConfigError(finding.shown(loaded.bundle + "/config.json")) from None
        raise


class Plans:
    """Everything decided before the first side effect, but a filter on which nothing else depends (`filter_waits`)."""

    __slots__ = (
        "cgroup",
        "filter",
        "filter_waits",
        "hooks",
        "loaded",
        "namespaces",
        "net_devices",
        "process",
        "rootfs",
        "warnings",
    )

    def __init__(self, loaded: config.Loaded, container_id: str, options: Options) -> None:
        value = loaded.value
        linux = value.get("linux") or {}
        self.loaded = loaded
        self.hooks: dict[str, Any] = value.get("hooks") or {}
        self.warnings = spelling.warnings(value)
        self.process = None
        self.filter: seccomp_plan.Filter | None = None
        self.filter_waits = False
        if value.get("process"):
            self.process = process_plan.plan(value["process"], linux, options.preserve)
            lost = self.process.ambient & ~self.process.inheritable
            process_plan.keep_groups(self.process, value.get("annotations"))
            self.warnings += self.process.warnings
            self.warnings += [
                f"can't raise ambient capability {name}: process.capabilities.inheritable lacks it"
                for name in names(lost)
            ]
            profile = linux.get("seccomp") or {}
            self.filter_waits = bool(profile) and not (profile.get("listenerPath") or options.init)
            if not self.filter_waits:
                self.compile_filter()
            _check_terminal(self.process, options)
            if options.init:
                _check_init(self.filter)
        self.cgroup = _plan_cgroup(value, linux, container_id, options)
        born = self.cgroup is not None and self.cgroup.mode == "v2" and not options.systemd_cgroup
        self.namespaces = namespace_plan.plan(value, born)
        shown = None
        if self.cgroup is not None:
            shown = _shown(self.cgroup.shown())
            self.warnings += self.cgroup.warnings
        self.rootfs = planning.plan(value, loaded.bundle, no_pivot=options.no_pivot, cgroup_mounts=shown)
        self.net_devices: list[tuple[str, str]] = []
        if linux.get("netDevices"):
            from railcar import netdevices

            self.net_devices = netdevices.checked(linux)
        if self.process is not None and "user" not in self.namespaces.types:
            lacking = self.process.permitted & ~capget()[1]
            if lacking:
                self.warnings.append(
                    f"capabilities that cannot be granted here are left out: {', '.join(names(lacking))}"
                )

    def compile_filter(self) -> None:
        self.filter_waits = False
        if self.process is not None:
            profile = (self.loaded.value.get("linux") or {}).get("seccomp")
            self.filter = seccomp_plan.plan(profile, self.process, stub.supported())
            if self.filter is not None and self.filter.by_host and self.hooks.get("startContainer"):
                seccomp_plan.refuse_sendmsg("there are startContainer hooks, before which no filter is loaded")


def _check_terminal(process: process_plan.Process, options: Options) -> None:
    if options.console_socket and options.console:
        raise ConfigError("--console names a terminal, and --console-socket asks for a new one: give one of them")
    if (options.console_socket or options.console) and not process.terminal:
        raise ConfigError("--console-socket is for a process with a terminal: set process.terminal, or leave it out")


def _check_init(filter_: "seccomp_plan.Filter | None") -> None:
    """The init is the stub: there has to be one, and it has to survive the filter."""
    if not stub.supported():
        raise ConfigError(f"--init: there is none for {stub.MACHINE}: leave it out, or have an init in the image")
    if filter_ is not None and (filter_.place == "last" or not seccomp_plan.lets_init_work(filter_.program)):
        needed = "clone, rt_sigprocmask, rt_sigtimedwait, wait4, kill and execve"
        raise ConfigError(f"--init: linux.seccomp denies what the init needs: leave it out, or allow {needed}")


def _shown(group: "dict[str, Any]") -> "Callable[[dict[str, Any]], list[dict[str, Any]]]":
    """What a mount of type cgroup becomes for the group of this record."""
    return lambda mount: mounts_for(group["mode"], group["paths"], mount)


def _resources(linux: "dict[str, Any]", annotations: "dict[str, Any]") -> "dict[str, Any] | None":
    """linux.resources; but podman 4 says 0 for no limit of processes, where the specification means none at all."""
    resources: dict[str, Any] | None = linux.get("resources")
    if annotations.get("io.container.manager") != "libpod" or not resources:
        return resources
    pids = resources.get("pids")
    unlimited = isinstance(pids, dict) and pids.get("limit") == 0
    return resources | {"pids": {"limit": -1}} if unlimited else resources


def _writable(entries: "Iterable[dict[str, Any]]") -> bool:
    """Whether the container may write to a mount of its cgroup: only then does the group become its root's."""
    return any(
        entry.get("type") in ("cgroup", "cgroup2") and "ro" not in (entry.get("options") or ()) for entry in entries
    )


def _plan_cgroup(
    value: "dict[str, Any]", linux: "dict[str, Any]", container_id: str, options: Options
) -> "cgroups.Plan | None":
    if options.cgroup_manager == "disabled":
        return None
    owner = None
    listed = {entry["type"] for entry in linux.get("namespaces") or ()}
    if {"user", "cgroup"} <= listed and linux.get("uidMappings") and _writable(value.get("mounts") or ()):
        owner = (
            namespace_plan.to_host(namespace_plan.ranges(linux.get("uidMappings")), 0),
            namespace_plan.to_host(namespace_plan.ranges(linux.get("gidMappings")), 0),
        )
    return cgroups.plan(
        cgroups.layout.find(),
        container_id,
        linux.get("cgroupsPath"),
        _resources(linux, value.get("annotations") or {}),
        systemd=options.systemd_cgroup,
        rootless=options.rootless,
        owner=owner if owner and -1 not in owner else None,
        annotations=value.get("annotations"),
    )
