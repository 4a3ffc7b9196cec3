"""Images, containers and a look for traces around every test."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent / "support"))

import crashcart_support as support


def need(*programs: str) -> None:
    """Skip unless these programs are installed."""
    for program in programs:
        if shutil.which(program) is None:
            pytest.skip(f"needs {program}")


@pytest.fixture(scope="session")
def can_mount() -> None:
    """Skip unless this process may make mount namespaces and mounts."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    if subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode:
        pytest.skip("needs the right to unshare mount namespaces")


@pytest.fixture(scope="session")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory of tools: busybox."""
    if not os.path.exists("/bin/busybox"):
        pytest.skip("needs /bin/busybox (busybox-static)")
    tree = support.busybox_tree(tmp_path_factory.mktemp("tools") / "tree")
    (tree / "etc").mkdir()
    (tree / "etc/marker").write_text("tools\n")
    return tree


@pytest.fixture(scope="session")
def images(tools: Path, can_mount: None) -> Callable[[str], Path]:
    """Makes an image of a format out of the tools, once each."""
    made: dict[str, Path] = {}
    programs = {"erofs": "mkfs.erofs", "squashfs": "mksquashfs", "ext4": "mkfs.ext4"}

    def make(kind: str) -> Path:
        need(programs[kind])
        if kind not in made:
            path = tools.parent / f"{kind}.img"
            commands = {
                "erofs": ["mkfs.erofs", "-zlz4hc", "--all-root", str(path), str(tools)],
                "squashfs": ["mksquashfs", str(tools), str(path), "-quiet", "-noappend", "-all-root"],
                "ext4": ["mkfs.ext4", "-q", "-d", str(tools), str(path), "8M"],
            }
            subprocess.run(commands[kind], check=True, capture_output=True)
            made[kind] = path
        return made[kind]

    return make


@pytest.fixture(scope="session")
def image(images: Callable[[str], Path]) -> Path:
    return images("erofs" if shutil.which("mkfs.erofs") else "squashfs")


@pytest.fixture
def traces(image: Path) -> Iterator[support.Traces]:
    """What there is before the test, compared after it."""
    found = support.Traces(image)
    yield found
    found.check()


@pytest.fixture
def processes(can_mount: None, traces: support.Traces) -> Iterator[Callable[..., int]]:
    """Runs a command in namespaces of its own (unshare's words) until it says "up"; the pid of its inside."""
    made: list[tuple[subprocess.Popen[bytes], int]] = []

    def run(command: list[str], *words: str, watched: bool = True) -> int:
        process = subprocess.Popen(["unshare", "-mpf", *words, *command], stdout=subprocess.PIPE)
        made.append((process, process.pid))
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        pid = int(Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()[0])
        made[-1] = process, pid
        if watched:
            traces.watch(pid)
        return pid

    yield run
    try:
        traces.check()
    finally:
        for process, pid in made:
            if process.poll() is None:
                os.kill(pid, 9)
            process.wait()
            assert process.stdout is not None
            process.stdout.close()


_numbers = itertools.count()


@pytest.fixture
def containers(
    can_mount: None, tools: Path, tmp_path: Path, traces: support.Traces
) -> Iterator[Callable[..., support.Container]]:
    """Makes containers by runc from a configuration that ``change`` may change; ended and looked at afterwards."""
    need("runc")
    made: list[support.Container] = []

    def make(
        change: Callable[[dict[str, Any]], None] | None = None,
        arguments: tuple[str, ...] = ("/bin/sleep", "100000"),
        runtime: str = "runc",
        prepare: Callable[[Path], None] | None = None,
        settle: Callable[[support.Container], None] | None = None,
        base: Path = tmp_path,
    ) -> support.Container:
        need(runtime)
        number = next(_numbers)
        rootfs = support.busybox_tree(base / f"rootfs-{number}")
        for name in ("proc", "dev", "tmp"):
            (rootfs / name).mkdir()
        if prepare:
            prepare(rootfs)
        config = support.default_config(list(arguments), rootfs)
        config["linux"]["cgroupsPath"] = f"/crashcart-test-{os.getpid()}-{number}"
        if change:
            change(config)
        container = support.run_container(runtime, base, f"cc{os.getpid()}x{number}", config, rootfs)
        made.append(container)
        if settle:
            settle(container)
        traces.watch(container.pid)
        return container

    yield make
    try:
        traces.check()
    finally:
        for container in made:
            container.delete()


@pytest.fixture
def enter(crashcart: Path, image: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs crashcart with the test's image on a container, to its end."""

    def run(
        container: support.Container | int | str,
        *command: str,
        options: tuple[str, ...] = (),
        tools: tuple[str, ...] | None = None,
        input: str = "",
        without: str = "",
        wrapper: tuple[str, ...] = (),
    ) -> subprocess.CompletedProcess[str]:
        words = [*wrapper, str(crashcart), *(("-i", str(image)) if tools is None else tools), *options]
        if isinstance(container, support.Container):
            words += ["--root", str(container.state), container.id]
        else:
            words += [str(container)]
        if command:
            words += ["--", *command]
        environment = {**os.environ, "CRASHCART_WITHOUT": without}
        return subprocess.run(
            words, input=input, capture_output=True, text=True, timeout=120, env=environment, check=False
        )

    return run


@pytest.fixture(scope="session")
def builder(crashcart: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Builds an image with these options, once for each name; skips where no package source answers."""
    base = tmp_path_factory.mktemp("build")

    def build(name: str, *options: str, umask: int = 0o022, **environment: str) -> Path:
        path = base / name
        if path.exists():
            return path
        words = [str(crashcart), "build", "-o", str(path), *options]
        found = {**os.environ, **environment}
        done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=280, env=found, umask=umask)
        if done.returncode:
            reasons = ("package source", "smith", "mkfs", "mksquashfs", "mke2fs", "InRelease", "cannot be fetched")
            if any(reason in done.stderr for reason in reasons):
                pytest.skip(f"no image can be built here: {done.stderr.strip()}")
            raise AssertionError(done.stderr)
        assert not [entry for entry in os.listdir(base) if entry.startswith(".")], "the build left something"
        return path

    return build


@pytest.fixture(scope="session")
def tiny(builder: Callable[..., Path]) -> Path:
    return builder("tiny.img", "--preset", "tiny")


@pytest.fixture(scope="session")
def default_image(builder: Callable[..., Path]) -> Path:
    """The image that is built without a word about what is to be in it."""
    return builder("default.img")


@pytest.fixture
def other_user(other_users: None) -> Iterator[tuple[Path, dict[str, Any]]]:
    """A directory of another user's, and what to start a process with to be that user."""
    with tempfile.TemporaryDirectory(prefix="cc-user-", dir="/var/tmp") as name:
        os.chown(name, 54321, 54321)
        environment = {**os.environ, "HOME": name, "XDG_CACHE_HOME": f"{name}/cache"}
        yield Path(name), {"user": 54321, "group": 54321, "extra_groups": [], "env": environment}
