"""Containers whose users are not the host's: docker's userns-remap, podman's --uidmap, and engines without root."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import crashcart_support as support
import pytest
from crashcart_support import engines
from crashcart_support.engines import COUNT, FIRST, USER, need, run

pytestmark = pytest.mark.root
SCRIPT = "cat /dev/crashcart/etc/marker; id -u; cat /proc/self/uid_map; ls -ln /dev/crashcart/etc/marker; exit 7"
AS_USER = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups"]


@pytest.fixture
def base(can_mount: None) -> Iterator[Path]:
    """A directory that every user may search, which those of pytest are not."""
    with tempfile.TemporaryDirectory(prefix="cc-userns-", dir="/var/tmp", ignore_cleanup_errors=True) as name:
        os.chmod(name, 0o755)
        yield Path(name)


def is_remapped(done: subprocess.CompletedProcess[str], first: int, count: int) -> None:
    """The session was the container's root, with the image's files as root's."""
    assert done.returncode == 7, done.stderr
    marker, uid, mapping, listed = done.stdout.splitlines()
    assert (marker, uid, mapping.split()) == ("tools", "0", ["0", str(first), str(count)])
    assert listed.split()[2:4] == ["0", "0"]


def test_docker_with_remapped_users(
    base: Path, tools: Path, crashcart: Path, image: Path, traces: support.Traces
) -> None:
    options = ["--userns-remap", "cctest"]
    with (
        engines.docker(base, tools, options, engines.accounts(base)) as client,
        engines.docker_container(client, "remapped") as pid,
    ):
        traces.watch(pid)
        for name in ("remapped", str(pid)):
            words = [crashcart, "-i", image, name, "sh", "-c", SCRIPT]
            is_remapped(run(words, {"DOCKER_HOST": client[2]}), FIRST, COUNT)
        words = [crashcart, "-i", image, "-e", "remapped", "sh", "-c", SCRIPT]
        is_remapped(run(words, {"DOCKER_HOST": client[2]}), FIRST, COUNT)
        traces.check()


def test_podman_with_mapped_users(
    base: Path, tools: Path, crashcart: Path, image: Path, traces: support.Traces
) -> None:
    need("podman", "conmon")
    podman = engines.Podman(base)
    tar = subprocess.run(["tar", "-C", str(tools), "-c", "."], capture_output=True, check=True).stdout
    (base / "tools.tar").write_bytes(tar)
    try:
        if (done := podman("import", str(base / "tools.tar"), "tools")).returncode:
            pytest.skip(f"podman cannot import an image here: {done.stderr[-400:]}")
        mapping = [f"--uidmap=0:{FIRST}:1000", f"--gidmap=0:{FIRST}:1000"]
        podman.start("mapped", *mapping, "tools")
        traces.watch(podman.pid("mapped"))
        words = [crashcart, "-i", image, "mapped", "sh", "-c", SCRIPT]
        is_remapped(run(words, podman.environment), FIRST, 1000)
        traces.check()
    finally:
        podman.end("mapped")


def test_podman_of_a_user(
    base: Path, tools: Path, crashcart: Path, image: Path, other_users: None, traces: support.Traces
) -> None:
    """Entered by root with an image, and by the user with a directory and with an image that it cannot mount."""
    need("podman", "conmon", "setpriv", "fsck.erofs")
    for name in ("graph", "run"):
        (base / name).mkdir(mode=0o700)
    shutil.copytree(tools, base / "tools", symlinks=True)
    shutil.copy(image, base / "tools.img")
    environment = {"HOME": str(base), "XDG_RUNTIME_DIR": str(base / "run"), "XDG_CACHE_HOME": str(base / "cache")}
    podman = engines.Podman(base, AS_USER)
    podman.environment |= environment
    subprocess.run(["chown", "-R", f"{USER}:{USER}", base], check=True)
    try:
        podman.start("mine", "--rootfs", str(base / "tools"))
        pid = podman.pid("mine")
        traces.watch(pid)
        is_remapped(run([crashcart, "-i", image, str(pid), "sh", "-c", SCRIPT]), USER, 1)
        for options in (["--dir", base / "tools"], ["-i", base / "tools.img"]):
            words = [*AS_USER, crashcart, *options, "mine", "sh", "-c", SCRIPT]
            done = run(words, podman.environment, cwd="/")
            is_remapped(done, USER, 1)
        traces.check()
    finally:
        podman.end("mine")
        subprocess.run([*AS_USER, "podman", "system", "migrate"], env={**os.environ, **podman.environment}, cwd="/",
                       capture_output=True, check=False)  # fmt: skip


def test_docker_of_a_user(
    base: Path, tools: Path, crashcart: Path, image: Path, other_users: None, traces: support.Traces
) -> None:
    """dockerd as rootlesskit runs it; found at the user's socket, entered by root and by the user."""
    need("rootlesskit", "newuidmap", "dockerd", "setpriv")
    shutil.copytree(tools, base / "tools", symlinks=True)
    for name in ("data", "exec", "kit"):
        (base / name).mkdir()
    before = engines.accounts(base)
    subprocess.run(["chown", "-R", f"{USER}:{USER}", base], check=True)
    environment = {"HOME": str(base), "XDG_RUNTIME_DIR": str(base)}
    inner = ["dockerd", "--rootless", "--data-root", f"{base}/data", "--exec-root", f"{base}/exec"]
    inner += ["-H", f"unix://{base}/docker.sock", "--pidfile", f"{base}/pid", "--config-file", f"{base}/daemon.json"]
    inner += ["--iptables=false", "--ip6tables=false", "--bridge=none", "--storage-driver=vfs"]
    (base / "daemon.json").write_text("{}")
    clean = 'rm -rf /run/docker /run/containerd; exec "$@"'  # links to what is root's
    kit = [
        "rootlesskit",
        "--net=host",
        "--copy-up=/etc",
        "--copy-up=/run",
        f"--state-dir={base}/kit",
        "sh",
        "-c",
        clean,
        "sh",
        *inner,
    ]
    words = ["unshare", "--mount", "sh", "-ec", f'{before}; exec "$@"', "sh", *AS_USER, *kit]
    with (
        engines.daemon(words, base, tools, environment) as client,
        engines.docker_container(client, "mine") as pid,
    ):
        traces.watch(pid)
        done = run([crashcart, "-i", image, "mine", "sh", "-c", SCRIPT], environment)
        assert done.returncode == 7, done.stderr
        done = run([*AS_USER, crashcart, "--dir", str(base / "tools"), "mine", "sh", "-c", SCRIPT], environment, "/")
        assert done.returncode == 7, done.stderr
        traces.check()
