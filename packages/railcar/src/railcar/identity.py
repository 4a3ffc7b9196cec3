"""Becoming the container's process, short of the exec: signals, directory, user, capabilities, filter.

The order matters: the bounding set while CAP_SETPCAP is there, ids with the permitted set kept, then the final sets.
A filter without no_new_privs needs CAP_SYS_ADMIN, so it is loaded with that still held, and the sets shrink after it.
"""

import _signal  # type: ignore[import-not-found]
import os
import stat

from ocicommon.linux import capabilities
from ocicommon.linux.errors import SyscallError
from ocicommon.linux.process import personality, prlimit, set_keep_capabilities, set_no_new_privileges

from railcar.errors import StepError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from railcar.plan.process import Process

_EACCES, _EINVAL, _ENOENT, _EPERM = 13, 22, 2, 1
_SYS_ADMIN = 1 << 21


def reset_signals() -> None:
    """Every signal to its default and none blocked: Python ignores SIGPIPE and SIGXFSZ, and an exec would keep that."""
    for number in range(1, _signal.NSIG):
        if number in (9, 19, 32, 33):
            continue
        try:
            if _signal.getsignal(number) != _signal.SIG_DFL:
                _signal.signal(number, _signal.SIG_DFL)
        except (OSError, ValueError):
            continue
    _signal.pthread_sigmask(_signal.SIG_SETMASK, ())


def change_directory(path: str) -> bool:
    """Enter the working directory; False when the user must try (EACCES). Raises StepError."""
    try:
        os.chdir(path)
    except PermissionError:
        return False
    except OSError as error:
        raise StepError("working directory", path, error.errno or 0) from None
    check_directory(path)
    return True


def check_directory(path: str) -> None:
    """Refuse a directory outside the container's root, reached through a leaked descriptor (CVE-2024-21626)."""
    try:
        inside = os.getcwd().startswith("/")
    except OSError:
        inside = False
    if not inside:
        raise StepError("working directory", path, _ENOENT, "it lies outside the container's root")


def home(uid: int) -> str:
    """The home of a user by the container's /etc/passwd, else /."""
    try:
        fd = os.open("/etc/passwd", os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError:
        return "/"
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return "/"
        data = b""
        while (piece := os.read(fd, 65536)) and len(data) < 1 << 20:
            data += piece
    except OSError:
        return "/"
    finally:
        os.close(fd)
    wanted = str(uid).encode()
    for line in data.split(b"\n"):
        fields = line.split(b":")
        if len(fields) >= 7 and fields[2] == wanted:
            return os.fsdecode(fields[5]) or "/"
    return "/"


def with_home(environment: list[bytes], uid: int) -> list[bytes]:
    """The environment with HOME: an absent or empty one comes from the container's passwd."""
    for index, entry in enumerate(environment):
        if entry.startswith(b"HOME="):
            if entry == b"HOME=":
                return [*environment[:index], b"HOME=" + os.fsencode(home(uid)), *environment[index + 1 :]]
            return environment
    return [*environment, b"HOME=" + os.fsencode(home(uid))]


def sets(process: "Process", held: int) -> tuple[int, int, int, int]:
    """(effective, permitted, inheritable, ambient) as far as they can be had, where `held` is what there is."""
    effective, permitted = process.effective & held, process.permitted & held
    inheritable = process.inheritable & held
    return effective, permitted, inheritable, process.ambient & permitted & inheritable


def through_stub(process: "Process", held: int) -> "tuple[int, int, int, int] | None":
    """The sets that the stub is to restore, or None where the exec of the stub does not take them."""
    if process.uid == 0 or not process.permitted & held:
        return None
    bounding = -1 if process.bounding is None else process.bounding
    effective, permitted, inheritable, ambient = sets(process, held)
    return effective & bounding, permitted & bounding, inheritable, ambient


def become(
    process: "Process",
    load: "Callable[[], None] | None",
    before_load: "Callable[[], None] | None" = None,
    stub: bool = False,
) -> None:
    """Take on directory, umask, user, groups and capabilities; `load` loads a filter at the right moment.

    `before_load` is called as the user, with the final effective set, before a filter is in. With `stub` the next exec
    is that of the stub, which what `through_stub` says has to outlive. Raises StepError.
    """
    os.umask(process.umask)
    if process.personality is not None:
        personality(process.personality)
    there = change_directory(process.cwd)
    held = capabilities.capget()[1]
    _drop_bounding(process.bounding)
    if process.uid != 0:
        set_keep_capabilities(True)
    _change_ids(process)
    effective, permitted, inheritable, ambient = sets(process, held)
    kept = through_stub(process, held) if stub else None
    if kept is not None:
        ambient = kept[1]
        inheritable |= ambient
    extra = _SYS_ADMIN & held if load is not None and not process.no_new_privileges else 0
    capabilities.capset(effective, permitted | extra, inheritable)
    _raise_ambient(ambient)
    if not there:
        try:
            os.chdir(process.cwd)
        except OSError as error:
            raise StepError("working directory", process.cwd, error.errno or 0) from None
        check_directory(process.cwd)
    if process.no_new_privileges:
        set_no_new_privileges()
    if before_load is not None:
        before_load()
    if load is not None:
        if extra:
            capabilities.capset(effective | extra, permitted | extra, inheritable)
        # The capability that was kept for this does not outlive the exec that follows: that computes the sets anew
        # from the bounding, inheritable and ambient ones. So a filter need not permit capset.
        load()


def _drop_bounding(kept: "int | None") -> None:
    if kept is None:
        return
    number = 0
    while number < 64:
        if not kept >> number & 1:
            try:
                capabilities.drop_bounding(number)
            except SyscallError as error:
                if error.errno == _EINVAL:
                    return  # past the last one that the kernel knows
                if error.errno != _EPERM or capabilities.in_bounding(number):
                    raise
        number += 1


def _change_ids(process: "Process") -> None:
    try:
        if process.groups is not None:
            os.setgroups(process.groups)
    except PermissionError:
        if process.groups:
            hint = "this user namespace may not set groups (setgroups is denied, or ids are not mapped)"
            raise StepError("set groups", str(process.groups), _EPERM, hint) from None
    except OSError as error:
        hint = "a group is not mapped in the user namespace" if error.errno == _EINVAL else ""
        raise StepError("set groups", str(process.groups), error.errno or 0, hint) from None
    try:
        os.setresgid(process.gid, process.gid, process.gid)
        os.setresuid(process.uid, process.uid, process.uid)
    except OSError as error:
        hint = "it is not mapped in the user namespace" if error.errno == _EINVAL else ""
        raise StepError("change user", f"{process.uid}:{process.gid}", error.errno or 0, hint) from None


def _raise_ambient(bits: int) -> None:
    number = 0
    while bits >> number:
        if bits >> number & 1:
            capabilities.ambient_raise(number)
        number += 1


def limit(process: "Process") -> None:
    """Set this process's resource limits, but raises, which the host's side has done: as late as a filter permits."""
    for resource, soft, hard in process.rlimits:
        if hard <= prlimit(0, resource)[1]:
            prlimit(0, resource, soft, hard)
