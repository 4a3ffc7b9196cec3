"""The three tools at work: nginx becomes a microcontainer, runs read-only, is looked into, and is gone.

    python tools/demonstration.py [--keep] [--json FILE]

Each step prints the command that repeats it. As a normal user the container lives in a user namespace of that user's.
"""

import argparse
import http.client
import json
import os
import pwd
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ocicommon.linux import namespaces

HERE = Path(__file__).resolve().parent
BIN = Path(sys.executable).parent
IMAGE = HERE.parent / ".nox" / "demo" / "crashcart.img"
TOOLS = ("smith", "railcar", "crashcart")
PORT = 8080


class Stopped(Exception):
    """A step did not succeed; the text is for the person at the terminal."""


class Steps:
    """Runs the commands of the demonstration, shows them, and keeps their times."""

    def __init__(self) -> None:
        self.times: dict[str, float] = {}
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        print(text, flush=True)

    def run(self, title: str, *argv: str | Path, show: bool = True) -> str:
        """Run one command of ours; return its output. Stopped, with what it said, where it fails."""
        line = shlex.join([Path(argv[0]).name, *map(str, argv[1:])])
        self.lines.append(line)
        self.say(f"\n{title}\n  $ {line}")
        begin = time.perf_counter()
        # Files, not pipes: a detached container keeps its standard streams open, and a pipe would not end before it.
        with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
            words = [str(word) for word in argv]
            code = subprocess.run(
                words, stdin=subprocess.DEVNULL, stdout=output, stderr=errors, check=False, timeout=600
            ).returncode
            self.times[title] = time.perf_counter() - begin
            output.seek(0)
            errors.seek(0)
            said, complaint = output.read(), errors.read()
        if code != 0:
            raise Stopped(f"{line} ended with {code}:\n{complaint or said}")
        if show:
            for text in (said + complaint).splitlines():
                self.say(f"  {text}")
        return said


def leftovers(work: Path, tools: Path) -> list[str]:
    """What the container or the session left on this machine: their mounts, loop devices and cgroups."""
    marks = (str(work), "/dev/crashcart", str(tools))
    mounts = [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if any(m in line for m in marks)]
    backing = [path.read_text().strip() for path in Path("/sys/block").glob("loop*/loop/backing_file")]
    # A walk, since it passes over what others remove meanwhile.
    groups = [above for above, _, _ in os.walk("/sys/fs/cgroup") if f"demo-nginx-{os.getpid()}" in above]
    return [*mounts, *(path for path in backing if path == str(tools)), *groups]


def in_network_of(pid: int, job: Callable[[], str]) -> str:
    """Do a job in the network of a process; a child does it and reports. A normal user's container has ours."""
    if os.readlink(f"/proc/{pid}/ns/net") == os.readlink("/proc/self/ns/net"):
        return job()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            namespaces.setns(os.open(f"/proc/{pid}/ns/net", os.O_RDONLY), 0)
            os.write(writer, job().encode())
            code = 0
        except OSError as error:
            os.write(writer, str(error).encode())
        finally:
            os._exit(code)
    os.close(writer)
    with open(reader) as stream:
        text = stream.read()
    _, status = os.waitpid(child, 0)
    if status:
        raise Stopped(f"no answer from the container: {text}")
    return text


def fetch() -> str:
    """The page, as soon as the server listens; it has 30 seconds to begin."""
    deadline = time.monotonic() + 30
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=10)
        try:
            connection.request("GET", "/")
            answer = connection.getresponse()
            return f"{answer.status} {answer.reason}\n{answer.read().decode()}"
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        finally:
            connection.close()


def count(path: Path) -> tuple[int, int]:
    """Files and bytes below a directory."""
    files = [each for each in path.rglob("*") if each.is_file() and not each.is_symlink()]
    return len(files), sum(each.stat().st_size for each in files)


def has_subordinate_ids() -> bool:
    """Whether this user may map ids beyond its own (subuid(5)), by the newuidmap of the package uidmap."""
    try:
        name = pwd.getpwuid(os.geteuid()).pw_name
        owners = {line.partition(":")[0] for line in Path("/etc/subuid").read_text().splitlines()}
    except (KeyError, OSError):
        return False
    return bool(owners & {name, str(os.geteuid())}) and shutil.which("newuidmap") is not None


