"""Starting railcar: the launcher in its many places, what hot commands import and ask of the kernel, the archive."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

MakeBundle = Callable[..., Any]

HEAVY = {
    "re", "json", "enum", "dataclasses", "typing", "pathlib", "subprocess", "socket", "signal", "tempfile", "shutil",
    "argparse", "ctypes", "pydantic", "typer", "importlib.metadata", "inspect", "logging", "threading",
}  # fmt: skip


@pytest.fixture
def copied(railcar: Path, tmp_path: Path) -> Path:
    """The installed command and its packages, copied below a path with a space: bin/railcar of a prefix."""
    import ocicommon
    import railcar as package

    prefix = tmp_path / "a prefix"
    site = prefix / "lib" / f"python3.{sys.version_info.minor}" / "site-packages"
    (prefix / "bin").mkdir(parents=True)
    shutil.copy2(railcar, prefix / "bin/railcar")
    ignored = shutil.ignore_patterns("__pycache__")
    for module in (package, ocicommon):
        assert module.__file__ is not None
        shutil.copytree(Path(module.__file__).parent, site / module.__name__, ignore=ignored)
    if not any(
        os.access(f"{place}/python3.{sys.version_info.minor}", os.X_OK) for place in ("/usr/bin", "/usr/local/bin")
    ):
        (prefix / "bin/python3").symlink_to(sys.executable)
    return prefix


def version(command: Path | str, **keywords: Any) -> str:
    done = subprocess.run(
        [str(command), "--version"], capture_output=True, text=True, check=False, timeout=120, **keywords
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[0]


def test_launcher_works_with_a_space_in_its_path(copied: Path) -> None:
    assert version(copied / "bin/railcar") == "railcar version 0.1.0"


def test_launcher_works_through_links(copied: Path, tmp_path: Path) -> None:
    (tmp_path / "one").symlink_to("a prefix/bin/railcar")
    (tmp_path / "two").symlink_to(tmp_path / "one")
    assert version(tmp_path / "two") == "railcar version 0.1.0"
    assert version("./two", cwd=tmp_path) == "railcar version 0.1.0"


def test_launcher_works_without_environment(copied: Path) -> None:
    assert version(copied / "bin/railcar", env={}) == "railcar version 0.1.0"


def test_launcher_works_with_closed_streams(copied: Path) -> None:
    command = f'exec "{copied}/bin/railcar" --version 0<&- 2>&-'
    done = subprocess.run(["/bin/sh", "-c", command], stdout=subprocess.PIPE, text=True, check=False, timeout=120)
    assert done.stdout.startswith("railcar version ")
    assert done.returncode == 0


def test_launcher_minds_no_python_variable_and_no_directory(copied: Path, tmp_path: Path) -> None:
    (tmp_path / "railcar.py").write_text("raise SystemExit('the wrong module')")
    (tmp_path / "os.py").write_text("raise SystemExit('the wrong module')")
    environment = {"PYTHONPATH": str(tmp_path), "PYTHONHOME": "/no/such", "PYTHONSTARTUP": "/no", "PATH": str(tmp_path)}
    assert version(copied / "bin/railcar", env=environment, cwd=tmp_path) == "railcar version 0.1.0"


def test_launcher_is_found_by_name(copied: Path) -> None:
    done = subprocess.run(
        ["/bin/sh", "-c", "railcar --version"],
        env={"PATH": f"{copied}/bin"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.stdout.startswith("railcar version "), done.stderr


def archive(prefix: Path) -> Path:
    tag = sys.implementation.cache_tag
    return prefix / "lib" / f"python3.{sys.version_info.minor}" / f"site-packages/railcar/__pycache__/all.{tag}.bin"


def loaded_from(prefix: Path) -> str:
    """ "archive" or "files"."""
    start = prefix / "lib" / f"python3.{sys.version_info.minor}" / "site-packages/railcar/__main__.py"
    code = (
        f"import sys; sys.argv = ['railcar', '--version']; __file__ = {str(start)!r};"
        f"source = open(__file__).read().rpartition('from railcar.cli.main')[0]; exec(source);"
        "import railcar.errors;"
        "print('archive' if type(railcar.errors.__spec__.loader).__module__ == 'railcar.archive' else 'files')"
    )
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_first_start_makes_the_archive_and_later_ones_use_it(copied: Path) -> None:
    version(copied / "bin/railcar")
    if sys.version_info[:2] != (3, 11) and not archive(copied).exists():
        pytest.skip("the launcher took another interpreter than this one")
    assert archive(copied).stat().st_mode & 0o777 == 0o644
    assert loaded_from(copied) == "archive"
    assert version(copied / "bin/railcar") == "railcar version 0.1.0"


def test_archive_of_another_install_is_not_used(copied: Path) -> None:
    version(copied / "bin/railcar")
    main = archive(copied).parents[1] / "cli/main.py"
    main.write_text(main.read_text() + "\n# changed\n")
    assert loaded_from(copied) == "files"
    version(copied / "bin/railcar")
    assert loaded_from(copied) == "archive"


@pytest.mark.parametrize("content", [b"", b"\xff\xff\xff\xff", b"\x05\0\0\0abcde", None])
def test_damaged_or_writable_archive_is_not_used(copied: Path, content: bytes | None) -> None:
    version(copied / "bin/railcar")
    if content is None:
        archive(copied).chmod(0o666)
    else:
        archive(copied).write_bytes(content)
    assert loaded_from(copied) == "files"
    assert version(copied / "bin/railcar") == "railcar version 0.1.0"


def test_archive_of_another_user_is_not_used(copied: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root to give a file away")
    version(copied / "bin/railcar")
    os.chown(archive(copied), 1000, 1000)
    assert loaded_from(copied) == "files"


HOT = ("create", "run", "exec", "start", "state", "kill", "delete", "list")


@pytest.mark.parametrize("command", HOT)
def test_archive_has_a_whole_piece_for_each_hot_command(copied: Path, command: str) -> None:
    """Nothing that a hot command imports as it is loaded comes from elsewhere, and `os` stays small."""
    version(copied / "bin/railcar")
    start = copied / "lib" / f"python3.{sys.version_info.minor}" / "site-packages/railcar/__main__.py"
    code = (
        f"import sys; sys.argv = ['railcar', {command!r}]; __file__ = {str(start)!r};"
        "source = open(__file__).read().rpartition('from railcar.cli.main')[0];"
        "exec(source); before = {name for name in sys.modules if name.startswith('railcar')};"
        f"__import__('railcar.cli.{command}');"
        "after = {name for name in sys.modules if name.startswith('railcar')};"
        "print(ready, len(before) > 8, sorted(after - before), type(sys.modules['os']).__name__)"
    )
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "True True [] _System", done.stderr


def test_small_os_becomes_the_real_one_when_more_is_asked_of_it(copied: Path) -> None:
    version(copied / "bin/railcar")
    start = copied / "lib" / f"python3.{sys.version_info.minor}" / "site-packages/railcar/__main__.py"
    code = (
        f"import sys; sys.argv = ['railcar', 'state']; __file__ = {str(start)!r};"
        "source = open(__file__).read().rpartition('from railcar.cli.main')[0]; exec(source);"
        "import os; small = os; os.environ['A'] = 'b'; import json, subprocess, pathlib;"
        "import os; print(type(os).__name__, small.environ is os.environ, os.fsencode('a'), small.path.join('a', 'b'))"
    )
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "module True b'a' a/b", done.stderr


def modules(runner: Any, *arguments: str | Path) -> set[str]:
    """What a command imports, as the interpreter lists it."""
    import railcar as package

    assert package.__file__ is not None
    start = str(Path(package.__file__).with_name("__main__.py"))
    argv = [sys.executable, "-I", "-S", "-X", "importtime", start, *runner.argv(*arguments)[1:]]
    null = subprocess.DEVNULL
    with open(runner.root.parent / "imports", "w+b") as errors:
        done = subprocess.run(argv, stdin=null, stdout=null, stderr=errors, timeout=120, check=False)
        errors.seek(0)
        text = errors.read().decode()
    assert done.returncode == 0, text
    lines = [line for line in text.splitlines() if line.startswith("import time:")]
    return {line.rpartition("|")[2].strip() for line in lines[1:]}


@pytest.mark.parametrize("docker", [False, True])
def test_hot_commands_import_nothing_heavy(runner: Any, bundle: MakeBundle, docker: bool) -> None:
    made, name = bundle("sleep", "1000", docker=docker), runner.id()
    runner.ok("--version")  # the archive is made by now
    if docker:
        from ocicommon.linux.seccomp import default

        made.config["linux"]["seccomp"] = default.docker(made.config["process"]["capabilities"]["bounding"])
        made.write()
    commands: list[tuple[Any, ...]] = [
        ("run", "--bundle", bundle("true", docker=docker).path, runner.id()),
        ("create", "--bundle", made.path, name),
        ("start", name),
        ("state", name),
        ("exec", name, "true"),
        ("list",),
        ("kill", name, "0"),
        ("delete", "--force", name),
    ]
    for command in commands:
        found = modules(runner, *command)
        assert not found & HEAVY, command
        assert len(found) < {"run": 130, "create": 130, "exec": 130}.get(command[0], 70), (command, len(found))


def test_hot_commands_ask_little_of_the_kernel(runner: Any, bundle: MakeBundle, tmp_path: Path) -> None:
    """Ceilings with room for other kernels and interpreters: what doubles is noticed."""
    strace = shutil.which("strace")
    if not strace or subprocess.run([strace, "-qq", "-o", "/dev/null", "true"], check=False).returncode:
        pytest.skip("strace is not installed, or may not trace")
    made, name = bundle("sleep", "1000", docker=True), runner.id()
    runner.ok("--version")  # the archive is made by now
    for command, calls, files in (
        (("create", "--bundle", made.path, name), 1000, 130),
        (("state", name), 600, 50),
        (("start", name), 700, 60),
        (("exec", name, "true"), 950, 80),
        (("delete", "--force", name), 750, 65),
    ):
        log = tmp_path / "log"
        null = subprocess.DEVNULL
        argv = [strace, "-qq", "-o", str(log), *runner.argv(*command)]
        subprocess.run(argv, stdin=null, stdout=null, stderr=null, check=True, timeout=120)
        # Where the clock cannot be read without one, each look at it is a call.
        lines = [line for line in log.read_text(errors="replace").splitlines() if "clock_gettime(" not in line]
        opened = [line for line in lines if line.startswith("open") and "= -1" not in line]
        assert len(lines) <= calls, (command[0], len(lines))
        assert len(opened) <= files, (command[0], len(opened))


def test_trace_has_a_span_for_each_step(runner: Any, bundle: MakeBundle, tmp_path: Path) -> None:
    import json

    log = tmp_path / "trace"
    argv = [str(runner.command), "--root", str(runner.root), "--trace", str(log), "run", "-b", str(bundle("true").path)]
    subprocess.run([*argv, runner.id()], stdin=subprocess.DEVNULL, check=True, timeout=120)
    spans = [json.loads(line) for line in log.read_text().splitlines()]
    steps = [span["step"] for span in spans]
    assert {"plan", "intent", "cgroups", "clone", "mounts", "identity", "ready"} <= set(steps)
    assert all(span["took_us"] >= 0 for span in spans)
