"""Namespaces by path, of users, and what `exec` joins."""

import os
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest

MakeBundle = Callable[..., Any]
FILES = {"pid": "pid", "mount": "mnt", "ipc": "ipc", "uts": "uts", "network": "net", "cgroup": "cgroup", "time": "time"}
USER_RANGE = {"uidMappings": [{"containerID": 0, "hostID": 100000, "size": 65536}]}
USER_RANGE["gidMappings"] = USER_RANGE["uidMappings"]


def inside(runner: Any, made: Any) -> dict[str, str]:
    """Spec type -> the namespace's identity, as the container's program sees it."""
    text = runner.out(made.write())
    found = dict(line.split(" ", 1) for line in text.splitlines())
    return {kind: found[file] for kind, file in FILES.items()}


def outside(kind: str, pid: int | str = "self") -> str:
    return os.readlink(f"/proc/{pid}/ns/{FILES.get(kind, kind)}")


@pytest.fixture
def spying(bundle: MakeBundle) -> Any:
    return bundle("sh", "-c", "for n in pid mnt ipc uts net cgroup time; do echo $n $(readlink /proc/self/ns/$n); done")


@pytest.fixture
def sleeper() -> Iterator[Callable[..., int]]:
    """Starts `unshare ARGS sleep` and gives the pid that is in the new namespaces."""
    started = []

    def start(*arguments: str) -> int:
        command = ["unshare", *arguments, "sh", "-c", "echo ready; exec sleep 100000"]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        started.append(child)
        assert child.stdout is not None
        if child.stdout.readline() != b"ready\n":
            pytest.skip(f"this machine does not let unshare {' '.join(arguments)}")
        return child.pid

    yield start
    for child in started:
        child.kill()
        child.communicate()


def test_line_071_hostname_and_domainname(runner: Any, bundle: MakeBundle) -> None:
    made = bundle("sh", "-c", "hostname; cat /proc/sys/kernel/domainname")
    made.config |= {"hostname": "a-name", "domainname": "a-domain"}
    assert runner.out(made.write()) == "a-name\na-domain\n"


@pytest.mark.parametrize("kind", ["network", "ipc", "uts", "cgroup", "time"])
def test_line_075_join_by_path(runner: Any, spying: Any, sleeper: Any, kind: str) -> None:
    pid = sleeper({"network": "--net", "time": "--time"}.get(kind, f"--{kind}"))
    file = FILES[kind]
    wanted = outside(kind, pid)
    listed = [entry for entry in spying.config["linux"]["namespaces"] if entry["type"] != kind]
    spying.config["linux"]["namespaces"] = [*listed, {"type": kind, "path": f"/proc/{pid}/ns/{file}"}]
    assert inside(runner, spying)[kind] == wanted


def test_line_075_join_a_pid_namespace_of_another_container(runner: Any, bundle: MakeBundle) -> None:
    first = runner.id()
    runner.ok("run", "-d", "--bundle", bundle("sleep", "1000").path, first)
    pid = runner.state(first)["pid"]
    made = bundle("sh", "-c", "readlink /proc/self/ns/pid; cat /proc/1/cmdline | tr '\\0' ' '; echo")
    made.config["linux"]["namespaces"][0]["path"] = f"/proc/{pid}/ns/pid"
    assert runner.out(made.write()) == f"{outside('pid', pid)}\nsleep 1000 \n"


def test_line_075_path_of_another_type_is_refused(runner: Any, spying: Any) -> None:
    spying.config["linux"]["namespaces"][4]["path"] = "/proc/self/ns/uts"
    done = runner("run", "--bundle", spying.write().path, runner.id())
    assert done.returncode == 1
    assert 'another type than "network"' in done.stderr
    spying.config["linux"]["namespaces"][4]["path"] = "/etc/passwd"
    done = runner("run", "--bundle", spying.write().path, runner.id())
    assert "is no namespace" in done.stderr
    spying.config["linux"]["namespaces"][4]["path"] = "/no/such"
    done = runner("run", "--bundle", spying.write().path, runner.id())
    assert done.stderr.rstrip().endswith("no such file or directory")


def user_bundle(bundle: MakeBundle, *command: str, docker: bool = False) -> Any:
    made = bundle(*command, docker=docker)
    made.config["linux"]["namespaces"].append({"type": "user"})
    made.config["linux"] |= USER_RANGE
    for directory, names, files in os.walk(made.rootfs):
        for name in [".", *names, *files]:
            os.chown(os.path.join(directory, name), 100000, 100000, follow_symlinks=False)
    return made.write()


