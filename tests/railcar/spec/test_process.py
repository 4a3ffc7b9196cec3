"""What config.json's process asks for, and what the program then finds. runtime-spec config.md, "Process"."""

import os
import platform
import resource
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.root

LIMITS = {
    "RLIMIT_AS": ("Max address space", 1 << 34),
    "RLIMIT_CORE": ("Max core file size", 0),
    "RLIMIT_CPU": ("Max cpu time", 3000),
    "RLIMIT_DATA": ("Max data size", 1 << 30),
    "RLIMIT_FSIZE": ("Max file size", 1 << 30),
    "RLIMIT_LOCKS": ("Max file locks", 100),
    "RLIMIT_MEMLOCK": ("Max locked memory", 4096),
    "RLIMIT_MSGQUEUE": ("Max msgqueue size", 4096),
    "RLIMIT_NICE": ("Max nice priority", 0),
    "RLIMIT_NOFILE": ("Max open files", 99),
    "RLIMIT_NPROC": ("Max processes", 500),
    "RLIMIT_RSS": ("Max resident set", 1 << 30),
    "RLIMIT_RTPRIO": ("Max realtime priority", 0),
    "RLIMIT_RTTIME": ("Max realtime timeout", 1000000),
    "RLIMIT_SIGPENDING": ("Max pending signals", 100),
    "RLIMIT_STACK": ("Max stack size", 1 << 22),
}


def status(box: Any, **process: Any) -> dict[str, str]:
    box.config["process"].update(process)
    lines = box.run("cat /proc/self/status").stdout.splitlines()
    return {key: value.strip() for key, value in (line.split(":", 1) for line in lines)}


def bits(*names: str) -> int:
    from ocicommon.linux.capabilities import NAMES

    return sum(1 << NAMES.index(name) for name in names)


def test_line_048_the_working_directory_is_where_the_program_starts(box: Any) -> None:
    box.config["process"]["cwd"] = "/deep/in/it"
    assert box.run("pwd").stdout == "/deep/in/it\n"


def test_line_049_the_environment_is_the_configs_and_the_last_of_a_name_counts(box: Any) -> None:
    box.config["process"]["env"] = ["PATH=/bin", "A=1", "EMPTY=", "A=2"]
    found = box.run(["/bin/env"]).stdout.splitlines()
    assert sorted(found) == ["A=2", "EMPTY=", "HOME=/", "PATH=/bin"]


@pytest.mark.parametrize(("uid", "home"), [(0, "/root-home"), (1000, "/home/someone"), (4321, "/")])
def test_line_049_home_is_from_the_containers_passwd(box: Any, uid: int, home: str) -> None:
    (box.root / "etc").mkdir()
    (box.root / "etc/passwd").write_text("root:x:0:0::/root-home:/bin/sh\nsomeone:x:1000:1000::/home/someone:/bin/sh\n")
    box.config["process"]["user"] = {"uid": uid, "gid": uid}
    assert f"HOME={home}" in box.run(["/bin/env"]).stdout.splitlines()


def test_line_049_a_home_that_is_given_stays(box: Any) -> None:
    box.config["process"]["env"] = ["PATH=/bin", "HOME=/given"]
    assert "HOME=/given" in box.run(["/bin/env"]).stdout.splitlines()


def test_line_050_a_program_is_looked_for_in_the_path_of_the_container(box: Any) -> None:
    (box.root / "opt").mkdir()
    (box.root / "opt/hello").symlink_to("/bin/busybox")
    (box.root / "opt/tool").write_text("#!/bin/sh\necho found $0 $1\n")
    (box.root / "opt/tool").chmod(0o755)
    box.config["process"]["env"] = ["PATH=/nowhere:/opt"]
    assert box.run(["tool", "one two"]).stdout == "found /opt/tool one two\n"


def test_line_050_arguments_arrive_as_they_are(box: Any) -> None:
    odd = ["", "a b", "$HOME", "'", "\u00fc\u4e16", "-n"]
    given = ["/bin/sh", "-c", 'for i in "$@"; do echo "[$i]"; done', "sh", *odd]
    assert box.run(given).stdout.splitlines() == [f"[{word}]" for word in odd]


def test_line_051_user_and_group(box: Any) -> None:
    found = status(box, user={"uid": 1234, "gid": 4321})
    assert (found["Uid"].split(), found["Gid"].split()) == (["1234"] * 4, ["4321"] * 4)
    assert found["Groups"] == ""


def test_line_052_additional_groups(box: Any) -> None:
    assert status(box, user={"uid": 1, "gid": 2, "additionalGids": [30, 40]})["Groups"].split() == ["30", "40"]


def test_line_053_umask(box: Any) -> None:
    assert status(box)["Umask"] == "0022"
    assert status(box, user={"uid": 0, "gid": 0, "umask": 0o137})["Umask"] == "0137"


