"""systemd as a container's first process: podman gives it what it wants, and it says when it is up and when it goes."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from engine_support import Engine, until

PROGRAMS = ["systemd", "systemd-shutdown", "systemd-executor"]
READY = """
[Unit]
DefaultDependencies=no
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/busybox touch /run/railcar-ready
"""
TARGET = """
[Unit]
DefaultDependencies=no
AllowIsolate=yes
Requires=ready.service
After=ready.service
"""


def libraries(program: Path) -> set[str]:
    """The files that the loader would take for a program, and the loader."""
    said = subprocess.run(["ldd", program], check=True, capture_output=True, text=True).stdout
    return set(re.findall(r"(/\S+) \(0x", said))


def copy(path: str, root: Path) -> None:
    target = root / path.lstrip("/")
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(path, target)


@pytest.fixture(scope="module")
def image(podman: Engine, place: Path) -> str:
    """An image of the host's systemd, with no unit of the host's but those that end it."""
    home = next(
        (path for path in (Path("/lib/systemd"), Path("/usr/lib/systemd")) if (path / "systemd").exists()), None
    )
    busybox, control = shutil.which("busybox"), shutil.which("systemctl")
    if home is None or busybox is None or control is None:
        pytest.skip("systemd or busybox is not installed")
    said = subprocess.run([control, "--version"], check=True, capture_output=True, text=True).stdout
    if int(said.split()[1].split(".")[0]) >= 256 and not Path("/sys/fs/cgroup/cgroup.controllers").exists():
        pytest.skip("systemd 256 and newer does not start on cgroup v1")
    root = place / "systemd"
    files = [str(home / name) for name in PROGRAMS if (home / name).exists()]
    files.append(control)
    for path in files:
        for needed in [path, *libraries(Path(path))]:
            copy(needed, root)
    shutil.copytree(home / "system", root / str(home / "system").lstrip("/"), symlinks=True)
    copy(busybox, root)
    (root / "bin").mkdir(exist_ok=True)
    if not (root / "bin/busybox").exists():
        shutil.copy2(busybox, root / "bin/busybox")
    (root / "sbin").mkdir(exist_ok=True)
    (root / "sbin/init").symlink_to(home / "systemd")
    units = root / "etc/systemd/system"
    units.mkdir(parents=True)
    (units / "ready.service").write_text(READY)
    (units / "default.target").write_text(TARGET)
    (root / "etc/passwd").write_text("root:x:0:0:root:/:/bin/sh\n")
    (root / "etc/group").write_text("root:x:0:\n")
    (root / "etc/machine-id").write_text("uninitialized\n")
    tar = place / "systemd.tar"
    subprocess.run(["tar", "-C", root, "--owner=0", "--group=0", "-cf", tar, "."], check=True)
    podman.ok("import", "--change", "ENV=PATH=/usr/bin:/bin", tar, "systemd")
    return "systemd"


def test_systemd(podman: Engine, image: str) -> None:
    name = podman.name()
    podman.ok("run", "-d", "--name", name, "--network", "none", "--systemd", "always", image, "/sbin/init")
    try:

        def up() -> bool:
            if podman.inspect(name, ".State.Status") != "running":
                pytest.fail(f"systemd ended: {podman.logs(name)}")
            return podman("exec", name, "busybox", "test", "-e", "/run/railcar-ready").returncode == 0

        until(up, "systemd to start its unit")
        assert podman.ok("exec", name, "systemctl", "show", "-P", "ActiveState", "ready.service") == "active"
        assert podman.ok("exec", name, "busybox", "cat", "/proc/1/comm") == "systemd"
        # SIGRTMIN+3, which has it halt: no need for KILL.
        podman.ok("stop", "--time", "100", name)
        assert podman.inspect(name, ".State.ExitCode") in ("0", "130")
    finally:
        podman("rm", "--force", "--time", "0", name)
