"""Containers that may write to their own control groups, and use them to stay: they are ended all the same."""

import os
import time

import pytest
from attack_support import left_behind

pytestmark = pytest.mark.root

PATIENCE = 60
FREEZER = "/sys/fs/cgroup/freezer"


@pytest.fixture
def own_groups(bundle):
    """The bundle with cgroups that it may write to."""
    if not os.path.exists(FREEZER):
        pytest.skip("no v1 freezer: on v2 SIGKILL ends frozen processes")
    bundle.config["linux"]["namespaces"].append({"type": "cgroup"})
    bundle.config["mounts"].append(
        {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["nosuid", "rw"]}
    )
    return bundle


def wait_for(condition, what):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def frozen(pid):
    """Whether the group that the process is in is frozen."""
    with open(f"/proc/{pid}/cgroup") as file:
        path = next(line.split(":", 2)[2].strip() for line in file if line.split(":")[1] == "freezer")
    with open(f"{FREEZER}{path}/freezer.state") as file:
        return file.read().strip() == "FROZEN"


NESTED = f"""
for n in 1 2 3; do mkdir -p {FREEZER}/a$n/b/c; done
sleep 1000 & echo $! > {FREEZER}/a2/b/tasks; echo FROZEN > {FREEZER}/a2/b/freezer.state
echo $$ > {FREEZER}/a1/b/c/tasks
echo FROZEN > {FREEZER}/a1/freezer.state
exec sleep 1000
"""
ITSELF = f"echo FROZEN > {FREEZER}/freezer.state; exec sleep 1000"


@pytest.mark.parametrize("script", [NESTED, ITSELF], ids=["nested", "itself"])
@pytest.mark.parametrize("way", ["delete", "kill", "kill all"])
def test_freezing_itself_keeps_no_container(own_groups, runtime, script, way):
    before = left_behind(own_groups.path.parent)
    own_groups.shell(script)
    pid = runtime.start(own_groups)
    wait_for(lambda: frozen(pid), "it did not freeze itself")
    if way != "delete":
        killed = runtime.call("kill", *(["--all"] if way == "kill all" else []), "attack", "KILL")
        assert killed.returncode == 0, killed.stderr
        wait_for(lambda: '"stopped"' in runtime.call("state", "attack").stdout, "it did not end")
    removed = runtime.call("delete", "--force", "attack")
    assert removed.returncode == 0, removed.stderr
    assert runtime.names() == []
    assert left_behind(own_groups.path.parent) == before


def test_a_paused_container_can_be_killed(bundle, runtime):
    bundle.shell("sleep 1000")
    runtime.start(bundle)
    if runtime.call("pause", "attack").returncode:
        pytest.skip("no freezer here")
    assert runtime.call("kill", "attack", "KILL").returncode == 0
    wait_for(lambda: '"stopped"' in runtime.call("state", "attack").stdout, "it did not end")
