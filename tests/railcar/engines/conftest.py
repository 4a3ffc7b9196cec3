"""Engines of a module's own, with their own data, sockets and network, that run containers by railcar, and by runc.

Each test runs by every runtime that ENGINES_RUNTIMES in the environment names ("railcar,runc" unless it is set): where
another one fails, the fault is not railcar's.
"""

import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from engine_support import OWN_CGROUPS, PATIENCE, Engine, clear, entered, held, until

pytest.register_assert_rewrite("engine_support.actions")

RUNTIMES = os.environ.get("ENGINES_RUNTIMES", "railcar,runc").split(",")
APPLETS = """sh echo cat id sleep true ls env ps stty touch mkdir grep hostname dd nc stat readlink tail kill head mount
ip ping wc chmod test"""


@pytest.fixture(scope="session", params=RUNTIMES)
def runtime(request: pytest.FixtureRequest, railcar: Path) -> str:
    if request.param == "railcar":
        return str(railcar)
    found = shutil.which(request.param)
    if found is None:
        pytest.skip(f"{request.param} is not installed")
    return found


@pytest.fixture(scope="session")
def rootfs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tar of a root with busybox."""
    if os.geteuid() != 0:
        pytest.skip("needs root to start an engine")
    busybox = shutil.which("busybox")
    if not busybox or b"ld-linux" in Path(busybox).read_bytes()[:4096]:
        pytest.skip("needs a static busybox (Debian: package busybox-static)")
    root = tmp_path_factory.mktemp("image")
    root.chmod(0o755)
    for directory in ("bin", "tmp", "etc"):
        (root / directory).mkdir()
    (root / "etc/passwd").write_text("root:x:0:0:root:/:/bin/sh\n")
    (root / "etc/group").write_text("root:x:0:\n")
    shutil.copy2(busybox, root / "bin/busybox")
    for applet in APPLETS.split():
        (root / "bin" / applet).symlink_to("busybox")
    tar = root.parent / "rootfs.tar"
    subprocess.run(["tar", "-C", root, "--owner=0", "--group=0", "-cf", tar, "."], check=True)
    return tar


@pytest.fixture(scope="session")
def image(rootfs: Path) -> Path:
    """The same root as `docker save` would write it, in two images: box, and pause, which waits."""
    digest = subprocess.run(["sha256sum", rootfs], check=True, capture_output=True, text=True).stdout.split()[0]
    files: dict[str, object] = {}
    manifest = []
    for name, command in (("box", ["sh"]), ("pause", ["sleep", "1000"])):
        files[f"{name}.json"] = {
            "architecture": {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine),
            "os": "linux",
            "config": {"Env": ["PATH=/bin"], "Cmd": command},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
        }
        tag = f"docker.io/library/{name}:latest"
        manifest.append({"Config": f"{name}.json", "RepoTags": [tag], "Layers": ["layer.tar"]})
    files["manifest.json"] = manifest
    path = rootfs.parent / "image.tar"
    with tarfile.open(path, "w") as archive:
        for name, value in files.items():
            data = json.dumps(value).encode()
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
        archive.add(rootfs, "layer.tar")
    return path


@pytest.fixture(scope="module")
def place(runtime: str) -> Iterator[Path]:
    """A directory of the module's own, and of one runtime's."""
    directory = Path(tempfile.mkdtemp(prefix="railcar-engine-", dir="/var/tmp"))
    directory.chmod(0o755)
    yield directory
    clear(directory)


@pytest.fixture(scope="module")
def daemon_options() -> dict[str, str]:
    """More of dockerd's configuration; a module may say its own."""
    return {}


