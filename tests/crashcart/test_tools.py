"""The tools of a built image, each started in a container without files and in one of another C library: they work,
and read nothing of it."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import crashcart_support as support
import pytest

pytestmark = pytest.mark.root
Containers = Callable[..., support.Container]


def run(words: list[str], **keywords: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, capture_output=True, text=True, check=False, timeout=280, **keywords)  # type: ignore[call-overload,no-any-return]


@pytest.fixture(scope="session")
def musl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program of another C library, and that library, as they lie in a root."""
    compiler = shutil.which("musl-gcc")
    loader = next(Path("/lib").glob("ld-musl-*.so.1"), None)
    if compiler is None or loader is None:
        pytest.skip("needs musl-gcc")
    base = tmp_path_factory.mktemp("musl")
    (base / "sleep.c").write_text("#include <unistd.h>\nint main(void) { for (;;) pause(); }\n")
    (base / "lib").mkdir()
    if run([compiler, "-O1", "-o", str(base / "lib/forever"), str(base / "sleep.c")]).returncode:
        pytest.skip("musl-gcc does not work here")
    shutil.copy(loader.resolve(), base / "lib" / loader.name)
    (base / "lib/libc.so").symlink_to(loader.name)
    return base / "lib"


@pytest.fixture(params=["scratch", "musl"])
def inside(
    request: pytest.FixtureRequest, containers: Containers, crashcart: Path, default_image: Path
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs bash of the built image in a container whose root is nothing but traps, and perhaps another C library."""
    library: Path | None = request.getfixturevalue("musl") if request.param == "musl" else None

    def prepare(rootfs: Path) -> None:
        if library is not None:
            shutil.copytree(library, rootfs / "lib", symlinks=True)

    def settle(container: support.Container) -> None:
        shutil.rmtree(container.rootfs / "bin")
        (container.rootfs / "bin").mkdir()
        (container.rootfs / "bin/sh").write_text("#!/dev/crashcart/bin/busybox sh\necho > /tmp/sprung\n")
        (container.rootfs / "bin/sh").chmod(0o755)
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

    arguments = ("/bin/sleep", "100000") if library is None else ("/lib/forever",)
    container = containers(settle=settle, prepare=prepare, arguments=arguments)

    def bash(script: str) -> subprocess.CompletedProcess[str]:
        words = [str(crashcart), "-i", str(default_image), "--root", str(container.state), container.id]
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
    "gdb prints": (
        "gdb -nx -batch -ex 'break main' -ex run -ex 'print (int) getpid() > 0' -ex 'info symbol getpid' "
        "--args /dev/crashcart/bin/busybox true 2>&1; gdb -nx -batch -ex 'info functions readline$' bash 2>&1",
        "readline",
    ),
    "ltrace": ("ltrace -V 2>&1", "ltrace"),
    "pigz": ("echo packed | pigz | gzip -d", "packed"),
    "tar": ("cd /tmp; echo in > f; tar -cjf a.tbz f; rm f; tar -xjf a.tbz; cat f", "in"),
    "objdump": ("objdump -f /dev/crashcart/bin/ls; readelf -h /dev/crashcart/bin/ls", "elf64"),
    "wget": ("wget -V; openssl version", "OpenSSL"),
    "ip": ("ip -brief link show lo", "lo"),
    "less": ("echo paged | less -F -X", "paged"),
    "system": (
        "busybox awk 'BEGIN { system(\"echo $0 of a shell\") }'; awk 'BEGIN { system(\"echo\") }'",
        "of a shell",
    ),
    "whoami": ("whoami", "root"),
    "locale": ("text=$'\\u00e9'; echo ${#text}", "1"),
}


@pytest.mark.parametrize("tool", TOOLS)
def test_tool_works_in_a_container_without_files_and_with_traps(tool: str, inside: Inside) -> None:
    script, expected = TOOLS[tool]
    done = inside(script)
    assert expected in done.stdout, done.stderr


def test_the_python_in_gdb_is_the_image_s(inside: Inside) -> None:
    script = "test -e /dev/crashcart/libexec/gdb || exit 77; gdb -nx -batch -ex 'python import sys, json; "
    done = inside(script + "print(sys.path, json.dumps(42))' -ex 'show environment PYTHONHOME'")
    if done.returncode == 77:
        pytest.skip("the gdb of this Debian's gdb-minimal has no Python")
    assert "42" in done.stdout, done.stderr
    assert "/usr" not in done.stdout
    assert '"PYTHONHOME" not defined' in done.stdout


def test_tools_open_no_file_of_the_container_to_start(inside: Inside) -> None:
    tools = "'bash -c :' 'curl -V' 'gdb -nx -batch' 'openssl version' 'ls -l /dev' 'lsof -v' 'vim --version'"
    tools += " 'top -bn1' 'less -F /dev/null' 'vim -es -c q' 'ip link' 'wget -V' 'tar --version' 'tcpdump --version'"
    tools += " 'nm -D /dev/crashcart/bin/ls' 'ltrace -V' 'ps' 'pigz -V' 'man -w ls' 'nc -h' 'busybox true'"
    trace = "strace -f -e trace=open,openat,execve -o /dev/stdout $tool 2>/dev/null | cat"
    script = f"export TERM=xterm; for tool in {tools}; do {trace}; done"
    done = inside(script)
    opened = [line.split('"')[1] for line in done.stdout.splitlines() if '"' in line and "openat(AT_FDCWD" in line]
    opened += [line.split('"')[1] for line in done.stdout.splitlines() if "execve(" in line]
    assert opened
    outside = {path for path in opened if path.startswith("/") and not path.startswith(("/dev", "/proc", "/sys"))}
    # Data about the container itself: how it names hosts, links and routes, its time zone, who is logged in.
    named = {path for path in outside if path.startswith("/etc/iproute2/")}
    known = {"/", "/etc/hosts", "/etc/host.conf", "/etc/resolv.conf", "/etc/localtime", "/var/run/utmp"}
    assert outside - named <= known


def test_interactive_shell_reads_only_the_images_start(
    containers: Containers, crashcart: Path, default_image: Path
) -> None:
    def prepare(rootfs: Path) -> None:
        """A start file that tells, keys that write other letters, a terminal of which none is like it."""
        for directory in (rootfs, rootfs / "root", rootfs / "etc"):
            directory.mkdir(exist_ok=True)
            for name in (".bashrc", ".profile", ".bash_profile", ".inputrc", "inputrc", "profile", "bash.bashrc"):
                text = '"e": "q"\n' if "input" in name else "touch /tmp/sprung\n"
                (directory / name).write_text(text)
        for directory in ("etc/terminfo", "lib/terminfo", "usr/share/terminfo", "root/.terminfo", ".terminfo"):
            (rootfs / directory / "x").mkdir(parents=True)
            (rootfs / directory / "x/xterm").write_bytes(b"\x1a\x01" + b"\xff" * 4000)

    container = containers(prepare=prepare)
    words = f"{crashcart} -i {default_image} --root {container.state} {container.id}"
    script = "echo $((6*7))x $HISTFILE; type ll; exit 3\n"
    done = subprocess.run(
        ["script", "-qec", words, "/dev/null"], input=script.encode(), capture_output=True, timeout=120, check=False
    )
    assert done.returncode == 3
    assert b"42x" in done.stdout
    assert b"ll is aliased to" in done.stdout
    assert not (container.rootfs / "tmp/sprung").exists()


STARTED = r"""
cd /tmp
for path in /dev/crashcart/bin/* /dev/crashcart/sbin/*; do
    [ -f $path ] && [ -x $path ] || continue
    [ ${path##*/} != busybox ] || continue  # it takes its first word for the name of a tool
    said=$(timeout -s KILL 20 $path --version </dev/null 2>&1)
    code=$?
    case $code:$said in
    126:* | 127:* | 139:* | 134:* | *'error while loading'* | *'symbol lookup'* | *'No such file or directory'*)
        echo "$path $code ${said:0:200}" ;;
    *) : $((count += 1)) ;;
    esac
done
echo "$count started"
"""


def test_every_tool_starts(inside: Inside) -> None:
    done = inside(STARTED)
    *broken, last = done.stdout.splitlines()
    assert broken == []
    assert int(last.split()[0]) > 200
