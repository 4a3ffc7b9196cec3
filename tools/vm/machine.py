"""The virtual machine's hardware, as a command line of qemu(1)."""

import shutil
from pathlib import Path
from typing import NamedTuple

PROGRAM = "qemu-system-x86_64"
#: What the kernel is told besides where its root is. Debian's cloud kernel has NVMe and ext4 built in: no initramfs.
PARAMETERS = "root=/dev/nvme0n1 rw console=ttyS0 panic=-1 loglevel=4 systemd.show_status=0 systemd.log_target=console"
#: Emulation by default, everywhere: where virtual machines are nested, a /dev/kvm that opens may still not work.
ACCELERATORS = ("tcg", "kvm")
MEMORY = 2048
CPUS = 2
#: The kernel's names of the security modules that can be asked for; one of them is active at a time.
SECURITY = ("apparmor", "selinux")


class Ports(NamedTuple):
    """Files that the guest's three serial ports are written to: the kernel's console, what the job says, and lines of
    report."""

    console: Path
    output: Path
    report: Path


def lacking() -> str:
    """Why no virtual machine can run here, as the end of a sentence; "" where it can."""
    return "" if shutil.which(PROGRAM) else f"{PROGRAM} is not installed (Debian: qemu-system-x86)"


def command(kernel: Path, root: Path, job: Path, ports: Ports, *, security: str, accelerator: str) -> list[str]:
    """argv of a machine with two disks that forgets what is written to them, two processors and two memory nodes."""
    half = MEMORY // 2
    argv = [PROGRAM, "-machine", "pc", "-cpu", "max,la57=off", "-smp", str(CPUS), "-m", str(MEMORY)]
    argv += ["-accel", accelerator]
    for node in range(2):
        argv += ["-object", f"memory-backend-ram,id=memory{node},size={half}M"]
        argv += ["-numa", f"node,nodeid={node},memdev=memory{node},cpus={node}"]
    argv += ["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-kernel", str(kernel)]
    argv += ["-append", f"{PARAMETERS} security={security}"]
    for name, path in (("root", root), ("job", job)):
        argv += ["-drive", f"file={path},format=raw,if=none,id={name},snapshot=on,cache=unsafe"]
        argv += ["-device", f"nvme,drive={name},serial={name}"]
    for path in ports:
        argv += ["-serial", f"file:{path}"]
    return argv
