"""Engines of the tests' own: each with its own storage, socket and state, and ended with the test."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

import crashcart_support as support

SLEEP = ["/bin/sleep", "100000"]
#: A user of no machine, and the range of ids that are its own where ``accounts`` is in effect.
USER = 54321
FIRST, COUNT = 300000, 65536


def need(*programs: str) -> None:
    for program in programs:
        if shutil.which(program) is None:
            pytest.skip(f"needs {program}")


def run(
    words: Sequence[str | Path], environment: dict[str, str] | None = None, cwd: str | None = None
) -> subprocess.CompletedProcess[str]:
    found = {**os.environ, **(environment or {})}
    return subprocess.run(
        words, capture_output=True, text=True, check=False, env=found, stdin=subprocess.DEVNULL, timeout=120, cwd=cwd
    )


def ended(process: subprocess.Popen[bytes]) -> None:
    """End an engine; its own children end with it."""
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(timeout=support.DEADLINE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def accounts(base: Path) -> str:
    """Shell commands that give ``USER`` a name, and it and root a range of ids, in a mount namespace of their own."""
    names = {"passwd": f"cctest:x:{USER}:{USER}::{base}:/bin/sh\n", "group": f"cctest:x:{USER}:\n"}
    names["subuid"] = names["subgid"] = f"cctest:{FIRST}:{COUNT}\nroot:{FIRST}:{COUNT}\n"
    commands = []
    for name, lines in names.items():
        old = Path("/etc", name)
        # A file that is not there cannot be covered.
        if not old.exists():
            pytest.skip(f"needs /etc/{name}")
        kept = old.read_text() if name in ("passwd", "group") else ""
        (base / name).write_text(kept + lines)
        (base / name).chmod(0o644)
        commands.append(f"mount --bind {base}/{name} /etc/{name}")
    return "; ".join(commands)


@contextmanager
def docker(base: Path, tools: Path, options: Sequence[str] = (), before: str = "") -> Iterator[list[str]]:
    """A docker with an image called tools: the words that start its command. ``before`` are shell commands."""
    need("dockerd", "docker", "containerd")
    words = [
        "dockerd",
        "--data-root",
        f"{base}/data",
        "--exec-root",
        f"{base}/exec",
        "-H",
        f"unix://{base}/docker.sock",
    ]
    words += ["--pidfile", f"{base}/pid", "--config-file", f"{base}/daemon.json", *options]
    words += ["--iptables=false", "--ip6tables=false", "--bridge=none", "--storage-driver=vfs"]
    (base / "daemon.json").write_text("{}")
    if before:
        words = ["unshare", "--mount", "sh", "-ec", f'{before}; exec "$@"', "sh", *words]
    try:
        with daemon(words, base, tools) as client:
            yield client
    finally:
        for left in (base / "exec/netns").glob("*"):  # docker leaves the host network's
            run(["umount", str(left)])


@contextmanager
def daemon(
    words: Sequence[str], base: Path, tools: Path, environment: dict[str, str] | None = None
) -> Iterator[list[str]]:
    """A dockerd that listens at docker.sock in ``base``, with an image called tools."""
    found = {**os.environ, **(environment or {})}
    with open(base / "log", "wb") as log:
        process = subprocess.Popen(words, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=found)
    try:
        client = ["docker", "-H", f"unix://{base}/docker.sock"]
        support.until(
            lambda: process.poll() is not None or run([*client, "version"]).returncode == 0, "docker does not start"
        )
        if process.poll() is not None:
            pytest.skip(f"dockerd does not start here: {(base / 'log').read_text()[-500:]}")
        tar = subprocess.run(["tar", "-C", str(tools), "-c", "."], capture_output=True, check=True).stdout
        subprocess.run([*client, "import", "-", "tools"], input=tar, capture_output=True, check=True)
        yield client
    finally:
        if process.poll() is None:
            ended(process)


@contextmanager
def docker_container(client: list[str], name: str, *options: str) -> Iterator[int]:
    """A container of the image tools; its pid."""
    done = run([*client, "run", "-d", "--name", name, "--network", "none", *options, "tools", *SLEEP])
    try:
        if done.returncode:
            pytest.skip(f"docker cannot run a container here: {done.stderr.strip()}")
        yield int(run([*client, "inspect", "-f", "{{.State.Pid}}", name]).stdout)
    finally:
        run([*client, "rm", "-f", name])


class Podman:
    """podman with storage of its own below ``base``; ``environment`` tells crashcart of it as well."""

    def __init__(self, base: Path, prefix: Sequence[str] = ()) -> None:
        self.base = base
        self.prefix = list(prefix)
        self.graph = base / "graph"
        configuration = base / "storage.conf"
        configuration.write_text(
            f'[storage]\ndriver = "vfs"\ngraphroot = "{self.graph}"\nrunroot = "{base}/run"\n'
            f'rootless_storage_path = "{self.graph}"\n'
        )
        limits = base / "containers.conf"
        limits.write_text('[containers]\ndefault_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]\n')
        self.environment = {"CONTAINERS_STORAGE_CONF": str(configuration), "CONTAINERS_CONF": str(limits)}

    def __call__(self, *words: str) -> subprocess.CompletedProcess[str]:
        common = ["podman", "--cgroup-manager", "cgroupfs", "--runtime", shutil.which("runc") or "runc"]
        return run([*self.prefix, *common, *words], self.environment, cwd=str(self.base))

    def start(self, name: str, *words: str) -> str:
        """Run a container that sleeps; its id."""
        done = self("run", "-d", "--name", name, "--network", "none", "--log-driver", "none", *words, *SLEEP)
        if done.returncode:
            pytest.skip(f"podman cannot run a container here: {done.stderr.strip()[-500:]}")
        return done.stdout.strip()

    def pid(self, name: str) -> int:
        return int(self("inspect", "-f", "{{.State.Pid}}", name).stdout)

    def end(self, *names: str) -> None:
        for name in names:
            self("rm", "-f", "-t", "0", name)
        for directory in (self.graph / "overlay", self.graph / "vfs"):
            run(["umount", str(directory)])
