"""Stage 1 of a container's creation: plan all, record the intent, then do, and undo whatever was done when it fails."""

import os

from ocicommon.linux.process import pidfd_send_signal

from railcar import birth, config, documents, equipping, handshake, inside, placing, state, tracing
from railcar.cgroups import driver
from railcar.cgroups.create import create as make_group
from railcar.errors import ConfigError, RailcarError
from railcar.job import Job
from railcar.plan.container import Options, Plans, plan
from railcar.rootfs import sources
from railcar.versions import SPEC_VERSION

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from railcar.between import Late
    from railcar.cgroups.group import Group
    from railcar.cgroups.plan import Plan
    from railcar.state import Record


class Created:
    """A created container, as its creator holds it. `console`: our end of a terminal that this command relays."""

    __slots__ = ("console", "go", "pid", "pidfd", "record", "reply", "warnings")

    def __init__(self, record: "Record", pid: int, pidfd: int, go: int, reply: int, console: "Any") -> None:
        self.record, self.pid, self.pidfd = record, pid, pidfd
        self.go, self.reply, self.console = go, reply, console
        self.warnings: list[str] = []


def create(root: str, container_id: str, bundle: str, options: Options, relay: bool = False) -> Created:
    """Create a container. `relay`: this command relays the terminal, so without a console socket it gets one end.

    Raises RailcarError; then nothing is left.
    """
    state.check_id(container_id)
    placing.check_preserved(options.preserve)
    loaded = config.load(bundle, options.config)
    plans = plan(loaded, container_id, options)
    if (
        plans.process is not None
        and plans.process.terminal
        and not (options.console_socket or options.console or relay)
    ):
        raise ConfigError("process.terminal needs --console-socket, since this command does not stay to relay it")
    tracing.mark("plan")
    late = None
    if plans.namespaces.path("pid"):
        from railcar import guarded

        late = guarded.late(plans, options.preserve)
    creation = _Creation(root, container_id, plans, options, late)
    creation.lock = state.claim(root, container_id)
    try:
        return creation.run(relay)
    except BaseException as error:
        creation.undo()
        raise error from None


