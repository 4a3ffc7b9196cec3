"""Whether this host can run containers, as root and without, what it lacks, and what to do about it.

Each check answers for one thing: ``yes``, ``no`` (and containers, or those that need it, fail), or ``partly``.
"""

import os
import pwd
import shutil
from dataclasses import dataclass

from ocicommon.linux import calls, capabilities, mounts
from ocicommon.linux import namespaces as namespaces_of
from ocicommon.linux.errors import SyscallError

from railcar import cgroups, features, snapshot
from railcar.errors import RailcarError

YES, PARTLY, NO = "yes", "partly", "no"
_ENOSYS = 38


@dataclass(frozen=True)
class Answer:
    """``needed``: nothing runs without it. ``advice`` says what to do about an answer that is not yes."""

    name: str
    answer: str
    detail: str
    advice: str = ""
    needed: bool = False


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return ""


def _has_call(name: str) -> bool:
    """Whether the kernel has a system call; arguments that no call takes keep it from doing anything."""
    try:
        calls.call(name, -1, 0, 0, 0, 0)
    except SyscallError as error:
        return error.errno != _ENOSYS
    except KeyError:
        return False
    return True


def kernel() -> Answer:
    """The calls that the quick paths stand on, with their kernels."""
    release = os.uname().release
    wanted = {
        "clone3": "5.3",
        "openat2": "5.6",
        "mount_setattr": "5.12",
        "pidfd_send_signal": "5.1",
        "move_mount": "5.2",
    }
    missing = [f"{name} (Linux {since})" for name, since in wanted.items() if not _has_call(name)]
    if not missing:
        return Answer("kernel", YES, f"Linux {release} has every call that railcar uses", needed=True)
    advice = "use a newer kernel, or let the sandbox that railcar runs in permit these calls"
    hard = any(name.startswith(("clone3", "openat2", "pidfd")) for name in missing)
    return Answer("kernel", NO if hard else PARTLY, f"Linux {release} lacks {', '.join(missing)}", advice, True)


def privileges() -> Answer:
    """Root's capabilities, as far as they are there."""
    if os.geteuid() != 0:
        return Answer(
            "privileges", PARTLY, f"user id {os.geteuid()}: rootless containers only", "run as root for others"
        )
    _, permitted, _ = capabilities.capget()
    missing = [
        name for bit, name in enumerate(capabilities.NAMES[: capabilities.last() + 1]) if not permitted >> bit & 1
    ]
    if not missing:
        return Answer("privileges", YES, "root with every capability")
    hard = "CAP_SYS_ADMIN" in missing
    known = {
        "CAP_SYS_RESOURCE": "rlimits cannot be raised, nor oomScoreAdj lowered",
        "CAP_SYS_ADMIN": "no namespace and no mount can be made",
        "CAP_NET_ADMIN": "no network device can be moved",
        "CAP_MKNOD": "devices are bound from the host instead of made",
    }
    effects = "; ".join(known[name] for name in missing if name in known)
    detail = f"root without {', '.join(missing)}" + (f": {effects}" if effects else "")
    return Answer(
        "privileges", NO if hard else PARTLY, detail, "start the session that railcar runs in with them", hard
    )


def namespaces() -> Answer:
    """The namespace types."""
    found = features.known_namespaces()
    missing = sorted({"pid", "network", "mount", "ipc", "uts", "user", "cgroup", "time"} - set(found))
    if not missing:
        return Answer("namespaces", YES, ", ".join(found), needed=True)
    hard = bool({"pid", "mount"} & set(missing))
    return Answer(
        "namespaces", NO if hard else PARTLY, f"no {', '.join(missing)}", "use a kernel built with them", hard
    )


