"""Images whose files stand where the runtime mounts, links or writes: nothing of the host is reached through them."""

import os

import pytest

pytestmark = pytest.mark.root

# Each docstring names the vulnerability whose mechanism the test repeats.


def replace(path, target):
    """Put a symbolic link in the place of an empty directory or file of the rootfs."""
    if path.is_dir() and not path.is_symlink():
        path.rmdir()
    path.symlink_to(target)


@pytest.mark.parametrize("name", ["proc", "sys"])
@pytest.mark.parametrize("absolute", [True, False])
def test_proc_and_sys_must_be_directories(bundle, runtime, name, absolute):
    """CVE-2019-19921, CVE-2023-27561, CVE-2023-28642: the mount lands elsewhere and masks miss it."""
    (bundle.rootfs / "elsewhere").mkdir()
    replace(bundle.rootfs / name, "/elsewhere" if absolute else "elsewhere")
    bundle.shell("echo ran")
    assert f"/{name}" in runtime.refused(bundle)
    assert list((bundle.rootfs / "elsewhere").iterdir()) == []


def test_proc_must_be_a_procfs(bundle, runtime, tmp_path):
    """CVE-2019-16884: a directory bound over /proc takes the writes that set labels."""
    fake = tmp_path / "fake"
    (fake / "self" / "attr").mkdir(parents=True)
    (fake / "self" / "attr" / "exec").touch()
    bundle.without_mount("/proc")
    bundle.config["mounts"].insert(
        0, {"destination": "/proc", "type": "bind", "source": str(fake), "options": ["bind"]}
    )
    assert "/proc" in runtime.refused(bundle)
    assert (fake / "self" / "attr" / "exec").read_text() == ""


@pytest.mark.parametrize("below", ["/proc/self", "/proc/sys", "/proc/1/attr"])
def test_nothing_is_mounted_over_parts_of_proc(bundle, runtime, below):
    """CVE-2025-52881: writes to /proc/sys and /proc/self/attr are led astray by what lies over them."""
    bundle.config["mounts"].append({"destination": below, "type": "tmpfs", "source": "tmpfs", "options": []})
    bundle.config["linux"]["sysctl"] = {"kernel.domainname": "attacked"}
    runtime.refused(bundle)


def test_mounts_do_not_follow_the_images_links_to_the_host(bundle, runtime, host, untouched):
    """CVE-2019-18837: a mount point below a symbolic link of the image is made on the host."""
    replace(bundle.rootfs / "vol", host)
    bundle.config["mounts"].append({"destination": "/vol/sub", "type": "tmpfs", "source": "tmpfs", "options": []})
    bundle.config["mounts"].append(
        {"destination": "/vol/file", "type": "bind", "source": "/etc/hostname", "options": ["bind", "ro"]}
    )
    bundle.shell("true")
    runtime.run(bundle)
    assert untouched()


@pytest.mark.parametrize("target", ["/../../../../../../../../../../..{host}", "{host}"])
def test_dots_do_not_climb_out_of_the_root(bundle, runtime, host, untouched, target):
    """The same, with a link made of dots, and a destination made of dots."""
    replace(bundle.rootfs / "vol", target.format(host=host))
    for destination in ("/vol/sub", f"/../../../../../../..{host}/other"):
        bundle.config["mounts"].append(
            {"destination": destination, "type": "tmpfs", "source": "tmpfs", "options": ["size=64k"]}
        )
    runtime.run(bundle)
    assert untouched()


@pytest.mark.parametrize("kind", ["link", "file", "device"])
def test_masks_are_made_of_the_real_null_device(bundle, runtime, host, untouched, kind):
    """CVE-2025-31133, CVE-2025-62161: the image's own /dev/null becomes the mask, or takes what is written to it."""
    bundle.without_mount("/dev", "/dev/pts", "/dev/shm")
    null = bundle.rootfs / "dev" / "null"
    if kind == "link":
        null.symlink_to(host / "secret")
    elif kind == "file":
        null.write_text("decoy")
    else:
        os.mknod(null, 0o020666, os.makedev(1, 5))
    (bundle.rootfs / "masked").write_text("visible")
    (bundle.rootfs / "hidden").mkdir()
    (bundle.rootfs / "hidden" / "inner").write_text("visible")
    bundle.config["linux"]["maskedPaths"] += ["/masked", "/hidden"]
    bundle.shell("head -c 99 /masked; ls /hidden; head -c 99 /proc/kcore; echo over > /masked; echo end")
    result = runtime.run(bundle)
    assert untouched()
    assert "visible" not in result.stdout
    assert "inner" not in result.stdout
    assert "secret" not in result.stdout
    assert "decoy" not in result.stdout


