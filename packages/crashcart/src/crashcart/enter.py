"""From a read command line and a pinned target to a session: everything is decided here, on the host."""

from __future__ import annotations

import os

from ocicommon.linux import namespaces
from ocicommon.linux.errors import SyscallError, explain

from crashcart import architecture, arguments, environment, guarded, image, paused, procfs, profile, report
from crashcart.entry import Entry, become_root, open_entry
from crashcart.errors import CrashcartError
from crashcart.plan import Plan
from crashcart.session import Session, streams
from crashcart.targets import Target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from crashcart.arguments import Arguments


def session(target: Target, read: Arguments) -> int:
    """Run a session in the target; the exit code of its command."""
    guards = guarded.needed(target, read.namespaces)
    if guards:
        guarded.seal()
    paused.handle(target, resume=read.resume)
    if "mnt" in read.namespaces:
        architecture.tell(target)
    tools = open_tools(read.image, read.dir)
    try:
        entry = open_entry(target, read.namespaces)
        try:
            if os.geteuid() != 0:
                _become_owner(entry, target)
            elif tools.directory >= 0:
                image.clone_directory(tools)
            if "user" in entry.fds:
                image.map_ids(tools, entry.fds["user"])
            plan = Plan(
                entry,
                tools,
                _privileges(target, read, entry),
                environment.build(procfs.environment(target.pid), os.environ.get("TERM", "")),
                [os.fsencode(word) for word in read.command],
                streams(),
            )
            plan.guarded = guards and "pid" in entry.fds
            if read.cgroup:
                plan.cgroups = _cgroups(target)
            return Session(target, plan).run()
        finally:
            entry.close()
    except OSError as error:
        target.check()  # most calls fail somehow when the container is gone
        raise CrashcartError(f"cannot enter {target.container.describe()}: {explain(error)}") from error
    finally:
        tools.close()


def open_tools(name: str | None, directory: str | None) -> image.Tools:
    """The tools a command line asks for, not yet anywhere."""
    if directory:
        return image.open_directory(directory)
    path = image.locate(name, dict(os.environ))
    if os.geteuid() != 0:
        return _without_root(path)
    return image.open_image(path)


def _without_root(path: str) -> image.Tools:
    """Only root may mount an image; its files do as well."""
    try:
        with open(path, "rb") as file:
            filesystem = image.identify(file.read(4096))
    except OSError as error:
        raise CrashcartError(f"cannot read image {path}: {error.strerror}; for a directory use --dir") from error
    if not filesystem:
        raise CrashcartError(f"{path} is no image of tools: `crashcart build` makes one")
    from crashcart import unpacked

    report.note(f"without root {path} cannot be mounted: its files are unpacked into the cache and side-loaded")
    return image.open_directory(unpacked.directory(path, filesystem, dict(os.environ)))


def _become_owner(entry: Entry, target: Target) -> None:
    """Without root, the user's own user namespace is what gives the right to enter the rest."""
    user = entry.fds.pop("user", -1)
    if user < 0:
        raise CrashcartError(f"entering {target.container.describe()} needs root: it has no user namespace of yours")
    try:
        namespaces.setns(user, namespaces.CLONE_NEWUSER)
    except SyscallError as error:
        raise CrashcartError(
            f"entering {target.container.describe()} needs root, or to be the user who started it ({error})"
        ) from error
    finally:
        os.close(user)
    become_root(entry)


def _privileges(target: Target, read: Arguments, entry: Entry) -> profile.Privileges:
    status = procfs.status(target.pid)
    user = arguments.user(read.user)
    made = profile.plan(read.profile, status, entry.users, entry.groups, user, tuple(procfs.groups(target.pid)))
    if read.profile == profile.DEBUG:
        profile.set_default_filter(made)
    elif read.profile == profile.STRICT:
        _restrict(made, target, status)
    return made


def _restrict(made: profile.Privileges, target: Target, status: procfs.Status) -> None:
    """The rest of what holds the target's processes: their filter, and the label of a security module."""
    if status.seccomp == 2:
        made_of = _configured_filter(target) if target.container.engine != "pid" and status.filters == 1 else None
        if made_of is not None:
            profile.set_filter(made, made_of)
        else:
            from crashcart import filters

            made.filters = filters.read(target.pid, target.container.describe())
    elif status.seccomp == 1:
        raise CrashcartError(
            f"{target.container.describe()} is in seccomp's strict mode, in which nothing can be executed"
        )
    try:
        label = procfs.read(f"/proc/{target.pid}/attr/current").strip(b"\0\n ")
    except OSError:
        return
    if label and label != b"unconfined":
        made.label = label.removesuffix(b" (enforce)").removesuffix(b" (complain)")


def _configured_filter(target: Target) -> dict[str, object] | None:
    from crashcart.targets import records

    # What started the container (containerd's shim) works in its bundle, wherever an engine was told to keep that.
    parent = procfs.parent(target.pid)
    for path in (target.container.config, f"/proc/{parent}/cwd/config.json" if parent > 1 else ""):
        if path:
            try:
                config = records.parse(procfs.read(path))
                break
            except (OSError, ValueError) as error:
                report.note(f"{path} cannot be read: {error}")
    else:
        return None
    found = (config.get("linux") or {}).get("seccomp")
    return found if isinstance(found, dict) else None


def _cgroups(target: Target) -> list[int]:
    """The target's cgroups, open to be joined; memory last, so that little of us is charged to the container."""
    found = []
    directories = procfs.cgroup_directories(target.pid)
    for name in sorted(directories, key=lambda name: "memory" in name):
        file = "tasks" if name else "cgroup.procs"
        try:
            found.append(os.open(f"{directories[name]}/{file}", os.O_WRONLY | os.O_CLOEXEC))
        except OSError as error:
            raise CrashcartError(f"cannot join the container's cgroup {directories[name]}: {error.strerror}") from error
    return found