@pytest.mark.parametrize("name", sorted(LIMITS))
def test_line_054_limits(box: Any, name: str) -> None:
    label, wanted = LIMITS[name]
    hard = resource.getrlimit(getattr(resource, name))[1] if hasattr(resource, name) else resource.RLIM_INFINITY
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    box.config["process"]["rlimits"] = [{"type": name, "soft": wanted, "hard": wanted}]
    line = next(line for line in box.run("cat /proc/self/limits").stdout.splitlines() if line.startswith(label))
    assert line[len(label) :].split()[:2] == [str(wanted)] * 2


def test_line_054_a_limit_twice_or_of_no_name_is_refused(box: Any) -> None:
    box.config["process"]["rlimits"] = [{"type": "RLIMIT_NOTHING", "soft": 1, "hard": 1}]
    assert "RLIMIT_NOTHING" in box.run("true", fails=True).stderr


def test_line_055_to_058_capabilities_of_root(box: Any) -> None:
    found = status(
        box,
        capabilities={
            "bounding": ["CAP_KILL", "CAP_CHOWN", "CAP_NET_RAW"],
            "permitted": ["CAP_KILL", "CAP_CHOWN"],
            "effective": ["CAP_KILL"],
            "inheritable": ["CAP_CHOWN"],
        },
    )
    assert int(found["CapBnd"], 16) == bits("CAP_KILL", "CAP_CHOWN", "CAP_NET_RAW")
    assert int(found["CapInh"], 16) == bits("CAP_CHOWN")
    # A program that root executes gains what the bounding set has: capabilities(7).
    assert int(found["CapPrm"], 16) == int(found["CapEff"], 16) == int(found["CapBnd"], 16)


def test_line_055_to_059_capabilities_of_a_user_are_the_ambient_ones(box: Any) -> None:
    both = ["CAP_KILL", "CAP_NET_BIND_SERVICE"]
    found = status(
        box,
        user={"uid": 1000, "gid": 1000},
        capabilities={
            "bounding": [*both, "CAP_CHOWN"],
            "permitted": both,
            "effective": both,
            "inheritable": both,
            "ambient": ["CAP_KILL"],
        },
    )
    for name in ("CapPrm", "CapEff", "CapAmb"):
        assert int(found[name], 16) == bits("CAP_KILL"), name
    assert int(found["CapInh"], 16) == bits(*both)
    assert int(found["CapBnd"], 16) == bits(*both, "CAP_CHOWN")


