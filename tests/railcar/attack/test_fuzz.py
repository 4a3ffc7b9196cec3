"""Configurations and command lines made by chance: a container, or one sentence and nothing left.

ATTACK_EXAMPLES=1000 in the environment tries so many of each kind, others each time.
"""

import copy
import functools
import json
import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ocicommon.runtime import Config
from test_bad_config import check, places, richer

pytestmark = pytest.mark.root

EXAMPLES = int(os.environ.get("ATTACK_EXAMPLES", "12"))
few = settings(
    derandomize="ATTACK_EXAMPLES" not in os.environ,
    deadline=None,
    database=None,
    max_examples=EXAMPLES,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
WORDS = ["", "x", "/x", "/bin/true", "/proc", "/dev", "../..", "a:b", "0", "é", "bind", "ro", "a" * 300, "CAP_KILL"]
NUMBERS = [-(1 << 63), -1, 0, 1, 2, 7, 1000, (1 << 31) - 1, 1 << 32, (1 << 63) - 1, (1 << 64) - 1]
# What would be done to the machine, and not to the container.
LEFT_ALONE = {"hooks", "root", "namespaces", "cgroupsPath", "netDevices", "intelRdt", "rootfsPropagation"}


def values(schema, depth=0):
    """A strategy for what a part of the specification's JSON schema allows."""
    if "$ref" in schema:
        return values(definitions()[schema["$ref"].rsplit("/", 1)[-1]], depth + 1)
    if "anyOf" in schema:
        return st.one_of([values(one, depth) for one in schema["anyOf"]])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    kind = schema.get("type")
    if kind == "object" and "properties" in schema:
        members = {name: values(inner, depth + 1) for name, inner in schema["properties"].items()}
        needed = {name: members.pop(name) for name in schema.get("required", ()) if name in members}
        chosen = {name: member for name, member in members.items() if name not in LEFT_ALONE}
        return st.fixed_dictionaries(needed, optional=chosen)
    if kind == "object":
        return st.dictionaries(st.sampled_from(WORDS), st.sampled_from(WORDS), max_size=3)
    if kind == "array":
        return st.lists(values(schema.get("items", {}), depth + 1), max_size=3)
    if kind == "integer":
        fitting = [n for n in NUMBERS if schema.get("minimum", n) <= n <= schema.get("maximum", n)]
        return st.sampled_from(fitting)
    return {
        "boolean": st.booleans(),
        "number": st.sampled_from([0.5, *NUMBERS]),
        "null": st.none(),
    }.get(kind, st.sampled_from(WORDS))


@functools.cache
def definitions():
    return Config.model_json_schema(by_alias=True)["$defs"]


def members(name):
    """(member, strategy) of a part of the specification."""
    found = definitions()[name]["properties"]
    return {member: values(schema) for member, schema in found.items() if member not in LEFT_ALONE}


@few
@given(data=st.data())
def test_what_the_specification_allows(bundle, runtime, data):
    """Every member by itself as the specification's models have it, whatever that means together."""
    config = richer(copy.deepcopy(bundle.config))
    for _ in range(data.draw(st.integers(1, 3))):
        part = data.draw(st.sampled_from(["Process", "Linux"]))
        member = data.draw(st.sampled_from(sorted(members(part))))
        config[part.lower()][member] = data.draw(members(part)[member], label=member)
    (bundle.path / "config.json").write_text(json.dumps(config))
    check(bundle, runtime)


@few
@given(data=st.data())
def test_bytes_that_were_changed(bundle, runtime, data):
    content = bytearray(json.dumps(richer(copy.deepcopy(bundle.config))).encode())
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(content) - 1))
        how = data.draw(st.sampled_from(["change", "insert", "remove", "repeat"]))
        if how == "change":
            content[place] = data.draw(st.integers(0, 255))
        elif how == "insert":
            content[place:place] = data.draw(
                st.sampled_from([b"\0", b'"', b"{", b"]", b",", b"\\", b"9", b"-", b"\xc3"])
            )
        elif how == "remove":
            del content[place : place + data.draw(st.integers(1, 40))]
        else:
            content[place:place] = content[place : place + data.draw(st.integers(1, 40))]
        content = content or bytearray(b"x")
    # The cgroup's name is how the test knows what is left behind.
    if bundle.config["linux"]["cgroupsPath"].encode() in content:
        (bundle.path / "config.json").write_bytes(content)
        check(bundle, runtime)


COMMANDS = """create start state kill delete exec run list ps pause resume update events spec features checkpoint
restore validate doctor inspect nonsense"""
OPTIONS = """--root --log --log-format --bundle -b --pid-file --console-socket --no-pivot --preserve-fds --all -a
--force -f --format --resources --process --user --cwd --env --cap --tty -t --detach -d --help --version --debug --
--systemd-cgroup --rootless --trace -r --json --interval --stats --no-new-keyring --memory --cpus -x -"""
ARGUMENTS = [
    "",
    "none",
    "..",
    "/",
    "a/b",
    "-1",
    "KILL",
    "999999",
    "json",
    "\udcff",
    "é",
    "x" * 300,
    "%s",
    "{}",
    "=",
    "--",
]


@few
@given(data=st.data())
def test_command_lines(bundle, runtime, data, tmp_path):
    word = st.sampled_from(OPTIONS.split()) | st.sampled_from(ARGUMENTS)
    joined = st.tuples(st.sampled_from(OPTIONS.split()), st.sampled_from(ARGUMENTS)).map("=".join)
    before = data.draw(st.lists(st.sampled_from(OPTIONS.split()) | joined, max_size=1))
    line = [*before, data.draw(st.sampled_from(COMMANDS.split())), *data.draw(st.lists(word | joined, max_size=5))]
    place = tmp_path / "empty"
    place.mkdir(exist_ok=True)
    result = runtime.call(*line, cwd=place)
    assert "Traceback" not in result.stderr + result.stdout
    assert "in a way it should not" not in result.stderr
    assert result.returncode >= 0
    assert result.returncode == 0 or (result.stderr + result.stdout).strip()


def test_each_kind_is_tried(bundle):
    """The generators above reach into the specification, and the changed document is a real one."""
    assert {"capabilities", "rlimits", "user"} <= set(members("Process"))
    assert {"resources", "seccomp", "sysctl", "devices"} <= set(members("Linux"))
    assert len(list(places(bundle.config))) > 100
