"""A whole build by somebody who is not root, with no right but to read the archive's key and write a cache."""

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

NOBODY = 65534


@pytest.fixture
def home() -> Iterator[Path]:
    """A folder that another user can reach (pytest's own are 0700)."""
    path = Path(tempfile.mkdtemp(prefix="smith-user-", dir="/var/tmp"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.mark.root
@pytest.mark.usefixtures("other_users")
def test_a_build_by_a_normal_user_gives_roots_digest(smith: Path, deb_repository: Any, serve: Any, home: Path) -> None:
    archive = deb_repository()
    archive.add("app", Depends="liba", files={"usr/bin/app": b"\x7fnot elf", "usr/share/doc/app/copyright": b"MIT"})
    archive.add("liba")
    served = serve(archive.publish().root)
    project = home / "project"
    project.mkdir()
    shutil.copy(archive.key.public, project / "key.asc")
    (project / "key.asc").chmod(0o644)
    (project / "smith.yaml").write_text(
        "type: deb\npackages: [app, liba]\nrepositories:\n"
        f"- {{url: '{served.url}', suites: [stable], components: [main], keys: [key.asc]}}\n"
    )
    os.chown(project, NOBODY, NOBODY)
    digests = []
    for user in (NOBODY, 0):
        cache = home / f"cache-{user}"
        cache.mkdir()
        os.chown(cache, user, user)
        done = subprocess.run(
            [str(smith), "build", "-i", f"image-{user}.tar", "--json"],
            cwd=project,
            env={"PATH": "/usr/bin:/bin", "HOME": str(home), "XDG_CACHE_HOME": str(cache)},
            user=user,
            group=user,
            extra_groups=[],
            umask=0o077 if user else 0o022,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        digests.append(json.loads(done.stdout)["digest"])
    assert digests[0] == digests[1]