def tools_image(steps: Steps, image: Path) -> Path:
    """crashcart's small image, built once: the next run finds it."""
    if not image.exists():
        image.parent.mkdir(parents=True, exist_ok=True)
        title = "crashcart: an image of debugging tools (kept for the next run)"
        steps.run(title, BIN / "crashcart", "build", "--preset", "tiny", "-o", image)
    return image


def demonstrate(steps: Steps, work: Path, tools: Path) -> dict[str, Any]:
    """All steps; return the figures."""
    root = work / "state"
    name = f"demo-nginx-{os.getpid()}"
    railcar: list[str | Path] = [BIN / "railcar", "--root", root]
    image, bundle = work / "nginx.tar", work / "bundle"
    report = json.loads(
        steps.run(
            "smith: nginx from this machine's package source, as a microcontainer",
            BIN / "smith", "build", "-d", work / "nginx", "-i", image, "--json", show=False,
        )
    )  # fmt: skip
    steps.say(f"  {report['digest']}")
    steps.run("smith: a bundle of it", BIN / "smith", "unpack", image, bundle)
    tools_image(steps, tools)
    running = False
    try:
        steps.run(
            "railcar: run it; read-only root, tmpfs on /run and /write",
            *railcar,
            "run",
            "--detach",
            "--bundle",
            bundle,
            name,
        )
        running = True
        pid = int(json.loads(subprocess.check_output([*railcar, "state", name]))["pid"])
        answer = in_network_of(pid, fetch)
        steps.say(f"\nA page of it, over its own loopback\n  {answer.strip()}")
        sockets = steps.run(
            "crashcart: its sockets (the container has no shell, and no ss)",
            BIN / "crashcart", "-i", tools, str(pid), "--", "ss", "-ltn",
        )  # fmt: skip
        if str(PORT) not in sockets:
            raise Stopped(f"ss does not show port {PORT}:\n{sockets}")
    finally:
        if running:
            steps.run("railcar: gone", *railcar, "delete", "--force", name)
    files, size = count(bundle / "rootfs")
    return {
        "digest": report["digest"],
        "size of the closure": report["sourceSize"],
        "size of the root": size,
        "files": files,
        "size of the image": image.stat().st_size,
        "seconds": {title: round(seconds, 2) for title, seconds in steps.times.items()},
        "page": answer.splitlines()[0],
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", action="store_true", help="keep the image and the bundle, and say where they are")
    parser.add_argument("--tools", type=Path, default=IMAGE, help="crashcart's image; made where it is missing")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    options = parser.parse_args()
    missing = [name for name in TOOLS if not (BIN / name).exists()]
    if missing:
        print(f"error: {', '.join(missing)} is not installed beside {sys.executable}: run tools/demo", file=sys.stderr)
        return 1
    if os.geteuid() != 0 and not has_subordinate_ids():
        print(
            "error: a container of this user's needs subordinate ids, and /etc/subuid has none for it; as root: "
            f"usermod --add-subuids 200000-265535 --add-subgids 200000-265535 {os.geteuid()}, and install uidmap",
            file=sys.stderr,
        )
        return 1
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    steps = Steps()
    work = Path(tempfile.mkdtemp(prefix="demo."))
    try:
        shutil.copytree(HERE / "demonstration.d", work / "nginx")
        figures = demonstrate(steps, work, options.tools.absolute())
    except Stopped as stopped:
        print(f"\nerror: {stopped}", file=sys.stderr)
        return 1
    finally:
        if options.keep:
            print(f"\nKept: {work}")
        else:
            subprocess.run(["rm", "-rf", "--one-file-system", str(work)], check=False)
    left = leftovers(work, options.tools.absolute())
    steps.say("\nWhat it came to")
    sizes = {
        "nginx and all it depends on, installed": figures["size of the closure"],
        f"the microcontainer's root, {figures['files']} files": figures["size of the root"],
        "the image file": figures["size of the image"],
    }
    for what, size in sizes.items():
        steps.say(f"  {size / 1e6:6.1f} MB  {what}")
    for title, seconds in figures["seconds"].items():
        steps.say(f"  {seconds:6.2f} s  {title}")
    if left:
        print("error: something is left on the machine:", *left, sep="\n  ", file=sys.stderr)
        return 1
    steps.say("  Nothing is left: no mount, no loop device, no cgroup.")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
