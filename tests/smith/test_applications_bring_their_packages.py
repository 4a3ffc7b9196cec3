"""`requirements` and `package-json`: packages of an application's own package manager, verified and not run."""

import base64
import hashlib
import io
import json
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
from smith import applications
from smith import tree as t
from smith.applications import node, python
from smith.cache import Cache
from smith.errors import ConfigError, MissingToolError, SmithError, VerificationError
from smith.progress import Silent
from smith.sources import Package, SourceResult
from smith.spec import Spec
from smith.tree import Tree


def bring(source: SourceResult, folder: Path, **said: str) -> list[str]:
    spec = Spec(directory=str(folder), **said)  # type: ignore[arg-type]
    return sorted(applications.add(spec, source, Cache(folder / "cache"), Silent()))


def wheel(folder: Path, name: str = "greeting", tag: str = "py3-none-any", version: str = "1.0") -> None:
    """A wheel with a module and a program."""
    info = f"{name}-{version}.dist-info"
    files = {
        f"{name}/__init__.py": f"def greet():\n    return 'hello from {name}'\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: {tag}\n",
        f"{info}/entry_points.txt": f"[console_scripts]\n{name} = {name}:greet\n",
    }
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(folder / f"{name}-{version}-{tag}.whl", "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
        archive.writestr(f"{info}/RECORD", "".join(f"{path},,\n" for path in (*files, f"{info}/RECORD")))


def debian() -> SourceResult:
    """As much of a Debian root with Python 3.11 as is looked at."""
    tree = Tree()
    tree.add("usr/bin/python3.11", t.made(b""))
    tree.add("usr/lib/python3/dist-packages/x.py", t.made(b""))
    return SourceResult(tree, [Package("libc6", "2.36-9", "amd64", "deb")])


def pip_or_skip() -> None:
    try:
        python._pip()
    except MissingToolError as error:
        pytest.skip(str(error))


def test_wheels_go_where_python_looks_and_programs_stay_out(tmp_path: Path) -> None:
    pip_or_skip()
    wheel(tmp_path / "wheels")
    (tmp_path / "wanted.txt").write_text("--no-index\n--find-links wheels\ngreeting==1.0\n")
    source = debian()
    made = bring(source, tmp_path, requirements="wanted.txt")
    base = "usr/lib/python3/dist-packages"
    assert f"{base}/greeting/__init__.py" in made
    assert f"{base}/greeting-1.0.dist-info/METADATA" in made
    assert not any("/bin/" in path or "__pycache__" in path for path in made)
    record = source.tree[f"{base}/greeting-1.0.dist-info/RECORD"]
    assert record.content is not None
    assert b"bin/" not in record.content.read_at(0, record.size)
    (read,) = source.inputs
    assert (read.kind, read.name, read.version) == ("wheel", "greeting", "1.0")
    assert read.url == f"file://{tmp_path}/wheels/greeting-1.0-py3-none-any.whl"
    assert len(read.sha256) == 64


def test_wheels_are_chosen_for_the_images_processor_and_library(tmp_path: Path) -> None:
    pip_or_skip()
    for tag in ("cp311-cp311-manylinux_2_36_aarch64", "cp311-cp311-manylinux_2_37_x86_64"):
        wheel(tmp_path / "wheels", tag=tag)
    (tmp_path / "wanted.txt").write_text("--no-index\n--find-links wheels\ngreeting\n")
    source = debian()
    with pytest.raises(SmithError, match="greeting"):
        bring(source, tmp_path, requirements="wanted.txt")
    source.platform = "linux/arm64/v8"
    assert bring(source, tmp_path, requirements="wanted.txt")


def test_tags_of_platforms() -> None:
    assert python.platforms(debian())[:2] == ["manylinux_2_36_x86_64", "manylinux_2_35_x86_64"]
    alpine = SourceResult(Tree(), platform="linux/arm64")
    alpine.tree.add("lib/ld-musl-aarch64.so.1", t.made(b""))
    assert python.platforms(alpine) == ["musllinux_1_2_aarch64", "musllinux_1_1_aarch64"]


def test_requirements_without_python_or_file_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"there is no file .*wanted.txt"):
        bring(debian(), tmp_path, requirements="wanted.txt")
    (tmp_path / "wanted.txt").write_text("x\n")
    with pytest.raises(ConfigError, match="no python3 among the packages"):
        bring(SourceResult(Tree()), tmp_path, requirements="wanted.txt")


