"""Every job of the project: `nox -l` lists them."""

import sys
from pathlib import Path

import nox

ROOT = Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT / "tools"))

import another_python  # noqa: E402
import house  # noqa: E402

nox.options.sessions = ["lint", "types", "tests"]
nox.options.default_venv_backend = "none"

GROUPS = ("house", "test", "check", "bindings")


def environment(
    session: nox.Session, name: str, requirements: str, *, with_wheels: bool = True, compiled: bool = False
) -> Path:
    """A virtual environment made from pins and, where asked, this checkout's wheels; return its bin directory.

    `compiled`: as pip leaves an environment, with the bytecode made at once.
    """
    place = ROOT / ".nox" / name
    python = place / "bin" / "python"
    if not python.exists():
        session.run(sys.executable, "-m", "venv", "--without-pip", place, external=True)
    house.install(python, "--require-hashes", "-r", str(ROOT / "requirements" / f"{requirements}.txt"))
    if with_wheels:
        built = house.wheels(place / "wheels")
        more = ["--compile-bytecode"] if compiled else []
        house.install(python, "--no-deps", "--reinstall", *more, *map(str, built))
    return python.parent


@nox.session
def demo(session: nox.Session) -> None:
    """A server as a microcontainer: built, run, looked into, and gone."""
    bin_ = environment(session, "demo", "test")
    session.run(bin_ / "python", "tools/demonstration.py", *session.posargs, external=True)


#: What is tested once more without the snapshot that root's commands start from.
WITHOUT_SNAPSHOT = ("tests/railcar/test_lifecycle.py", "tests/railcar/test_exec.py")


@nox.session
def tests(session: nox.Session) -> None:
    """All tests that this machine can run, against built wheels: `nox -s tests -- PATH OR OPTION...`."""
    bin_ = environment(session, "tests", "test")
    env = {"PYTHONDONTWRITEBYTECODE": "1"}
    place = ROOT / ".nox" / "tests"
    built = sorted((place / "wheels").glob("*.whl"))
    other = another_python.ensure(place / "another", bin_ / "smith", ROOT / "requirements" / "test.txt", built)
    if other is not None:
        env |= {"SMITH_TEST_PYTHON": str(other), "SMITH_TEST_ROOT": str(another_python.root_of(other))}
    session.run(bin_ / "python", "tools/suite.py", *session.posargs, env=env, external=True)
    if not session.posargs:
        # As every user but root has it: from the interpreter's own start.
        env["RAILCAR_SNAPSHOT"] = "0"
        session.run(bin_ / "python", "tools/suite.py", *WITHOUT_SNAPSHOT, env=env, external=True)


@nox.session
def vm(session: nox.Session) -> None:
    """railcar's tests in a virtual machine: `nox -s vm -- [--short] [PATH OR OPTION...]`."""
    bin_ = environment(session, "vm", "test")
    session.run(bin_ / "python", "-m", "tools.vm", *session.posargs, external=True)


@nox.session
def lint(session: nox.Session) -> None:
    """Format and lint by ruff."""
    bin_ = environment(session, "check", "check", with_wheels=False)
    session.run(bin_ / "ruff", "format", "--check", ".", external=True)
    session.run(bin_ / "ruff", "check", ".", external=True)


@nox.session
def types(session: nox.Session) -> None:
    """Types by mypy, strict."""
    bin_ = environment(session, "check", "check", with_wheels=False)
    session.run(bin_ / "mypy", external=True)


@nox.session
def bindings(session: nox.Session) -> None:
    """Generate ocicommon's models: `nox -s bindings -- SCHEMAS [--check]`."""
    bin_ = environment(session, "bindings", "bindings", with_wheels=False)
    session.run(bin_ / "python", "-m", "tools.bindings", *session.posargs, external=True)


@nox.session
def bench(session: nox.Session) -> None:
    """Measure against the peers, interleaved: -- [NAME] [OPTION...]; NAME is that of a module of tools/bench.

    They are runtime, library, density, crashcart, registry, images and packages.
    """
    bin_ = environment(session, "bench", "test", compiled=True)
    what, *rest = session.posargs or ["runtime"]
    if what.startswith("-"):
        what, rest = "runtime", session.posargs
    what = {"crashcart": "entering"}.get(what, what)  # a module must not hide the package that it measures
    session.run(bin_ / "python", f"tools/bench/{what}.py", *rest, external=True)


@nox.session
def fuzz(session: nox.Session) -> None:
    """Look for input that smith's readers do not take well: `nox -s fuzz -- [tar,elf,rpm] [--seconds N]`."""
    bin_ = environment(session, "tests", "test")
    session.run(bin_ / "python", "tools/fuzz.py", *session.posargs, external=True)


@nox.session
def fresh(session: nox.Session) -> None:
    """Prove both commands in a debootstrapped root that has python3 and git only."""
    session.run("tools/fresh", *session.posargs, external=True)


@nox.session
def pins(session: nox.Session) -> None:
    """Renew the pinned requirements of every group from the packages' own."""
    uv = house.ensure() / "uv"
    members = ("ocicommon", "oci-smith", "crashcart", "railcar")
    leave_out = [word for member in members for word in ("--no-emit-package", member)]
    for group in GROUPS:
        source = ["--group", group] if group in ("house", "bindings") else ["pyproject.toml", "--group", group]
        session.run(
            uv, "pip", "compile", "--quiet", "--universal", "--python-version", "3.11", "--generate-hashes",
            "--no-annotate", "--upgrade", *leave_out, "--custom-compile-command", "nox -s pins",
            *source, "-o", f"requirements/{group}.txt",
            external=True,
        )  # fmt: skip
