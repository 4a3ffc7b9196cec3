"""An image as a runtime bundle: rootfs and config.json, for railcar, runc and crun, as root and as a normal user."""

import json
import os
import pwd
import shutil
import stat
import tempfile
from dataclasses import dataclass
from typing import Any

from ocicommon import accounts, convert
from ocicommon.errors import ConversionError

from smith import tree as t
from smith.errors import SmithError
from smith.image import COMPRESSION
from smith.imagefile import Image
from smith.installed import read
from smith.progress import Progress, Silent
from smith.tree import Node, Tree

WRITABLE = ("run", "write", "tmp")


@dataclass(frozen=True, slots=True)
class Unpacked:
    """What was written. `rootless` tells that the bundle maps the image's user to the caller."""

    bundle: str
    entries: int
    rootless: bool


def unpack(
    image: Image, bundle: str, progress: Progress | None = None, *, rootless: bool | None = None, hostname: str = ""
) -> Unpacked:
    """Write the bundle; it appears when it is whole. SmithError when `bundle` is there and not empty."""
    progress = progress or Silent()
    if os.path.lexists(bundle) and (not os.path.isdir(bundle) or os.listdir(bundle)):
        raise SmithError(f"{bundle}: is there already; name a folder that is not, or remove it")
    rootless = os.geteuid() != 0 if rootless is None else rootless
    tree = image.tree(progress)
    document = bundle_config(image, tree, rootless=rootless, hostname=hostname)
    parent = os.path.dirname(os.path.abspath(bundle))
    try:
        os.makedirs(parent, exist_ok=True)
        temporary = tempfile.mkdtemp(prefix=f".{os.path.basename(os.path.normpath(bundle))}.", dir=parent)
    except OSError as error:
        raise SmithError(f"{bundle}: cannot be made: {error.strerror}") from None
    try:
        rootfs = os.path.join(temporary, "rootfs")
        entries = write_tree(tree, rootfs, own=not rootless, progress=progress)
        with open(os.path.join(temporary, "config.json"), "w", encoding="utf-8") as file:
            json.dump(document, file, indent=2)
            file.write("\n")
        os.chmod(temporary, 0o755)
        if os.path.isdir(bundle):
            os.rmdir(bundle)
        os.rename(temporary, bundle)
    except OSError as error:
        remove(temporary)
        raise SmithError(f"{bundle}: cannot be written: {error.strerror} ({error.filename or ''})") from None
    except BaseException:
        remove(temporary)
        raise
    return Unpacked(bundle, entries, rootless)


def bundle_config(image: Image, tree: Tree, *, rootless: bool, hostname: str = "") -> dict[str, Any]:
    """The config.json of an image whose filesystem is `tree`. Images that smith built get a read-only root, tmpfs on
    /run and /write, and no capabilities. SmithError when the image names nothing to run or an unknown user.
    """
    passwd = read(tree, "etc/passwd").decode(errors="replace")
    group = read(tree, "etc/group").decode(errors="replace")
    micro = COMPRESSION in (image.manifest.get("annotations") or {})
    document = image.config
    config = document.get("config") or {}
    maps: convert.Rootless | None = None
    try:
        account = accounts.resolve(config.get("User") or "", passwd, group)
        if rootless:
            maps = rootless_maps(account.uid, account.gid)
            if maps is None:
                document = {**document, "config": {**config, "User": "0:0"}}
                maps = convert.rootless_for(accounts.resolve("0:0", passwd, group), os.geteuid(), os.getegid())
        mounts = [convert.tmpfs(f"/{path}") for path in WRITABLE if micro and tree.get(path) is not None]
        return convert.runtime_config(
            document,
            passwd=passwd,
            group=group,
            read_only=micro,
            hostname=hostname or None,
            capabilities=() if micro else convert.CAPABILITIES,
            mounts=mounts,
            rootless=maps,
        )
    except ConversionError as error:
        raise SmithError(f"{image.what}: {error}") from None