def user_namespaces() -> Answer:
    """Whether users without privileges may make user namespaces."""
    if _text("/proc/sys/user/max_user_namespaces") == "0":
        return Answer(
            "user namespaces", NO, "user.max_user_namespaces is 0", "sysctl -w user.max_user_namespaces=15000"
        )
    if _text("/proc/sys/kernel/unprivileged_userns_clone") == "0":
        detail = "for root only (kernel.unprivileged_userns_clone is 0)"
        return Answer("user namespaces", PARTLY, detail, "sysctl -w kernel.unprivileged_userns_clone=1")
    if _text("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == "1":
        detail = "AppArmor restricts them to programs with a profile"
        advice = "give railcar a profile with `userns,`, or sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"
        return Answer("user namespaces", PARTLY, detail, advice)
    refused = os.geteuid() and _try_user_namespace()
    if refused:
        advice = "a sandbox or a security module around this session forbids them: leave it, or run as root"
        return Answer("user namespaces", NO, f"making one, and a mount in it: {os.strerror(refused).lower()}", advice)
    return Answer("user namespaces", YES, "for every user")


def _try_user_namespace() -> int:
    """Make a user and a mount namespace, and change a mount in them, in a child; the errno of what failed, or 0."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            namespaces_of.unshare(namespaces_of.CLONE_NEWUSER | namespaces_of.CLONE_NEWNS)
            mounts.mount("none", "/", "", mounts.MS_REC | mounts.MS_PRIVATE, "")
            code = 0
        except OSError as error:
            code = error.errno or 1
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _ranges(path: str, name: str, uid: int) -> int:
    total = 0
    for line in _text(path).splitlines():
        parts = line.split(":")
        if len(parts) == 3 and parts[0] in (name, str(uid)) and parts[2].isdigit():
            total += int(parts[2])
    return total


def subordinate_ids() -> Answer:
    """newuidmap, newgidmap, and the ranges of this user."""
    uid = os.getuid()
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        name = str(uid)
    programs = [program for program in ("newuidmap", "newgidmap") if not shutil.which(program)]
    if programs:
        advice = "install the package uidmap (Debian, Ubuntu) or shadow-utils (Fedora)"
        return Answer(
            "subordinate ids", PARTLY, f"no {' and no '.join(programs)}: rootless containers have one id", advice
        )
    users, groups = _ranges("/etc/subuid", name, uid), _ranges("/etc/subgid", name, uid)
    if uid and not (users and groups):
        advice = f"usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {name}"
        return Answer("subordinate ids", PARTLY, f"{name} has no range in /etc/subuid and /etc/subgid", advice)
    detail = f"{users} user and {groups} group ids for {name}" if uid else "newuidmap and newgidmap are there"
    return Answer("subordinate ids", YES, detail)


def control_groups() -> Answer:
    """The layout, and whether this user may make groups."""
    layout = cgroups.layout.find()
    if layout.mode == "none":
        return Answer("cgroups", NO, "no cgroup filesystem is mounted", "mount -t cgroup2 none /sys/fs/cgroup")
    names = [name for hierarchy in layout.hierarchies for name in hierarchy.controllers]
    names += [f"{name} (v2)" for name in layout.unified_controllers]
    title = {"v1": "cgroup v1", "hybrid": "cgroup v1 and v2 side by side", "v2": "cgroup v2"}[layout.mode]
    detail = f"{title}: {', '.join(names) or 'no controllers'}"
    where = [hierarchy.path("x").rpartition("/")[0] for hierarchy in layout.hierarchies]
    if layout.mode == "v2" and layout.unified:
        own = layout.unified.own if os.geteuid() else ""
        where = [layout.unified.mount + own.rpartition("/")[0]]
    closed = [path for path in where if not os.access(path, os.W_OK)]
    if closed:
        advice = (
            "on cgroup v2, `systemd-run --user --scope -p Delegate=yes` delegates one; else containers get no limits"
            if os.geteuid()
            else "mount the hierarchies writable"
        )
        return Answer("cgroups", PARTLY, f"{detail}; no group can be made in {', '.join(closed)}", advice)
    missing = {"memory", "pids", "cpu"} - set(names) - set(layout.unified_controllers)
    if missing:
        advice = "boot with these controllers (for memory: cgroup_enable=memory)"
        return Answer("cgroups", PARTLY, f"{detail}; no {', '.join(sorted(missing))}", advice)
    return Answer("cgroups", YES, detail)


def systemd() -> Answer:
    """Whether the systemd cgroup driver can be used."""
    from railcar.cgroups import dbus

    try:
        dbus.connect(os.geteuid() != 0).close()
    except RailcarError as error:
        advice = "needed for --systemd-cgroup only; as a user: log in through systemd, with XDG_RUNTIME_DIR set"
        return Answer("systemd", PARTLY, error.message, advice)
    return Answer("systemd", YES, "reached over D-Bus")


def seccomp() -> Answer:
    """Filters, and the notifications that hand a call to another process."""
    from ocicommon.linux.seccomp import constants, loader

    if not loader.available(constants.RET_ALLOW):
        return Answer("seccomp", NO, "the kernel takes no filter", "use a kernel built with CONFIG_SECCOMP_FILTER")
    if not loader.available(constants.RET_USER_NOTIF):
        return Answer("seccomp", PARTLY, "filters without notification", "notification needs Linux 5.0")
    return Answer("seccomp", YES, "filters, and notification")


def memfd() -> Answer:
    """Where the stub is executed from."""
    mode = _text("/proc/sys/vm/memfd_noexec")
    if mode == "2":
        detail = "vm.memfd_noexec is 2: railcar mounts a small tmpfs for its stub instead of a memfd"
        return Answer("executable memfds", PARTLY, detail, "sysctl -w vm.memfd_noexec=1 is quicker; nothing is needed")
    return Answer("executable memfds", YES, "permitted")


def state_directory(root: str) -> Answer:
    """Whether the state directory can be made, and every directory above it be passed."""
    path = root
    while not os.path.exists(path):
        path = os.path.dirname(path) or "/"
    if not os.path.isdir(path):
        return Answer("state directory", NO, f"{root}: {path} is not a directory", "choose another with --root", True)
    if not os.access(path, os.W_OK | os.X_OK):
        advice = "choose another with --root, or set XDG_RUNTIME_DIR"
        return Answer("state directory", NO, f"{root}: {path} is not writable", advice, True)
    flags = os.statvfs(path).f_flag
    if flags & os.ST_RDONLY:
        return Answer("state directory", NO, f"{root} is on a read-only filesystem", "choose another with --root", True)
    return Answer("state directory", YES, root, needed=True)


def home() -> Answer:
    """A user namespace's root passes only directories that others may search."""
    path = os.path.realpath(os.path.expanduser("~"))
    closed = []
    while path != "/":
        try:
            if not os.stat(path).st_mode & 0o001:
                closed.append(path)
        except OSError:
            closed.append(path)
        path = os.path.dirname(path)
    if closed and os.geteuid():
        advice = f"chmod o+x {' '.join(closed)}, or keep bundles elsewhere, for containers with several ids"
        return Answer("search permission", PARTLY, f"others may not pass {', '.join(closed)}", advice)
    return Answer("search permission", YES, "of the home directory")


def security_modules() -> Answer:
    """AppArmor and SELinux."""
    found = []
    if _text("/sys/module/apparmor/parameters/enabled") == "Y":
        found.append("AppArmor")
    if os.path.exists("/sys/fs/selinux/enforce"):
        found.append("SELinux")
    if found:
        return Answer("security modules", YES, " and ".join(found))
    detail = "neither AppArmor nor SELinux: process.apparmorProfile and process.selinuxLabel are refused"
    return Answer("security modules", PARTLY, detail, "boot with one if containers shall be confined by it")


def checkpoints() -> Answer:
    """Whether there is a criu that is content with the kernel."""
    path = shutil.which("criu")
    advice = "needed for checkpoint and restore only: install a criu that knows this kernel (4.2 knows those of 2025)"
    if not path:
        return Answer("criu", PARTLY, "not in PATH", advice)
    import subprocess

    done = subprocess.run([path, "check"], capture_output=True, text=True, errors="replace", check=False)
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines() or ["it does not say why"]
        return Answer("criu", PARTLY, f"criu check: {lines[-1].strip()}", advice)
    return Answer("criu", YES, path)


def quick_starts() -> Answer:
    """Whether commands start from a snapshot of the interpreter."""
    missing = snapshot.status()
    if not missing:
        return Answer("snapshot", YES, "root's commands start from it")
    return Answer(
        "snapshot", PARTLY, f"not used: {missing}", "starts take 5 ms more; `railcar setup` as root tries again"
    )


def examine(root: str) -> list[Answer]:
    """All answers; ``root`` is the state directory that containers would have."""
    checks = (
        kernel,
        privileges,
        namespaces,
        user_namespaces,
        subordinate_ids,
        control_groups,
        systemd,
        seccomp,
        memfd,
        lambda: state_directory(root),
        home,
        security_modules,
        checkpoints,
        quick_starts,
    )
    return [check() for check in checks]
