"""What a container's program is given: descriptors, capabilities, signals, environment. Nothing of the runtime's."""

import signal

import pytest
from attack_support import CAPABILITIES

pytestmark = pytest.mark.root

# No shell: that sets signals of its own.
FIELDS = ["/bin/grep", "-E", "^(Cap|Sig[BI]|NoNew|Seccomp:)", "/proc/self/status"]
BITS = {
    "CAP_CHOWN": 0,
    "CAP_DAC_OVERRIDE": 1,
    "CAP_FOWNER": 3,
    "CAP_FSETID": 4,
    "CAP_KILL": 5,
    "CAP_SETGID": 6,
    "CAP_SETUID": 7,
    "CAP_SETPCAP": 8,
    "CAP_NET_BIND_SERVICE": 10,
    "CAP_NET_RAW": 13,
    "CAP_SYS_CHROOT": 18,
    "CAP_MKNOD": 27,
    "CAP_AUDIT_WRITE": 29,
    "CAP_SETFCAP": 31,
}


def fields(text):
    return {line.split(":")[0]: line.split(":")[1].strip() for line in text.splitlines() if ":" in line}


def mask(names):
    return f"{sum(1 << BITS[name] for name in names):016x}"


def test_only_standard_streams_are_open(bundle, runtime, host):
    """CVE-2024-21626, the leak: descriptors that the runtime, or its caller, had open."""
    bundle.config["process"]["args"] = ["/bin/ls", "-l", "/proc/self/fd"]
    links = [line.split(" -> ") for line in runtime.output(bundle, leaking=host).splitlines() if " -> " in line]
    numbers = sorted(int(left.split()[-1]) for left, _ in links)
    # ls has the directory itself open while it reads it.
    assert numbers in ([0, 1, 2], [0, 1, 2, 3])
    assert not [right for _, right in links if right.startswith("/") and not right.startswith(("/dev/", "/proc/"))]


@pytest.mark.parametrize("number", [3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 15, 20])
def test_no_working_directory_through_a_descriptor(bundle, runtime, host, number):
    """CVE-2024-21626, the use: cwd is /proc/self/fd/N, a directory of the host."""
    bundle.config["process"]["cwd"] = f"/proc/self/fd/{number}"
    bundle.shell("cat secret ../secret ../../../../../../../../etc/shadow; pwd")
    result = runtime.run(bundle, leaking=host)
    assert "host secret" not in result.stdout
    assert "root:" not in result.stdout
    assert result.returncode != 0


def test_no_working_directory_through_a_descriptor_in_exec(bundle, runtime, host):
    """CVE-2024-21626, by exec --cwd."""
    bundle.shell("sleep 1000")
    runtime.start(bundle)
    for number in (3, 4, 5, 6, 7, 8, 9, 10, 20):
        for place in ("self", "1"):
            result = runtime.call(
                "exec", "--cwd", f"/proc/{place}/fd/{number}", "attack", "/bin/cat", "secret", leaking=host
            )
            assert result.returncode != 0
            assert "host secret" not in result.stdout


def test_capabilities_are_those_of_the_configuration_and_none_is_inherited(bundle, runtime):
    """CVE-2022-24769, CVE-2022-27650: a non-empty inheritable set."""
    bundle.config["process"]["args"] = FIELDS
    status = fields(runtime.output(bundle))
    wanted = mask(CAPABILITIES)
    assert {name: status[name] for name in status if name.startswith("Cap")} == {
        "CapInh": "0" * 16,
        "CapPrm": wanted,
        "CapEff": wanted,
        "CapBnd": wanted,
        "CapAmb": "0" * 16,
    }


@pytest.mark.parametrize("extra", [(), ("--cap", "CAP_KILL"), ("--cap", "CAP_NET_RAW", "--cap", "CAP_CHOWN")])
def test_exec_inherits_nothing_either(bundle, runtime, extra):
    """CVE-2022-29162: exec --cap made the inheritable set non-empty."""
    bundle.shell("sleep 1000")
    runtime.start(bundle)
    result = runtime.call("exec", *extra, "attack", *FIELDS)
    assert result.returncode == 0, result.stderr
    status = fields(result.stdout)
    assert status["CapInh"] == "0" * 16
    assert int(status["CapAmb"], 16) == 0
    assert int(status["CapBnd"], 16) & ~int(mask(CAPABILITIES), 16) == 0