def test_the_console_is_bound_by_descriptor(bundle, runtime, host, untouched, tmp_path):
    """CVE-2025-52565: /dev/console of the image is a link to a file, which becomes the console's mount point."""
    bundle.without_mount("/dev", "/dev/pts", "/dev/shm")
    (bundle.rootfs / "dev" / "console").symlink_to(host / "secret")
    bundle.config["process"]["terminal"] = True
    bundle.shell("echo from inside; cat /dev/console < /dev/null")
    bundle.write()
    runtime.call("create", "--bundle", str(bundle.path), "--console-socket", str(tmp_path / "missing"), "attack")
    runtime.run(bundle, "other")
    assert untouched()


def test_a_dev_that_is_a_link_leaves_the_hosts_devices_alone(bundle, runtime, host, tmp_path):
    """CVE-2026-41579, CVE-2026-47766: ptmx is removed, and links are made, behind the image's /dev."""
    target = tmp_path / "devices"
    target.mkdir()
    (target / "ptmx").write_text("decoy")
    replace(bundle.rootfs / "dev", target)
    bundle.without_mount("/dev", "/dev/pts", "/dev/shm")
    runtime.run(bundle)
    assert [entry.name for entry in target.iterdir()] == ["ptmx"]
    assert (target / "ptmx").read_text() == "decoy"


def test_devices_are_not_made_behind_links(bundle, runtime, host, untouched):
    """The same, by a device of the configuration."""
    replace(bundle.rootfs / "vol", host)
    bundle.config["linux"]["devices"] = [{"path": "/vol/node", "type": "c", "major": 1, "minor": 3, "fileMode": 0o666}]
    runtime.run(bundle)
    assert untouched()


def test_read_only_and_masked_paths_do_not_follow_links(bundle, runtime, host, untouched):
    """A masked path that leads out of the root must mask nothing on the host."""
    replace(bundle.rootfs / "vol", host)
    bundle.config["linux"]["maskedPaths"].append("/vol/secret")
    bundle.config["linux"]["readonlyPaths"].append("/vol")
    runtime.run(bundle)
    assert untouched()
    (host / "writable").touch()


def test_the_working_directory_is_made_inside(bundle, runtime, host, untouched):
    """A cwd that does not exist is made, but not behind a link."""
    replace(bundle.rootfs / "vol", host)
    bundle.config["process"]["cwd"] = "/vol/made"
    runtime.run(bundle)
    assert untouched()


def test_the_cgroup_tree_is_read_only_inside(bundle, runtime):
    """CVE-2023-25809: without a cgroup namespace, a writable tree is the host's."""
    mount = {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup"}
    bundle.config["mounts"].append({**mount, "options": ["nosuid", "noexec", "nodev", "ro"]})
    bundle.shell(
        "for d in /sys/fs/cgroup /sys/fs/cgroup/*; do mkdir $d/made 2>/dev/null && echo made in $d; done; echo end"
    )
    assert runtime.output(bundle) == "end\n"


@pytest.mark.parametrize("kind", ["createRuntime", "createContainer", "poststart", "poststop"])
def test_a_hook_gets_its_own_environment_only(bundle, runtime, tmp_path, kind):
    """CVE-2025-23266: a createContainer hook with the container's LD_PRELOAD runs the container's code."""
    seen = tmp_path / "seen"
    bundle.config["process"]["env"] += ["LD_PRELOAD=/evil.so", "PYTHONSTARTUP=/evil.py"]
    hook = {"path": "/bin/sh", "args": ["sh", "-c", f"env > {seen}"], "env": ["ONLY=this"]}
    bundle.config["hooks"] = {kind: [hook]}
    runtime.output(
        bundle, env={"LC_CTYPE": "C", "PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1", "OUTSIDE": "leak"}
    )
    names = {line.split("=")[0] for line in seen.read_text().splitlines()}
    assert names - {"PWD", "SHLVL", "_", "OLDPWD"} == {"ONLY"}


def test_unit_properties_from_annotations_are_not_taken_for_granted(bundle, runtime, tmp_path):
    """CVE-2024-3154: an annotation makes systemd run a command of the container's author on the host."""
    proof = tmp_path / "proof"
    command = f"[('/bin/touch', ['touch', '{proof}'], false)]"
    bundle.config["annotations"] = {"org.systemd.property.ExecStartPre": command}
    bundle.write()
    runtime.run(bundle)
    runtime.call("--systemd-cgroup", "run", "--bundle", str(bundle.path), "second")
    assert not proof.exists()
