"""features, spec, validate, doctor and inspect, through the installed command."""

import json
import os
import subprocess

import pytest
from ocicommon import document
from ocicommon.runtime import Config, Features


def run(railcar, *words):
    return subprocess.run([railcar, *words], capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture(scope="module")
def features(railcar):
    done = run(railcar, "features")
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


def test_features_are_a_valid_document(features):
    document.parse(json.dumps(features), Features)


def test_lines_140_to_144(features):
    """Checklist 140 to 144: versions, hooks, mount options, annotations and the unsafe ones."""
    assert (features["ociVersionMin"], features["ociVersionMax"]) == ("1.0.0", "1.3.0")
    assert len(features["hooks"]) == 6
    assert {"bind", "rro", "ridmap", "tmpcopyup", "nosymfollow"} <= set(features["mountOptions"])
    assert features["annotations"]["railcar.version"]
    assert features["potentiallyUnsafeConfigAnnotations"] == ["org.systemd.property."]


def test_lines_145_and_146_are_those_of_the_kernel(features):
    """Checklist 145, 146."""
    linux = features["linux"]
    names = {"net": "network", "mnt": "mount"}
    there = {names.get(name, name) for name in os.listdir("/proc/self/ns") if not name.endswith("for_children")}
    assert set(linux["namespaces"]) == there
    with open("/proc/sys/kernel/cap_last_cap") as file:
        assert len(linux["capabilities"]) == int(file.read()) + 1


def test_lines_147_to_154(features):
    """Checklist 147 to 154."""
    linux = features["linux"]
    assert set(linux["cgroup"]) == {"v1", "v2", "systemd", "systemdUser", "rdma"}
    assert len(linux["seccomp"]["actions"]) == 9
    assert len(linux["seccomp"]["operators"]) == 7
    assert "SCMP_ARCH_X86_64" in linux["seccomp"]["archs"]
    assert set(linux["seccomp"]["supportedFlags"]) <= set(linux["seccomp"]["knownFlags"])
    for key in ("apparmor", "selinux", "intelRdt", "netDevices"):
        assert linux[key]["enabled"] is True
    assert "MPOL_BIND" in linux["memoryPolicy"]["modes"]
    assert linux["mountExtensions"]["idmap"]["enabled"] in (True, False)


@pytest.mark.parametrize("options", [[], ["--rootless"]])
def test_spec_writes_a_valid_config_once(railcar, tmp_path, options):
    (tmp_path / "rootfs").mkdir()
    assert run(railcar, "spec", *options, "-b", str(tmp_path)).returncode == 0
    written = (tmp_path / "config.json").read_text()
    document.parse(written, Config)
    again = run(railcar, "spec", "-b", str(tmp_path))
    assert again.returncode == 1
    assert "exists. Remove it first" in again.stderr
    assert (tmp_path / "config.json").read_text() == written
    assert run(railcar, "validate", str(tmp_path)).stdout == f"{tmp_path}: nothing to mend\n"


def test_the_first_config_runs(box):
    box.command("spec", "--bundle", str(box.bundle))
    box.config = json.loads((box.bundle / "config.json").read_text())
    box.config["process"]["terminal"] = False
    box.config["linux"]["cgroupsPath"] = "/" + box.name
    box.start("echo ready; exec /bin/busybox cat /wait")
    assert box.state()["status"] == "running"


BROKEN = """{
  "ociVersion": "1.2.0",
  "process": {
    "cwd": "relative",
    "args": ["sh"],
    "terminla": true,
    "capabilities": {"bounding": ["CAP_NONSENSE"]}
  },
  "root": {"path": "absent"},
  "mounts": [
    {"destination": "/x", "source": "/nowhere/at/all", "options": ["bind"]}
  ],
  "linux": {
    "namespaces": [{"type": "pid"}, {"type": "mount"}],
    "resources": {"memory": {"limit": "1G"}},
    "maskedPath": []
  }
}
"""


def test_validate_reports_everything_with_line_and_column(railcar, tmp_path):
    (tmp_path / "config.json").write_text(BROKEN)
    done = run(railcar, "validate", str(tmp_path))
    assert done.returncode == 1
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    places = {int(line.split(":")[1]): line for line in lines}
    assert set(places) >= {4, 6, 7, 9, 11, 15, 16}
    assert "absolute" in places[4]
    assert 'perhaps "terminal"?' in places[6]
    assert "CAP_NONSENSE" in places[7]
    assert "absent" in places[9]
    assert "/nowhere/at/all does not exist" in places[11]
    assert "expected an integer" in places[15]
    assert 'perhaps "maskedPaths"?' in places[16]
    entries = json.loads(run(railcar, "validate", "--json", str(tmp_path)).stdout)
    assert len(entries) == len(lines)
    assert {entry["severity"] for entry in entries} == {"error", "warning"}


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"ociVersion": NaN}', '{"a": 1, "a": 2}', "\ufeff{}", '"x"', "[" * 5000]
)
def test_validate_has_a_sentence_for_any_text(railcar, tmp_path, text):
    (tmp_path / "config.json").write_text(text)
    done = run(railcar, "validate", str(tmp_path))
    assert done.returncode == 1
    assert done.stdout.startswith("config.json:")
    assert done.stderr == ""