@pytest.fixture(scope="module")
def docker(runtime: str, rootfs: Path, place: Path, daemon_options: dict[str, str]) -> Iterator[Engine]:
    """dockerd in a network namespace of its own, with a bridge where the kernel has them."""
    for program in ("dockerd", "docker", "containerd", "unshare", "ip"):
        if not shutil.which(program):
            pytest.skip(f"{program} is not installed")
    config = {
        "runtimes": {"tried": {"path": runtime}},
        "default-runtime": "tried",
        "data-root": str(place / "data"),
        "exec-root": str(place / "exec"),
        "pidfile": str(place / "pid"),
        "hosts": [f"unix://{place}/sock"],
        "iptables": False,
        "ip6tables": False,
        "storage-driver": "vfs",
        "features": {"buildkit": False},
    }
    (place / "daemon.json").write_text(json.dumps(config | daemon_options))
    for name in ("subuid", "subgid"):
        (place / name).write_text("games:200000:65536\n")
    script = f"""
set -- {place}
{OWN_CGROUPS}
ip link set lo up
mkdir -p {place}/shared && mount --bind {place}/shared {place}/shared && mount --make-shared {place}/shared
ip link add probe type bridge && ip link del probe && bridge= || bridge=--bridge=none
for name in subuid subgid; do [ -e /etc/$name ] && mount --bind {place}/$name /etc/$name; done
exec dockerd --config-file {place}/daemon.json $bridge
"""
    with open(place / "log", "w") as log:
        daemon = subprocess.Popen(
            ["unshare", "--net", "--mount", "sh", "-c", script], stdout=log, stderr=log, cwd=place
        )
    argv = ["docker", "-H", f"unix://{place}/sock"]
    engine = Engine(argv, dict(os.environ) | {"DOCKER_BUILDKIT": "0"}, place, daemon.pid)
    try:
        until(lambda: daemon.poll() is not None or engine("info").returncode == 0, "dockerd to answer")
        if daemon.poll() is not None:
            pytest.skip(f"dockerd does not start here: {(place / 'log').read_text()[-400:]}")
        done = engine("import", "--change", "ENV PATH=/bin", rootfs, "box")
        if done.returncode:
            pytest.skip(f"docker cannot import an image here: {done.stderr[-400:]}")
        yield engine
        if names := engine("ps", "-aq").stdout.split():
            engine("rm", "--force", *names)
    finally:
        daemon.terminate()
        daemon.wait(timeout=PATIENCE)


@pytest.fixture(scope="module")
def cgroup_manager() -> str:
    """Who makes podman's cgroups; a module may say systemd."""
    return "cgroupfs"


@pytest.fixture(scope="module")
def podman(runtime: str, rootfs: Path, place: Path, cgroup_manager: str) -> Iterator[Engine]:
    for program in ("podman", "conmon", "nsenter"):
        if not shutil.which(program):
            pytest.skip(f"{program} is not installed")
    (place / "containers.conf").write_text(f"""
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
[network]
network_config_dir = "{place}/networks"
network_backend = "netavark"
[engine]
runtime = "tried"
cgroup_manager = "{cgroup_manager}"
events_logger = "file"
infra_image = "localhost/box"
runtime_supports_json = ["tried"]
[engine.runtimes]
tried = ["{runtime}"]
""")
    with held(place) as holder:
        argv = [
            *entered(holder, place),
            "podman",
            "--root",
            f"{place}/root",
            "--runroot",
            f"{place}/run",
            "--tmpdir",
            f"{place}/tmp",
        ]
        argv += ["--storage-driver", "vfs", "--log-level", "error"]
        engine = Engine(argv, dict(os.environ) | {"CONTAINERS_CONF": f"{place}/containers.conf"}, place, holder)
        done = engine("import", "--change", "ENV=PATH=/bin", "--change", "CMD sleep 1000", rootfs, "box")
        if done.returncode == 0:
            done = engine("create", "--network", "none", "box", "true")
        if done.returncode:
            pytest.skip(f"podman does not work here: {done.stderr[-400:]}")
        yield engine
        engine("pod", "rm", "--all", "--force")
        engine("rm", "--all", "--force", "--time", "0")
