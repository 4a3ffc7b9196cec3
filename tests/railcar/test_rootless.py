"""As a user without privileges: a user namespace of one id, no cgroup, the state below XDG_RUNTIME_DIR."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

MakeBundle = Callable[..., Any]
USER = 54321


class Unprivileged:
    def __init__(self, command: Path, home: Path) -> None:
        self.command, self.home = command, home

    def __call__(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        user = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups"]
        argv = [*user, "env", "-i", f"XDG_RUNTIME_DIR={self.home}", str(self.command), *map(str, arguments)]
        with open(self.home / "out", "w+") as out:
            done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out, check=False, timeout=120)
            out.seek(0)
            done.stdout = out.read()
        return done


@pytest.fixture
def user(railcar: Path, place: Path) -> Unprivileged:
    if os.geteuid() != 0 or not shutil.which("setpriv"):
        pytest.skip("needs root and setpriv, to become another user")
    home = place / "home"
    home.mkdir()
    os.chown(home, USER, USER)
    made = Unprivileged(railcar, home)
    if made("--version").returncode:
        pytest.skip("the installed command lies where another user may not go")
    probe = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "unshare", "-U", "true"]
    if subprocess.run(probe, check=False, capture_output=True).returncode:
        pytest.skip("users may not make user namespaces here")
    return made


@pytest.fixture
def rootless(bundle: MakeBundle) -> Callable[..., Any]:
    def make(*command: str) -> Any:
        made = bundle(*command)
        linux = made.config["linux"]
        linux["namespaces"].append({"type": "user"})
        linux["uidMappings"] = linux["gidMappings"] = [{"containerID": 0, "hostID": USER, "size": 1}]
        subprocess.run(["chown", "-R", f"{USER}:{USER}", made.path], check=True)
        return made.write()

    return make


def test_life_without_privileges(user: Unprivileged, rootless: Any) -> None:
    name = f"railcar-test-{os.getpid()}"
    done = user("run", "--bundle", rootless("sh", "-c", "id -u; cat /proc/self/uid_map; exit 4").path, name)
    assert done.returncode == 4, done.stdout
    assert done.stdout.split() == ["0", "0", str(USER), "1"]
    try:
        assert user("run", "-d", "--bundle", rootless("sleep", "1000").path, name).returncode == 0
        assert json.loads(user("state", name).stdout)["status"] == "running"
        assert (user.home / "railcar" / name).is_dir()
        done = user("exec", name, "sh", "-c", "id -u; exit 3")
        assert (done.returncode, done.stdout) == (3, "0\n"), done.stdout
        assert user("kill", name, "KILL").returncode == 0
    finally:
        assert user("delete", "--force", name).returncode == 0
    assert os.listdir(user.home / "railcar") == []


def test_cgroup_mount_shows_the_group_that_it_stays_in(user: Unprivileged, rootless: Any) -> None:
    made = rootless("ls", "/sys/fs/cgroup")
    made.config["mounts"].append(
        {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["ro", "nosuid", "nodev"]}
    )
    done = user("run", "--bundle", made.write().path, f"railcar-test-{os.getpid()}")
    assert done.returncode == 0, done.stdout
    assert done.stdout.split()


def test_without_a_user_namespace_it_says_what_is_missing(user: Unprivileged, rootless: Any) -> None:
    made = rootless("true")
    linux = made.config["linux"]
    linux["namespaces"] = [entry for entry in linux["namespaces"] if entry["type"] != "user"]
    del linux["uidMappings"], linux["gidMappings"]
    done = user("run", "--bundle", made.write().path, f"railcar-test-{os.getpid()}")
    assert done.returncode == 1
    assert "user namespace" in done.stdout
    assert len(done.stdout.splitlines()) == 1
    assert os.listdir(user.home / "railcar") == []


def test_groups_that_cannot_be_set_are_left_out(user: Unprivileged, rootless: Any) -> None:
    """podman asks for the groups of an image's user in every exec, and has no id but the user's own here."""
    name = f"railcar-test-{os.getpid()}"
    assert user("run", "-d", "--bundle", rootless("sleep", "1000").path, name).returncode == 0
    try:
        done = user("exec", "--additional-gids", "0", "--additional-gids", "7", name, "id", "-u")
        assert (done.returncode, done.stdout) == (0, "0\n"), done.stdout
    finally:
        assert user("delete", "--force", name).returncode == 0
