"""A config.json of any shape: a container, or one sentence and nothing left. Never a traceback."""

import copy
import json

import pytest
from attack_support import left_behind
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.root

NASTY = [
    None,
    True,
    -1,
    0,
    1 << 31,
    1 << 63,
    1 << 64,
    1.5,
    "",
    "x",
    "\0",
    "a\nb",
    "../..",
    "%s%n{0}",
    "é" * 100,
    "a" * 5000,
    [],
    {},
    [None],
    [[]],
    {"x": 1},
    ["a", "a"],
    [0],
]


def places(value, path=()):
    """The path of every value in a document."""
    yield path
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from places(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from places(inner, (*path, index))


def change(document, path, action, value):
    if not path:
        return value if action == "replace" else document
    parent = document
    for step in path[:-1]:
        parent = parent[step]
    if action == "remove":
        del parent[path[-1]]
    elif action == "replace":
        parent[path[-1]] = value
    elif isinstance(parent, list):
        parent.append(copy.deepcopy(parent[path[-1]]))
    else:
        parent[str(path[-1]) + "x"] = parent[path[-1]]
    return document


def check(bundle, runtime):
    """Create what is written; then remove it."""
    before = left_behind(bundle.path.parent)
    code, said = runtime.create(bundle)
    assert "Traceback" not in said
    assert "in a way it should not" not in said
    if code:
        assert said.strip()
        assert runtime.names() == [], said
        assert left_behind(bundle.path.parent) == before, said
    else:
        removed = runtime.call("delete", "--force", "attack")
        assert removed.returncode == 0, removed.stderr
        assert runtime.names() == []
        assert left_behind(bundle.path.parent) == before
    return code, said


def richer(config):
    """The configuration with more of what may be wrong in it."""
    config["process"]["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200}]
    config["process"]["oomScoreAdj"] = 100
    config["process"]["consoleSize"] = {"height": 24, "width": 80}
    config["process"]["scheduler"] = {"policy": "SCHED_BATCH", "nice": 1, "priority": 0, "flags": []}
    config["process"]["ioPriority"] = {"class": "IOPRIO_CLASS_BE", "priority": 4}
    config["linux"]["devices"] = [{"path": "/dev/x", "type": "c", "major": 1, "minor": 3, "fileMode": 438, "uid": 0}]
    config["linux"]["sysctl"] = {"net.ipv4.ip_forward": "1"}
    config["linux"]["resources"] |= {"pids": {"limit": 100}, "cpu": {"shares": 512}}
    config["linux"]["rootfsPropagation"] = "rprivate"
    config["linux"]["seccomp"] = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "architectures": ["SCMP_ARCH_X86_64"],
        "syscalls": [
            {
                "names": ["swapon"],
                "action": "SCMP_ACT_ERRNO",
                "errnoRet": 1,
                "args": [{"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}],
            }
        ],
    }
    config["hooks"] = {"createRuntime": [{"path": "/bin/true", "args": ["true"], "env": ["A=b"], "timeout": 30}]}
    config["annotations"] = {"a": "b"}
    return config


def test_the_configuration_that_is_broken_below_works(bundle, runtime):
    richer(bundle.config)
    bundle.write()
    assert check(bundle, runtime) == (0, "")


@settings(derandomize=True, deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_value_anywhere(bundle, runtime, data):
    config = richer(copy.deepcopy(bundle.config))
    for _ in range(data.draw(st.integers(1, 2))):
        if not isinstance(config, dict):
            break
        path = data.draw(st.sampled_from(sorted(places(config), key=str)))
        action = data.draw(st.sampled_from(["replace", "replace", "replace", "remove", "double"]))
        config = change(config, path, action, copy.deepcopy(data.draw(st.sampled_from(NASTY))))
    (bundle.path / "config.json").write_text(json.dumps(config))
    check(bundle, runtime)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "null",
        "[]",
        "1",
        '"x"',
        "{",
        "{}",
        '{"ociVersion": "1.0.2"',
        '{"ociVersion": "1.0.2",}',
        '{"ociVersion": NaN}',
        '{"ociVersion": Infinity}',
        "[" * 100_000,
        '{"a":' * 100_000,
        "\ufeff{}",
        '{"a": "\\ud800"}',
        '{"ociVersion": "1.0.2"} trailing',
        "{'ociVersion': '1.0.2'}",
    ],
    ids=str.__len__,
)
def test_text_that_is_no_configuration(bundle, runtime, text):
    (bundle.path / "config.json").write_text(text)
    code, said = check(bundle, runtime)
    assert code != 0
    assert "config.json" in said


@pytest.mark.parametrize("content", [b"\xff\xfe{}", b'{"ociVersion": "\xff"}', b"\0" * 100, bytes(range(256))])
def test_bytes_that_are_no_text(bundle, runtime, content):
    (bundle.path / "config.json").write_bytes(content)
    code, _ = check(bundle, runtime)
    assert code != 0


def written(bundle, old, new):
    text = json.dumps(bundle.config)
    assert old in text
    (bundle.path / "config.json").write_text(text.replace(old, new, 1))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"uid": 0', '"uid": 0, "uid": 1'),
        ('"uid": 0', '"uid": true'),
        ('"uid": 0', '"uid": 0.0'),
        ('"uid": 0', '"uid": "0"'),
        ('"uid": 0', '"uid": -1'),
        ('"uid": 0', '"uid": 4294967295'),
        ('"uid": 0', '"uid": 4294967296'),
        ('"/bin/true"', '"/bin/true\\u0000x"'),
        ('"/bin/true"', '"/bin/true\\ud800"'),
        ('"TERM=xterm"', '"TERM=\\u0000"'),
        ('"cwd": "/"', '"cwd": "relative"'),
        ('"cwd": "/"', '"cwd": ""'),
        ('"attacker"', '"a\\u0000b"'),
        ('{"type": "mount"}', '{"type": "mount"}, {"type": "mount"}'),
        ('{"type": "mount"}', '{"type": "mounts"}'),
        ('{"type": "uts"}', '{"type": "uts", "path": "/proc/self/ns/net"}'),
        ('{"type": "uts"}', '{"type": "uts", "path": "/etc/passwd"}'),
        ('"CAP_KILL"', '"CAP_FLY"'),
        ('"cwd": "/"', '"cwd": "/", "consoleSize": {"height": []}'),
        ('"cwd": "/"', '"cwd": "/", "scheduler": {"policy": ["SCHED_BATCH"]}'),
        ('"cwd": "/"', '"cwd": "/", "scheduler": {"policy": "SCHED_BATCH", "nice": "x"}'),
        ('"cwd": "/"', '"cwd": "/", "ioPriority": {"class": "IOPRIO_CLASS_BE", "priority": "a"}'),
    ],
)
def test_what_json_lets_through_and_a_container_must_not_have(bundle, runtime, old, new):
    written(bundle, old, new)
    code, said = check(bundle, runtime)
    if "CAP_FLY" in new:
        assert code == 0 or "CAP_FLY" in said
    else:
        assert code != 0