def test_validate_without_a_config(railcar, tmp_path):
    done = run(railcar, "validate", str(tmp_path))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.strip().endswith("no such file or directory")


def test_doctor_answers_with_advice(railcar, tmp_path):
    done = run(railcar, "--root", str(tmp_path / "state"), "doctor")
    assert done.stderr == ""
    assert done.stdout.splitlines()[-1] in ("Containers can run here.", "Containers cannot run here.")
    found = json.loads(run(railcar, "--root", str(tmp_path / "state"), "doctor", "--json").stdout)
    names = [answer["name"] for answer in found["answers"]]
    assert {"kernel", "privileges", "cgroups", "seccomp", "subordinate ids"} <= set(names)
    for answer in found["answers"]:
        assert answer["answer"] in ("yes", "partly", "no")
        assert answer["answer"] == "yes" or answer["advice"]


def test_doctor_says_no_for_a_state_directory_that_cannot_be(railcar, tmp_path):
    (tmp_path / "file").touch()
    done = run(railcar, "--root", str(tmp_path / "file/state"), "doctor", "--json")
    (answer,) = [entry for entry in json.loads(done.stdout)["answers"] if entry["name"] == "state directory"]
    assert done.returncode == 1
    assert (answer["answer"], "--root" in answer["advice"]) == ("no", True)


def test_inspect_shows_state_figures_mounts_and_namespaces(box):
    box.config["linux"]["resources"] = {"memory": {"limit": 128 << 20}}
    box.start()
    found = json.loads(box.command("inspect", "--json", "ID").stdout)
    assert found["state"]["status"] == "running"
    assert found["cgroup"]["pids"] == [found["state"]["pid"]]
    assert found["cgroup"]["limits"]["memory"]["limit"] == 128 << 20
    assert "/proc" in [mount["target"] for mount in found["mounts"]]
    assert found["namespaces"]["pid"] != os.readlink("/proc/self/ns/pid")
    text = box.command("inspect", "ID").stdout
    assert text.startswith(f"{box.name}: running, process {found['state']['pid']}\n")
    assert "mounts\n" in text
    box.command("kill", "ID", "KILL")


HOOKS = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart")


def test_inspect_shows_the_steps_and_the_hooks(box):
    said = {"path": "/bin/sh", "args": ["sh", "-c", "cat > /dev/null; echo said by a hook"]}
    box.config["hooks"] = {kind: [said] for kind in HOOKS}
    box.config["hooks"]["startContainer"].append({"path": "/bin/sh", "args": ["sh", "-c", ":"]})
    box.start()
    found = json.loads(box.command("inspect", "--json", "ID").stdout)
    told = [(hook["kind"], hook["index"], hook["status"]) for hook in found["hooks"]]
    assert told == [*((kind, 0, 0) for kind in HOOKS[:4]), ("startContainer", 1, 0), ("poststart", 0, 0)]
    assert [hook["output"] for hook in found["hooks"]].count("said by a hook\n") == 5
    assert "cgroups" in [step["step"] for step in found["steps"]]
    text = box.command("inspect", "ID").stdout
    assert "said by a hook" in text
    assert "steps of its creation" in text


def test_a_hook_in_the_container_that_says_much_is_told_in_part(box):
    loud = {"path": "/bin/sh", "args": ["sh", "-c", "i=0; while [ $i -lt 9000 ]; do echo $i; i=$((i+1)); done"]}
    box.config["hooks"] = {kind: [loud] for kind in ("createContainer", "startContainer")}
    box.start()
    found = json.loads(box.command("inspect", "--json", "ID").stdout)
    assert [hook["status"] for hook in found["hooks"]] == [0, 0]
    assert all(hook["output"].startswith("0\n1\n2\n") for hook in found["hooks"])


@pytest.mark.parametrize("way", ["option", "variable"])
def test_a_trace_has_a_line_per_step(box, tmp_path, monkeypatch, way):
    box.write()
    trace = tmp_path / "trace"
    if way == "variable":
        monkeypatch.setenv("RAILCAR_TRACE", str(trace))
    box.command(*(["--trace", str(trace)] if way == "option" else []), "create", "-b", str(box.bundle), "ID")
    steps = [json.loads(line) for line in trace.read_text().splitlines()]
    assert {"plan", "cgroups", "mounts"} <= {step["step"] for step in steps}
    assert all(step["took_us"] >= 0 for step in steps)


def test_intel_rdt_without_resctrl_is_one_sentence_and_leaves_nothing(box):
    """Checklist 123: on a machine without it."""
    if os.path.exists("/sys/fs/resctrl/schemata"):
        pytest.skip("this machine has resctrl")
    box.config["linux"]["intelRdt"] = {"l3CacheSchema": "L3:0=f"}
    box.write()
    done = box.command("create", "-b", str(box.bundle), "ID", check=False)
    assert done.returncode == 1
    assert "linux.intelRdt needs resctrl on /sys/fs/resctrl" in done.stderr
    assert not (box.root / box.name).exists()
