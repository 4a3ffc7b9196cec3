"""Images out of this machine's package source: small, the same each time, and their tools read nothing outside."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import crashcart_support as support
import pytest

Containers = Callable[..., support.Container]
PROGRAMS = {"erofs": "mkfs.erofs", "squashfs": "mksquashfs", "ext4": "mke2fs"}


def run(words: list[str], **keywords: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, capture_output=True, text=True, check=False, timeout=280, **keywords)  # type: ignore[call-overload,no-any-return]


@pytest.fixture(scope="module")
def builder(crashcart: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Builds an image with these options into a directory of its own; skips where no package source answers."""
    base = tmp_path_factory.mktemp("build")

    def build(name: str, *options: str, umask: int = 0o022, **environment: str) -> Path:
        path = base / name
        words = [str(crashcart), "build", "-o", str(path), *options]
        done = run(words, env={**os.environ, **environment}, umask=umask)
        if done.returncode:
            reasons = ("package source", "smith", "mkfs", "mksquashfs", "mke2fs", "InRelease", "cannot be fetched")
            if any(reason in done.stderr for reason in reasons):
                pytest.skip(f"no image can be built here: {done.stderr.strip()}")
            raise AssertionError(done.stderr)
        assert sorted(os.listdir(base)) == sorted(entry for entry in os.listdir(base) if not entry.startswith("."))
        return path

    return build


@pytest.fixture(scope="module")
def tiny(builder: Callable[..., Path]) -> Path:
    return builder("tiny.img", "--preset", "tiny")


@pytest.fixture(scope="module")
def debugging(builder: Callable[..., Path]) -> Path:
    """An image with a shell and the tools that the tests of tools use."""
    names = ["bash", "coreutils", "strace", "procps", "gdb", "tcpdump", "lsof", "curl", "iproute2", "less", "vim-tiny"]
    return builder("debugging.img", *names, "man-db", "openssl", "busybox", "netcat")


def test_tiny_image_is_at_most_12_mib_and_describes_itself(tiny: Path, crashcart: Path) -> None:
    assert tiny.stat().st_size <= 12 << 20
    done = run([str(crashcart), "verify", "--json", str(tiny)])
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    names = {one["name"] for one in document["packages"]}
    assert {"busybox-static", "strace", "iproute2", "curl", "libc6"} <= names
    assert all(one["version"] and len(one["sha256"]) == 64 for one in document["packages"])


@pytest.mark.parametrize("kind", ["erofs", "squashfs", "ext4"])
def test_image_is_the_same_whatever_umask_zone_and_locale(kind: str, builder: Callable[..., Path]) -> None:
    if shutil.which(PROGRAMS[kind], path=f"{os.environ['PATH']}:/usr/sbin:/sbin") is None:
        pytest.skip(f"needs {PROGRAMS[kind]}")
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


def test_wrong_package_preset_and_format_are_one_sentence(
    builder: Callable[..., Path], tiny: Path, crashcart: Path
) -> None:
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


