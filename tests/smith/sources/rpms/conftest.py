"""A signed rpm repository, made once and served on loopback."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from smith.cache import Cache
from smith.progress import Silent
from smith.sources import SourceResult, rpm
from smith.spec import Repository, Spec

sys.path.insert(0, str(Path(__file__).parent / "support"))

from rpm_packages import FEATURE, RELEASE, index, sign, simple


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the .rpm files of all tests, built once."""
    root = tmp_path_factory.mktemp("rpms")
    specs = {
        "feature": FEATURE,
        "libdep": simple("libdep", "1.2", {"/usr/share/deep/file": "deep", "/usr/share/libdep": "x"}),
        "libdep-old": simple("libdep", "0.9"),
        "shell": simple("shell", files={"/bin/sh": "sh"}),
        "alpha": simple("alpha"),
        "beta": simple("beta"),
        "gamma": simple("gamma"),
        "weak": simple("weak"),
        "lonely": simple("lonely", Requires="absent >= 2"),
        "clash": simple("clash", Conflicts="alpha"),
        "both": simple("both", Requires="clash, alpha"),
        "system-release": simple("system-release", "40", RELEASE),
    }
    for name, text in specs.items():
        (root / f"{name}.spec").write_text(text)
        done = subprocess.run(
            ["rpmbuild", "-bb", "--define", f"_topdir {root}/top", "--define", f"_rpmdir {root}/out",
             "--define", "_build_id_links none", "--define", "debug_package %{nil}", str(root / f"{name}.spec")],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-2000:]
    return root / "out"


@pytest.fixture
def repository(built: Path, tmp_path: Path, new_key: Any) -> Any:
    """A signed copy of all packages, and its key."""
    root = tmp_path / "repository"
    shutil.copytree(built, root)
    key = new_key("packager")
    for path in root.rglob("*.rpm"):
        sign(path, key)
    index(root)
    return root, key


@pytest.fixture
def load(cache: Cache, serve: Any, repository: Any) -> Callable[..., SourceResult]:
    def run(*names: str, keys: tuple[str, ...] | None = None, **spec: Any) -> SourceResult:
        root, key = repository
        entry = Repository(serve(root).url, keys=keys if keys is not None else (str(key.public),))
        given = {"platform": "linux/amd64", "repositories": (entry,), **spec}
        return rpm.load(Spec(type="rpm", packages=names, **given), cache, Silent())

    return run
