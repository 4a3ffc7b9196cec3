"""Device nodes in user namespaces, where none can be made: they come from the host's side, with owner and mode."""

import subprocess
from typing import Any

import pytest

pytestmark = pytest.mark.root
ZERO = {"path": "/dev/other-zero", "type": "c", "major": 1, "minor": 5, "fileMode": 0o604, "uid": 10, "gid": 11}
PIPE = {"path": "/deep/down/pipe", "type": "p", "fileMode": 0o640}
LOOK = "stat -c '%n %F %t:%T %a %u:%g' /dev/other-zero /deep/down/pipe; head -c 3 /dev/other-zero | wc -c"


def test_line_083_devices_of_the_config_have_their_owner_and_mode(box: Any) -> None:
    box.user_namespace()
    box.config["linux"]["devices"] = [ZERO, PIPE]
    said = box.run(LOOK + "; grep -c /dev/other-zero /proc/self/mountinfo; ls /proc/self/fd | wc -l").stdout
    assert said.splitlines() == [
        "/dev/other-zero character special file 1:5 604 10:11",
        "/deep/down/pipe fifo 0:0 640 0:0",
        "3",
        "1",
        "4",
    ]


def test_line_083_where_nothing_hides_the_hosts_directory_after_it(box: Any) -> None:
    box.user_namespace()
    box.config["linux"]["devices"] = [ZERO]
    mounts = box.run("cat /proc/self/mountinfo").stdout.splitlines()
    assert [line.split()[4] for line in mounts if "other-zero" in line or line.split()[4] == "/"] == [
        "/",
        "/dev/other-zero",
    ]


def test_line_083_an_owner_that_is_not_mapped_is_named(box: Any) -> None:
    box.user_namespace()
    box.config["linux"]["devices"] = [{**ZERO, "uid": 70000}]
    said = box.run("true", fails=True).stderr
    assert "device: /dev/other-zero: the owner is not mapped in linux.uidMappings and gidMappings" in said


@pytest.mark.parametrize("in_user_namespace", [False, True])
def test_line_029_groups_that_cannot_be_mapped_can_be_kept(box: Any, in_user_namespace: bool) -> None:
    if in_user_namespace:
        box.user_namespace()
    box.config["annotations"] = {"run.oci.keep_original_groups": "1"}
    box._write("grep ^Groups: /proc/self/status")
    command = [box.command, "--root", box.directory / "state", "run", "--bundle", box.directory, box.directory.name]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True, extra_groups=[1, 2, 3])
    assert done.stdout.split() == ["Groups:", *(["65534"] * 3 if in_user_namespace else ["1", "2", "3"])]
