"""runc's integration tests in the guest: on cgroup v2 alone, under systemd, with all capabilities, as root or not."""

import shutil
import subprocess
import sys
from pathlib import Path

from vm import job
from vm.errors import MachineError

SCRIPT = Path(__file__).resolve().parents[1] / "conformance" / "inside"
#: Of the kit's root, what building the suites needed and running them does not.
LEFT_OUT = (
    "suites/validation", "suites/crun", "sources", "repository", "usr/share/doc", "usr/share/locale", "usr/lib/go-*",
    "usr/share/go-*", "usr/share/gocode", "usr/libexec/docker", "var/cache", "var/lib/apt", "root/.cache", "tmp/*",
)  # fmt: skip
RESULTS = "/run/railcar-vm/results.tap"


def settings(arguments: list[str], seconds: float) -> dict[str, object]:
    """What the guest is told; the arguments are those of tools/conformance/inside."""
    return {
        "mounts": {"kit": "/kit"},
        "directory": "/",
        "argv": ["/kit/inside", *arguments],
        "seconds": seconds,
        "results": [RESULTS],
    }


def disk(kit: Path, wheels: Path, told: dict[str, object], place: Path) -> Path:
    """The job disk, with the root of a directory that tools/conformance/build made, and railcar of these wheels in it.

    `place` is on the kit's filesystem: its files are linked, not copied. Raises MachineError.
    """
    if not (kit / "root/suites/src").is_dir():
        raise MachineError(f"{kit} has no root with the suites: make one by tools/conformance/build {kit}")
    tree = place / "job"
    root = tree / "kit"
    tree.mkdir()
    _run("cp", "-a", "--link", kit / "root", root)
    for pattern in LEFT_OUT:
        for path in root.glob(pattern):
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    if not (root / "railcar/bin/python").exists():
        _run("chroot", root, "python3", "-m", "venv", "--system-site-packages", "/railcar")
    (root / "wheels").mkdir(exist_ok=True)
    for name in ("ocicommon", "railcar"):
        for wheel in wheels.glob(f"{name}-*.whl"):
            (root / "wheels" / wheel.name).unlink(missing_ok=True)
            shutil.copy2(wheel, root / "wheels")
    _run(
        "chroot",
        root,
        "sh",
        "-c",
        "/railcar/bin/python -m pip -q install --no-index --no-deps --force-reinstall /wheels/*.whl",
    )
    shutil.copy2(SCRIPT, root / "inside")
    # The tests read it as a description of where they run, and so it must not be another file's name.
    for name in ("etc/passwd", "etc/group", "etc/subuid", "etc/subgid"):
        _unlinked(root / name)
    return job.pack(tree, told, place)


def _unlinked(path: Path) -> None:
    if path.exists():
        data = path.read_bytes()
        path.unlink()
        path.write_bytes(data)


def _run(*argv: str | Path) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    if done.returncode != 0:
        raise MachineError(f"making the kit's disk: {argv[0]} failed: {done.stderr.strip()[-500:]}")


def wheels() -> Path:
    """Those that the running environment was made of."""
    return Path(sys.prefix) / "wheels"
