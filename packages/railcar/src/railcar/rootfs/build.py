"""Stage 2's side of a container's root: a thin loop over the plan, by descriptors only.

`Builder.mount` makes everything; then hooks may run; `Builder.enter` covers, locks and enters. All of it happens in
the container's own mount namespace, and until `enter` the process still has the host's root.
"""

from __future__ import annotations

import os

from ocicommon.linux import mounts
from ocicommon.linux.calls import AT_EMPTY_PATH, AT_RECURSIVE
from ocicommon.linux.errors import SyscallError
from ocicommon.linux.mounts import MOUNT_ATTR_NOSYMFOLLOW

from railcar.errors import StepError
from railcar.rootfs import copyup, devices, enter, filesystems, legacy, masks, nodes, paths, sysctl
from railcar.rootfs.options import RESET
from railcar.rootfs.planning import PROC_EXCEPTIONS
from railcar.rootfs.sources import clone, clone_root, inherited_propagation, map_ids

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from railcar.rootfs.mount import Mount
    from railcar.rootfs.options import Options
    from railcar.rootfs.planning import Plan
    from railcar.rootfs.sources import Sources

_EPERM = 1
_ENOENT = 2
_EACCES = 13
_ENOTDIR = 20
_ELOOP = 40
_EOVERFLOW = 75

_KIND_HINT = (
    "cannot mount a directory onto a file, or a file onto a directory:"
    " check that the source exists and is of the expected type"
)


