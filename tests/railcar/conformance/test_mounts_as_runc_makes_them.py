"""Bind mounts: their order, their sources inside the root, their flags and ids, as runc's integration tests have it."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def flagged(place: Path) -> Iterator[Any]:
    """Makes a mount with these flags; a directory of the host."""
    made = place / "flagged"
    made.mkdir()

    def mount(flags: str) -> Path:
        run = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", flags, "tmpfs", made], capture_output=True, text=True, check=False
        )
        if run.returncode:
            pytest.skip(f"cannot mount here: {run.stderr.strip()}")
        return made

    yield mount
    subprocess.run(["umount", made], capture_output=True, check=False)


def shown(runner: Any, box: Any) -> set[str]:
    """The flags of what is mounted on /mnt."""
    line = next(line for line in runner.out(box.write()).splitlines() if line.split()[4] == "/mnt")
    return set(line.split()[5].split(","))


@pytest.mark.parametrize(
    ("flags", "options", "wanted"),
    [
        ("ro,noexec", ["bind"], {"ro", "noexec", "relatime"}),
        ("ro,noexec", ["rbind", "rprivate"], {"ro", "noexec", "relatime"}),
        ("ro,noexec,nodiratime", ["bind", "dev"], {"rw", "nodiratime", "relatime"}),
        ("ro", ["bind", "nosuid", "nodev", "rprivate"], {"rw", "nosuid", "nodev", "relatime"}),
        ("nodev,nosuid,noexec,noatime", ["bind", "ro"], {"ro", "noatime"}),
        ("noatime", ["bind", "relatime"], {"rw", "relatime"}),
    ],
)
def test_flags_of_a_bind_mount(
    bundle: Any, runner: Any, flagged: Any, flags: str, options: list[str], wanted: set[str]
) -> None:
    box = bundle("cat", "/proc/self/mountinfo")
    entry = {"destination": "/mnt", "source": str(flagged(flags)), "options": options}
    box.config["mounts"].append(entry)
    assert shown(runner, box) == wanted


def test_in_a_user_namespace_flags_that_are_not_named_stay(bundle: Any, runner: Any, flagged: Any) -> None:
    box = bundle("cat", "/proc/self/mountinfo")
    in_user_namespace(box)
    source = flagged("nodev,nosuid,noexec")
    box.config["mounts"].append({"destination": "/mnt", "source": str(source), "options": ["bind", "ro"]})
    assert {"ro", "nodev", "nosuid", "noexec"} <= shown(runner, box)


def in_user_namespace(box: Any) -> None:
    mapping = [{"containerID": 0, "hostID": 100000, "size": 65536}]
    box.config["linux"]["namespaces"].append({"type": "user"})
    box.config["linux"] |= {"uidMappings": mapping, "gidMappings": mapping}
    subprocess.run(["chown", "-R", "100000:100000", box.rootfs], check=True)


@pytest.mark.parametrize("user", [False, True])
def test_a_bind_of_what_an_earlier_mount_put_into_the_root(bundle: Any, runner: Any, place: Path, user: bool) -> None:
    box = bundle("cat", "/final/below/file", "/final/below/again/file")
    for name in ("outer/below", "inner/again"):
        (place / name).mkdir(parents=True)
    (place / "inner/file").write_text("inner\n")
    for source, destination in (
        (str(place / "outer"), "/mnt"),
        (str(place / "inner"), "/mnt/below"),
        (f"{box.rootfs}/mnt/below", f"{box.rootfs}/mnt/below/again"),
        (f"{box.rootfs}/mnt", f"{box.rootfs}/final"),
    ):
        entry = {"source": source, "destination": destination, "options": ["rbind", "rprivate"]}
        box.config["mounts"].append(entry)
    if user:
        in_user_namespace(box)
    assert runner.out(box.write()) == "inner\ninner\n"


def test_a_source_inside_the_root_is_not_led_out_of_it(bundle: Any, runner: Any, place: Path) -> None:
    (place / "secret").mkdir()
    (place / "secret/file").write_text("of the host\n")
    (place / "volume").mkdir()
    (place / "volume/link").symlink_to(place / "secret")
    box = bundle("cat", "/final/file")
    for source, destination in ((str(place / "volume"), "/mnt"), (f"{box.rootfs}/mnt/link", "/final")):
        box.config["mounts"].append({"source": source, "destination": destination, "options": ["rbind"]})
    done = runner("run", "--bundle", box.write().path, runner.id())
    assert done.returncode == 1
    assert "no such file or directory" in done.stderr


def test_ids_of_a_mount_by_the_user_namespace_that_is_joined(bundle: Any, runner: Any, place: Path) -> None:
    first = bundle("sleep", "1000")
    in_user_namespace(first)
    name = runner.id()
    runner.ok("run", "--detach", "--bundle", first.write().path, name)
    box = bundle("stat", "-c", "%u", "/mnt/file")
    (place / "volume").mkdir()
    (place / "volume/file").touch()
    in_user_namespace(box)
    del box.config["linux"]["uidMappings"], box.config["linux"]["gidMappings"]
    box.config["linux"]["namespaces"][-1]["path"] = f"/proc/{runner.state(name)['pid']}/ns/user"
    entry = {"destination": "/mnt", "source": str(place / "volume"), "options": ["bind", "idmap"]}
    box.config["mounts"].append(entry)
    done = runner("run", "--bundle", box.write().path, runner.id())
    if "cannot be idmapped" in done.stderr:
        pytest.skip("the filesystem of /var/tmp cannot be idmapped")
    assert (done.stdout, done.stderr) == ("0\n", "")
