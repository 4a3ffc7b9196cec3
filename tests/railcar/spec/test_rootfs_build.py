"""Roots built for real: by the mount API of today, by mount(2) of older kernels, and in whole containers."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.root

Mountinfo = Callable[[str], dict[str, dict[str, str]]]
WAYS = pytest.mark.parametrize("way", ["mount-api", "mount2", "container"])
SHOW = "cat /proc/self/mountinfo"


@WAYS
def test_line_045_the_default_filesystems(box: Any, mountinfo: Mountinfo, way: str) -> None:
    found = mountinfo(box.build(SHOW, way=way).stdout)
    kinds = {place: mount["type"] for place, mount in found.items() if place != "/"}
    assert kinds == {"/proc": "proc", "/dev": "tmpfs", "/dev/pts": "devpts", "/dev/shm": "tmpfs", "/sys": "sysfs"}
    assert "mode=755" in found["/dev"]["superblock"]
    assert set(found["/sys"]["options"].split(",")) >= {"ro", "nosuid", "nodev", "noexec"}


@WAYS
def test_line_032_directories_and_files_are_bound(box: Any, way: str) -> None:
    source = box.directory / "source"
    (source / "below").mkdir(parents=True)
    (source / "file").write_text("text\n")
    box.add("/new/dir", "", "source", "bind")
    box.add("/new/file", "", str(source / "file"), "bind", "ro")
    done = box.build("ls /new/dir; cat /new/file; echo x > /new/file || echo refused", way=way)
    assert done.stdout.split() == ["below", "file", "text", "refused"]


@WAYS
def test_line_032_what_is_mounted_below_comes_along_only_with_rbind(box: Any, mountinfo: Mountinfo, way: str) -> None:
    outside = box.directory / "outside"
    outside.mkdir()
    box.add("/mine", "tmpfs", "tmpfs")
    box.add("/one", "", "/dev", "bind")
    box.add("/all", "", "/dev", "rbind")
    found = mountinfo(box.build(SHOW, way=way).stdout)
    assert "/one" in found
    assert "/all/pts" in found
    assert not any(place.startswith("/one/") for place in found)


@WAYS
def test_line_033_generic_flags_reach_the_mount(box: Any, mountinfo: Mountinfo, way: str) -> None:
    box.add("/a", "tmpfs", "tmpfs", "nosuid", "nodev", "noexec")
    box.add("/b", "", "rootfs/bin", "bind", "ro", "nosuid", "nodev", "noexec")
    found = mountinfo(box.build(SHOW, way=way).stdout)
    assert set(found["/a"]["options"].split(",")) >= {"rw", "nosuid", "nodev", "noexec"}
    assert set(found["/b"]["options"].split(",")) >= {"ro", "nosuid", "nodev", "noexec"}


@WAYS
def test_line_033_a_remount_changes_what_is_there(box: Any, mountinfo: Mountinfo, way: str) -> None:
    box.add("/a", "tmpfs", "tmpfs", "nosuid")
    box.add("/a", "", "", "remount", "bind", "ro")
    box.add("/b", "tmpfs", "tmpfs", "size=64k")
    box.add("/b", "tmpfs", "tmpfs", "remount", "size=128k")
    found = mountinfo(box.build(SHOW, way=way).stdout)
    assert set(found["/a"]["options"].split(",")) >= {"ro", "nosuid"}
    assert "size=128k" in found["/b"]["superblock"]


@WAYS
@pytest.mark.parametrize(
    ("word", "shown"),
    [("noatime", "noatime"), ("strictatime", None), ("relatime", "relatime"), ("nodiratime", "nodiratime")],
)
def test_line_034_access_times(box: Any, mountinfo: Mountinfo, way: str, word: str, shown: str | None) -> None:
    box.add("/a", "tmpfs", "tmpfs", word)
    box.add("/b", "", "rootfs/bin", "bind", word)
    found = mountinfo(box.build(SHOW, way=way).stdout)
    for place in ("/a", "/b"):
        options = found[place]["options"].split(",")
        assert [option for option in options if "atime" in option] in ([shown or ""], [shown, "relatime"], [])
        assert shown is None or shown in options


def test_line_035_lazytime_iversion_and_silent(box: Any, mountinfo: Mountinfo) -> None:
    box.add("/a", "tmpfs", "tmpfs", "lazytime", "sync", "dirsync")
    box.add("/b", "tmpfs", "tmpfs", "iversion", "silent", "lazytime")
    found = mountinfo(box.build(SHOW).stdout)
    assert {"lazytime", "sync", "dirsync"} <= set(found["/a"]["superblock"].split(","))
    assert "lazytime" in found["/b"]["superblock"].split(",")


@WAYS
def test_line_036_nosymfollow(box: Any, way: str) -> None:
    box.add("/a", "tmpfs", "tmpfs", "nosymfollow")
    done = box.build("ln -s /bin/busybox /a/link; cat /a/link >/dev/null 2>&1 || echo stopped", way=way)
    assert done.stdout == "stopped\n"


def test_line_037_recursive_attributes_reach_what_is_below(box: Any, mountinfo: Mountinfo) -> None:
    box.add("/all", "", "/dev", "rbind", "rro", "rnosuid", "rnoexec", "rnoatime")
    box.add("/top", "", "/dev", "rbind", "ro")
    found = mountinfo(box.build(SHOW).stdout)
    for place in ("/all", "/all/pts", "/all/shm"):
        assert {"ro", "nosuid", "noexec", "noatime"} <= set(found[place]["options"].split(","))
    assert "ro" in found["/top"]["options"].split(",")
    assert "ro" not in found["/top/pts"]["options"].split(",")


def test_line_037_recursive_attributes_need_a_kernel_that_has_them(box: Any) -> None:
    box.add("/all", "", "/dev", "rbind", "rro")
    assert "need Linux 5.12" in box.build("true", way="mount2", fails=True).stderr


@WAYS
def test_line_038_propagation_of_one_mount(box: Any, mountinfo: Mountinfo, way: str) -> None:
    box.add("/p", "tmpfs", "tmpfs", "private")
    box.add("/s", "tmpfs", "tmpfs", "shared")
    box.add("/u", "", "rootfs/bin", "bind", "runbindable")
    found = mountinfo(box.build(SHOW, way=way).stdout)
    assert found["/p"]["tags"] == ""
    assert found["/s"]["tags"].startswith("shared:")
    assert found["/u"]["tags"] == "unbindable"


@WAYS
def test_line_039_data_reaches_the_filesystem(box: Any, mountinfo: Mountinfo, way: str) -> None:
    box.add("/a", "tmpfs", "tmpfs", "size=64k,nr_inodes=9", "mode=0701", "uid=3", "gid=5")
    box.build(SHOW, way=way)
    done = box.build(f"{SHOW}; stat -c '%a %u %g' /a", way=way)
    superblock = mountinfo(done.stdout)["/a"]["superblock"].split(",")
    assert {"size=64k", "nr_inodes=9"} <= set(superblock)
    assert done.stdout.splitlines()[-1] == "701 3 5"


@WAYS
def test_an_option_that_the_filesystem_does_not_know_is_named(box: Any, way: str) -> None:
    box.add("/a", "tmpfs", "tmpfs", "size=lots")
    said = box.build("true", way=way, fails=True).stderr
    assert "mounts[5] tmpfs on /a" in said
    assert "size" in said
    assert said.endswith("invalid argument")


@WAYS
def test_line_040_tmpcopyup_brings_what_was_there(box: Any, way: str) -> None:
    etc = box.root / "etc"
    (etc / "sub").mkdir(parents=True)
    (etc / "sub/file").write_text("text\n")
    os.chown(etc / "sub/file", 7, 8)
    (etc / "sub/file").chmod(0o4711)
    (etc / "link").symlink_to("/bin/busybox")
    etc.chmod(0o750)
    box.add("/etc", "tmpfs", "tmpfs", "tmpcopyup", "ro")
    done = box.build(
        "stat -c '%a' /etc; stat -c '%a %u %g' /etc/sub/file; readlink /etc/link; cat /etc/sub/file;"
        " touch /etc/x || echo ro",
        way=way,
    )
    assert done.stdout.split("\n")[:5] == ["750", "4711 7 8", "/bin/busybox", "text", "ro"]


def test_line_041_an_idmapped_bind_shows_other_owners(box: Any) -> None:
    source = box.directory / "source"
    source.mkdir()
    os.chown(source, 5, 6)
    mapping = {"containerID": 5, "hostID": 1005, "size": 10}
    box.add("/a", "", "source", "bind", uidMappings=[mapping], gidMappings=[mapping])
    done = box.build("stat -c '%u %g' /a", fails=False)
    assert done.stdout == "1005 1006\n"


def test_line_041_ridmap_takes_the_containers_mapping_and_reaches_below(box: Any) -> None:
    source = box.directory / "source"
    source.mkdir()
    box.user_namespace()
    box.add("/a", "", "source", "rbind", "ridmap")
    box.add("/b", "", "source", "rbind")
    assert box.build("stat -c %u /a; stat -c %u /b").stdout.split() == ["0", "65534"]


@WAYS
def test_line_043_mqueue_and_overlay(box: Any, mountinfo: Mountinfo, way: str) -> None:
    for name in ("lower", "upper", "work", "second"):
        (box.directory / name).mkdir()
    (box.directory / "lower/file").write_text("low\n")
    base = str(box.directory)
    box.add("/dev/mqueue", "mqueue", "mqueue", "nosuid", "noexec", "nodev")
    box.add(
        "/merged",
        "overlay",
        "overlay",
        f"lowerdir={base}/lower:{base}/second",
        f"upperdir={base}/upper",
        f"workdir={base}/work",
    )
    done = box.build(f"{SHOW}; cat /merged/file; touch /merged/new", way=way)
    found = mountinfo(done.stdout)
    assert (found["/dev/mqueue"]["type"], found["/merged"]["type"]) == ("mqueue", "overlay")
    assert done.stdout.endswith("low\n")
    assert (box.directory / "upper/new").exists()


def test_line_043_an_overlay_of_many_layers_is_no_problem_of_length(box: Any) -> None:
    layers = [box.directory / f"a-layer-with-a-rather-long-name-{number}" for number in range(8)]
    for layer in layers:
        layer.mkdir()
    (layers[-1] / "file").write_text("deep\n")
    box.add("/merged", "overlay", "overlay", "lowerdir=" + ":".join(map(str, layers)))
    assert box.build("cat /merged/file").stdout == "deep\n"


@WAYS
def test_line_044_in_a_user_namespace_locked_flags_stay(box: Any, mountinfo: Mountinfo, way: str) -> None:
    box.user_namespace()
    box.add("/shm", "", "/dev/shm", "bind", "ro")
    found = mountinfo(box.build(SHOW, way=way).stdout)
    assert "ro" in found["/shm"]["options"].split(",")


@WAYS
def test_line_083_in_a_user_namespace_devices_are_the_hosts(box: Any, way: str) -> None:
    box.user_namespace()
    done = box.build(
        "stat -c '%t:%T' /dev/null /dev/urandom; echo x > /dev/null && head -c 3 /dev/zero | wc -c", way=way
    )
    assert done.stdout.split() == ["1:3", "1:9", "3"]


def test_a_root_that_nobody_in_the_container_owns_is_explained(box: Any) -> None:
    box.user_namespace()
    os.chown(box.root, 0, 0)
    said = box.build("true", fails=True).stderr
    assert "chown it by linux.uidMappings" in said
    assert said.endswith("permission denied")


@WAYS
def test_line_083_devices_of_every_type_with_mode_and_owner(box: Any, way: str) -> None:
    box.config["linux"]["devices"] = [
        {"path": "/dev/deep/fuse", "type": "c", "major": 10, "minor": 229, "fileMode": 0o640, "uid": 3, "gid": 4},
        {"path": "/dev/blk", "type": "b", "major": 7, "minor": 99, "fileMode": 0o600},
        {"path": "/dev/un", "type": "u", "major": 1, "minor": 3},
        {"path": "/outside/pipe", "type": "p", "fileMode": 0o622},
    ]
    done = box.build("stat -c '%F %t:%T %a %u %g' /dev/deep/fuse /dev/blk /dev/un /outside/pipe", way=way)
    assert done.stdout.splitlines() == [
        "character special file a:e5 640 3 4",
        "block special file 7:63 600 0 0",
        "character special file 1:3 666 0 0",
        "fifo 0:0 622 0 0",
    ]


def test_line_084_default_devices_and_links(box: Any) -> None:
    done = box.build(
        "cd /dev; stat -c '%n %t:%T %a' null zero full random urandom tty;"
        " for i in fd stdin stdout stderr ptmx; do readlink $i; done"
    )
    assert done.stdout.splitlines() == [
        "null 1:3 666",
        "zero 1:5 666",
        "full 1:7 666",
        "random 1:8 666",
        "urandom 1:9 666",
        "tty 5:0 666",
        "/proc/self/fd",
        "/proc/self/fd/0",
        "/proc/self/fd/1",
        "/proc/self/fd/2",
        "pts/ptmx",
    ]


def test_line_013_core_is_there_where_the_kernel_has_it(box: Any) -> None:
    done = box.build("readlink /dev/core || echo none")
    assert done.stdout.strip() == ("/proc/kcore" if os.path.exists("/proc/kcore") else "none")


def test_line_085_a_node_that_is_another_device_is_an_error(box: Any) -> None:
    (box.root / "dev").mkdir()
    (box.root / "dev/null").write_text("")
    box.config["mounts"] = [mount for mount in box.mounts if not mount["destination"].startswith("/dev")]
    said = box.build("true", fails=True).stderr
    assert "/dev/null" in said
    assert "has another file there" in said


@WAYS
def test_line_135_root_propagation(box: Any, mountinfo: Mountinfo, way: str) -> None:
    for word, tag in (("private", ""), ("shared", "shared:"), ("unbindable", "unbindable")):
        box.config["linux"]["rootfsPropagation"] = word
        tags = mountinfo(box.build(SHOW, way=way).stdout)["/"]["tags"]
        assert tags.startswith(tag)
        assert tag or not tags


@WAYS
def test_line_136_masked_paths(box: Any, way: str) -> None:
    (box.root / "secret").mkdir()
    (box.root / "secret/key").write_text("key")
    (box.root / "more").mkdir()
    (box.root / "file").write_text("content")
    box.config["linux"]["maskedPaths"] = ["/secret", "/more", "/file", "/proc/keys", "/missing", "/file/below"]
    done = box.build(
        "ls /secret /more | wc -w; cat /file /proc/keys | wc -c; touch /secret/x || echo ro; stat -c '%t:%T' /file",
        way=way,
    )
    # `ls` of two directories prints their names.
    assert done.stdout.split() == ["2", "0", "ro", "1:3"]


@WAYS
def test_line_137_read_only_paths(box: Any, way: str) -> None:
    (box.root / "data").mkdir()
    box.config["linux"]["readonlyPaths"] = ["/data", "/proc/sys", "/missing"]
    done = box.build(
        "touch /data/x || echo ro; echo 1 > /proc/sys/kernel/shmmni || echo ro; touch /other && echo rw", way=way
    )
    assert done.stdout.split() == ["ro", "ro", "rw"]


@WAYS
def test_line_025_a_read_only_root_leaves_mounts_writable(box: Any, way: str) -> None:
    box.config["root"]["readonly"] = True
    (box.root / "tmp").mkdir()
    box.add("/tmp", "tmpfs", "tmpfs")
    assert box.build("touch /x || echo ro; touch /tmp/x && echo rw", way=way).stdout.split() == ["ro", "rw"]


@WAYS
def test_line_139_moving_the_root_hides_the_hosts_proc_and_sys(box: Any, mountinfo: Mountinfo, way: str) -> None:
    found = mountinfo(box.build(SHOW, way=way, move=True).stdout)
    assert {place for place, mount in found.items() if mount["type"] in ("proc", "sysfs")} == {"/proc", "/sys"}


@WAYS
def test_line_139_after_pivot_nothing_of_the_old_root_is_left(box: Any, mountinfo: Mountinfo, way: str) -> None:
    done = box.build(f"{SHOW}; ls /", way=way)
    assert not any(str(box.directory) in place for place in mountinfo(done.stdout))


@WAYS
def test_line_080_parameters_are_set_in_the_containers_namespaces_only(box: Any, way: str) -> None:
    before = Path("/proc/sys/kernel/shmmni").read_text()
    box.config["linux"]["sysctl"] = {"kernel.shmmni": "777", "net.ipv4.ip_forward": "1"}
    box.config["linux"]["readonlyPaths"] = ["/proc/sys"]
    done = box.build("cat /proc/sys/kernel/shmmni /proc/sys/net/ipv4/ip_forward", way=way)
    assert done.stdout.split() == ["777", "1"]
    assert Path("/proc/sys/kernel/shmmni").read_text() == before


def test_line_080_the_hosts_own_namespace_by_path_is_no_separate_one(box: Any) -> None:
    listed = [entry for entry in box.config["linux"]["namespaces"] if entry["type"] != "network"]
    box.config["linux"]["namespaces"] = [*listed, {"type": "network", "path": "/proc/self/ns/net"}]
    box.config["linux"]["sysctl"] = {"net.ipv4.ip_forward": "1"}
    assert "is the host's own" in box.build("true", fails=True).stderr


def test_line_138_a_mount_label_needs_selinux(box: Any) -> None:
    if os.path.exists("/sys/fs/selinux/enforce"):
        pytest.skip("this kernel has SELinux, so the label might be right")
    box.config["linux"]["mountLabel"] = "system_u:object_r:container_file_t:s0"
    assert "linux.mountLabel" in box.build("true", fails=True).stderr


@WAYS
def test_line_080_parameters_of_a_user_namespaces_own_namespaces(box: Any, way: str) -> None:
    box.user_namespace()
    box.config["linux"]["sysctl"] = {"net.ipv4.ip_forward": "1"}
    assert box.build("cat /proc/sys/net/ipv4/ip_forward", way=way).stdout == "1\n"


@WAYS
def test_line_080_a_parameter_that_the_kernel_refuses_is_named(box: Any, way: str) -> None:
    box.config["linux"]["sysctl"] = {"net.ipv4.nothing": "1"}
    said = box.build("true", way=way, fails=True).stderr
    assert "net.ipv4.nothing" in said
    assert said.endswith("no such file or directory")


def test_line_026_and_027_names_are_set(box: Any) -> None:
    box.config["hostname"], box.config["domainname"] = "box", "example.org"
    done = box.build("hostname; cat /proc/sys/kernel/domainname")
    assert done.stdout.split() == ["box", "example.org"]


def test_line_048_the_working_directory_is_made(box: Any) -> None:
    box.config["process"]["cwd"] = "/made/for/me"
    box.build("test -d /made/for/me")


def test_line_031_mount_points_are_for_everybody_whatever_the_callers_umask(box: Any) -> None:
    box.add("/new/dir", "", "rootfs/bin", "bind")
    box.config["process"]["cwd"] = "/work"
    box._write("stat -c %a /new /work")
    base = [str(box.command), "--root", str(box.directory / "state"), "run", "--bundle", str(box.directory), "u"]
    command = ["sh", "-c", 'umask 077; exec "$@"', "sh", *base]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.split() == ["755", "755"]


@WAYS
def test_line_031_links_of_the_image_never_lead_out(box: Any, tmp_path: Path, way: str) -> None:
    host = box.directory / "host"
    host.mkdir()
    (box.root / "vol").symlink_to(host)
    (box.root / "up").symlink_to("../../../../../.." + str(host))
    (box.root / "dangling").symlink_to("var/run/deep")
    box.add("/vol/sub", "tmpfs", "tmpfs")
    box.add("/up/sub", "tmpfs", "tmpfs")
    box.add("/dangling/sub", "tmpfs", "tmpfs")
    box.add("/dangling-file", "", "rootfs/bin/busybox", "bind")
    box.build("test -d /var/run/deep/sub && test -d " + f"{host}/sub", way=way)
    assert list(host.iterdir()) == []


@pytest.mark.parametrize("name", ["proc", "sys"])
@WAYS
def test_a_link_for_proc_or_sys_is_refused(box: Any, name: str, way: str) -> None:
    (box.root / "other").mkdir()
    (box.root / name).symlink_to("other")
    said = box.build("true", way=way, fails=True).stderr
    assert "must be mounted on ordinary directory" in said


@WAYS
def test_a_fake_proc_is_refused(box: Any, way: str) -> None:
    (box.directory / "fake").mkdir()
    box.config["mounts"] = [mount for mount in box.mounts if mount["destination"] != "/proc"]
    box.add("/proc", "", "fake", "bind")
    assert "only a proc filesystem" in box.build("true", way=way, fails=True).stderr
    box.config["mounts"].pop()
    box.add("/proc", "", "/proc/sys", "bind")
    assert "only a proc filesystem" in box.build("true", way=way, fails=True).stderr


@WAYS
def test_a_link_into_proc_is_no_way_around_the_rule(box: Any, way: str) -> None:
    (box.root / "way").symlink_to("/proc/sys")
    box.add("/way/kernel", "tmpfs", "tmpfs")
    assert "leads into /proc" in box.build("true", way=way, fails=True).stderr


@WAYS
def test_an_image_with_a_false_null_device_masks_with_the_real_one(box: Any, way: str) -> None:
    victim = box.directory / "victim"
    victim.write_text("host")
    box.config["mounts"] = [mount for mount in box.mounts if not mount["destination"].startswith("/dev")]
    (box.root / "dev").mkdir()
    (box.root / "dev/null").symlink_to(victim)
    box.config["linux"]["maskedPaths"] = ["/proc/keys"]
    said = box.build("true", way=way, fails=True).stderr
    assert "/dev/null" in said
    assert victim.read_text() == "host"


@WAYS
def test_a_link_for_dev_makes_nothing_on_the_host(box: Any, way: str) -> None:
    host = box.directory / "host"
    host.mkdir()
    (host / "ptmx").write_text("decoy")
    box.config["mounts"] = [mount for mount in box.mounts if not mount["destination"].startswith("/dev")]
    (box.root / "dev").symlink_to(host)
    box.build("true", way=way)
    assert (host / "ptmx").read_text() == "decoy"
    assert [entry.name for entry in host.iterdir()] == ["ptmx"]


@WAYS
def test_a_directory_on_a_file_is_explained(box: Any, way: str) -> None:
    (box.root / "file").write_text("")
    box.add("/file", "", "rootfs/bin", "bind")
    said = box.build("true", way=way, fails=True).stderr
    assert said.endswith("not a directory")
    assert "/file" in said


@WAYS
def test_a_missing_source_is_named(box: Any, way: str) -> None:
    box.add("/x", "", "nothing-here", "bind")
    said = box.build("true", way=way, fails=True).stderr.strip()
    assert "nothing-here" in said
    assert said.endswith("no such file or directory")


@pytest.mark.parametrize("way", ["mount-api", "mount2"])
@pytest.mark.parametrize("propagation", ["", "rshared", "rslave", "rprivate"])
def test_nothing_reaches_the_hosts_mounts(box: Any, way: str, propagation: str) -> None:
    box.add("/a", "tmpfs", "tmpfs", "shared")
    box.config["linux"]["rootfsPropagation"] = propagation
    script = 'cat /proc/self/mountinfo > "$0/before"; "$@"; cat /proc/self/mountinfo > "$0/after"'
    outer = ["unshare", "-m", "--propagation", "shared", "sh", "-c", script, str(box.directory)]
    done = subprocess.run([*outer, *box.building(SHOW, way=way)], check=True, capture_output=True, text=True)
    assert " /a " in done.stdout
    assert (box.directory / "before").read_text() == (box.directory / "after").read_text()
