"""Python packages of a requirements file: wheels that pip chooses for the image's Python; none of their code runs."""

import glob
import hashlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from typing import Any
from urllib.parse import unquote

from smith import tree as t
from smith.applications import WHEEL, locked
from smith.cache import CHUNK, Cache
from smith.content import FileContent
from smith.errors import ConfigError, InputError, MissingToolError, SmithError
from smith.fetch import redacted
from smith.progress import Progress
from smith.sources import Input, SourceResult
from smith.spec import Spec
from smith.tree import Node, Tree

INTERPRETER = re.compile(r"(usr|usr/local)/bin/python3\.(\d+)")
MACHINES = {
    "amd64": "x86_64", "386": "i686", "arm64": "aarch64", "arm": "armv7l", "ppc64le": "ppc64le", "s390x": "s390x",
    "riscv64": "riscv64",
}  # fmt: skip
WHEELS = "/usr/share/python-wheels/pip-*.whl"
UNSTEADY = ("direct_url.json", "REQUESTED")
"""What pip writes about how a package was asked for, which is no part of the package."""
OTHER_FILE = re.compile(r"^\s*(?:-r|-c|--requirement|--constraint)[ =]*(\S+)", re.M)
OLDEST_GLIBC = 17
"""Of manylinux2014, which is manylinux_2_17; older names are aliases of still older ones (PEP 600)."""


def add(spec: Spec, source: SourceResult, cache: Cache, progress: Progress) -> list[str]:
    """Put the packages where the image's Python looks for them; the paths. ConfigError, SmithError."""
    path = os.path.join(spec.directory, spec.requirements)
    if not os.path.isfile(path):
        raise ConfigError(f"{spec.where('requirements')}: requirements: there is no file {path}")
    prefix, minor = _interpreter(spec, source.tree)
    target = _folder(source.tree, prefix, minor)
    folder = tempfile.mkdtemp(prefix="smith-requirements-")
    wheels = locked(source, WHEEL)
    try:
        report = os.path.join(folder, "report")
        options = ["--python-version", f"3.{minor}", "--implementation", "cp"]
        options += [word for abi in (f"cp3{minor}", "abi3", "none") for word in ("--abi", abi)]
        options += [word for name in platforms(source) for word in ("--platform", name)]
        if wheels is None:
            wanted = ["-r", os.path.abspath(path)]
        else:
            wanted = ["--no-index", "--no-deps", *_kept(wheels, os.path.join(folder, "wheels"), cache)]
        command = [
            *_pip(), "install", "--quiet", "--disable-pip-version-check", "--no-input", "--no-compile",
            "--no-warn-script-location", "--root-user-action=ignore", "--only-binary", ":all:",
            "--target", os.path.join(folder, "packages"), "--report", report, *options, *wanted,
        ]  # fmt: skip
        if wheels != []:
            task = progress.start("choosing Python packages")
            _run(command, path)
            task.done()
        if wheels is None:
            with open(report, encoding="utf-8") as file:
                wheels = inputs(json.load(file))
        source.inputs += wheels
        return _take(os.path.join(folder, "packages"), target, source.tree, cache)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def digest(spec: Spec) -> str:
    """The digest of the requirements file and of those that it names; empty when it is not there."""
    found = hashlib.sha256()
    pending, seen = [os.path.join(spec.directory, spec.requirements)], set[str]()
    while pending:
        path = pending.pop()
        try:
            with open(path, "rb") as file:
                data = file.read()
        except OSError:
            continue
        found.update(hashlib.sha256(data).digest())
        seen.add(path)
        for name in OTHER_FILE.findall(data.decode("utf-8", "replace")):
            other = os.path.normpath(os.path.join(os.path.dirname(path), name))
            if other not in (*seen, *pending):
                pending.append(other)
    return found.hexdigest() if seen else ""


def _run(command: list[str], path: str) -> None:
    done = subprocess.run(command, cwd=os.path.dirname(path) or ".", capture_output=True, text=True, check=False)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR:")] or done.stderr.splitlines()
        raise SmithError(f"{path}: pip says: {lines[-1].removeprefix('ERROR: ') if lines else done.returncode}")


