"""`scripts: userns`: maintainer scripts run over a copy of the tree, and what they changed taken back.

They run in railcar, in a user namespace of one id without a network, with the copy as their root: chown and its like
are answered as if they had been done, since an image has one owner anyway. Times tell whose script made a file: each
script begins after a stamp, and a file that is younger than one stamp and not younger than the next is of the one
between (inode(7), st_ctime).
"""

import bisect
import json
import os
import platform
import shlex
import stat
import subprocess
import tempfile
from dataclasses import replace
from typing import Any

from ocicommon import convert
from ocicommon.platform import host, parse

from smith import tree as t
from smith.cache import Cache
from smith.content import FileContent
from smith.errors import ConfigError, SmithError
from smith.progress import Progress
from smith.sources import Script, SourceResult
from smith.spec import Spec
from smith.trace import find_runtime
from smith.tree import Node, Tree
from smith.unpack import remove, write_tree

FOLDER = ".smith-scripts"
VOLATILE = frozenset(
    ("proc", "sys", "dev", "run", "tmp", FOLDER, "var/tmp", "var/log", "var/cache", "var/lib/dpkg", "var/lib/apt")
)
"""What a system makes anew: nothing of it is taken back."""
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
STRANGER = 0x7FFF0000
"""Root's scripts run as this id of the machine, which nobody else has."""
PRETENDED = (
    "chown", "fchown", "lchown", "fchownat", "setgroups", "setuid", "setgid", "setreuid", "setregid", "setresuid",
    "setresgid",
)  # fmt: skip
ARCHITECTURES = {"x86_64": "SCMP_ARCH_X86_64", "aarch64": "SCMP_ARCH_AARCH64"}


def run(spec: Spec, source: SourceResult, cache: Cache, progress: Progress) -> list[tuple[str, str]]:
    """Run the scripts of `source`, whose tree and packages are changed. Gives (package, why) of those that cannot run.

    ConfigError for another platform than this machine's, SmithError that names package and script for one that fails.
    """
    if parse(source.platform) != host():
        raise ConfigError(
            f"{spec.where('scripts')}: scripts: userns: programs of {source.platform} do not run on {host()}"
        )
    known = {package.name for package in source.packages}
    skipped, wanted = [], []
    for script in source.scripts:
        program = script.interpreter or _interpreter(script.body)
        if source.tree.resolve(program) is not None:
            wanted.append(script)
        else:
            what = "is written in Lua, which rpm itself runs" if program == "<lua>" else f"needs {program}"
            skipped.append((script.package, f"its script {script.name} {what}: it was not run"))
    if not wanted:
        return skipped
    runtime = find_runtime()
    folder = tempfile.mkdtemp(prefix="smith-scripts-")
    try:
        os.chmod(folder, 0o755)
        root = os.path.join(folder, "rootfs")
        _write(source, wanted, root, progress)
        with open(os.path.join(folder, "config.json"), "w", encoding="utf-8") as file:
            json.dump(_document(), file)
        task = progress.start("running maintainer scripts", len(wanted))
        _run([runtime, "--root", os.path.join(folder, "state")], folder, root, wanted)
        task.done()
        made = _take_back(source.tree, root, wanted, known, cache)
    finally:
        remove(folder)
    source.packages[:] = [
        replace(each, files=(*each.files, *made[each.name])) if each.name in made else each for each in source.packages
    ]
    progress.note(f"{len(wanted)} maintainer scripts made {sum(map(len, made.values()))} files")
    return skipped


def _interpreter(body: bytes) -> str:
    line = body.split(b"\n", 1)[0]
    words = line[2:].split() if line.startswith(b"#!") else []
    return os.fsdecode(words[0]) if words else "/bin/sh"


def _write(source: SourceResult, scripts: list[Script], root: str, progress: Progress) -> None:
    tree = source.tree.copy()
    for name in ("proc", "dev", "sys", "run", "tmp", "var/tmp", "var/log", "var/cache", "root"):
        if tree.resolve(name) is None:
            tree.add(name, Node(t.DIRECTORY, 0o755))
    for path, data in _database(source).items():
        tree.add(path, t.made(data))
    lines = [
        "#!/bin/sh",
        f"export PATH={PATH} HOME=/root LC_ALL=C DEBIAN_FRONTEND=noninteractive DEBCONF_NONINTERACTIVE_SEEN=true",
        "umask 022",
        "cd /",
    ]
    for number, script in enumerate(scripts):
        base = f"/{FOLDER}/{number}"
        for path, data in script.beside.items():
            tree.add(path, t.made(data, 0o755))
        place = script.path or f"{FOLDER}/{number}"
        tree.add(place, t.made(script.body, 0o755))
        command = [word for word in (script.interpreter, f"/{place}" if script.body else "") if word]
        words = " ".join(map(shlex.quote, [*command, *(script.arguments if script.body else ())]))
        settings = " ".join(f"{name}={shlex.quote(value)}" for name, value in sorted(script.environment.items()))
        lines.append(f": >{base}.start && sleep 0.02")
        lines.append(f"env {settings} {words} </dev/null >/{FOLDER}/log 2>&1 || {{ echo {number} $? >&2; exit 1; }}")
    lines.append(f": >/{FOLDER}/{len(scripts)}.start")
    tree.add(f"{FOLDER}/all", t.made("\n".join(lines).encode() + b"\n", 0o755))
    write_tree(tree, root, own=False, progress=progress)
    if os.geteuid() == 0:
        for base, folders, files in os.walk(root):
            for name in (*folders, *files):
                os.chown(os.path.join(base, name), STRANGER, STRANGER, follow_symlinks=False)
        os.chown(root, STRANGER, STRANGER)


