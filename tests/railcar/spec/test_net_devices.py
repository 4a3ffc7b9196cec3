"""linux.netDevices: interfaces of the host move into the container, under their own or another name."""

import copy
import shutil
import subprocess
from typing import Any

import pytest
from railcar import netdevices
from railcar.errors import ConfigError

BASE: dict[str, Any] = {"namespaces": [{"type": "network"}]}


def test_line_081_names_are_checked() -> None:
    def refused(text: str, devices: dict[str, Any], **linux: Any) -> None:
        with pytest.raises(ConfigError) as caught:
            netdevices.checked({**copy.deepcopy(BASE), **linux, "netDevices": devices})
        assert text in caught.value.message

    assert netdevices.checked({**BASE, "netDevices": {"eth0": {}, "eth1": {"name": "up"}}}) == [
        ("eth0", "eth0"),
        ("eth1", "up"),
    ]
    assert netdevices.checked(BASE) == []
    refused('needs a "network" namespace', {"eth0": {}}, namespaces=[])
    for bad in ("", ".", "..", "a/b", "a:b", "a b", "sixteen-letters-", "a\0"):
        refused("not a valid network device name", {bad: {}})
        if bad:  # an empty name is no name: the device keeps its own
            refused("not a valid network device name", {"eth0": {"name": bad}})
    refused("two devices would be named", {"a": {"name": "x"}, "b": {"name": "x"}})


@pytest.fixture
def nets(box: Any) -> Any:
    """Runs a shell script in a network namespace that plays the host, with a pair of interfaces va and vb."""
    if not shutil.which("ip") or not shutil.which("unshare"):
        pytest.skip("needs ip (Debian: iproute2)")
    make = "ip link add va type veth peer name vb && ip addr add 192.0.2.7/24 dev va && ip link set va up"
    probe = subprocess.run(["unshare", "-n", "sh", "-c", make], capture_output=True, text=True, check=False)
    if probe.returncode:
        pytest.skip(f"cannot make network interfaces here: {probe.stderr.strip()}")

    def run(script: str, after: str, **devices: Any) -> subprocess.CompletedProcess[str]:
        box.config["linux"]["netDevices"] = devices
        box._write(script)
        state, name = box.directory / "state", box.directory.name
        railcar = f"{box.command} --root {state} run --bundle {box.directory} {name}"
        return subprocess.run(
            ["unshare", "-n", "sh", "-c", f"{make}; {railcar}; echo code=$?; {after}"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    return run


@pytest.mark.root
def test_line_081_a_device_moves_with_its_addresses_and_a_new_name(nets: Any) -> None:
    done = nets("ip -o addr show dev inner; ip -o link show inner", "ip -o link", va={"name": "inner"})
    assert "code=0" in done.stdout, done
    inside, outside = done.stdout.split("code=0")
    assert "192.0.2.7/24" in inside
    assert "UP" in inside
    assert " va" not in outside


@pytest.mark.root
def test_line_081_a_device_keeps_its_name_by_default(nets: Any) -> None:
    done = nets("ip -o addr show dev va", "true", va={})
    assert "192.0.2.7/24" in done.stdout, done


@pytest.mark.root
def test_line_081_a_device_that_is_not_there_is_named_and_the_others_come_home(nets: Any) -> None:
    done = nets("true", "ip -o addr show dev va", va={"name": "inner"}, nothing={})
    assert "code=1" in done.stdout, done
    assert "linux.netDevices: nothing: no such device" in done.stderr
    assert "192.0.2.7/24" in done.stdout


@pytest.mark.root
def test_line_081_a_failure_later_brings_the_devices_home(nets: Any, box: Any) -> None:
    box.config["hooks"] = {"createContainer": [{"path": "/no/such/hook"}]}
    done = nets("true", "ip -o addr show dev va", va={"name": "inner"})
    assert "code=1" in done.stdout, done
    assert "192.0.2.7/24" in done.stdout, done