def test_line_055_no_capabilities_are_none_at_all(box: Any) -> None:
    found = status(box, capabilities={"bounding": [], "effective": [], "permitted": []})
    assert {found[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0" * 16}


def test_line_055_a_capability_of_no_name_is_left_out_with_a_warning(box: Any) -> None:
    box.config["process"]["capabilities"]["bounding"] = ["CAP_KILLL", "CAP_CHOWN"]
    box.config["process"]["capabilities"]["effective"] = box.config["process"]["capabilities"]["permitted"] = []
    done = box.run("grep CapBnd /proc/self/status")
    assert int(done.stdout.split()[1], 16) == bits("CAP_CHOWN")
    said = 'process.capabilities has "CAP_KILLL", which is no capability: it is left out'
    assert done.stderr.count(said) == 1


@pytest.mark.parametrize("wanted", [True, False])
def test_line_060_no_new_privileges(box: Any, wanted: bool) -> None:
    assert status(box, noNewPrivileges=wanted)["NoNewPrivs"] == str(int(wanted))


def test_line_061_an_apparmor_profile_that_cannot_be_applied_is_an_error(box: Any) -> None:
    if os.path.exists("/sys/module/apparmor/parameters/enabled"):
        pytest.skip("this kernel has AppArmor, so the profile might be applied")
    box.config["process"]["apparmorProfile"] = "some-profile"
    assert "AppArmor" in box.run("true", fails=True).stderr


def test_line_062_a_selinux_label_that_cannot_be_applied_is_an_error(box: Any) -> None:
    if os.path.exists("/sys/fs/selinux/enforce"):
        pytest.skip("this kernel has SELinux, so the label might be applied")
    box.config["process"]["selinuxLabel"] = "system_u:system_r:container_t:s0"
    assert "SELinux" in box.run("true", fails=True).stderr


def test_line_063_oom_score_adjustment(box: Any) -> None:
    box.config["process"]["oomScoreAdj"] = 321
    assert box.run("cat /proc/self/oom_score_adj").stdout == "321\n"


@pytest.mark.parametrize(
    ("scheduler", "nice", "policy"),
    [
        ({"policy": "SCHED_OTHER", "nice": 7}, "7", "0"),
        ({"policy": "SCHED_BATCH", "nice": 5}, "5", "3"),
        ({"policy": "SCHED_IDLE"}, None, "5"),  # the kernel leaves the niceness as it was
    ],
)
def test_line_064_scheduler(box: Any, scheduler: dict[str, Any], nice: str | None, policy: str) -> None:
    box.config["process"]["scheduler"] = scheduler
    found = box.run("awk '{print $19, $41}' /proc/self/stat").stdout.split()
    assert found[1] == policy
    assert nice in (None, found[0])


def test_line_064_a_policy_of_no_name_is_refused(box: Any) -> None:
    box.config["process"]["scheduler"] = {"policy": "SCHED_LATER"}
    assert "SCHED_LATER" in box.run("true", fails=True).stderr


def test_line_065_io_priority(box: Any) -> None:
    box.config["process"]["ioPriority"] = {"class": "IOPRIO_CLASS_BE", "priority": 6}
    assert box.run("ionice -p $$").stdout.split() == ["best-effort:", "prio", "6"]


@pytest.fixture
def running(box: Any) -> Iterator[Any]:
    """The box's container, running until the end of the test; `exec` is for commands in it."""
    box._write("while :; do sleep 1; done")
    name = box.directory.name
    box.railcar("create", "--bundle", str(box.directory), name)
    box.railcar("start", name)
    yield lambda *command: box.railcar("exec", name, *command).stdout
    box.railcar("delete", "--force", name)


def test_line_066_affinity_of_what_is_executed(box: Any) -> None:
    allowed = sorted(os.sched_getaffinity(0))
    box.config["process"]["execCPUAffinity"] = {"initial": str(allowed[0]), "final": str(allowed[-1])}
    box._write("while :; do sleep 1; done")
    name = box.directory.name
    box.railcar("create", "--bundle", str(box.directory), name)
    try:
        box.railcar("start", name)
        shown = box.railcar("exec", name, "grep", "Cpus_allowed_list", "/proc/self/status").stdout
        assert shown.split() == ["Cpus_allowed_list:", str(allowed[-1])]
    finally:
        box.railcar("delete", "--force", name)


def test_an_executed_program_gets_what_the_process_has(running: Any) -> None:
    assert running("sh", "-c", "echo $PATH; pwd; id -u").split() == ["/bin", "/", "0"]


def test_line_079_personality(box: Any) -> None:
    if platform.machine() != "x86_64":
        pytest.skip("the name of the 32 bit machine is known for x86_64 only")
    assert box.run("uname -m").stdout == "x86_64\n"
    box.config["linux"]["personality"] = {"domain": "LINUX32"}
    assert box.run("uname -m").stdout == "i686\n"


def test_line_082_memory_policy(box: Any) -> None:
    if not Path("/proc/self/numa_maps").exists():
        pytest.skip("this kernel knows no NUMA")
    box.config["linux"]["memoryPolicy"] = {"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES"]}
    assert "bind" in box.run("cat /proc/self/numa_maps").stdout


def test_line_028_annotations_are_in_the_state(box: Any) -> None:
    box.config["annotations"] = {"org.example.key": "value"}
    box._write("true")
    name = box.directory.name
    box.railcar("create", "--bundle", str(box.directory), name)
    try:
        assert '"org.example.key": "value"' in box.railcar("state", name).stdout.replace('":"', '": "')
    finally:
        box.railcar("delete", "--force", name)


def test_line_001_the_bundle_is_the_current_directory_by_default(box: Any) -> None:
    box._write("echo here")
    command = [str(box.command), "--root", str(box.directory / "state"), "run", box.directory.name]
    done = subprocess.run(command, cwd=box.directory, capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout == "here\n"


def test_line_001_a_bundle_without_a_config_is_named(box: Any) -> None:
    done = box.railcar("run", "--bundle", str(box.directory), "x", check=False)
    assert done.returncode != 0
    assert str(box.directory) in done.stderr


@pytest.mark.parametrize("version", ["", "1", "1.x.0", "3.0.0", "one"])
def test_line_002_a_version_that_is_none_or_not_ours_is_refused(box: Any, version: str) -> None:
    box.config["ociVersion"] = version
    assert "ociVersion" in box.run("true", fails=True).stderr


def test_line_002_unknown_keys_are_ignored(box: Any) -> None:
    box.config["somethingNew"] = {"a": 1}
    box.config["linux"]["newerStill"] = []
    assert box.run("echo fine").stdout == "fine\n"


def test_line_012_descriptors_are_passed_on_only_when_asked(box: Any) -> None:
    box._write("ls /proc/self/fd | tr '\\n' ' '")
    base = [str(box.command), "--root", str(box.directory / "state"), "run", "--bundle", str(box.directory)]

    def shown(*options: str) -> list[str]:
        command = ["sh", "-c", 'exec "$@" 3</dev/null 4</dev/null', "sh", *base, *options, "fds"]
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True, timeout=120
        )
        return done.stdout.split()

    # `ls` opens the directory itself on the first free number.
    assert shown() == ["0", "1", "2", "3"]
    assert shown("--preserve-fds", "1") == ["0", "1", "2", "3", "4"]
    assert shown("--preserve-fds", "2") == ["0", "1", "2", "3", "4", "5"]
