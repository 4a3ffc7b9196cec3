"""Containers of systemd-nspawn, lxc and crun: found by name, listed, entered, and as before afterwards."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import crashcart_support as support
import pytest
from crashcart_support.engines import ended, need, run

pytestmark = pytest.mark.root
# These engines take cgroups from one version or the other, and give up where both are mounted.
PURE = "if grep -q '^cgroup2 /sys/fs/cgroup/unified ' /proc/mounts; then umount /sys/fs/cgroup/unified; fi"
SCRIPT = "cat /dev/crashcart/etc/marker /only-here; exit 7"


@pytest.fixture
def root(tmp_path: Path, can_mount: None) -> Path:
    """The root of a machine: busybox, and what these engines look for."""
    tree = support.busybox_tree(tmp_path / "root")
    for name in ("usr", "proc", "sys", "dev", "tmp", "run", "var", "etc"):
        (tree / name).mkdir()
    for name in ("os-release", "machine-id", "resolv.conf"):
        (tree / "etc" / name).touch()
    (tree / "only-here").write_text("here\n")
    return tree


@pytest.fixture
def name() -> str:
    return f"cctest{os.getpid()}"


def _groups() -> set[Path]:
    """cgroups that these engines make at the top, and leave there."""
    top = Path("/sys/fs/cgroup")
    return {path for name in ("lxc.*", "payload", "supervisor") for path in (*top.glob(name), *top.glob(f"*/{name}"))}


@pytest.fixture
def groups() -> Iterator[None]:
    """Takes away the cgroups that are left."""
    before = _groups()
    yield
    for group in _groups() - before:
        try:
            group.rmdir()
        except OSError:
            continue  # another machine of this name of a group has come meanwhile


@pytest.fixture
def nspawn(root: Path, name: str, tmp_path: Path, groups: None) -> Iterator[int]:
    need("systemd-nspawn", "unshare")
    words = ["systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--link-journal=no", "-M", name]
    words += ["-D", str(root), "/bin/sh", "-c", "echo up > /tmp/up; exec sleep 100000"]
    with open(tmp_path / "log", "wb") as log:
        process = subprocess.Popen(
            ["unshare", "-m", "sh", "-c", f'{PURE}; exec "$@"', "sh", *words],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        )  # fmt: skip
    try:
        leader: list[int] = []

        def is_up() -> bool:
            if process.poll() is not None:
                return True
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
            leader[:] = [int(child) for child in children if Path(f"/proc/{child}/root/tmp/up").exists()]
            return bool(leader)

        support.until(is_up, "systemd-nspawn does not start")
        if not leader:
            pytest.skip(f"systemd-nspawn cannot run here: {(tmp_path / 'log').read_text()[-300:]}")
        yield leader[0]
    finally:
        for pid in leader:
            os.kill(pid, 9)
        if process.poll() is None:
            ended(process)


@pytest.fixture
def lxc(root: Path, name: str, tmp_path: Path, groups: None) -> Iterator[int]:
    need("lxc-start", "lxc-info", "lxc-stop")
    path = tmp_path / "lxc"
    (path / name).mkdir(parents=True)
    (tmp_path / "config").write_text(
        f"lxc.uts.name = {name}\nlxc.rootfs.path = dir:{root}\nlxc.net.0.type = empty\nlxc.mount.auto = proc:mixed\n"
        "lxc.init.cmd = /bin/sleep 100000\nlxc.apparmor.profile = unconfined\n"
    )
    common = ["-n", name, "-P", str(path)]
    try:
        done = run(["lxc-start", *common, "-f", str(tmp_path / "config"), "-d", "-o", str(tmp_path / "log")])
        if done.returncode:
            pytest.skip(f"lxc cannot run here: {done.stderr}{(tmp_path / 'log').read_text()[-300:]}")
        yield int(run(["lxc-info", *common, "-p", "-H"]).stdout)
    finally:
        run(["lxc-stop", "-k", *common])


@pytest.mark.parametrize("engine", ["nspawn", "lxc"])
def test_machine_is_found_listed_and_entered(
    engine: str,
    request: pytest.FixtureRequest,
    name: str,
    crashcart: Path,
    image: Path,
    tools: Path,
    traces: support.Traces,
) -> None:
    pid = request.getfixturevalue(engine)
    traces.watch(pid)
    listed = json.loads(run([crashcart, "list", "--json"]).stdout)
    (found,) = [one for one in listed if one["pid"] == pid]
    assert (found["engine"], found["id"], found["status"]) == (engine, name, "running")
    assert found["created"] > 0
    for text in (name, name[:-1], f"{engine}:{name}", str(pid)):
        done = run([crashcart, "-i", image, text, "sh", "-c", SCRIPT])
        assert (done.returncode, done.stdout, done.stderr) == (7, "tools\nhere\n", ""), text
    assert run([crashcart, "-i", image, "-m", name]).returncode == 0
    assert Path(f"/proc/{pid}/root/dev/crashcart/etc/marker").read_text() == "tools\n"
    assert run([crashcart, "-u", name]).returncode == 0
    done = run([crashcart, "-i", image, "-e", name, "true"])
    assert done.returncode == 1
    assert "has no engine with an exec: run without -e" in done.stderr
    traces.check()


def test_container_of_crun_is_entered(
    containers: Callable[..., support.Container],
    enter: Callable[..., subprocess.CompletedProcess[str]],
    tmp_path: Path,
) -> None:
    need("crun", "unshare")
    wrapper = tmp_path / "crun"
    inner = f'{PURE}; exec {shutil.which("crun")} "$@"'
    wrapper.write_text(f'#!/bin/sh\nexec unshare -m sh -c {shlex.quote(inner)} sh "$@"\n')
    wrapper.chmod(0o755)
    container = containers(runtime=str(wrapper))
    done = enter(container, "sh", "-c", "cat /dev/crashcart/etc/marker; exit 3")
    assert (done.returncode, done.stdout, done.stderr) == (3, "tools\n", "")
    done = enter(container, "true", options=("-v",))
    assert f"entering crun {container.id}, pid {container.pid}" in done.stderr
    strict = enter(container, "grep", "CapEff", "/proc/self/status", options=("--profile", "strict"))
    assert strict.stdout == container.execute("/bin/grep", "CapEff", "/proc/self/status").stdout
