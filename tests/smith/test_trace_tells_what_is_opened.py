"""`smith trace`: a program runs with all files of its source, and those that smith.yaml lacks are told."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from smith import trace
from smith.errors import MissingToolError
from smith.tree import DIRECTORY, FILE, SYMLINK, Node, Tree


@pytest.mark.root
def test_files_that_a_program_opens_are_told(run_smith: Any, make_image: Any, busybox: bytes, railcar: Path) -> None:
    image = [("bin/busybox", busybox), ("bin/cat", "busybox"), ("etc/real", b"hello\n"), ("etc/asked", "real")]
    make_image(image).write(run_smith.folder / "in.tar")
    run_smith.yaml("package: in.tar\npaths: [/bin/cat]\n")
    done = run_smith("trace", "--json", "--", "/bin/cat", "/etc/asked", "/etc/nothing")
    # the program's own output comes first
    data = json.loads(done.stdout[done.stdout.index("{") :])
    assert "hello" in done.stdout
    assert data["code"] == 1
    assert "/etc/asked" in data["opened"]
    assert data["lacking"] == ["/etc/real"]
    assert not [name for name in os.listdir("/tmp") if name.startswith("smith-trace-") and _is_mine(name)]


def _is_mine(name: str) -> bool:
    return os.path.exists(f"/tmp/{name}/rootfs/etc/asked")


def test_a_missing_runtime_is_one_clear_error(run_smith: Any, make_image: Any) -> None:
    make_image([("app", b"x")]).write(run_smith.folder / "in.tar")
    run_smith.yaml("package: in.tar\npaths: [/app]\n")
    done = run_smith("trace", "--runtime", "absent-runtime", "--", "/app", code=4)
    assert "absent-runtime is not installed" in done.stderr
    with pytest.raises(MissingToolError):
        trace.find_runtime("/nothing/railcar")


def test_what_is_lacking_is_told_by_real_paths() -> None:
    tree = Tree()
    tree.add("usr/lib", Node(DIRECTORY))
    tree.add("lib", Node(SYMLINK, target="usr/lib"))
    tree.add("lib/x", Node(FILE))
    tree.add("lib/y", Node(FILE))
    assert trace.lacking(tree, ["/lib/x", "/usr/lib/x", "/lib/y", "/gone"], ["usr/lib/y"]) == ["/usr/lib/x"]
