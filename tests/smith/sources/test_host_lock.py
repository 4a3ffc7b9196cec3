"""A lock of this machine's own files: digests of what was chosen, and the files themselves if they are kept."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def machine(run_smith: Any) -> Any:
    """A folder that is a machine: a script, its interpreter, data by a glob, and a package database."""
    root = run_smith.folder / "machine"
    stanza = (
        "Package: tool\nStatus: install ok installed\nVersion: 1.0\nArchitecture: all\nMaintainer: A <a@example.org>\n"
    )
    files = {
        "usr/bin/tool": "#!/usr/bin/interpreter\n",
        "usr/bin/interpreter": "x",
        "usr/share/tool/one": "1",
        "usr/share/doc/tool/copyright": "License: MIT\n",
        "etc/passwd": "root:x:0:0::/root:/bin/sh\n",
        "var/lib/dpkg/status": f"{stanza}\n",
        "var/lib/dpkg/info/tool.list": "/usr/bin/tool\n/usr/share/tool/one\n/usr/share/doc/tool/copyright\n",
        "srv/unrelated": "unrelated",
    }
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    for name in ("tool", "interpreter"):
        (root / "usr/bin" / name).chmod(0o755)
    (root / "bin").symlink_to("usr/bin")
    run_smith.yaml("type: host\npackage: machine/\npaths: [/bin/tool, /usr/share/tool/*]\nentrypoint: [/bin/tool]\n")
    return run_smith


def digest(machine: Any) -> str:
    return str(json.loads(machine("-i", "out.tar", "--json").stdout)["digest"])


def test_a_changed_file_is_named(machine: Any) -> None:
    first = digest(machine)
    said = machine("lock").stdout
    assert "4 inputs for linux/" in said
    assert digest(machine) == first
    (machine.folder / "machine/srv/unrelated").write_text("changed")
    assert digest(machine) == first, "what was not taken may change"
    (machine.folder / "machine/usr/share/tool/two").write_text("new")
    assert digest(machine) == first, "what a glob would match by now is not taken"
    (machine.folder / "machine/usr/bin/interpreter").write_text("y")
    failed = machine("-i", "out.tar", code=3).stderr
    assert "/usr/bin/interpreter: is sha256:" in failed
    assert "Traceback" not in failed
    (machine.folder / "machine/usr/bin/interpreter").unlink()
    assert "/usr/bin/interpreter: is not there any more" in machine("-i", "out.tar", code=3).stderr


def test_kept_files_are_enough(machine: Any) -> None:
    first = digest(machine)
    machine("lock", "--vendor", "kept")
    assert not (machine.folder / "kept/srv").exists()
    shutil.rmtree(machine.folder / "machine")
    assert digest(machine) == first
    kept = machine.folder / "kept/usr/share/tool/one"
    kept.write_text("2")
    assert "/usr/share/tool/one: is sha256:" in machine("-i", "out.tar", code=3).stderr


def test_a_program_of_this_machine(run_smith: Any) -> None:
    program = "/usr/bin/env"
    if not os.path.exists(program) or not os.path.exists("/var/lib/dpkg/status"):
        pytest.skip("needs a machine of the dpkg family")
    run_smith.yaml(f"type: host\npaths: [{program}]\ncmd: [{program}]\n")
    first = digest(run_smith)
    run_smith("lock", "--vendor", "kept")
    assert digest(run_smith) == first
    kept = {path.name for path in (run_smith.folder / "kept").rglob("*") if path.is_file()}
    assert {"env", "libc.so.6", "status"} <= kept
    assert Path(run_smith.folder, "kept/lib64").is_symlink() == Path("/lib64").is_symlink()