def _database(source: SourceResult) -> dict[str, bytes]:
    """dpkg's own database of the packages, and a policy that starts no daemon: scripts ask for both."""
    packages = [package for package in source.packages if package.family == "deb"]
    if not packages:
        return {}
    found = {
        "var/lib/dpkg/status": b"\n".join(package.metadata for package in packages),
        "var/lib/dpkg/available": b"",
        "var/lib/dpkg/diversions": b"",
        "var/lib/dpkg/statoverride": b"",
        "var/lib/dpkg/alternatives/.keep": b"",
        "usr/sbin/policy-rc.d": b"#!/bin/sh\nexit 101\n",
    }
    for package in packages:
        listed = dict.fromkeys(package.files)
        for path in package.files:
            while path := path.rpartition("/")[0]:
                listed.setdefault(path)
                # merged /usr: what is in usr/lib64 was packed as lib64, or is looked for there
                if path.startswith("usr/") and path.count("/") == 1 and path[4:] in source.tree:
                    listed.setdefault(path[4:])
        lines = "".join(f"/{path}\n" for path in listed)
        found[f"var/lib/dpkg/info/{package.name}.list"] = lines.encode(errors="surrogateescape")
    return found


def _document() -> dict[str, Any]:
    own = (os.geteuid(), os.getegid()) if os.geteuid() else (STRANGER, STRANGER)
    maps = convert.Rootless((convert.IDMap(0, own[0]),), (convert.IDMap(0, own[1]),))
    image = {"os": "linux", "architecture": host().architecture}
    config = {"Entrypoint": [f"/{FOLDER}/all"], "User": "0:0", "Env": [f"PATH={PATH}"], "WorkingDir": "/"}
    mounts = [convert.tmpfs(f"/{path}") for path in ("run", "tmp")]
    document = convert.runtime_config({**image, "config": config}, mounts=mounts, rootless=maps)
    document["linux"]["namespaces"].append({"type": "network"})
    machine = platform.machine()
    document["linux"]["seccomp"] = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "architectures": [ARCHITECTURES[machine]] if machine in ARCHITECTURES else [],
        "syscalls": [{"names": list(PRETENDED), "action": "SCMP_ACT_ERRNO", "errnoRet": 0}],
    }
    return document


def _run(runtime: list[str], bundle: str, root: str, scripts: list[Script]) -> None:
    identity = f"smith-scripts-{os.getpid()}"
    try:
        done = subprocess.run(
            [*runtime, "run", "--bundle", bundle, identity], stdin=subprocess.DEVNULL, capture_output=True, check=False
        )
    finally:
        subprocess.run([*runtime, "delete", "--force", identity], capture_output=True, check=False)
    if done.returncode == 0:
        return
    said = done.stderr.decode(errors="replace").split()
    if len(said) == 2 and said[0].isdigit() and int(said[0]) < len(scripts):
        script = scripts[int(said[0])]
        raise SmithError(f"{script.package}: its script {script.name} ended with {said[1]}: {_last_line(root)}")
    raise SmithError(f"maintainer scripts cannot be run: {done.stderr.decode(errors='replace').strip()}")


def _last_line(root: str) -> str:
    try:
        with open(os.path.join(root, FOLDER, "log"), encoding="utf-8", errors="replace") as file:
            lines = [line.strip() for line in file if line.strip()]
    except OSError:
        lines = []
    return lines[-1] if lines else "it said nothing"


def _take_back(tree: Tree, root: str, scripts: list[Script], known: set[str], cache: Cache) -> dict[str, list[str]]:
    """Bring into the tree what is new, changed or gone; the new paths by package."""
    starts = [os.lstat(os.path.join(root, FOLDER, f"{number}.start")).st_ctime_ns for number in range(len(scripts) + 1)]
    made: dict[str, list[str]] = {}
    there: set[str] = set()
    pending = [""]
    while pending:
        below = pending.pop()
        for entry in sorted(os.scandir(os.path.join(root, below)), key=lambda entry: entry.name):
            path = f"{below}/{entry.name}" if below else entry.name
            if path in VOLATILE or path == "usr/sbin/policy-rc.d":
                continue
            there.add(path)
            found = entry.stat(follow_symlinks=False)
            if stat.S_ISDIR(found.st_mode):
                pending.append(path)
            number = bisect.bisect_left(starts, found.st_ctime_ns) - 1
            old = tree.get(path)
            if number < 0 or (old is not None and old.is_dir and stat.S_ISDIR(found.st_mode)):
                continue
            node = _node(entry.path, found, cache)
            if node is None:
                continue
            owner = scripts[min(number, len(scripts) - 1)].package
            node.package = old.package if old is not None else owner if owner in known else None
            if old is None:
                made.setdefault(owner, []).append(path)
            tree.add(path, node)
    for path, _ in list(tree.items()):
        if path not in there and path in tree and not any(path == v or path.startswith(f"{v}/") for v in VOLATILE):
            tree.remove(path)
    return made


def _node(where: str, found: os.stat_result, cache: Cache) -> Node | None:
    mode = stat.S_IMODE(found.st_mode)
    if stat.S_ISDIR(found.st_mode):
        return Node(t.DIRECTORY, mode)
    if stat.S_ISLNK(found.st_mode):
        return Node(t.SYMLINK, 0o777, target=os.readlink(where))
    if not stat.S_ISREG(found.st_mode):
        return None
    if not os.access(where, os.R_OK):
        os.chmod(where, mode | stat.S_IRUSR)
    with open(where, "rb") as stream:
        sha256 = cache.put(stream, subject=where)
    return Node(t.FILE, mode, size=found.st_size, content=FileContent(cache.path(sha256), found.st_size, sha256))