@pytest.fixture
def inside(containers: Containers, crashcart: Path, debugging: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs bash of the built image in a container without a single file, whose root is nothing but traps."""

    def settle(container: support.Container) -> None:
        shutil.rmtree(container.rootfs / "bin")
        etc = container.rootfs / "etc"
        etc.mkdir()
        (etc / "ld.so.preload").write_text("/evil.so\n")
        (etc / "nsswitch.conf").write_text("passwd: evil\ngroup: evil\nhosts: evil files dns\n")
        (etc / "hosts").write_text("127.0.0.1 localhost\n")
        (etc / "gdb").mkdir()
        for name in (
            ".bashrc",
            ".gdbinit",
            ".inputrc",
            "etc/bash.bashrc",
            "etc/profile",
            "etc/gdb/gdbinit",
            "etc/inputrc",
        ):
            (container.rootfs / name).write_text("touch /tmp/sprung\nshell touch /tmp/sprung\n")
        (container.rootfs / "evil.so").write_text("no library")

    container = containers(settle=settle)

    def bash(script: str) -> subprocess.CompletedProcess[str]:
        words = [str(crashcart), "-i", str(debugging), "--root", str(container.state), container.id]
        done = run([*words, "bash", "-c", script], stdin=subprocess.DEVNULL)
        assert not (container.rootfs / "tmp/sprung").exists()
        assert "evil.so" not in done.stderr
        return done

    return bash


Inside = Callable[[str], subprocess.CompletedProcess[str]]
LISTENING = "until [[ $(ss -Htln) == *:%d* ]]; do sleep 0.1; done"
CERTIFICATE = (
    "openssl req -x509 -newkey rsa:2048 -nodes -keyout key -out cert -days 1 -subj /CN=localhost "
    "-addext subjectAltName=DNS:localhost 2>/dev/null"
)
# Tool: (script, what it must print). Whatever waits in them waits for something, and never for some time.
TOOLS = {
    "strace": ("strace -e trace=kill bash -c 'kill -0 $$' 2>&1", "kill("),
    "gdb": (
        "sleep 1000 </dev/null & gdb -nx -batch -p $! -ex 'info proc' -ex detach 2>&1; kill $!",
        "exe = '/dev/crashcart/bin/sleep'",
    ),
    "tcpdump": (
        "ip link set lo up; coproc tcpdump -i lo -n -c 1 -l udp port 9 2>&1; exec 8<&${COPROC[0]}; "
        "while read -r line <&8; do case $line in listening*) break;; esac; done; "
        '(while :; do echo x > /dev/udp/127.0.0.1/9; sleep 0.1; done) 2>/dev/null & read -r line <&8; echo "$line"',
        "> 127.0.0.1.9: UDP",
    ),
    "lsof": ("exec 9</dev/null; lsof -p $$ 2>/dev/null", "/dev/null"),
    "ss": (f"ip link set lo up; nc -l 127.0.0.1 4321 & {LISTENING % 4321}; ss -Htln; kill $!", "127.0.0.1:4321"),
    "curl": (
        f"cd /tmp; ip link set lo up; {CERTIFICATE}; "
        "openssl s_server -accept 4433 -key key -cert cert -www -quiet </dev/null >/dev/null 2>&1 & "
        f"{LISTENING % 4433}; curl -s --cacert cert https://localhost:4433/ | head -c 2000; kill $!",
        "s_server -accept 4433",
    ),
    "man": ("man strace 2>&1 | cat", "trace system calls and signals"),
    "vim": ("cd /tmp; echo before > f; vim -es -u NONE -c '%s/before/after/' -c wq f </dev/null; cat f", "after"),
    "ps": ("ps -e -o comm=", "ps"),
    "whoami": ("whoami", "root"),
    "locale": ("text=$'\\u00e9'; echo ${#text}", "1"),
}


@pytest.mark.root
@pytest.mark.parametrize("tool", TOOLS)
def test_tool_works_in_a_container_without_files_and_with_traps(tool: str, inside: Inside) -> None:
    script, expected = TOOLS[tool]
    done = inside(script)
    assert expected in done.stdout, done.stderr


@pytest.mark.root
def test_tools_open_no_file_of_the_container_to_start(inside: Inside) -> None:
    tools = "'bash -c :' 'curl -V' 'gdb -nx -batch' 'openssl version' 'ls -l /dev' 'lsof -v' 'vim --version'"
    script = f"for tool in {tools}; do strace -f -e trace=open,openat -o /dev/stdout $tool 2>/dev/null | cat; done"
    done = inside(script)
    opened = [line.split('"')[1] for line in done.stdout.splitlines() if '"' in line and "openat(AT_FDCWD" in line]
    assert opened
    outside = {path for path in opened if path.startswith("/") and not path.startswith(("/dev", "/proc", "/sys"))}
    # Data about the container itself: how it names hosts, and its time zone.
    assert outside <= {"/", "/etc/hosts", "/etc/host.conf", "/etc/resolv.conf", "/etc/localtime"}


@pytest.mark.root
def test_interactive_shell_reads_only_the_images_start(
    containers: Containers, crashcart: Path, debugging: Path
) -> None:
    container = containers()
    words = f"{crashcart} -i {debugging} --root {container.state} {container.id}"
    script = "echo $((6*7))x $HISTFILE; type ll; exit 3\n"
    done = subprocess.run(
        ["script", "-qec", words, "/dev/null"], input=script.encode(), capture_output=True, timeout=120, check=False
    )
    assert done.returncode == 3
    assert b"42x" in done.stdout
    assert b"ll is aliased to" in done.stdout
