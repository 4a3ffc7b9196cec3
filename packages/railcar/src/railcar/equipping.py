"""What a container's first process will need: opened and built by the host's side before the clone, for `job`."""

import os

from railcar import birth, placing, state
from railcar.plan import seccomp as seccomp_plan
from railcar.plan.container import plan_filter
from railcar.rootfs import build, sources

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from railcar.between import Late
    from railcar.cgroups.group import Group
    from railcar.job import Job
    from railcar.plan.container import Options, Plans
    from railcar.state import Record


def equip(
    job: "Job",
    plans: "Plans",
    options: "Options",
    record: "Record",
    group: "Group | None",
    late: "Late | None",
    relay: bool,
) -> "Any":
    """Open and build all that the child will need; our end of a relayed terminal, or None."""
    value = plans.loaded.value
    linux = value.get("linux") or {}
    job.opened = birth.open_paths(plans.namespaces)
    job.process = plans.process
    job.late = late
    job.builder = build.Builder(plans.rootfs, sources.open_sources(plans.rootfs))
    if late is not None:
        job.opened = late.without_pid(job.opened)
        job.builder.proc_option = late.proc_option
    if group is not None:
        job.task_fds = list(group.task_fds)
    job.memory_last = _memory_last(plans)
    job.create_hooks = plans.hooks.get("createContainer") or []
    job.start_hooks = plans.hooks.get("startContainer") or []
    if not options.no_new_keyring:
        job.keyring = f"_ses.{record.container_id}"
    job.emulated = os.path.exists("/proc/sys/fs/binfmt_misc/status")
    if linux.get("memoryPolicy"):
        job.memory_policy = placing.memory_policy(linux["memoryPolicy"])
    ours = None
    process = plans.process
    if process is not None:
        first = 3 + options.preserve
        job.go = record.make_fifo(state.GO_FIFO, first)
        job.reply = record.make_fifo(state.REPLY_FIFO, first)
        if process.label:
            job.proc = placing.procfs(first)
        job.init = options.init
        if not job.filter_later:
            arm(job, plans)
        if process.terminal:
            from railcar import console

            if options.console:
                job.terminal = placing.terminal(options.console)
            elif options.console_socket:
                job.console = console.connect(options.console_socket)
            elif relay:
                ours, job.console = console.pair()
        if job.filter is not None and job.filter.listener:
            from railcar import console, listening

            job.listener = console.connect(job.filter.listener, seccomp_plan.NO_AGENT)
            job.state = listening.state(record, job.filter)
    _preload(job)
    return ours


def arm(job: "Job", plans: "Plans") -> None:
    """The filter, and the stub that may load it."""
    plan_filter(plans)
    job.filter = plans.filter
    job.build_stub("user" in plans.namespaces.types)


def _memory_last(plans: "Plans") -> bool:
    """Whether the child may join its v1 memory group as the last thing.

    Not where the memory of set-up is the container's: copies into a tmpfs, the container's own hooks. Nor with a
    new cgroup namespace, whose root is where its maker is.
    """
    copies = any("tmpcopyup" in (mount.get("options") or ()) for mount in plans.loaded.value.get("mounts") or ())
    own = bool(plans.hooks.get("createContainer")) or copies or "cgroup" in plans.namespaces.types
    return not own and plans.cgroup is not None and "memory" in plans.cgroup.paths


def _preload(job: "Job") -> None:
    """Import what the child will use: after pivot_root an import would run the container's code (see lockdown)."""
    wanted = ["fcntl", "railcar.console"]
    if job.create_hooks or job.start_hooks:
        wanted.append("railcar.hooks")
    if job.filter is not None or job.filter_later:
        wanted += ["ocicommon.linux.seccomp", "ocicommon.linux.sockets"]
    if job.listener is not None:
        wanted.append("railcar.listening")
    if job.keyring:
        wanted.append("ocicommon.linux.keyring")
    if job.memory_policy is not None:
        wanted.append("ocicommon.linux.scheduling")
    for name in wanted:
        __import__(name)