def _kept(wheels: list[Input], folder: str, cache: Cache) -> list[str]:
    """The wheels as files of a folder under their own names, which pip goes by."""
    os.mkdir(folder)
    paths = [os.path.join(folder, unquote(os.path.basename(each.url))) for each in wheels]
    for each, path in zip(wheels, paths, strict=True):
        with cache.open(each.sha256) as stream, open(path, "wb") as file:
            shutil.copyfileobj(stream, file, CHUNK)
    return paths


def platforms(source: SourceResult) -> list[str]:
    """Platform tags of wheels that the image's C library can load, newest first (PEP 600, PEP 656)."""
    machine = MACHINES.get(source.platform.split("/")[1], source.platform.split("/")[1])
    if any(name.startswith("ld-musl-") for name in source.tree.children("lib")):
        return [f"musllinux_1_{minor}_{machine}" for minor in (2, 1)]
    newest = OLDEST_GLIBC
    for package in source.packages:
        found = re.match(r"(?:\d+:)?2\.(\d+)", package.version)
        if package.name in ("libc6", "glibc") and found:
            newest = int(found[1])
    return [f"manylinux_2_{minor}_{machine}" for minor in range(newest, OLDEST_GLIBC - 1, -1)] + [
        f"manylinux2014_{machine}"
    ]


def inputs(report: Any) -> list[Input]:
    """The wheels that pip's report names. InputError for one without a SHA-256, which no lock file could hold."""
    found = []
    for item in report.get("install", []):
        said = item.get("download_info", {})
        url = str(said.get("url", ""))
        sha256 = said.get("archive_info", {}).get("hashes", {}).get("sha256", "")
        sha256 = sha256 or str(said.get("archive_info", {}).get("hash", "")).removeprefix("sha256=")
        about = item.get("metadata", {})
        name, version = str(about.get("name", "")), str(about.get("version", ""))
        if not re.fullmatch("[0-9a-f]{64}", sha256):
            raise InputError(f"{redacted(url)}: pip does not tell the SHA-256 of {name} {version}: use a newer pip")
        found.append(Input(WHEEL, redacted(url), sha256, 0, name, version))
    return found


def _unwanted(line: str) -> bool:
    """Whether a line of RECORD is of a file that is not taken."""
    path = line.partition(",")[0]
    return path.startswith(("../", "bin/")) or path.rpartition("/")[2] in UNSTEADY


def _interpreter(spec: Spec, tree: Tree) -> tuple[str, str]:
    for folder in ("usr/bin", "usr/local/bin"):
        for name in reversed(tree.children(folder)):
            found = INTERPRETER.fullmatch(f"{folder}/{name}")
            if found:
                return found[1], found[2]
    where = spec.where("requirements")
    raise ConfigError(f"{where}: requirements: there is no python3 among the packages: add it, or `preset: python`")


def _folder(tree: Tree, prefix: str, minor: str) -> str:
    shared = f"{prefix}/lib/python3"
    if tree.resolve(shared) is not None:
        return f"{shared}/dist-packages"
    return f"{prefix}/lib/python3.{minor}/site-packages"


def _pip() -> list[str]:
    found = shutil.which("pip3") or shutil.which("pip")
    if found:
        return [found]
    if importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-m", "pip"]
    wheels = sorted(glob.glob(WHEELS))
    if wheels:
        return [sys.executable, f"{wheels[-1]}/pip"]
    raise MissingToolError("pip is not installed, and `requirements` are chosen by it: install python3-pip")


def _take(folder: str, target: str, tree: Tree, cache: Cache) -> list[str]:
    made = []
    for base, folders, names in os.walk(folder):
        below = os.path.relpath(base, folder)
        if below == ".":
            # what pip puts there begins with the interpreter of this machine
            folders[:] = [name for name in folders if name != "bin"]
        folders[:] = sorted(name for name in folders if name != "__pycache__")
        for name in sorted(names):
            where = os.path.join(base, name)
            if name in UNSTEADY:
                continue
            path = os.path.normpath(f"{target}/{below}/{name}")
            if name == "RECORD":
                with open(where, encoding="utf-8") as file:
                    kept = "".join(line for line in file if not _unwanted(line))
                made.append(tree.add(path, t.made(kept.encode())))
                continue
            with open(where, "rb") as stream:
                sha256 = cache.put(stream, subject=where)
            content = FileContent(cache.path(sha256), sha256=sha256)
            mode = 0o755 if os.stat(where).st_mode & 0o111 else 0o644
            made.append(tree.add(path, Node(t.FILE, mode, size=content.size, content=content)))
    return made