class Builder:
    """Builds the root of ``plan`` from ``sources``. ``root_fd``: the root's descriptor, valid from ``mount`` on.

    ``proc_option``: an option that every new procfs gets, or "". ``lend`` hands a detached tree to the host's side,
    which maps its ids (``sources.map_lent``).
    """

    def __init__(self, plan: Plan, sources: Sources) -> None:
        self.plan = plan
        self.sources = sources
        self.root_fd = -1
        self.proc_option = ""
        self.lend: Callable[[int], None] | None = None
        self._late: list[tuple[Mount, int]] = []
        self._proc_fd = -1

    def mount(self) -> None:
        """The root, the mounts in their order, devices, links and the working directory. Raises StepError."""
        plan = self.plan
        os.umask(0o022)  # the caller's would make mount points that no other user may enter
        if plan.enter == "chroot":
            self.root_fd = os.open(plan.rootfs, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        else:
            self._take_root()
        for place, mount in enumerate(plan.mounts):
            try:
                self._mount(place, mount)
            except SyscallError as error:
                hint = f"{error.call} {error.subject}".strip() + self._owner_hint(error)
                raise StepError(mount.name(), "", error.errno or 0, hint) from error
        self.sources.spaces.close()
        if plan.set_up_dev and plan.enter != "chroot":
            made = self.sources.nodes.names
            nodes.bind(self.sources.nodes, self.root_fd)
            own = [device for device in plan.devices if device.path not in made]
            devices.create(self.root_fd, own, self.sources.modern)
            devices.default_links(self.root_fd, self._has_pts())
        self._make_cwd()

    def enter(self) -> None:
        """Names and sysctl, read-only paths, masks, read-only mounts, then the way in. Raises StepError."""
        plan = self.plan
        if (plan.sysctl or plan.domainname) and self._proc_fd < 0:
            self._proc_fd = sysctl.trusted_proc()
        enter.set_names(plan.hostname, plan.domainname, self._proc_fd)
        if plan.sysctl:
            sysctl.write(self._proc_fd, plan.sysctl)
        if self._proc_fd >= 0:
            os.close(self._proc_fd)
        modern = self.sources.modern
        masks.make_readonly(self.root_fd, plan.readonly_paths, modern)
        masks.mask(self.root_fd, plan.masked, modern, plan.label)
        for mount, fd in self._late:
            self._set(mount.name(), fd, mounts.MOUNT_ATTR_RDONLY)
            os.close(fd)
        if plan.readonly:
            self._set("read-only root", self.root_fd, mounts.MOUNT_ATTR_RDONLY)
        enter.ENTER[plan.enter](self.root_fd)
        if plan.root_propagation_given and plan.enter != "chroot":
            enter.propagate(plan.propagation)
        os.close(self.root_fd)
        self.root_fd = -1

    def _owner_hint(self, error: SyscallError) -> str:
        if error.errno not in (_EPERM, _EACCES, _EOVERFLOW) or not self.plan.user_namespace or self.root_fd < 0:
            return ""
        if os.fstat(self.root_fd).st_uid == os.geteuid():
            return ""
        return f" ({self.plan.rootfs} does not belong to root in the container: chown it by linux.uidMappings)"

    def _set(self, step: str, fd: int, attributes: int) -> None:
        try:
            if self.sources.modern:
                mounts.mount_setattr(fd, "", AT_EMPTY_PATH, set_=attributes)
            else:
                legacy.add_attributes(fd, attributes)
        except OSError as error:
            raise StepError(step, "", error.errno or 0) from error

    def _take_root(self) -> None:
        """Cut the ties to the host's mounts, and put the root's tree on its own path, where hooks look for it."""
        plan = self.plan
        try:
            mounts.mount(None, "/", None, mounts.MS_SLAVE | mounts.MS_REC)
            if not self.sources.modern:
                self.root_fd = legacy.take_root(plan.rootfs, plan.propagation)
                return
            if self.sources.root < 0:
                self.sources.root = clone_root(plan.rootfs, plan.propagation)
            try:
                target = os.open(plan.rootfs, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            except OSError as error:
                # A user namespace may not be let through to the path. The tree is at hand: any place will do.
                if error.errno != _EACCES:
                    raise
                target = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            mounts.attach(self.sources.root, target)
            os.close(target)
            self.root_fd = self.sources.root
        except OSError as error:
            raise StepError("rootfs", plan.rootfs, error.errno or 0) from error

    def _mount(self, place: int, mount: Mount) -> None:
        if mount.what == "link":
            self._link(mount)
        elif mount.what == "remount":
            fd = paths.resolve(self.root_fd, mount.destination)
            if mount.options.bind and self.sources.modern:
                self._attributes(fd, mount.options)
            else:
                legacy.remount(fd, mount.options)
            os.close(fd)
        elif mount.what == "bind":
            self._bind(place, mount)
        else:
            self._new(mount)

    def _link(self, mount: Mount) -> None:
        parent, name = os.path.split(mount.destination)
        directory = paths.make_directory(self.root_fd, parent)
        try:
            os.symlink(mount.source, name, dir_fd=directory)
        except OSError as error:
            if error.errno != 17:
                raise SyscallError(error.errno or 0, "symlinkat", mount.destination) from error
        finally:
            os.close(directory)

    def _bind(self, place: int, mount: Mount) -> None:
        if not self.sources.modern:
            if mount.destination == "/proc":
                legacy.check_proc_source(mount)
            fd = legacy.bind(self.root_fd, mount, lambda is_directory: self._target(mount, is_directory)[0])
            self._after(mount, fd)
            return
        tree = self.sources.trees.get(place, -1)
        if tree < 0:
            tree = self._clone_inside(mount)
        if mount.destination == "/proc" and not paths.is_procfs(tree):
            raise StepError(mount.name(), f"source {mount.source}", hint=legacy.NOT_PROC)
        directory = paths.is_directory(tree)
        target, _ = self._target(mount, directory)
        if paths.is_directory(target) != directory:
            raise StepError(mount.name(), f"source {mount.source}", _ENOTDIR, _KIND_HINT)
        # As with mount(2), who asks for any of these states them all; in a user namespace the locked ones stay.
        self._attributes(tree, mount.options, MOUNT_ATTR_NOSYMFOLLOW if self.plan.user_namespace else RESET)
        mounts.attach(tree, target)
        os.close(target)
        self._after(mount, tree)

    def _clone_inside(self, mount: Mount) -> int:
        if mount.options.idmap and not mount.inside:
            raise StepError(mount.name(), f"source {mount.source}", _EPERM, "idmapped mounts need root")
        propagation = inherited_propagation(self.plan.propagation)
        within = mount.source.removeprefix(self.plan.rootfs + "/")
        source = -1
        try:
            if mount.inside and within != mount.source:
                # What the image holds there may be a link: it leads nowhere but into the root.
                source = paths.resolve(self.root_fd, within)
            tree = clone(mount.source, mount.options.bind == "rbind", propagation, source)
        except SyscallError as error:
            raise StepError(mount.name(), f"source {mount.source}", error.errno or 0) from error
        finally:
            if source >= 0:
                os.close(source)
        if mount.options.idmap and self.lend is not None:
            self.lend(tree)
        elif mount.options.idmap:
            map_ids(mount, tree, self.sources.spaces)
        return tree

    def _attributes(self, tree: int, options: Options, reset: int = 0) -> None:
        if options.recursive_set or options.recursive_clear:
            mounts.mount_setattr(tree, "", AT_EMPTY_PATH | AT_RECURSIVE, options.recursive_set, options.recursive_clear)
        if not (options.set or options.clear):
            return
        unasked = reset & ~(options.set | options.clear)
        try:
            mounts.mount_setattr(tree, "", AT_EMPTY_PATH, options.set, options.clear | unasked)
        except SyscallError as error:
            if error.errno != _EPERM:
                raise
            mounts.mount_setattr(tree, "", AT_EMPTY_PATH, options.set, options.clear)

    def _target(self, mount: Mount, directory: bool) -> tuple[int, bool]:
        """(descriptor of the mount point, whether it was there before)."""
        plain = mount.type in ("proc", "sysfs") or mount.destination in ("/proc", "/sys")
        existed = True
        try:
            fd = paths.resolve(self.root_fd, mount.destination)
        except SyscallError as error:
            if error.errno != _ENOENT:
                raise
            existed = False
            make = paths.make_directory if directory else paths.make_file
            fd = make(self.root_fd, mount.destination, missing=True)
        if plain:
            os.close(fd)
            fd = self._plain(mount)
        if mounts.filesystem_type(fd) == mounts.PROC_SUPER_MAGIC:
            self._check_proc_target(mount, fd)
        return fd, existed

    def _plain(self, mount: Mount) -> int:
        kind = mount.type if mount.what == "new" else mount.destination[1:]
        try:
            fd = paths.resolve_plain(self.root_fd, mount.destination)
            if paths.is_directory(fd):
                return fd
            os.close(fd)
        except SyscallError as error:
            if error.errno != _ELOOP:
                raise
        raise StepError(mount.name(), "", hint=f'filesystem "{kind}" must be mounted on ordinary directory')

    def _check_proc_target(self, mount: Mount, fd: int) -> None:
        if mount.destination in PROC_EXCEPTIONS or (mount.destination == "/proc" and mounts.is_mount_root(fd)):
            return
        if mount.type == "proc" and mounts.is_mount_root(fd):
            return
        os.close(fd)
        raise StepError(mount.name(), "", hint="cannot be mounted because it leads into /proc")

    def _new(self, mount: Mount) -> None:
        target, existed = self._target(mount, True)
        if not paths.is_directory(target):
            raise StepError(mount.name(), "", _ENOTDIR, _KIND_HINT)
        extra: list[str] = []
        if mount.type == "tmpfs" and existed and not mount.options.has_data("mode"):
            extra = [f"mode={os.fstat(target).st_mode & 0o7777:04o}"]
        if mount.type == "proc" and self.proc_option:
            extra = [self.proc_option]
        in_place = not self.sources.modern or filesystems.needs_mount2(mount)
        fd = self._mount2(mount, target, extra) if in_place else self._create(mount, extra)
        if mount.options.copy_up:
            copyup.copy(target, fd, mount.name(), keep_mode=mount.options.has_data("mode"))
        if not in_place:
            mounts.attach(fd, target)
        os.close(target)
        if mount.type == "mqueue" and self.plan.label:
            self._label(mount, fd)
        self._after(mount, fd)

    def _label(self, mount: Mount, fd: int) -> None:
        """Give the mount label to a filesystem that takes none as an option, but as an attribute of its directory."""
        try:
            os.setxattr(f"/proc/self/fd/{fd}", "security.selinux", os.fsencode(self.plan.label) + b"\0")
        except OSError as error:
            raise StepError(mount.name(), f"linux.mountLabel {self.plan.label}", error.errno or 0) from None

    def _keep_proc(self, mount: Mount, made: int) -> None:
        """Keep the descriptor of a new procfs for sysctl, where it can take the parameters.

        It was mounted nowhere yet, so it is as trusted as one made for the purpose; and to let go of one that is
        mounted nowhere costs an RCU grace period.
        """
        at = [other for other in self.plan.mounts if other.destination == "/proc"]
        options = mount.options
        read_only = (options.set | options.recursive_set) & mounts.MOUNT_ATTR_RDONLY
        if at == [mount] and not (read_only or options.data or options.copy_up):
            self._proc_fd = os.dup(made)

    def _mount2(self, mount: Mount, target: int, extra: list[str]) -> int:
        try:
            filesystems.create_by_mount2(mount, target, extra)
            return paths.resolve(self.root_fd, mount.destination)
        except StepError as error:
            host = filesystems.HOST_INSTEAD.get(mount.type)
            if error.errno != _EPERM or host is None:
                raise
            mounts.mount(host, legacy.at(target), None, mounts.MS_BIND | mounts.MS_REC)
        fd = paths.resolve(self.root_fd, mount.destination)
        legacy.change_all(fd, mount.options.set, mount.options.clear)
        return fd

    def _create(self, mount: Mount, extra: list[str]) -> int:
        try:
            made = filesystems.create(mount, extra)
            if mount.type == "proc" and (self.plan.sysctl or self.plan.domainname):
                self._keep_proc(mount, made)
            return made
        except StepError as error:
            host = filesystems.HOST_INSTEAD.get(mount.type)
            if error.errno != _EPERM or host is None:
                raise
            refused = error
        try:
            fd = clone(host, True, mounts.MS_SLAVE)
        except SyscallError:
            raise refused from None
        if mount.type == "proc" and mounts.filesystem_type(fd) != mounts.PROC_SUPER_MAGIC:
            raise refused
        # With all that is mounted in it: the host's cgroups are in its /sys (CVE-2023-25809).
        mounts.mount_setattr(fd, "", AT_EMPTY_PATH | AT_RECURSIVE, mount.options.set, mount.options.clear)
        return fd

    def _after(self, mount: Mount, fd: int) -> None:
        """Propagation, which only an attached mount keeps; then let go, or hold on to make it read-only at the end."""
        for flag in mount.options.propagation:
            recursive = AT_RECURSIVE if flag & mounts.MS_REC else 0
            if self.sources.modern:
                mounts.mount_setattr(fd, "", AT_EMPTY_PATH | recursive, propagation=flag & ~mounts.MS_REC)
            else:
                legacy.propagate(fd, flag)
        if mount.late_readonly:
            self._late.append((mount, fd))
        else:
            os.close(fd)

    def _has_pts(self) -> bool:
        return any(mount.destination == "/dev/pts" for mount in self.plan.mounts)

    def _make_cwd(self) -> None:
        try:
            os.close(paths.make_directory(self.root_fd, self.plan.cwd))
        except SyscallError as error:
            # Whether the process may go there is found out as its user.
            if error.errno not in (_EACCES, _EPERM):
                raise StepError("process.cwd", self.plan.cwd, error.errno or 0) from error
