"""Image configuration to runtime configuration, by the image specification's conversion rules."""

import json
from typing import Any

import pytest
from ocicommon import accounts, convert, document, runtime
from ocicommon.errors import ConversionError

PASSWD = """\
root:x:0:0:root:/root:/bin/sh
www:x:33:33::/var/www:/x
# c
bad:x:a:b::/:
broken
5000:x:77:78::/n:
no:x:44:45:::
"""
GROUP = "root:x:0:\nwww:x:33:\nextra:x:50:www,other\nmore:x:40:www\nmine:x:33:www\nstaff:x:60:\nbig:x:99999999999:www\n"


def image(**config: Any) -> dict[str, Any]:
    config.setdefault("Entrypoint", ["/bin/app"])
    return {"os": "linux", "architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": []}, "config": config}


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        ("", (0, 0, (), "/root")),
        ("0", (0, 0, (), "/root")),
        ("www", (33, 33, (40, 50), "/var/www")),
        ("33", (33, 33, (), "/var/www")),
        ("www:staff", (33, 60, (), "/var/www")),
        ("www:5", (33, 5, (), "/var/www")),
        ("1234", (1234, 0, (), None)),
        ("1234:", (1234, 0, (), None)),
        ("1234:staff", (1234, 60, (), None)),
        (":staff", (0, 60, (), "/root")),
        ("5000", (5000, 0, (), None)),
        ("no", (44, 45, (), None)),
        ("4294967294:4294967294", (4294967294, 4294967294, (), None)),
    ],
)
def test_user_is_resolved(user: str, expected: tuple[int, int, tuple[int, ...], str | None]) -> None:
    found = accounts.resolve(user, PASSWD, GROUP)
    assert (found.uid, found.gid, found.additional_gids, found.home) == expected


@pytest.mark.parametrize(
    ("user", "text"),
    [
        ("nobody", "user is 'nobody', which its /etc/passwd does not have"),
        ("bad", "user is 'bad'"),
        ("0:nogroup", "group is 'nogroup', which its /etc/group does not have"),
        ("4294967295", "id 4294967295 is too large"),
        ("0:4294967296", "id 4294967296 is too large"),
        ("9" * 5000, "too large"),
        ("-1", "user is '-1'"),
        ("٣", "user is '٣'"),
        ("1_0", "user is '1_0'"),
    ],
)
def test_unknown_users_are_refused(user: str, text: str) -> None:
    with pytest.raises(ConversionError, match=text):
        accounts.resolve(user, PASSWD, GROUP)


def test_without_account_files_only_numbers_are_known() -> None:
    assert accounts.resolve("7:8") == accounts.Account(7, 8)
    with pytest.raises(ConversionError):
        accounts.resolve("root")


def test_verbatim_fields() -> None:
    config = image(Env=["A=1", "PATH=/x", "HOME=/h"], Cmd=["-v"], WorkingDir="/srv")
    process = convert.runtime_config(config)["process"]
    assert process["args"] == ["/bin/app", "-v"]
    assert process["env"] == ["A=1", "PATH=/x", "HOME=/h"]
    assert process["cwd"] == "/srv"


def test_silent_image_gets_working_defaults() -> None:
    process = convert.runtime_config(image(User="www"), passwd=PASSWD, group=GROUP, terminal=True)["process"]
    assert process["cwd"] == "/"
    assert process["env"] == [convert.DEFAULT_PATH, "HOME=/var/www", "TERM=xterm"]
    assert process["user"] == {"uid": 33, "gid": 33, "additionalGids": [40, 50]}
    assert process["capabilities"]["effective"] == []


