"""A containerd of a test's own, with the image in it."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from engine_support import PATIENCE, Engine, until


@contextmanager
def started(place: Path, config: str, image: Path, namespace: str, group: str) -> Iterator[Engine]:
    """`ctr` in a namespace of a containerd, whose socket is `place`/sock. `group`: a cgroup to remove in the end."""
    for program in ("containerd", "ctr", "containerd-shim-runc-v2"):
        if not shutil.which(program):
            pytest.skip(f"{program} is not installed")
    file = place / "config.toml"
    file.write_text(f'root = "{place}/root"\nstate = "{place}/state"\n{config}\n[grpc]\naddress = "{place}/sock"\n')
    with open(place / "log", "w") as log:
        daemon = subprocess.Popen(["containerd", "--config", file], stdout=log, stderr=log, cwd=place)
    engine = Engine(["ctr", "--address", f"{place}/sock", "--namespace", namespace], dict(os.environ), place)
    try:
        until(lambda: daemon.poll() is not None or engine("version").returncode == 0, "containerd to answer")
        if daemon.poll() is not None:
            pytest.skip(f"containerd does not start here: {(place / 'log').read_text()[-400:]}")
        # containerd 2 unpacks by a service that is set up for one snapshotter; --local unpacks as containerd 1 does.
        local = ["--local"] if "--local" in engine("images", "import", "--help").stdout else []
        engine.ok("images", "import", *local, "--snapshotter", "native", image)
        yield engine
        for name in engine("tasks", "ls", "-q").stdout.split():
            engine("tasks", "rm", "--force", name)
    finally:
        daemon.terminate()
        daemon.wait(timeout=PATIENCE)
        for directory in [*Path("/sys/fs/cgroup").glob(f"*/{group}"), Path("/sys/fs/cgroup") / group]:
            if directory.is_dir():
                directory.rmdir()