@pytest.mark.parametrize("uid", [0, 1000])
@pytest.mark.parametrize("chosen", [[], ["CAP_KILL"], ["CAP_CHOWN", "CAP_NET_RAW", "CAP_SETFCAP"]])
@pytest.mark.parametrize("no_new_privileges", [True, False])
def test_a_program_has_at_most_what_is_written(bundle, runtime, uid, chosen, no_new_privileges):
    bundle.config["process"]["user"] = {"uid": uid, "gid": uid}
    bundle.config["process"]["capabilities"] = dict.fromkeys(("bounding", "effective", "permitted"), chosen)
    bundle.config["process"]["noNewPrivileges"] = no_new_privileges
    bundle.config["process"]["args"] = FIELDS
    status = fields(runtime.output(bundle))
    assert status["CapBnd"] == mask(chosen)
    assert status["CapInh"] == status["CapAmb"] == "0" * 16
    assert status["CapEff"] == status["CapPrm"] == (mask(chosen) if uid == 0 else "0" * 16)
    assert status["NoNewPrivs"] == str(int(no_new_privileges))


def test_signals_arrive_as_by_default(bundle, runtime):
    """Python ignores SIGPIPE and SIGXFSZ, callers ignore more: a program must find none ignored and none blocked."""
    bundle.config["process"]["args"] = FIELDS
    bundle.write()
    ignored = (signal.SIGINT, signal.SIGPIPE, signal.SIGXFSZ, signal.SIGHUP, signal.SIGUSR1)

    def worse():
        for number in ignored:
            signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2, signal.SIGTERM, signal.SIGCHLD])

    status = fields(runtime.output(bundle, preexec_fn=worse, restore_signals=False))
    assert (status["SigIgn"], status["SigBlk"]) == ("0" * 16, "0" * 16)
    bundle.shell("sleep 1000")
    runtime.start(bundle, "second")
    result = runtime.call("exec", "second", *FIELDS, preexec_fn=worse, restore_signals=False)
    status = fields(result.stdout)
    assert (status["SigIgn"], status["SigBlk"]) == ("0" * 16, "0" * 16)


def test_the_environment_is_the_configurations(bundle, runtime):
    """PEP 538 puts LC_CTYPE into the environment of a Python without a locale."""
    bundle.config["process"]["args"] = ["/bin/env"]
    bundle.config["process"]["env"] = ["PATH=/bin", "A=b=c"]
    outside = {"PATH": "/usr/bin:/bin", "PYTHONVERBOSE": "", "OUTSIDE": "leak"}
    seen = set(runtime.output(bundle, env=outside).split())
    assert seen - {"HOME=/"} == {"PATH=/bin", "A=b=c"}
    bundle.shell("sleep 1000")
    runtime.start(bundle, "second")
    seen = set(runtime.call("exec", "second", "/bin/env", env=outside).stdout.split())
    assert seen - {"HOME=/"} == {"PATH=/bin", "A=b=c"}


def test_nothing_is_said_when_nothing_is_wrong(bundle, runtime):
    """Callers merge the streams and parse them."""
    bundle.shell("sleep 1000")
    bundle.write()
    runtime.start(bundle)
    for arguments in (["state", "attack"], ["ps", "attack"], ["list"], ["kill", "attack", "KILL"]):
        result = runtime.call(*arguments, env={})
        assert result.returncode == 0, result.stderr
        assert result.stderr == ""


@pytest.mark.parametrize(
    "user",
    [
        "4294967296",
        "4294967295",
        "-1",
        "0:4294967296",
        "0:-1",
        "1_0",
        " 7",
        "7 ",
        "+7",
        "٣",
        "0x0",
        "1e3",
        "7:",
        ":7",
        "7:7:7",
        "99999999999999999999",
    ],
)
def test_a_user_that_is_no_number_becomes_nobody(bundle, runtime, user):
    """CVE-2026-30892 and the 32-bit overflow: a uid that is read wrongly is uid 0."""
    bundle.shell("sleep 1000")
    runtime.start(bundle)
    result = runtime.call("exec", f"--user={user}", "attack", "/bin/id")
    assert result.returncode != 0, result.stdout
    assert "uid=0" not in result.stdout
    assert "Traceback" not in result.stderr
    assert result.stderr.strip()


@pytest.mark.parametrize("field", ["hostID", "containerID", "size"])
@pytest.mark.parametrize("value", [1 << 32, (1 << 64) + 1, -1, "0"])
def test_mappings_that_do_not_fit_are_refused(bundle, runtime, field, value):
    """CVE-2021-43784: lengths and ids that wrap around."""
    bundle.config["linux"]["namespaces"].append({"type": "user"})
    mapping = {"containerID": 0, "hostID": 100000, "size": 65536}
    bundle.config["linux"]["uidMappings"] = [mapping | {field: value}]
    bundle.config["linux"]["gidMappings"] = [mapping]
    runtime.refused(bundle)