def test_annotations_come_from_fields_and_labels_win() -> None:
    config = image(
        Labels={"org.opencontainers.image.author": "label", "x": "y"},
        StopSignal="SIGQUIT",
        ExposedPorts={"80/tcp": {}, "443/tcp": {}},
    )
    config |= {"author": "field", "created": "2020-01-01T00:00:00Z", "variant": "v2", "os.version": "1"}
    config["os.features"] = ["a", "b"]
    prefix = convert.PREFIX
    assert convert.runtime_config(config)["annotations"] == {
        prefix + "os": "linux",
        prefix + "architecture": "amd64",
        prefix + "variant": "v2",
        prefix + "os.version": "1",
        prefix + "os.features": "a,b",
        prefix + "author": "label",
        prefix + "created": "2020-01-01T00:00:00Z",
        prefix + "stopSignal": "SIGQUIT",
        prefix + "exposedPorts": "443/tcp,80/tcp",
        "x": "y",
    }


def test_volumes_become_mounts_unless_something_is_there() -> None:
    config = image(Volumes={"/data/": {}, "/write": {}, "/proc": {}})
    own = {"destination": "/write", "type": "bind", "source": "/host", "options": ["bind"]}
    mounts = convert.runtime_config(config, mounts=[own])["mounts"]
    assert [m["destination"] for m in mounts if m["type"] in ("tmpfs", "bind")] == [
        "/dev",
        "/dev/shm",
        "/write",
        "/data",
    ]
    assert own in mounts


def test_own_mount_takes_the_place_of_a_usual_one() -> None:
    own = {"destination": "/dev/shm/", "type": "bind", "source": "/host", "options": ["bind"]}
    mounts = convert.runtime_config(image(), mounts=[own])["mounts"]
    assert [m["type"] for m in mounts if m["destination"].startswith("/dev/shm")] == ["bind"]


@pytest.mark.parametrize("path", ["relative", "/", "/a/../../etc", ""])
def test_volumes_outside_the_root_are_refused(path: str) -> None:
    with pytest.raises(ConversionError, match="not an absolute path below /"):
        convert.runtime_config(image(Volumes={path: {}}))


def test_nothing_to_run_is_an_error() -> None:
    with pytest.raises(ConversionError, match="nothing to run"):
        convert.runtime_config(image(Entrypoint=None, Cmd=[]))


def test_other_systems_are_refused() -> None:
    with pytest.raises(ConversionError, match="the image is for windows"):
        convert.runtime_config(image() | {"os": "windows"})


def test_rootless_maps_the_caller_to_the_image_user() -> None:
    account = accounts.resolve("10:10")
    made = convert.runtime_config(image(User="10:10"), rootless=convert.rootless_for(account, 1000, 1001))
    assert made["linux"]["uidMappings"] == [{"containerID": 10, "hostID": 1000, "size": 1}]
    assert made["linux"]["gidMappings"] == [{"containerID": 10, "hostID": 1001, "size": 1}]
    kinds = {namespace["type"] for namespace in made["linux"]["namespaces"]}
    assert kinds == {"pid", "ipc", "uts", "mount", "user"}
    assert "resources" not in made["linux"]
    assert not any("gid=5" in mount["options"] for mount in made["mounts"])
    assert not any(mount["type"] in ("sysfs", "cgroup") for mount in made["mounts"])


def test_rootless_without_the_image_user_is_refused() -> None:
    with pytest.raises(ConversionError, match="user id 7 is not mapped"):
        convert.runtime_config(image(User="7"), rootless=convert.rootless_for(accounts.Account(10, 0), 1000, 1000))


@pytest.mark.parametrize("rootless", [None, convert.rootless_for(accounts.Account(0, 0), 1000, 1000)])
def test_result_is_a_valid_runtime_document(rootless: convert.Rootless | None) -> None:
    made = convert.runtime_config(image(Volumes={"/v": {}}), rootless=rootless, read_only=True, hostname="h")
    read = document.parse(json.dumps(made), runtime.Config)
    assert read.to_dict() == made
    assert made["root"] == {"path": "rootfs", "readonly": True}


def test_conversion_leaves_its_input_alone() -> None:
    config = image(Env=["A=1"], Labels={"a": "b"}, Volumes={"/v": {}})
    before = json.dumps(config)
    made = convert.runtime_config(config)
    made["process"]["env"].append("B=2")
    made["annotations"]["c"] = "d"
    assert json.dumps(config) == before
