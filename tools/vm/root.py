"""The guest's root: packages unpacked, the files of `guest/` over them, made a filesystem. Kept by digest."""

import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from vm import packages
from vm.errors import MachineError, Unavailable

GUEST = Path(__file__).resolve().parent / "guest"
#: The merged /usr, which packages of Debian 12 expect and none brings along.
MERGED = ("bin", "lib", "lib64", "sbin")
#: What maintainers' scripts would have made; they are not run. link -> target
LINKS = {"usr/bin/awk": "mawk"} | {
    f"usr/sbin/{family}{verb}": "xtables-nft-multi"
    for family in ("iptables", "ip6tables")
    for verb in ("", "-save", "-restore")
}
_POLICY = "/etc/selinux/tiny"
#: Run in the unpacked root, once.
FINISH = (
    ["systemd-sysusers"],
    ["ldconfig"],
    ["sh", "-c", "depmod $(ls /usr/lib/modules)"],
    ["mkdir", f"{_POLICY}/policy"],
    [
        "secilc",
        "-M",
        "true",
        "-c",
        "33",
        "-o",
        f"{_POLICY}/policy/policy.33",
        "-f",
        f"{_POLICY}/files",
        f"{_POLICY}/tiny.cil",
    ],
    ["sh", "-c", "python3 -m compileall -q -x '/(test|idlelib|lib2to3|tkinter)/' /usr/lib/python3.*"],
)
#: Room for what tests write, bytes. The image is sparse.
SPARE = 3 << 30


class Root:
    """A finished root: `image` is an ext4 filesystem, `kernel` the kernel that its modules belong to."""

    def __init__(self, place: Path) -> None:
        self.image, self.kernel = place / "root.ext4", place / "vmlinuz"


def material(tree: Path = GUEST) -> bytes:
    """All that a root depends on besides packages: the guest's own files, and this recipe."""
    parts = [Path(__file__).read_bytes()]
    for path in sorted(tree.rglob("*")):
        if path.is_symlink():
            parts.append(f"{path.relative_to(tree)} -> {os.readlink(path)}".encode())
        elif path.is_file() and "__pycache__" not in path.parts:
            parts.append(f"{path.relative_to(tree)} {path.stat().st_mode & 0o111}\n".encode() + path.read_bytes())
    return b"\0".join(parts)


def lacking() -> str:
    """Why no root can be made here, as the end of a sentence; "" where it can."""
    if platform.machine() != "x86_64":
        return f"the guest is an x86_64 machine, and this is {platform.machine()}"
    if os.geteuid() != 0:
        return "unpacking the guest's root needs root"
    for program in ("apt-get", "dpkg-deb", "tar", "mke2fs", "chroot"):
        if not shutil.which(program):
            return f"{program} is not installed"
    return ""


def ensure(cache: Path, wanted: list[str]) -> Root:
    """The root of these packages, made where the cache has none. Raises Unavailable, MachineError."""
    why = lacking()
    if why:
        raise Unavailable(why)
    listed = _resolve(wanted)
    place = cache / packages.digest(listed, material())
    if not place.exists():
        archives = _download(cache, wanted)
        size = sum(package.size for package in listed) >> 20
        print(f"Making the guest's root of {len(listed)} packages ({size} MB)", file=sys.stderr, flush=True)
        _build([archives / package.file for package in listed], place)
    return Root(place)


def _state(directory: Path) -> Path:
    """What apt needs to believe that nothing is installed."""
    (directory / "archives/partial").mkdir(parents=True, exist_ok=True)
    (directory / "status").touch()
    return directory


def _resolve(wanted: list[str]) -> list[packages.Package]:
    # In an empty directory: apt does not list what it has fetched already.
    with tempfile.TemporaryDirectory() as empty:
        argv = packages.apt(_state(Path(empty)), "--print-uris", "install", *wanted)
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Unavailable(f"apt-get cannot resolve the guest's packages: {done.stderr.strip()[-300:]}")
    return packages.parse(done.stdout)


def _download(cache: Path, wanted: list[str]) -> Path:
    done = subprocess.run(
        packages.apt(_state(cache), "--download-only", "install", *wanted), capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise Unavailable(f"apt-get cannot fetch the guest's packages: {done.stderr.strip()[-300:]}")
    return cache / "archives"


def _run(*argv: str | Path) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip()[-500:]
        raise MachineError(f"making the guest's root: {argv[0]} failed with {done.returncode}: {said}")


def _build(archives: list[Path], place: Path) -> None:
    """Make the root in a directory beside its place, and put it there when it is whole."""
    with tempfile.TemporaryDirectory(dir=place.parent, prefix="making-") as directory:
        tree, made = Path(directory) / "tree", Path(directory) / "made"
        made.mkdir()
        for name in MERGED:
            (tree / "usr" / name).mkdir(parents=True)
            (tree / name).symlink_to(f"usr/{name}")
        tree.chmod(0o755)
        for archive in archives:
            _unpack(archive, tree)
        shutil.copytree(GUEST, tree, symlinks=True, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
        for link, target in LINKS.items():
            if (tree / link).parent.joinpath(target).exists() and not (tree / link).is_symlink():
                (tree / link).symlink_to(target)
        for words in FINISH:
            _run("chroot", tree, *words)
        kernels = sorted((tree / "boot").glob("vmlinuz-*"))
        if not kernels:
            raise MachineError("making the guest's root: no package brought a kernel")
        shutil.copyfile(kernels[-1], made / "vmlinuz")
        image(tree, made / "root.ext4", SPARE)
        made.rename(place)


def _unpack(archive: Path, tree: Path) -> None:
    # dpkg-deb's own --extract would replace the links of the merged /usr by directories.
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", archive], stdout=subprocess.PIPE) as packed:
        _run_from(packed, "tar", "--extract", "--keep-directory-symlink", "--preserve-permissions", "-C", tree)
    if packed.returncode != 0:
        raise MachineError(f"making the guest's root: {archive.name} cannot be read: dpkg-deb said {packed.returncode}")


def _run_from(source: "subprocess.Popen[bytes]", *argv: str | Path) -> None:
    done = subprocess.run(argv, stdin=source.stdout, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise MachineError(f"making the guest's root: {argv[0]} failed: {done.stderr.strip()[-300:]}")


def image(tree: Path, path: Path, spare: int) -> None:
    """An ext4 filesystem of a directory, with `spare` bytes of room. Raises MachineError."""
    used = sum(entry.lstat().st_size // 4096 + 1 for entry in tree.rglob("*")) * 4096
    with path.open("wb") as file:
        file.truncate(used + used // 8 + spare)
    _run("mke2fs", "-q", "-t", "ext4", "-O", "^has_journal", "-m", "0", "-d", tree, path)