@pytest.mark.parametrize("docker", [False, True])
def test_line_072_and_077_new_user_namespace(runner: Any, bundle: MakeBundle, docker: bool) -> None:
    made = user_bundle(bundle, "sh", "-c", "id -u; id -g; cat /proc/self/uid_map; touch /tmp/x", docker=docker)
    lines = runner.out(made).splitlines()
    assert lines[:2] == ["0", "0"]
    assert lines[2].split() == ["0", "100000", "65536"]
    assert (made.rootfs / "tmp/x").stat().st_uid == 100000


def test_line_077_several_ranges(runner: Any, bundle: MakeBundle) -> None:
    made = user_bundle(bundle, "sh", "-c", "cat /proc/self/uid_map; id -u")
    ranges = [{"containerID": 0, "hostID": 100000, "size": 10}, {"containerID": 1000, "hostID": 200000, "size": 5}]
    made.config["linux"] |= {"uidMappings": ranges, "gidMappings": ranges}
    made.config["process"]["user"] = {"uid": 1003, "gid": 1001}
    lines = runner.out(made.write()).splitlines()
    assert [line.split() for line in lines[:2]] == [["0", "100000", "10"], ["1000", "200000", "5"]]
    assert lines[2] == "1003"


def test_line_077_unmapped_user_is_named(runner: Any, bundle: MakeBundle) -> None:
    made = user_bundle(bundle, "true")
    made.config["process"]["user"] = {"uid": 70000, "gid": 0}
    done = runner("run", "--bundle", made.write().path, runner.id())
    assert done.returncode == 1
    assert "70000" in done.stderr
    assert "not mapped" in done.stderr


def test_line_072_user_namespace_without_mappings_is_refused(runner: Any, spying: Any) -> None:
    spying.config["linux"]["namespaces"].append({"type": "user"})
    done = runner("run", "--bundle", spying.write().path, runner.id())
    assert done.returncode == 1
    assert "uidMappings" in done.stderr


def test_line_075_user_namespace_by_path(runner: Any, bundle: MakeBundle) -> None:
    first = runner.id()
    runner.ok("run", "-d", "--bundle", user_bundle(bundle, "sleep", "1000").path, first)
    pid = runner.state(first)["pid"]
    made = user_bundle(bundle, "sh", "-c", "readlink /proc/self/ns/user; id -u")
    del made.config["linux"]["uidMappings"], made.config["linux"]["gidMappings"]
    made.config["linux"]["namespaces"][-1]["path"] = f"/proc/{pid}/ns/user"
    assert runner.out(made.write()) == f"{outside('user', pid)}\n0\n"


def test_line_075_user_and_network_namespace_by_path(runner: Any, bundle: MakeBundle) -> None:
    first = runner.id()
    runner.ok("run", "-d", "--bundle", user_bundle(bundle, "sleep", "1000").path, first)
    pid = runner.state(first)["pid"]
    made = user_bundle(bundle, "sh", "-c", "readlink /proc/self/ns/net; readlink /proc/self/ns/pid; id -u")
    del made.config["linux"]["uidMappings"], made.config["linux"]["gidMappings"]
    for entry in made.config["linux"]["namespaces"]:
        if entry["type"] in ("user", "network", "pid"):
            file = {"network": "net"}.get(entry["type"], entry["type"])
            entry["path"] = f"/proc/{pid}/ns/{file}"
    assert runner.out(made.write()) == f"{outside('network', pid)}\n{outside('pid', pid)}\n0\n"


def test_line_075_new_user_namespace_with_the_hosts_network_by_path(
    runner: Any, bundle: MakeBundle, sleeper: Any
) -> None:
    pid = sleeper("--net")
    made = user_bundle(bundle, "readlink", "/proc/self/ns/net")
    for entry in made.config["linux"]["namespaces"]:
        if entry["type"] == "network":
            entry["path"] = f"/proc/{pid}/ns/net"
    assert runner.out(made.write()) == f"{outside('network', pid)}\n"


def test_exec_joins_all_of_them(runner: Any, bundle: MakeBundle) -> None:
    name = runner.id()
    made = user_bundle(bundle, "sleep", "1000")
    made.config["linux"]["namespaces"] += [{"type": "cgroup"}, {"type": "time"}]
    runner.ok("run", "-d", "--bundle", made.write().path, name)
    pid = runner.state(name)["pid"]
    script = "for n in pid mnt ipc uts net cgroup time user; do readlink /proc/self/ns/$n; done; id -u"
    files = ["pid", "mnt", "ipc", "uts", "net", "cgroup", "time", "user"]
    assert runner.ok("exec", name, "sh", "-c", script).splitlines() == [*(outside(file, pid) for file in files), "0"]


def test_line_073_cgroup_namespace_has_the_container_at_its_root(runner: Any, bundle: MakeBundle) -> None:
    text = runner.out(bundle("cat", "/proc/self/cgroup", docker=True))
    assert all(line.split(":", 2)[2] == "/" for line in text.splitlines()), text
