"""The guest's side: mounts the job disk, runs its job with a deadline, and reports through the serial ports."""

import base64
import json
import os
import signal
import subprocess
from pathlib import Path

DISK, PLACE = "/dev/nvme1n1", Path("/run/railcar-vm")
OUTPUT, REPORT = "/dev/ttyS1", "/dev/ttyS2"
#: Seconds that a hung job has for each signal before the next, stronger one.
LAST_WORDS = 15
COLUMNS = ("-o", "pid,ppid,stat,wchan:20,args", "--forest")


def report(line: str) -> None:
    with open(REPORT, "w") as port:
        port.write(line + "\n")


def mount() -> dict[str, object]:
    """Mount the disk and its trees where the job expects them; the job."""
    disk = PLACE / "disk"
    disk.mkdir(parents=True)
    subprocess.run(["mount", "-t", "ext4", DISK, disk], check=True)
    job: dict[str, object] = json.loads((disk / "job.json").read_text())
    mounts = job["mounts"]
    assert isinstance(mounts, dict)
    for name, target in mounts.items():
        os.makedirs(target, exist_ok=True)
        subprocess.run(["mount", "--bind", disk / name, target], check=True)
    return job


def run(job: dict[str, object], output: int) -> int:
    """The job's exit code; 124 where it had to be ended."""
    argv, seconds = job["argv"], job["seconds"]
    assert isinstance(argv, list)
    assert isinstance(seconds, (int, float))
    environment = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin", "HOME": "/root", "LANG": "C.UTF-8"}
    process = subprocess.Popen(
        argv,
        cwd=str(job["directory"]),
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        env=environment | {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1"},
        start_new_session=True,
    )
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        os.write(output, f"\nThe job is not done after {seconds} s. It is here:\n".encode())
        subprocess.run(["ps", "--ppid", "2", "-p", "2", "--deselect", *COLUMNS], stdout=output, check=False)
    # An interrupt makes pytest tell what it has so far; abortion makes Python tell where it stands.
    for number in (signal.SIGINT, signal.SIGABRT, signal.SIGKILL):
        process.send_signal(number)
        try:
            process.wait(LAST_WORDS)
            break
        except subprocess.TimeoutExpired:
            continue
    return 124


def main() -> None:
    for port in (OUTPUT, REPORT):
        subprocess.run(["stty", "-F", port, "raw", "-echo", "115200"], check=True)
    code = 125
    try:
        job = mount()
        report("begin")
        output = os.open(OUTPUT, os.O_WRONLY | os.O_NOCTTY)
        code = run(job, output)
        results = job["results"]
        assert isinstance(results, list)
        for name in results:
            if os.path.exists(name):
                report(f"file {os.path.basename(name)} {base64.b64encode(Path(name).read_bytes()).decode()}")
    finally:
        report(f"end {code}")


if __name__ == "__main__":
    main()
