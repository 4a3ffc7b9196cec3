"""What a container's author chose, and who reads it: an operator's terminal, or a reader of numbers and of output."""

import json
import os
import subprocess

import pytest
from attack_support import left_behind
from test_bad_config import check, written

pytestmark = pytest.mark.root

# Sets the terminal's title, then answers back what the terminal is: an answer is typed input.
STEERING = "\x1b]0;title\x07\x1b[c\x9b6n\u202e"


def steers(text):
    return any(char < " " and char not in "\n\t" for char in text) or "\x9b" in text or "\u202e" in text


def link(bundle):
    (bundle.rootfs / "bin" / "program").symlink_to(f"/{STEERING}")


def interpreter(bundle):
    """An ELF file whose loader has such a name."""
    name = f"/{STEERING}".encode() + b"\0"
    header = b"\x7fELF\x02\x01\x01".ljust(16, b"\0") + b"\x02\0" + (62).to_bytes(2, "little")
    header = header.ljust(32, b"\0") + (64).to_bytes(8, "little")
    header = header.ljust(54, b"\0") + (56).to_bytes(2, "little") + b"\x01\0"
    entry = (3).to_bytes(8, "little") + (120).to_bytes(8, "little")
    entry = entry.ljust(32, b"\0") + len(name).to_bytes(8, "little")
    program = bundle.rootfs / "bin" / "program"
    program.write_bytes(header.ljust(64, b"\0") + entry.ljust(56, b"\0") + name)
    program.chmod(0o755)


@pytest.mark.parametrize("shape", [link, interpreter])
def test_an_error_does_not_steer_the_terminal(bundle, runtime, shape):
    shape(bundle)
    bundle.config["process"]["args"] = ["/bin/program"]
    said = runtime.refused(bundle)
    assert "does not" in said
    assert "title" in said
    assert not steers(said)


def test_a_hooks_output_does_not_steer_the_terminal(bundle, runtime):
    hook = {"path": "/bin/sh", "args": ["sh", "-c", f"echo '{STEERING}'; exit $CODE"], "env": ["PATH=/bin", "CODE=3"]}
    bundle.config["hooks"] = {"startContainer": [hook]}
    result = runtime.run(bundle)
    assert result.returncode != 0
    assert "title" in result.stderr
    assert not steers(result.stderr)
    hook["env"][1] = "CODE=0"
    bundle.shell("sleep 1000")
    runtime.start(bundle)
    shown = runtime.call("inspect", "attack").stdout
    assert "title" in shown
    assert not steers(shown)


def test_a_mount_points_name_does_not_steer_the_terminal(bundle, runtime):
    bundle.config["mounts"].append({"destination": f"/{STEERING}", "type": "tmpfs", "source": "t", "options": []})
    bundle.shell("sleep 1000")
    runtime.start(bundle)
    for arguments in (["inspect", "attack"], ["ps", "attack"]):
        assert not steers(runtime.call(*arguments).stdout)


def test_what_a_hook_left_behind_may_write_for_ever(bundle, runtime, compiled):
    """Its pipe is never empty: whoever reads until it is never ends, and holds the container's lock."""
    (bundle.rootfs / "bin" / "shouter").write_bytes(compiled("shouter").read_bytes())
    (bundle.rootfs / "bin" / "shouter").chmod(0o755)
    bundle.config["hooks"] = {"startContainer": [{"path": "/bin/sh", "args": ["sh", "-c", "/bin/shouter & exit 0"]}]}
    bundle.shell("echo ran")
    assert runtime.output(bundle) == "ran\n"


def test_directories_nested_too_deeply_for_a_copy_are_named(bundle, runtime):
    """tmpcopyup of a thousand levels: an image can hold them."""
    here = os.open(bundle.rootfs / "vol", os.O_RDONLY)
    for _ in range(1200):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    bundle.config["mounts"].append(
        {"destination": "/vol", "type": "tmpfs", "source": "tmpfs", "options": ["tmpcopyup"]}
    )
    try:
        said = runtime.refused(bundle)
    finally:
        # pytest's own clean-up goes no deeper than Python's stack.
        subprocess.run(["rm", "-rf", bundle.rootfs / "vol" / "d"], check=True)
    assert "tmpcopyup" in said
    assert "in a way it should not" not in said


NUMBERS = ["1e400", "-1e999", "9" * 5000, "[" + "9" * 5000 + "]"]


@pytest.mark.parametrize("number", NUMBERS, ids=lambda number: number[:6])
def test_numbers_beyond_all_measure_are_refused(bundle, runtime, number):
    written(bundle, '"uid": 0', f'"uid": {number}')
    code, _ = check(bundle, runtime)
    assert code != 0
    result = runtime.call("validate", str(bundle.path))
    assert result.returncode != 0
    assert "in a way it should not" not in result.stderr
    assert "config.json" in result.stdout


@pytest.mark.parametrize("number", NUMBERS, ids=lambda number: number[:6])
def test_numbers_beyond_all_measure_are_refused_by_exec_and_update(bundle, runtime, tmp_path, number):
    bundle.shell("sleep 1000")
    runtime.start(bundle)
    before = left_behind(bundle.path.parent)
    process = tmp_path / "process.json"
    process.write_text(json.dumps({"args": ["/bin/true"], "cwd": "/", "oomScoreAdj": "@"}).replace('"@"', number))
    resources = f'{{"memory": {{"limit": {number}}}}}'
    for result in (
        runtime.call("exec", "--process", str(process), "attack"),
        runtime.call("update", "--resources", "-", "attack", input=resources),
    ):
        assert result.returncode != 0
        assert result.stderr.strip()
        assert "in a way it should not" not in result.stderr
    assert left_behind(bundle.path.parent) == before


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"options": ["nosuid", "noexec", "nodev"]', '"options": 7'),
        ('"options": ["nosuid", "noexec", "nodev"]', '"options": 0.5'),
    ],
)
def test_a_wrong_shape_is_told_and_not_a_failure(bundle, runtime, old, new):
    written(bundle, old, new)
    result = runtime.call("validate", str(bundle.path))
    assert result.returncode == 1
    assert result.stderr == ""
    assert "options" in result.stdout.lower()


def test_what_validate_repeats_does_not_steer_the_terminal(bundle, runtime):
    """Half of a surrogate pair, which cannot be printed at all, is among it."""
    bundle.config["linux"]["rootfsPropagation"] = "\ud800" + STEERING
    bundle.write()
    result = runtime.call("validate", str(bundle.path))
    assert result.returncode == 1
    assert result.stderr == ""
    assert "title" in result.stdout
    assert not steers(result.stdout)


@pytest.mark.parametrize("member", ["linux", "mounts", "process", "root", "hooks"])
@pytest.mark.parametrize("value", [7, "x", [7], {"x": 7}])
def test_a_member_of_another_shape_is_told(bundle, runtime, member, value):
    bundle.config[member] = value
    bundle.write()
    result = runtime.call("validate", str(bundle.path))
    assert "in a way it should not" not in result.stderr
    assert result.returncode in (0, 1)
    check(bundle, runtime)
