"""A first command in a running container: crashcart beside docker exec, runc exec and nsenter, interleaved.

`python tools/bench/entering.py [--rounds N]`, as root. Engines run with storage of their own and are ended. What is
not installed is left out, and said.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from measuring import Figures, table, timed

SLEEP = ["/bin/sleep", "100000"]
LIMITS = (
    ("crashcart by pid", "docker exec", 0.5),
    ("crashcart by pid", "runc exec", 1.5),
    ("crashcart by docker id", "docker exec", 0.6),
)


def tools(base: Path) -> Path:
    """A directory with a static busybox as true, sh and sleep."""
    root = base / "tools"
    for name in ("bin", "proc", "dev", "sys"):
        (root / name).mkdir(parents=True)
    shutil.copy("/bin/busybox", root / "bin/busybox")
    for name in ("true", "sh", "sleep"):
        (root / "bin" / name).symlink_to("busybox")
    return root


@contextmanager
def docker(base: Path, root: Path) -> Iterator[tuple[str, str, int]]:
    """(address, id, pid) of a container of a docker of our own."""
    host = f"unix://{base}/docker.sock"
    (base / "daemon.json").write_text("{}")
    words = ["dockerd", "--data-root", f"{base}/data", "--exec-root", f"{base}/exec", "-H", host]
    words += ["--pidfile", f"{base}/pid", "--config-file", f"{base}/daemon.json", "--storage-driver=vfs"]
    words += ["--iptables=false", "--ip6tables=false", "--bridge=none"]
    client = ["docker", "-H", host]
    with open(base / "dockerd.log", "wb") as log:
        daemon = subprocess.Popen(words, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    try:
        end = time.monotonic() + 60
        while subprocess.run([*client, "version"], capture_output=True, check=False).returncode:
            if daemon.poll() is not None or time.monotonic() > end:
                raise SystemExit(f"dockerd does not start: {(base / 'dockerd.log').read_text()[-800:]}")
            time.sleep(0.1)
        tar = subprocess.run(["tar", "-C", str(root), "-c", "."], capture_output=True, check=True).stdout
        subprocess.run([*client, "import", "-", "tools"], input=tar, capture_output=True, check=True)
        run = [*client, "run", "-d", "--network", "none", "tools", *SLEEP]
        id = subprocess.run(run, capture_output=True, text=True, check=True).stdout.strip()
        pid = subprocess.run(
            [*client, "inspect", "-f", "{{.State.Pid}}", id], capture_output=True, text=True, check=True
        )
        yield host, id, int(pid.stdout)
        subprocess.run([*client, "rm", "-f", id], capture_output=True, check=False)
    finally:
        daemon.send_signal(signal.SIGTERM)
        daemon.wait()
        for left in (base / "exec/netns").glob("*"):
            subprocess.run(["umount", str(left)], capture_output=True, check=False)


@contextmanager
def runc(base: Path, root: Path, *, traces: bool = False) -> Iterator[tuple[Path, str, int]]:
    """(state directory, id, pid) of a container of runc's default configuration; with ``traces``, it may trace."""
    base = base / f"runc-{traces}"
    bundle, state = base / "bundle", base / "state"
    bundle.mkdir(parents=True)
    subprocess.run(["runc", "spec", "--bundle", str(bundle)], check=True)
    config = json.loads((bundle / "config.json").read_text())
    config["process"] |= {"terminal": False, "args": SLEEP}
    config["root"] = {"path": str(root), "readonly": True}
    if traces:
        for kind in ("bounding", "effective", "permitted"):
            config["process"]["capabilities"][kind].append("CAP_SYS_PTRACE")
    (bundle / "config.json").write_text(json.dumps(config))
    id = f"crashcart-bench-{os.getpid()}-{traces}"
    words = ["runc", "--root", str(state)]
    with open(os.devnull, "r+b") as null:
        run = [*words, "run", "-d", "--pid-file", f"{base}/runc.pid", "--bundle", str(bundle), id]
        subprocess.run(run, stdin=null, stdout=null, check=True)
    try:
        yield state, id, int((base / "runc.pid").read_text())
    finally:
        subprocess.run([*words, "delete", "-f", id], check=False)


def main() -> int:
    """Measure, print, and say whether the limits are kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=100)
    options = parser.parse_args()
    if os.geteuid() != 0:
        raise SystemExit("entering containers needs root")
    command = Path(sys.executable).parent / "crashcart"
    program = str(command if command.exists() else shutil.which("crashcart") or "crashcart")
    with tempfile.TemporaryDirectory(prefix="bench-") as name, ExitStack() as stack:
        base = Path(name)
        root = tools(base)
        image = base / "tools.img"
        subprocess.run(["mkfs.erofs", "-zlz4hc", str(image), str(root)], capture_output=True, check=True)
        crashcart = [program, "-i", str(image)]
        commands: dict[str, list[str]] = {}
        if shutil.which("dockerd"):
            host, id, pid = stack.enter_context(docker(base, root))
            os.environ["DOCKER_HOST"] = host
            commands["docker exec"] = ["docker", "exec", id, "/bin/true"]
            commands["crashcart by docker id"] = [*crashcart, id, "true"]
        else:
            print("dockerd is not installed: left out")
        state, name, pid = stack.enter_context(runc(base, root))
        commands["runc exec"] = ["runc", "--root", str(state), "exec", name, "/bin/true"]
        commands["nsenter"] = ["nsenter", "-t", str(pid), "-m", "-p", "-n", "-i", "-u", "/bin/true"]
        commands["crashcart by name"] = [*crashcart, "--root", str(state), name, "true"]
        commands["crashcart by pid"] = [*crashcart, str(pid), "true"]
        _, _, tracing = stack.enter_context(runc(base, root, traces=True))
        commands["crashcart, where it may be traced"] = [*crashcart, str(tracing), "true"]
        figures = {title: Figures() for title in commands}
        for argv in commands.values():
            timed(argv)
        for _ in range(options.rounds):
            for title, argv in commands.items():
                figures[title].add(timed(argv))
    rows: list[tuple[str, ...]] = [("", "median ms", "p25", "p75", "p95", "cpu ms")]
    for title, one in figures.items():
        wall = sorted(one.wall)
        marks = [wall[min(len(wall) - 1, len(wall) * part // 100)] for part in (50, 25, 75, 95)]
        cpu = sorted(one.cpu)[len(one.cpu) // 2]
        rows.append((title, *(f"{mark:.1f}" for mark in marks), f"{cpu:.1f}"))
    print(table(rows))
    kept = True
    for title, peer, limit in LIMITS:
        if title in figures and peer in figures:
            ratio = sorted(figures[title].wall)[options.rounds // 2] / sorted(figures[peer].wall)[options.rounds // 2]
            kept = kept and ratio <= limit
            print(f"{title} / {peer}: {ratio:.2f} (at most {limit})")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
