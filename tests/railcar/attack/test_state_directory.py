"""What lies in the directory of --root: of another user, or no record at all."""

import json
import os
import subprocess

import pytest

pytestmark = pytest.mark.root

COMMANDS = [["state", "h"], ["kill", "h", "KILL"], ["inspect", "h"], ["exec", "h", "/bin/true"], ["start", "h"]]


def lay(root, text):
    (root / "h").mkdir(parents=True, exist_ok=True)
    (root / "h" / "state.json").write_text(text)


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "null",
        '"x"',
        '{"pid": "x"}',
        '{"pid": 1e400}',
        '{"cgroup": 5}',
        '{"cgroup": {"paths": {"x": "/etc"}}}',
        '{"cgroup": {"mode": "v1", "paths": []}}',
        '{"hooks": 7}',
        '{"namespaces": "pid"}',
        '{"phase": "creating", "creator": [1]}',
    ],
)
def test_what_is_no_record_is_told_and_hides_no_other(bundle, runtime, text):
    bundle.shell("sleep 1000")
    runtime.start(bundle)
    lay(runtime.root, text)
    for command in [*COMMANDS, ["delete", "--force", "h"]]:
        result = runtime.call(*command)
        assert result.returncode != 0
        assert "state.json" in result.stderr
        assert "in a way it should not" not in result.stderr
    assert runtime.call("list", "--quiet").stdout == "attack\n"
    (runtime.root / "h" / "state.json").unlink()
    assert runtime.call("delete", "--force", "h").returncode == 0


@pytest.fixture
def victim():
    process = subprocess.Popen(["sleep", "1000"])
    yield process
    process.kill()
    process.wait()


def test_another_users_record_is_not_believed_where_anybody_may_put_one(runtime, victim, tmp_path):
    """Or it would have root kill a process, remove a group, and run a hook of that user's choice."""
    proof = tmp_path / "proof"
    with open(f"/proc/{victim.pid}/stat") as stat, open("/proc/sys/kernel/random/boot_id") as boot:
        record = {
            "id": "h",
            "phase": "created",
            "pid": victim.pid,
            "start_time": int(stat.read().rpartition(")")[2].split()[19]),
            "boot_id": boot.read().strip(),
            "bundle": "/",
            "hooks": ["poststop"],
            "namespaces": [],
        }
    lay(runtime.root, json.dumps(record))
    hook = {"path": "/bin/sh", "args": ["sh", "-c", f"touch {proof}"]}
    (runtime.root / "h" / "config.json").write_text(json.dumps({"hooks": {"poststop": [hook]}}))
    for path in (runtime.root / "h", *(runtime.root / "h").iterdir()):
        os.chown(path, 4321, 4321)
    runtime.root.chmod(0o1777)
    for command in [*COMMANDS, ["delete", "--force", "h"]]:
        result = runtime.call(*command)
        assert result.returncode != 0
        assert "4321" in result.stderr
    assert victim.poll() is None
    assert not proof.exists()
    # An operator who looks into a user's own directory means that.
    runtime.root.chmod(0o700)
    assert '"running"' in runtime.call("state", "h").stdout


def test_a_link_in_the_directory_leads_nowhere(bundle, runtime, host, untouched):
    bundle.write()
    runtime.root.mkdir()
    (runtime.root / "attack").symlink_to(host)
    for command in (["delete", "--force", "attack"], ["create", "--bundle", str(bundle.path), "attack"]):
        assert runtime.call(*command).returncode != 0
    assert untouched()
    (runtime.root / "attack").unlink()