def packed(folder: Path, name: str) -> dict[str, Any]:
    """A package as npm packs it, and its entry in a lock file."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for path, data in (("package/index.js", f"module.exports = '{name}'\n"), ("package/package.json", "{}")):
            info = tarfile.TarInfo(path)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data.encode()))
        link = tarfile.TarInfo("package/link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    file = folder / f"{name}.tgz"
    file.write_bytes(buffer.getvalue())
    integrity = "sha512-" + base64.b64encode(hashlib.sha512(buffer.getvalue()).digest()).decode()
    return {"version": "1.0.0", "resolved": f"file://{file}", "integrity": integrity}


def application(folder: Path, packages: dict[str, Any], **more: Any) -> None:
    document = {"name": "x", "main": "main.js", "dependencies": {"a": "*"}, **more}
    (folder / "package.json").write_text(json.dumps(document))
    (folder / "main.js").write_text("console.log('sum', 9, require('a'))\n")
    lock = {"lockfileVersion": 3, "packages": {"": document, **packages}}
    (folder / "package-lock.json").write_text(json.dumps(lock))


def test_packages_of_a_lock_file_go_to_node_modules(tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib/more.js").write_text("1")
    packages = {
        "node_modules/a": packed(tmp_path, "a"),
        "node_modules/a/node_modules/b": packed(tmp_path, "b"),
        "node_modules/tests": {**packed(tmp_path, "tests"), "dev": True},
        "node_modules/mac": {**packed(tmp_path, "mac"), "optional": True, "os": ["darwin"]},
        "node_modules/arm": {**packed(tmp_path, "arm"), "optional": True, "cpu": ["arm64"]},
    }
    application(tmp_path, packages, files=["lib"])
    source = SourceResult(Tree())
    assert bring(source, tmp_path, package_json="package.json") == [
        "app/lib/more.js",
        "app/main.js",
        "app/node_modules/a/index.js",
        "app/node_modules/a/node_modules/b/index.js",
        "app/node_modules/a/node_modules/b/package.json",
        "app/node_modules/a/package.json",
        "app/package.json",
    ]
    assert {each.kind for each in source.inputs} == {"npm"}


def test_a_package_that_is_not_as_promised_is_refused_and_not_kept(tmp_path: Path) -> None:
    entry = packed(tmp_path, "a")
    application(tmp_path, {"node_modules/a": entry})
    (tmp_path / "a.tgz").write_bytes(b"other")
    with pytest.raises(VerificationError, match=r"a\.tgz: is not what the lock file promises"):
        bring(SourceResult(Tree()), tmp_path, package_json="package.json")
    assert not [path for path in (tmp_path / "cache/blobs").rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"link": True, "resolved": "lib"}, "no address with an integrity"),
        ({"resolved": "https://127.0.0.1:1/a.tgz"}, "no address with an integrity"),
        ({"resolved": "https://127.0.0.1:1/a.tgz", "integrity": "md5-AAAA"}, "is none of sha512"),
        ({"resolved": "https://127.0.0.1:1/a.tgz", "integrity": "sha512-*"}, "cannot be read"),
    ],
)
def test_what_cannot_be_verified_is_refused(tmp_path: Path, entry: dict[str, Any], said: str) -> None:
    application(tmp_path, {"node_modules/a": entry})
    with pytest.raises(SmithError, match=said):
        bring(SourceResult(Tree()), tmp_path, package_json="package.json")


def test_a_lock_file_that_is_missing_or_old_is_named(tmp_path: Path) -> None:
    application(tmp_path, {})
    (tmp_path / "package-lock.json").write_text('{"lockfileVersion": 1, "dependencies": {}}')
    with pytest.raises(ConfigError, match="before npm 7"):
        bring(SourceResult(Tree()), tmp_path, package_json="package.json")
    (tmp_path / "package-lock.json").unlink()
    with pytest.raises(ConfigError, match=r"has no package-lock\.json"):
        bring(SourceResult(Tree()), tmp_path, package_json="package.json")
    assert list(node.wanted({}, "linux/amd64", "x")) == []
