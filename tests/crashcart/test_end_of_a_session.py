"""What crashcart ends is what its session has made, and nobody else's."""

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import crashcart_support as support
import pytest

pytestmark = pytest.mark.root


def held_namespaces(pid: int) -> set[str]:
    """The mount namespaces that a process holds by descriptor."""
    links = [link.readlink() for link in Path(f"/proc/{pid}/fd").iterdir()]
    return {str(link) for link in links if str(link).startswith("mnt:")}


def test_the_session_s_namespace_is_held_so_that_its_number_is_no_other_s(
    crashcart: Path, image: Path, containers: Callable[..., support.Container]
) -> None:
    """The kernel gives the number of a namespace that has ended to the next: a container that starts meanwhile."""
    container = containers()
    words = [str(crashcart), "-i", str(image), "--root", str(container.state), container.id, "sh", "-c", "echo up; cat"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        inside = {str(Path(f"/proc/{pid}/ns/mnt").readlink()) for pid in support.members(container.pid)}
        inside -= {str(Path(f"/proc/{container.pid}/ns/mnt").readlink())}
        assert len(inside) == 1
        deadline = time.monotonic() + support.DEADLINE
        while held_namespaces(process.pid) != inside:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.communicate(b"")
    assert process.returncode == 0
