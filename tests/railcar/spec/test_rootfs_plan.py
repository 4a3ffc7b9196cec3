"""The plan of a container's root: decided without root, from config.json alone."""

import copy
from typing import Any

import pytest
from ocicommon.linux import mounts as m
from railcar.errors import ConfigError
from railcar.rootfs import filesystems, plan

BASE: dict[str, Any] = {
    "root": {"path": "rootfs"},
    "linux": {"namespaces": [{"type": kind} for kind in ("mount", "uts", "ipc", "network", "pid")]},
}


def made(**changes: Any) -> Any:
    config = copy.deepcopy(BASE)
    linux = changes.pop("linux", {})
    config.update(changes)
    config["linux"].update(linux)
    return plan(config, "/bundle")


def mount(**entry: Any) -> Any:
    return made(mounts=[entry]).mounts[0]


def refused(text: str, **changes: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        made(**changes)
    assert text in caught.value.message


def test_line_024_the_root_is_relative_to_the_bundle_or_absolute() -> None:
    assert made().rootfs == "/bundle/rootfs"
    assert made(root={"path": "/elsewhere/"}).rootfs == "/elsewhere"
    refused("root.path is missing", root={})


def test_line_025_a_read_only_root_is_noted() -> None:
    assert made(root={"path": "r", "readonly": True}).readonly
    assert not made().readonly


def test_line_030_mounts_keep_their_order_and_relative_sources_are_the_bundles() -> None:
    planned = made(
        mounts=[
            {"destination": "/b", "source": "data", "options": ["bind"]},
            {"destination": "/a", "type": "tmpfs", "source": "tmpfs"},
            {"destination": "/c", "source": "/abs/../x", "type": "none", "options": ["rbind", "ro"]},
        ]
    )
    assert [(p.destination, p.what, p.source) for p in planned.mounts] == [
        ("/b", "bind", "/bundle/data"),
        ("/a", "new", "tmpfs"),
        ("/c", "bind", "/x"),
    ]


@pytest.mark.parametrize(
    ("given", "clean"), [("tmp", "/tmp"), ("/a/../b", "/b"), ("//x//y/", "/x/y"), ("/../../etc", "/etc")]
)
def test_line_031_a_destination_is_taken_from_the_root(given: str, clean: str) -> None:
    assert mount(destination=given, type="tmpfs").destination == clean


@pytest.mark.parametrize(
    ("entry", "text"),
    [
        ({"destination": "/", "type": "tmpfs"}, "is the root itself"),
        ({"destination": "", "type": "tmpfs"}, "empty path"),
        ({"destination": "/a\0b", "type": "tmpfs"}, "NUL"),
        ({"destination": "/a", "options": ["bind"]}, "mounts[0].source is missing"),
        ({"destination": "/a"}, "mounts[0].type is missing"),
        ({"destination": "/a", "type": "proc", "options": ["tmpcopyup"]}, "for type tmpfs only"),
        ({"destination": "/a", "type": "tmpfs", "options": ["idmap"]}, "for bind mounts only"),
        ({"destination": "/a", "source": "/x", "options": ["bind", "idmap"]}, "needs uidMappings"),
        (
            {"destination": "/a", "source": "/x", "options": ["bind"], "uidMappings": [{"size": 1}]},
            "go together",
        ),
    ],
)
def test_a_mount_that_cannot_be_is_refused_by_name(entry: dict[str, Any], text: str) -> None:
    refused(text, mounts=[entry])


def test_a_bind_by_type_alone_is_a_bind() -> None:
    planned = mount(destination="/a", type="bind", source="/x")
    assert (planned.what, planned.options.bind) == ("bind", "bind")


@pytest.mark.parametrize(
    "entry",
    [
        {"destination": "/proc", "type": "tmpfs"},
        {"destination": "/proc/sys", "type": "tmpfs"},
        {"destination": "/proc/self/attr", "source": "/x", "options": ["bind"]},
        {"destination": "/proc/../proc/sys/kernel", "source": "/x", "options": ["bind"]},
    ],
)
def test_nothing_is_mounted_over_what_labels_and_parameters_are_written_through(entry: dict[str, Any]) -> None:
    refused("proc", mounts=[entry])


def test_files_of_proc_that_tools_fake_can_be_mounted_over() -> None:
    assert mount(destination="/proc/cpuinfo", source="/x", options=["bind"]).destination == "/proc/cpuinfo"


def test_line_038_root_propagation_is_checked() -> None:
    refused("linux.rootfsPropagation 'sharde' is not one of", linux={"rootfsPropagation": "sharde"})
    assert made(linux={"rootfsPropagation": "shared"}).propagation == m.MS_SHARED
    assert made().propagation == m.MS_SLAVE | m.MS_REC


def test_line_041_mappings_of_the_mount_or_of_the_container() -> None:
    triple = {"containerID": 0, "hostID": 1000, "size": 10}
    own = mount(destination="/a", source="/x", options=["rbind"], uidMappings=[triple], gidMappings=[triple])
    assert (own.options.idmap, own.uid_mappings) == ("idmap", [(0, 1000, 10)])
    entry = {"destination": "/a", "source": "/x", "options": ["rbind", "ridmap"]}
    shared = made(mounts=[entry], linux={"uidMappings": [triple], "gidMappings": [triple]}).mounts[0]
    assert (shared.options.idmap, shared.gid_mappings) == ("ridmap", [(0, 1000, 10)])
    bad = {"containerID": 0, "hostID": 1 << 32, "size": 1}
    refused("below 2^32", mounts=[entry | {"uidMappings": [bad], "gidMappings": [bad]}])


def test_line_042_a_cgroup_mount_becomes_what_the_group_says() -> None:
    config = copy.deepcopy(BASE)
    config["mounts"] = [{"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["ro"]}]
    parts: list[dict[str, Any]] = [
        {"destination": "/sys/fs/cgroup", "type": "tmpfs", "source": "tmpfs", "options": ["mode=755"]},
        {"destination": "/sys/fs/cgroup/cpu", "type": "bind", "source": "/sys/fs/cgroup/cpu/x", "options": ["bind"]},
        {"destination": "/sys/fs/cgroup/cpuacct", "type": "symlink", "source": "cpu"},
        {"destination": "/sys/fs/cgroup", "type": "remount", "options": ["remount", "bind", "ro"]},
    ]
    planned = plan(config, "/bundle", cgroup_mounts=lambda _: parts).mounts
    assert [p.what for p in planned] == ["new", "bind", "link", "remount"]
    assert all(p.index == 0 and p.inside for p in planned)


def test_a_read_only_tmpfs_is_filled_first() -> None:
    planned = mount(destination="/dev", type="tmpfs", options=["ro", "nosuid"])
    assert planned.late_readonly
    assert planned.options.set == m.MOUNT_ATTR_NOSUID


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"mounts": [{"destination": "/a", "type": "tmpfs"}]}, "mounts needs"),
        ({"linux": {"maskedPaths": ["/proc/kcore"]}}, "linux.maskedPaths needs"),
        ({"linux": {"readonlyPaths": ["/proc/sys"]}}, "linux.readonlyPaths needs"),
        ({"root": {"path": "r", "readonly": True}}, "root.readonly needs"),
    ],
)
def test_line_076_without_a_mount_namespace_the_hosts_mounts_are_left_alone(changes: dict[str, Any], text: str) -> None:
    linux = changes.pop("linux", {})
    refused(text, **changes, linux={**linux, "namespaces": [{"type": "pid"}]})