def rootless_maps(
    uid: int, gid: int, *, files: tuple[str, str] = ("/etc/subuid", "/etc/subgid")
) -> convert.Rootless | None:
    """Maps that make the image's user the caller, and the container's root an id of the caller's own (subuid(5)).

    Runtimes need a root in the namespace. None when the caller has no such ids: then the caller itself must be root
    there, and the program runs as it.
    """
    if uid == 0 and gid == 0:
        return convert.Rootless((convert.IDMap(0, os.geteuid()),), (convert.IDMap(0, os.getegid()),))
    sub_uid, sub_gid = _first_sub_id(files[0], os.geteuid()), _first_sub_id(files[1], os.geteuid())
    if sub_uid is None or sub_gid is None or shutil.which("newuidmap") is None:
        return None

    def maps(wanted: int, own: int, sub: int) -> tuple[convert.IDMap, ...]:
        return (convert.IDMap(0, own),) if wanted == 0 else (convert.IDMap(0, sub), convert.IDMap(wanted, own))

    return convert.Rootless(maps(uid, os.geteuid(), sub_uid), maps(gid, os.getegid(), sub_gid))


def _first_sub_id(path: str, uid: int) -> int | None:
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        name = ""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            for line in file:
                owner, _, rest = line.strip().partition(":")
                start, _, count = rest.partition(":")
                if owner in (name, str(uid)) and owner and start.isdigit() and count.isdigit() and int(count) > 0:
                    return int(start)
    except OSError:
        return None
    return None


def write_tree(tree: Tree, root: str, *, own: bool, progress: Progress | None = None) -> int:
    """Write a tree below the new folder `root`. With `own` owners and devices are made too, else left out.

    No path of a tree goes through a symlink, and `root` is new: nothing can be written outside it.
    """
    progress = progress or Silent()
    os.mkdir(root, 0o755)
    first: dict[int, str] = {}
    folders: list[tuple[str, Node]] = [(root, tree[""])]
    count = 0
    task = progress.start("writing files", len(tree))
    for path, node in tree.sorted():
        where = os.path.join(root, path)
        task.advance(1)
        count += 1
        if node.is_dir:
            os.mkdir(where, 0o700)
            folders.append((where, node))
            continue
        if node.is_link:
            os.symlink(node.target, where)
        elif node.is_file:
            before = first.setdefault(id(node), where)
            if before != where:
                os.link(before, where, follow_symlinks=False)
                continue
            _write_file(where, node)
        elif not own:
            progress.note(f"left out the {node.kind} device or pipe /{path}: only root can make it")
            continue
        else:
            kind = {t.CHAR: stat.S_IFCHR, t.BLOCK: stat.S_IFBLK, t.FIFO: stat.S_IFIFO}[node.kind]
            os.mknod(where, kind | 0o600, os.makedev(*node.device))
        _finish(where, node, own)
    for where, node in reversed(folders):
        _finish(where, node, own)
    task.done()
    return count


def _write_file(where: str, node: Node) -> None:
    fd = os.open(where, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        if node.content is not None:
            for chunk in node.content.chunks():
                view = memoryview(chunk)
                while view:
                    view = view[os.write(fd, view) :]
    finally:
        os.close(fd)


def _finish(where: str, node: Node, own: bool) -> None:
    if own:
        os.chown(where, node.uid, node.gid, follow_symlinks=False)
    if not node.is_link:
        os.chmod(where, node.mode & 0o7777 if own else (node.mode | 0o200) & 0o1777 | (0o700 if node.is_dir else 0))
    os.utime(where, (0, 0), follow_symlinks=False)
    if own:
        for name, value in node.xattrs.items():
            try:
                os.setxattr(where, name, value, follow_symlinks=False)
            except OSError:
                continue


def remove(folder: str) -> None:
    """Take a half-written bundle away, folders without permission bits included."""
    for base, names, _ in os.walk(folder):
        for name in names:
            if not os.path.islink(os.path.join(base, name)):
                os.chmod(os.path.join(base, name), 0o700)
    shutil.rmtree(folder, ignore_errors=True)
