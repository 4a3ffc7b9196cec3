"""A container's group in being, by its directories: join, freeze, signal, remove."""

import errno
import os
import time

from railcar.cgroups import files, layout, tree
from railcar.cgroups.paths import Unit, record
from railcar.errors import RailcarError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from railcar.cgroups.plan import Plan
    from railcar.cgroups.values import Write

# How long the kernel may take (seconds) to freeze a group or to let an emptied one go, before that is an error.
PATIENCE = 30.0


class Group:
    """``paths`` maps controllers (and ``unified``) to directories, memory last. ``clone_fd`` is the v2 directory for
    CLONE_INTO_CGROUP, or -1; ``task_fds`` are the v1 ``tasks`` files to which a single-threaded child writes ``0``."""

    __slots__ = ("clone_fd", "late", "late_resources", "made", "mode", "paths", "plan", "rootless", "task_fds", "unit")

    def __init__(self, mode: str, paths: dict[str, str], made: list[str]) -> None:
        self.mode = mode
        self.paths = paths
        self.made = made
        self.late: list[Write] = []
        # under systemd, the part of linux.resources that the manager is to be told of late
        self.late_resources: dict[str, Any] = {}
        self.clone_fd = -1
        self.task_fds: list[int] = []
        self.unit: Unit | None = None
        self.rootless = False
        # under systemd, until the unit is there
        self.plan: Plan | None = None

    def record(self) -> "dict[str, Any]":
        """What ``from_record`` takes, as JSON types."""
        return record(self.mode, self.paths, self.made, self.unit, self.rootless)

    @classmethod
    def from_record(cls, kept: "dict[str, Any]") -> "Group":
        group = cls(kept["mode"], dict(kept["paths"]), list(kept.get("made", ())))
        group.rootless = bool(kept.get("rootless"))
        if kept.get("unit"):
            group.unit = Unit(kept["unit"], kept["slice"])
        return group

    def directories(self) -> list[str]:
        """Each directory of the group once, memory's last."""
        return list(dict.fromkeys(self.paths.values()))

    def exists(self) -> bool:
        """Whether any of its directories is there."""
        return any(os.access(path, os.F_OK) for path in self.paths.values())

    def _watched(self) -> str:
        """The directory whose processes are taken for all of the group's; empty without any."""
        for name in ("pids", "freezer", "devices", "name=systemd", "unified", *self.paths):
            path = self.paths.get(name)
            if path:
                return path
        return ""

    def vacant(self) -> bool:
        """Remove the directory that ``pids`` looks into, if it is free for that: True when it is gone."""
        path = self._watched()
        if self.unit or not path:
            return not path
        try:
            os.rmdir(path)
        except OSError as error:
            return error.errno == errno.ENOENT
        return True

    def open(self, init_pid: int = 0) -> None:
        """Open ``clone_fd`` and ``task_fds``. With ``init_pid`` (exec), a v2 group that has handed its controllers
        down, and so takes no process, is replaced by the group of that process."""
        self.close()
        unified = self.paths.get("unified")
        try:
            if unified:
                if init_pid and files.read_or(unified + "/cgroup.subtree_control", "").strip():
                    unified = self.of_process(init_pid) or unified
                self.clone_fd = os.open(unified, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            for path in self.directories():
                if path != self.paths.get("unified"):
                    self.task_fds.append(os.open(path + "/tasks", os.O_WRONLY | os.O_CLOEXEC))
        except OSError as error:
            self.close()
            raise RailcarError(f"cgroup: open {error.filename}: {files.reason(error)}") from None

    def of_process(self, pid: int) -> str:
        """The v2 directory of a process, when it lies in this group or below it; else empty."""
        here = layout.find()
        own = ""
        for line in files.read_or(f"/proc/{pid}/cgroup", "").splitlines():
            if line.startswith("0::"):
                own = line[3:]
        if not own or not here.unified:
            return ""
        path = here.unified.path(own)
        return path if path.startswith(self.paths["unified"]) and os.access(path, os.F_OK) else ""

    def close(self) -> None:
        """Close the descriptors of :meth:`open`."""
        for descriptor in self.task_fds + ([self.clone_fd] if self.clone_fd >= 0 else []):
            os.close(descriptor)
        self.task_fds = []
        self.clone_fd = -1

    def add(self, pid: int) -> None:
        """Put a process in, by its pid. For a child, :meth:`open` is the quick way."""
        for path in self.directories():
            try:
                files.write(path + "/cgroup.procs", str(pid))
            except OSError as error:
                if error.errno == errno.EBUSY and path == self.paths.get("unified"):
                    raise RailcarError(
                        f"cgroup: {path} holds groups of its own, and takes no process: device busy"
                    ) from None
                raise RailcarError(f"cgroup: add process {pid} to {path}: {files.reason(error)}") from None

    def _freezer(self) -> tuple[str, str, str]:
        """(control file, value to freeze, value to thaw)."""
        if "freezer" in self.paths:
            return self.paths["freezer"] + "/freezer.state", "FROZEN", "THAWED"
        if "unified" in self.paths:
            return self.paths["unified"] + "/cgroup.freeze", "1", "0"
        raise RailcarError("this container has no cgroup that could freeze it")

    def _set_frozen(self, freeze: bool) -> None:
        path, on, off = self._freezer()
        try:
            files.write(path, on if freeze else off)
            deadline = time.monotonic() + PATIENCE
            pause = 0.0001
            while not self._settled(path, freeze):
                if time.monotonic() > deadline:
                    files.write(path, off)
                    raise RailcarError(f"cgroup: {path} does not become {on if freeze else off}")
                time.sleep(pause)
                pause = min(pause * 2, 0.02)
                if freeze and on == "FROZEN":
                    # A process that forked meanwhile may have escaped the first pass of the kernel.
                    files.write(path, on)
        except OSError as error:
            raise RailcarError(f"cgroup: {'freeze' if freeze else 'thaw'} {path}: {files.reason(error)}") from None

    @staticmethod
    def _settled(path: str, freeze: bool) -> bool:
        if path.endswith("freezer.state"):
            return files.read(path).strip() == ("FROZEN" if freeze else "THAWED")
        events = files.read(path.replace("cgroup.freeze", "cgroup.events"))
        return ("frozen 1" if freeze else "frozen 0") in events.splitlines()

    def freeze(self) -> None:
        """Stop every process of the group, and of those below; returns when the kernel says that they stand."""
        self._set_frozen(True)

    def thaw(self) -> None:
        """Let the processes run again."""
        self._set_frozen(False)

    def frozen(self) -> bool:
        """Whether the group is frozen, or on the way to it."""
        if "freezer" not in self.paths and "unified" not in self.paths:
            return False
        path, _, off = self._freezer()
        return files.read_or(path, off).strip() != off

    def pids(self, recursive: bool = True) -> list[int]:
        """The processes of the group (pids of this process' namespace), and of the groups below it."""
        path = self._watched()
        if not path:
            return []
        texts: list[str] = []
        try:
            if recursive:
                tree.bottom_up(path, None, lambda descriptor: texts.append(tree.read_at(descriptor, "cgroup.procs")))
            else:
                texts.append(files.read(path + "/cgroup.procs"))
        except FileNotFoundError:
            return []
        except OSError as error:
            raise RailcarError(f"cgroup: list the processes of {path}: {files.reason(error)}") from None
        return sorted({int(pid) for text in texts for pid in text.split()} - {0})

    def kill(self, signal: int = 9) -> None:
        """Signal every process of the group and of those below it, so that none can fork away meanwhile."""
        if signal == 9 and self.mode == "v2" and "unified" in self.paths:
            try:
                files.write(self.paths["unified"] + "/cgroup.kill", "1")
                return
            except OSError:
                if not self.exists():
                    return
        if not self.exists():
            return
        thaw = False
        if not self.frozen():
            try:
                self.freeze()
                thaw = True
            except RailcarError:
                # Killing without the freezer is better than not killing: the caller sees what is left.
                thaw = True
        try:
            for pid in self.pids():
                try:
                    os.kill(pid, signal)
                except ProcessLookupError:
                    continue
        finally:
            if signal == 9:
                self.let_die()
            if thaw or signal == 9:
                try:
                    self.thaw()
                except RailcarError:
                    if self.exists():
                        raise

    def let_die(self) -> None:
        """Thaw the group and those below it, which a container with cgroups of its own to write may have frozen:
        on v1 not even SIGKILL ends a frozen process."""
        path = self.paths.get("freezer")
        if not path:
            return
        try:
            tree.bottom_up(path, None, lambda descriptor: tree.write_at(descriptor, "freezer.state", "THAWED"))
        except FileNotFoundError:
            return
        except OSError as error:
            raise RailcarError(f"cgroup: thaw the groups in {path}: {files.reason(error)}") from None

    def undo(self) -> None:
        """Remove the directories that were made for it, and leave those that were there."""
        for path in reversed(self.made):
            try:
                os.rmdir(path)
            except OSError:
                continue

    def remove(self) -> None:
        """Remove the group with all groups below it. Raises RailcarError when processes keep it for too long."""
        if self.frozen():
            # A frozen process cannot die, not even of a SIGKILL on v1.
            self.thaw()
        for path in self.directories():
            self._remove(path)
        own = self.paths.values()
        for path in reversed(self.made):
            if path not in own:
                try:
                    os.rmdir(path)
                except OSError:
                    continue

    def _remove(self, path: str) -> None:
        deadline = time.monotonic() + PATIENCE
        pause = 0.0005
        while True:
            try:
                os.rmdir(path)
                return
            except FileNotFoundError:
                return
            except OSError as error:
                if error.errno not in (errno.EBUSY, errno.ENOTEMPTY):
                    raise RailcarError(f"cgroup: remove {path}: {files.reason(error)}") from None
                try:
                    tree.bottom_up(path, lambda descriptor, name: os.rmdir(name, dir_fd=descriptor))
                    os.rmdir(path)
                    return
                except FileNotFoundError:
                    continue
                except OSError as second:
                    if second.errno not in (errno.EBUSY, errno.ENOTEMPTY, errno.ENODEV):
                        raise RailcarError(f"cgroup: remove {path}: {files.reason(second)}") from None
            if time.monotonic() > deadline:
                left = len(self.pids())
                raise RailcarError(
                    f"cgroup: remove {path}: {left} process(es) are still in it: device or resource busy"
                )
            time.sleep(pause)
            pause = min(pause * 2, 0.05)