def test_line_026_and_027_names_need_a_namespace_of_their_own() -> None:
    assert made(hostname="box", domainname="dom").hostname == "box"
    refused("would rename the host", hostname="box", linux={"namespaces": [{"type": "mount"}]})
    refused("would rename the host", domainname="box", linux={"namespaces": [{"type": "mount"}]})


def test_line_138_the_label_goes_to_filesystems_that_have_none_of_their_own() -> None:
    label = "system_u:object_r:container_file_t:s0:c1,c2"
    planned = made(
        linux={"mountLabel": label},
        mounts=[{"destination": "/a", "type": "tmpfs"}, {"destination": "/proc", "type": "proc"}],
    ).mounts
    assert planned[0].options.data == [f'context="{label}"']
    assert filesystems.words_of(planned[0]) == [f'context="{label}"']
    assert planned[1].options.data == []


def test_line_139_pivot_unless_told_otherwise() -> None:
    assert made().enter == "pivot"
    assert plan(BASE, "/bundle", no_pivot=True).enter == "move"
    assert made(linux={"namespaces": []}).enter == "chroot"


def test_line_084_the_default_devices_are_there_unless_replaced() -> None:
    names = [device.path for device in made().devices]
    assert names == ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty"]
    own = {"path": "/dev/tty", "type": "c", "major": 5, "minor": 0, "fileMode": 0o600, "uid": 7}
    replaced = made(linux={"devices": [own]}).devices
    assert len(replaced) == 6
    assert repr(replaced[-1]) == "/dev/tty c 5:0 600 7:0"


