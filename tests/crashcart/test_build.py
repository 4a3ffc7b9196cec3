"""Images out of this machine's package source: small, the same each time, and their tools read nothing outside."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from crashcart.build import recipes

Builder = Callable[..., Path]


def needs_packer(kind: str) -> None:
    program = {"erofs": "mkfs.erofs", "squashfs": "mksquashfs", "ext4": "mke2fs"}[kind]
    if shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin:/sbin") is None:
        pytest.skip(f"needs {program}")


def run(words: list[str], **keywords: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, capture_output=True, text=True, check=False, timeout=280, **keywords)  # type: ignore[call-overload,no-any-return]


def test_tiny_image_is_at_most_12_mib_and_describes_itself(tiny: Path, crashcart: Path) -> None:
    assert tiny.stat().st_size <= 12 << 20
    done = run([str(crashcart), "verify", "--json", str(tiny)])
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    names = {one["name"] for one in document["packages"]}
    assert {"busybox", "strace", "iproute2", "curl", "libc6"} <= names
    assert all(one["version"] and len(one["sha256"]) == 64 for one in document["packages"])


@pytest.mark.parametrize("kind", ["erofs", "squashfs", "ext4"])
def test_image_is_the_same_whatever_umask_zone_and_locale(kind: str, builder: Builder) -> None:
    needs_packer(kind)
    options = ("strace", "--format", kind)
    one = builder(f"one.{kind}", *options, TZ="UTC")
    two = builder(f"two.{kind}", *options, umask=0o077, TZ="Asia/Tokyo", LC_ALL="C")
    assert one.read_bytes() == two.read_bytes()


def test_damaged_image_is_not_verified(tiny: Path, crashcart: Path, tmp_path: Path) -> None:
    data = bytearray(tiny.read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "bad.img").write_bytes(data)
    done = run([str(crashcart), "verify", str(tmp_path / "bad.img")])
    assert done.returncode == 1
    assert "is damaged" in done.stderr


def test_wrong_package_preset_and_format_are_one_sentence(builder: Builder, tiny: Path, crashcart: Path) -> None:
    for options, said in (
        (["no-such-package-at-all"], "no-such-package-at-all"),
        (["--preset", "huge"], "no preset 'huge'"),
        (["--format", "tar", "strace"], "no format 'tar'"),
    ):
        done = run([str(crashcart), "build", "-o", str(tiny.parent / "bad.img"), *options])
        assert done.returncode in (1, 2)
        assert said in done.stderr
        assert "Traceback" not in done.stderr
        assert not (tiny.parent / "bad.img").exists()


@pytest.mark.root
@pytest.mark.parametrize("options", [[], ["--offline"]])
def test_image_is_built_without_a_network_once_its_packages_were_fetched(
    options: list[str], builder: Builder, crashcart: Path, tmp_path: Path, can_mount: None
) -> None:
    needs_packer("squashfs")
    before = builder("one.squashfs", "strace", "--format", "squashfs", TZ="UTC")
    image = tmp_path / "offline.img"
    words = [str(crashcart), "build", "-o", str(image), "strace", "--format", "squashfs", *options]
    done = run(["unshare", "--net", *words])
    assert done.returncode == 0, done.stderr
    assert image.read_bytes() == before.read_bytes()


@pytest.mark.root
@pytest.mark.parametrize("kind", ["erofs", "squashfs", "ext4"])
def test_image_is_the_same_for_two_users(
    kind: str, builder: Builder, other_user: tuple[Path, dict[str, Any]], crashcart: Path
) -> None:
    needs_packer(kind)
    options = ["strace", "--format", kind]
    mine = builder(f"one.{kind}", *options)
    directory, user = other_user
    theirs = directory / f"other.{kind}"
    done = run([str(crashcart), "build", "-o", str(theirs), *options], cwd="/", umask=0o077, **user)
    if done.returncode and "InRelease" in done.stderr:
        pytest.skip(f"no package source answers: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    assert theirs.stat().st_uid == user["user"]
    assert theirs.read_bytes() == mine.read_bytes()


def test_tiny_image_is_small_as_erofs_too(builder: Builder) -> None:
    needs_packer("erofs")
    # 12 MB of Debian 12's packages, and 14 MB of Debian 13's.
    assert builder("tiny.erofs", "--preset", "tiny", "--format", "erofs").stat().st_size <= 14 << 20


def test_default_image_is_at_most_90_mb_and_has_what_the_list_promises(default_image: Path, crashcart: Path) -> None:
    assert default_image.stat().st_size <= 90_000_000
    document = json.loads(run([str(crashcart), "verify", "--json", str(default_image)]).stdout)
    names = {one["name"] for one in document["packages"]}
    assert names >= set(recipes.DEFAULT)
    licensed = [one for one in document["packages"] if one["licence"]]
    assert len(licensed) > len(document["packages"]) / 2


def test_image_for_arm64_is_built_here_and_its_tools_run_emulated(builder: Builder, crashcart: Path) -> None:
    needs_packer("squashfs")
    if os.uname().machine != "x86_64":
        pytest.skip("this machine's own architecture would be no test")
    image = builder("arm64.img", "--preset", "tiny", "--platform", "linux/arm64")
    document = json.loads(run([str(crashcart), "verify", "--json", str(image)]).stdout)
    assert document["architecture"] == "arm64"
    if os.geteuid() != 0 or not shutil.which("unsquashfs") or not shutil.which("qemu-aarch64-static"):
        pytest.skip("needs root, unsquashfs and qemu-aarch64-static to run its tools")
    tree = image.parent / "arm64"
    run(["unsquashfs", "-no-progress", "-dest", str(tree), str(image)])
    inside = f"mount -t tmpfs dev /dev && mkdir /dev/crashcart && mount --bind {tree} /dev/crashcart && "
    for words, expected in (
        ("busybox uname -m", "aarch64"),
        ("strace -V", "strace -- version"),
        ("curl -V", "OpenSSL"),
        ("ss -V", "ss utility"),
    ):
        done = run(["unshare", "-m", "sh", "-c", f"{inside} qemu-aarch64-static /dev/crashcart/bin/{words}"])
        assert expected in done.stdout, (words, done.stderr)
