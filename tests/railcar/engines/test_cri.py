"""containerd as a kubelet uses it: pods by the Container Runtime Interface, with railcar as a RuntimeClass's handler.

containerd's configuration is the block on the page about engines, with what a test needs beside it.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from engine_support import containerd, until
from engine_support.cri import RUNNING, Pod, Service
from engine_support.page import INSTALLED, block

LIMIT = 64 << 20
CGROUPS = "cat /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null || cat /sys/fs/cgroup/memory.max"


@pytest.fixture(scope="module")
def service(image: Path, place: Path, runtime: str) -> Iterator[Service]:
    config = f"""
{block("toml", "containerd.runtimes.railcar").replace(INSTALLED, runtime).replace("SystemdCgroup = true", "")}
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "docker.io/library/pause:latest"
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "native"
"""
    parent = f"railcar-engine-{os.getpid()}"
    with containerd.started(place, config, image, "k8s.io", parent):
        yield Service(place / "sock", f"/{parent}", place / "logs")


@pytest.fixture(scope="module")
def pod(service: Service) -> Iterator[Pod]:
    made = service.pod("railcar")
    yield made
    made.remove()


def test_container_that_ends(pod: Pod) -> None:
    identity = pod.start("ends", "sh", "-c", "echo $A; pwd; exit 3", f5="/tmp", f6=[{1: "A", 2: "1 2"}])
    assert pod.ended(identity) == (3, "Error")
    assert pod.log("ends").splitlines() == ["1 2", "/tmp"]


def test_life(pod: Pod) -> None:
    script = "trap 'exit 143' TERM; echo started; while :; do sleep 0.1; done"
    identity = pod.start("life", "sh", "-c", script, linux={1: {4: LIMIT}})
    until(lambda: "started" in pod.log("life"), "the container to start")
    assert pod.status(identity)[3] == [RUNNING]
    assert pod.execute(identity, "sh", "-c", "echo out; echo wrong >&2; exit 5") == ("out\nwrong\n", 5)
    assert pod.execute(identity, "sh", "-c", CGROUPS) == (f"{LIMIT}\n", 0)
    pod.service("UpdateContainerResources", {1: identity, 2: {4: LIMIT * 2}})
    assert pod.execute(identity, "sh", "-c", CGROUPS) == (f"{LIMIT * 2}\n", 0)
    assert pod.service("ContainerStats", {1: identity})[1]
    pod.service("StopContainer", {1: identity, 2: 100})
    assert pod.ended(identity)[0] == 143
    pod.service("RemoveContainer", {1: identity})


def test_out_of_memory(pod: Pod) -> None:
    command = ("dd", "if=/dev/zero", "of=/dev/null", "bs=256M", "count=1")
    identity = pod.start("memory", *command, linux={1: {4: 32 << 20, 10: 32 << 20}})
    assert pod.ended(identity)[0] == 137
    # The engine hears of the end and of its reason in two events, in whichever order.
    until(lambda: pod.ended(identity)[1] == "OOMKilled", "the reason for the end")


def test_security_context(pod: Pod, place: Path) -> None:
    (place / "volume").mkdir(exist_ok=True)
    security = {1: {2: ["ALL"]}, 5: {1: 1000}, 7: 1, 8: [7], 11: 1, 12: {1: 1001}, 13: ["/proc/uptime"]}
    script = "id -u; id -g; grep -E 'CapEff|NoNewPrivs|Groups' /proc/self/status; touch /x /volume/x; cat /proc/uptime"
    mounts = [{1: "/volume", 2: str(place / "volume"), 3: 1}]
    pod.ended(pod.start("secure", "sh", "-c", script, linux={2: security}, f7=mounts))
    said = pod.log("secure")
    lines = said.splitlines()
    assert lines[:2] == ["1000", "1001"]
    assert "CapEff:\t0000000000000000" in lines
    assert "NoNewPrivs:\t1" in lines
    assert "7" in next(line for line in lines if line.startswith("Groups")).split()
    assert said.count("Read-only file system") == 2
    assert not any(line[:1].isdigit() for line in lines[2:])


def test_the_pods_containers_see_each_other(pod: Pod) -> None:
    first = pod.start("first", "sleep", "1000")
    second = pod.start("second", "sleep", "1000")
    assert pod.execute(second, "sh", "-c", "ps | grep -c 'sleep 100[0]'") == ("3\n", 0)
    for identity in (first, second):
        pod.service("StopContainer", {1: identity, 2: 0})
        assert pod.ended(identity)[0] == 137


def test_what_cannot_run_is_named(pod: Pod) -> None:
    identity = pod.create("nothing", "/nope")
    assert "/nope" in pod.service.refused("StartContainer", {1: identity})
    assert pod.ended(identity)[0] in (127, 128)