class _Creation:
    """The doing, with a memory of what has to be undone."""

    def __init__(
        self, root: str, container_id: str, plans: Plans, options: Options, late: "Late | None" = None
    ) -> None:
        self.plans, self.options, self.late = plans, options, late
        self.group: Group | None = None
        self.born: birth.Born | None = None
        self.lock = -1
        self.network = -1  # the container's network namespace, once devices of ours are in it
        self.channel: handshake.Channel | None = None
        value = plans.loaded.value
        creator = state.process_times(os.getpid())
        boot_id = state.boot_id()
        self.record = state.Record(
            root,
            container_id,
            {
                "ociVersion": SPEC_VERSION,
                "id": container_id,
                "pid": 0,
                "phase": "creating",
                "boot_id": boot_id,
                "start_time": 0,
                "bundle": plans.loaded.bundle,
                "rootfs": plans.loaded.rootfs,
                "created": state.now(),
                "annotations": value.get("annotations") or {},
                "owner": "",
                "namespaces": plans.namespaces.types,
                "hooks": [kind for kind in plans.hooks if plans.hooks[kind]],
                "creator": {"pid": os.getpid(), "start_time": creator[1] if creator else 0, "boot_id": boot_id},
                "cgroup": plans.cgroup.record() if plans.cgroup is not None else None,
            },
        )

    def run(self, relay: bool) -> Created:
        record, plans, options = self.record, self.plans, self.options
        record.save()
        tracing.mark("intent")
        self.channel = channel = handshake.Channel()
        job = Job(channel, plans.namespaces)
        job.lock = self.lock
        job.placed = plans.cgroup is not None and plans.cgroup.unit is not None
        # A cgroup of v2 the child is born in; those of v1, and the filter, are made while it makes its first steps.
        alone = self.late is None and not plans.namespaces.needs_intermediate
        job.filter_later = alone and plans.filter_waits
        job.host_acts = bool(plans.hooks or plans.net_devices)
        job.joins_later = alone and plans.cgroup is not None and plans.cgroup.mode == "v1" and not plans.cgroup.unit
        if plans.cgroup is not None and not job.joins_later:
            self._make_group(plans.cgroup)
        ours = equipping.equip(job, plans, options, record, self.group, self.late, relay)
        tracing.mark("sources")
        cgroup_fd = self.group.clone_fd if self.group is not None else -1
        self.born = birth.clone(
            plans.namespaces, job.opened, channel, cgroup_fd, lambda joined: inside.run(job, joined)
        )
        channel.in_host()
        self._close_child_ends(job)
        tracing.mark("clone")
        self._talk(job)
        tracing.mark("ready")
        placing.pid_file(options.pid_file, self.born.pid)
        if options.pidfd_socket:
            placing.send_pidfd(options.pidfd_socket, self.born.pidfd, b"standard")
        os.close(self.lock)
        self.lock = -1
        created = Created(record, self.born.pid, self.born.pidfd, job.go, job.reply, ours)
        created.warnings = plans.warnings
        return created

    def _make_group(self, planned: "Plan") -> "Group":
        self.group = group = make_group(planned)
        self.record.data["cgroup"] = group.record()
        tracing.mark("cgroups")
        return group

    def _close_child_ends(self, job: Job) -> None:
        job.builder.sources.close()
        for _, _, fd in job.opened:
            os.close(fd)
        for fd in (job.stub, job.terminal):
            if fd >= 0:
                os.close(fd)
        job.close_sockets()
        if self.group is not None:
            self.group.close()

    def _talk(self, job: Job) -> None:
        """The handshake, until the stub waits."""
        assert self.born is not None
        assert self.channel is not None
        channel, born, plans, record = self.channel, self.born, self.plans, self.record
        self._note(born)
        if self.group is not None and (job.placed or born.mapped):
            driver.join(self.group, born.pid)
            record.data["cgroup"] = self.group.record()
        if born.mapped:
            channel.go()
        elif plans.namespaces.new_user or job.placed:
            self._expect(handshake.MAPS)
            if plans.namespaces.new_user:
                birth.write_maps(born.pid, plans.namespaces)
            channel.go()
        if job.joins_later and plans.cgroup is not None:
            group = self._make_group(plans.cgroup)
            channel.go(fds=group.task_fds)
            group.close()
        if job.filter_later:
            equipping.arm(job, plans)
            tracing.mark("filter")
        state.write(record.path(state.CONFIG), plans.loaded.raw)
        record.draft()
        sources.map_lent(plans.rootfs, channel)
        self._expect(handshake.MOUNTED)
        tracing.mark("mounts")
        if job.host_acts:
            self._host_hooks(born.pid)
            channel.go(self._state("creating") if plans.hooks.get("createContainer") else b"")
        if job.filter_later:
            channel.go(*job.equipment())
            if job.stub >= 0:
                os.close(job.stub)
        if self.late is not None:
            born = self.born = self.late.follow(born, channel)
            self._note(born)
        if job.filter is not None and job.filter.by_host:
            from railcar import listening

            listening.hand_on(channel, born.pidfd, job.listener, listening.state(record, job.filter, born.pid))
        record.remember_told(self._expect(handshake.READY))
        tracing.mark("root and devices")
        if plans.process is not None:
            resources = (plans.loaded.value.get("linux") or {}).get("resources") or {}
            placing.apply(born.pid, plans.process, (resources.get("cpu") or {}).get("cpus") or "")
            for resource, soft, hard in plans.process.rlimits:
                placing.limit(born.pid, resource, soft, hard)
        closure = (plans.loaded.value.get("linux") or {}).get("intelRdt")
        if closure:
            from railcar import rdt

            rdt.place(closure, record, born.pid)
        if self.group is not None:
            driver.apply_late(self.group)
        tracing.mark("limits")
        record.data["steps"] = tracing.steps
        record.data.pop("creator")
        record.data["phase"] = "created"
        record.save()
        channel.go(self._state("created") if plans.hooks.get("startContainer") else b"")
        kind, _ = channel.hear()
        if kind:
            raise RailcarError(f"the container's process said {kind!r} where it should have become the stub")
        if plans.process is not None and os.waitid(os.P_PID, born.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            raise self._death()

    def _note(self, born: birth.Born) -> None:
        times = state.process_times(born.pid)
        self.record.data["pid"], self.record.data["start_time"] = born.pid, times[1] if times else 0

    def _state(self, status: str) -> bytes:
        return documents.compact(self.record.public(status)).encode()

    def _host_hooks(self, pid: int) -> None:
        plans = self.plans
        for kind in ("prestart", "createRuntime"):
            if plans.hooks.get(kind):
                from railcar import hooks

                ran = hooks.run(kind, plans.hooks[kind], self._state("creating"), plans.loaded.bundle)
                self.record.remember_hooks(ran)
        if plans.net_devices:
            from railcar import netdevices

            fd = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
            netdevices.move(plans.net_devices, fd)
            self.network = fd

    def _expect(self, wanted: bytes) -> bytes:
        """What came with the message that has to come now."""
        assert self.channel is not None
        kind, payload = self.channel.hear()
        if kind != wanted:
            raise self._death()
        return payload

    def _death(self) -> RailcarError:
        """Why the child is gone without a word."""
        assert self.born is not None
        assert self.channel is not None
        doing = handshake.DOING.get(self.channel.last, "waiting to be started")
        status = os.waitid(os.P_PID, self.born.pid, os.WEXITED | os.WNOWAIT)
        how = "ended"
        if status is not None and status.si_code != os.CLD_EXITED:
            how = f"was killed by signal {status.si_status}"
        return RailcarError(f"the container's first process {how} while {doing}{self._memory()}")

    def _memory(self) -> str:
        """Peak and limit of the container's memory, where they tell why it was killed."""
        if self.group is None:
            return ""
        directory = self.group.paths.get("memory") or self.group.paths.get("unified") or ""
        for peak, limit in (("memory.max_usage_in_bytes", "memory.limit_in_bytes"), ("memory.peak", "memory.max")):
            try:
                with open(f"{directory}/{peak}", "rb") as one, open(f"{directory}/{limit}", "rb") as two:
                    used, most = one.read().decode().strip(), two.read().decode().strip()
            except OSError:
                continue
            if most.isdigit() and int(used) * 10 > int(most) * 9:
                return f": out of memory (its cgroup used {used} of {most} bytes: raise linux.resources.memory.limit)"
        return ""

    def undo(self) -> None:
        """Kill, remove: each part as far as it came."""
        from railcar import removing

        if self.network >= 0:
            from railcar import netdevices

            netdevices.give_back(self.plans.net_devices, self.network)
        if self.born is not None:
            try:
                pidfd_send_signal(self.born.pidfd, 9)
            except OSError:
                pass
            try:
                os.waitpid(self.born.pid, 0)
            except ChildProcessError:
                pass
        elif self.channel is not None:
            self.channel.in_host()
        # A unit that was not made for this container is another's.
        if self.group is not None and self.group.plan is None:
            try:
                self.group.kill()
                driver.destroy(self.group)
            except (OSError, RailcarError):
                pass
        removing.remove_closure(self.record)
        removing.remove_directory(self.record.directory)
