"""A lock file holds what pip and npm would bring, too: the same wheels and packages on every later day."""

import base64
import hashlib
import io
import json
import shutil
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
from smith.applications import python
from smith.errors import MissingToolError


def wheel(folder: Path, name: str, version: str, needs: str = "") -> None:
    info = f"{name}-{version}.dist-info"
    about = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    files = {
        f"{name}.py": f"version = '{version}'\n",
        f"{info}/METADATA": about + (f"Requires-Dist: {needs}\n" if needs else ""),
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
        archive.writestr(f"{info}/RECORD", "".join(f"{path},,\n" for path in (*files, f"{info}/RECORD")))


@pytest.fixture
def flask(run_smith: Any, make_image: Any) -> Any:
    """A project whose requirements file asks for a wheel that needs another one."""
    try:
        python._pip()
    except MissingToolError as error:
        pytest.skip(str(error))
    folder = run_smith.folder
    make_image([("usr/bin/python3.11", b"x"), ("usr/lib/python3/dist-packages/x.py", b"")]).write(folder / "in.tar")
    wheel(folder / "wheels", "shop", "1.0", "till")
    wheel(folder / "wheels", "till", "1.0")
    (folder / "wanted.txt").write_text("--no-index\n--find-links wheels\n-r more.txt\n")
    (folder / "more.txt").write_text("shop\n")
    run_smith.yaml("package: in.tar\npaths: [/usr/bin/python3.11]\nrequirements: wanted.txt\n")
    return run_smith


def packed(folder: Path, name: str, text: str) -> str:
    """Write a package as npm packs it; its integrity."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        info = tarfile.TarInfo("package/index.js")
        info.size = len(text)
        archive.addfile(info, io.BytesIO(text.encode()))
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.tgz").write_bytes(buffer.getvalue())
    return "sha512-" + base64.b64encode(hashlib.sha512(buffer.getvalue()).digest()).decode()


def npm_lock(folder: Path, **integrity: str) -> None:
    packages = {
        f"node_modules/{name}": {"version": "1.0.0", "resolved": f"file:packed/{name}.tgz", "integrity": value}
        for name, value in integrity.items()
    }
    (folder / "package-lock.json").write_text(json.dumps({"lockfileVersion": 3, "packages": packages}))


@pytest.fixture
def express(run_smith: Any, make_image: Any) -> Any:
    """A project with a package.json of one dependency."""
    folder = run_smith.folder
    make_image([("usr/bin/node", b"x")]).write(folder / "in.tar")
    (folder / "package.json").write_text(json.dumps({"name": "x", "dependencies": {"a": "*"}}))
    npm_lock(folder, a=packed(folder / "packed", "a", "1"))
    run_smith.yaml("package: in.tar\npaths: [/usr/bin/node]\npackage-json: package.json\n")
    return run_smith


def digest(project: Any, *more: str, **environment: str) -> str:
    done = project("build", "-i", "out.tar", "--json", *more, **environment)
    return str(json.loads(done.stdout)["digest"])


def locked(project: Any) -> list[dict[str, str]]:
    document = json.loads((project.folder / "smith.lock").read_text())
    return [each for each in document["inputs"] if each["kind"] in ("wheel", "npm")]


def test_a_lock_holds_wheels_and_gives_the_same_image(flask: Any, read_image: Any) -> None:
    first = digest(flask)
    said = json.loads(flask("lock", "--json").stdout)
    assert [(each["name"], each["version"]) for each in said["applications"]] == [("shop", "1.0"), ("till", "1.0")]
    assert [each["url"] for each in locked(flask)] == [
        "file:wheels/shop-1.0-py3-none-any.whl",
        "file:wheels/till-1.0-py3-none-any.whl",
    ]
    assert digest(flask, "--locked") == first
    wheel(flask.folder / "wheels", "till", "2.0")
    assert digest(flask) == first, "a newer wheel is of no interest to a locked build"
    (flask.folder / "smith.lock").unlink()
    assert digest(flask) != first
    place = "usr/lib/python3/dist-packages/till.py"
    assert read_image(flask.folder / "out.tar").content(place) == b"version = '2.0'\n"


def test_kept_wheels_are_enough(flask: Any) -> None:
    first = digest(flask)
    flask("lock", "--vendor", "kept")
    shutil.rmtree(flask.folder / "wheels")
    assert digest(flask, "--locked", XDG_CACHE_HOME=str(flask.folder / "other")) == first
    (kept,) = (flask.folder / "kept").glob("*till*")
    kept.chmod(0o644)
    kept.write_bytes(kept.read_bytes()[:-1] + b"x")
    failed = flask("-i", "out.tar", code=1, XDG_CACHE_HOME=str(flask.folder / "third")).stderr
    assert "till 1.0 (sha256:" in failed
    assert "cannot be had" in failed
    assert len(failed.splitlines()) == 1


def test_a_changed_requirements_file_needs_a_new_lock(flask: Any) -> None:
    flask("lock")
    (flask.folder / "more.txt").write_text("till\n")
    assert "was made for other packages" in flask("-i", "out.tar", code=2).stderr
    flask("lock")
    assert [each["name"] for each in locked(flask)] == ["till"]
    flask("-i", "out.tar")


def test_a_lock_of_this_machines_files_holds_wheels_apart(flask: Any) -> None:
    root = flask.folder / "machine"
    for name in ("usr/bin/python3.11", "usr/lib/python3/dist-packages/x.py"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("x")
    flask.yaml("type: host\npackage: machine/\npaths: [/usr/bin/python3.11]\nrequirements: wanted.txt\n")
    first = digest(flask)
    flask("lock", "--vendor", "kept")
    shutil.rmtree(flask.folder / "wheels")
    assert [each["name"] for each in locked(flask)] == ["shop", "till"]
    assert digest(flask, "--locked", XDG_CACHE_HOME=str(flask.folder / "other")) == first


def test_a_lock_holds_packages_of_npm(express: Any) -> None:
    first = digest(express)
    express("lock", "--vendor", "kept")
    (entry,) = locked(express)
    assert (entry["name"], entry["version"], entry["url"]) == ("a", "1.0.0", "file:packed/a.tgz")
    shutil.rmtree(express.folder / "packed")
    assert digest(express, "--locked", XDG_CACHE_HOME=str(express.folder / "other")) == first


def test_a_changed_lock_file_of_npm_needs_a_new_lock(express: Any) -> None:
    express("lock")
    npm_lock(express.folder, a=packed(express.folder / "packed", "a", "2"))
    assert "run `smith lock`" in express("-i", "out.tar", code=2).stderr
    express("lock")
    express("-i", "out.tar")


def test_scripts_are_a_part_of_what_a_lock_is_for(express: Any) -> None:
    express("lock")
    text = (express.folder / "smith.yaml").read_text()
    express.yaml(f"{text}scripts: userns\n")
    assert "run `smith lock`" in express("-i", "out.tar", code=2).stderr


def test_locked_means_no_build_without_a_lock(express: Any) -> None:
    failed = express("--locked", "-i", "out.tar", code=2).stderr
    assert "smith.lock: is not there, and --locked builds from nothing else: run `smith lock`" in failed
    assert not (express.folder / "out.tar").exists()