def test_devices_are_left_alone_when_the_hosts_dev_is_bound() -> None:
    planned = made(mounts=[{"destination": "/dev", "source": "/dev", "options": ["rbind"]}])
    assert not planned.set_up_dev
    assert planned.devices == []


@pytest.mark.parametrize(
    ("device", "text"),
    [
        ({"path": "/dev/x", "type": "a"}, "is not c, u, b or p"),
        ({"path": "dev/x", "type": "c"}, "not the absolute path"),
        ({"path": "/dev", "type": "c"}, "not the absolute path"),
        ({"path": "/dev/x", "type": "c", "major": -1, "minor": 0}, "must be numbers"),
        ({"path": "/dev/x", "type": "b", "major": True, "minor": 0}, "must be numbers"),
    ],
)
def test_line_085_a_device_that_cannot_be_is_refused(device: dict[str, Any], text: str) -> None:
    refused(text, linux={"devices": [device]})


@pytest.mark.parametrize(
    ("name", "missing"),
    [
        ("kernel.shmmax", "ipc"),
        ("fs.mqueue.msg_max", "ipc"),
        ("net.ipv4.ip_forward", "network"),
        ("net/ipv4/conf/eth0.1/forwarding", "network"),
        ("kernel.domainname", "uts"),
        ("user.max_user_namespaces", "user"),
    ],
)
def test_line_080_a_parameter_needs_the_namespace_that_it_belongs_to(name: str, missing: str) -> None:
    others = [{"type": kind} for kind in ("mount", "uts", "ipc", "network", "pid", "user") if kind != missing]
    refused(f'sysctl "{name}"', linux={"sysctl": {name: "1"}, "namespaces": others})
    fine = made(linux={"sysctl": {name: "1"}, "namespaces": [*others, {"type": missing}]})
    assert [entry[0] for entry in fine.sysctl] == [name]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("vm.swappiness", "is not in a separate kernel namespace"),
        ("kernel.core_pattern", "is not in a separate kernel namespace"),
        ("net/../kernel/core_pattern", "is not the name of a kernel parameter"),
        ("net..ipv4", "is not the name of a kernel parameter"),
        ("/net/ipv4/ip_forward", "is not the name of a kernel parameter"),
    ],
)
def test_line_080_a_parameter_of_the_host_is_refused(name: str, text: str) -> None:
    refused(text, linux={"sysctl": {name: "1"}})


def test_line_080_a_host_name_is_given_once() -> None:
    refused('conflicts with the OCI "hostname" field', hostname="a", linux={"sysctl": {"kernel.hostname": "b"}})


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("net.ipv4.conf.eth0/1.forwarding", "net/ipv4/conf/eth0.1/forwarding"),
        ("net/ipv4/conf/eth0.1/forwarding", "net/ipv4/conf/eth0.1/forwarding"),
        ("kernel.sem", "kernel/sem"),
    ],
)
def test_line_080_dots_and_slashes_follow_the_first_one(name: str, path: str) -> None:
    assert made(linux={"sysctl": {name: "1"}}).sysctl[0][1] == path


def test_a_value_that_is_no_string_is_refused() -> None:
    refused("must be a string", linux={"sysctl": {"net.ipv4.ip_forward": 1}})
