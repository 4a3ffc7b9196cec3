"""dnf as the judge of what is chosen, over packages whose relations are drawn by lot (always the same lot)."""

import random
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from smith.cache import Cache
from smith.errors import SmithError
from smith.progress import Silent
from smith.sources.rpm.configuration import Source
from smith.sources.rpm.repository import open_repository
from smith.sources.rpm.universe import Universe

COUNT = 60
REQUESTS = 10


def spec_file() -> str:
    draw = random.Random(20)
    text = "Name: lot\nVersion: 1\nRelease: 1\nSummary: s\nLicense: MIT\n"
    text += "BuildArch: noarch\nAutoReqProv: no\n%description\nd\n"
    for number in range(COUNT):
        tags = [
            f"Version: {draw.randint(1, 3)}.{draw.randint(0, 20)}",
            f"Provides: shared({number % 7}) = {draw.randint(1, 4)}",
        ]
        if draw.random() < 0.3:
            tags.append(f"Epoch: {draw.randint(0, 2)}")
        for _ in range(draw.randint(0, 3)):
            other, third = draw.randrange(COUNT), draw.randrange(COUNT)
            tags.append(
                draw.choice(
                    [
                        f"Requires: lot{other}",
                        f"Requires: shared({other % 7}) >= {draw.randint(1, 4)}",
                        f"Requires: shared({other % 7})",
                        f"Requires: (lot{other} or lot{third})",
                        f"Requires: (lot{other} if lot{third})",
                        f"Requires: /usr/bin/lot-{other}",
                        f"Recommends: lot{other}",
                        f"Suggests: lot{other}",
                        f"Conflicts: lot{other}" if other != number else "Provides: nothing",
                        f"Obsoletes: gone{other} < 2",
                    ]
                )
            )
        text += f"%package -n lot{number}\nSummary: s\n" + "\n".join(tags) + f"\n%description -n lot{number}\nd\n"
        text += f"%files -n lot{number}\n/usr/bin/lot-{number}\n"
    files = " ".join(f"%{{buildroot}}/usr/bin/lot-{number}" for number in range(COUNT))
    return text + f"%install\nmkdir -p %{{buildroot}}/usr/bin\ntouch {files}\n"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lot")
    (folder / "lot.spec").write_text(spec_file())
    definitions = [f"_topdir {folder}/top", f"_rpmdir {folder}/out", "_build_id_links none", "debug_package %{nil}"]
    command = ["rpmbuild", "-bb", "--quiet"]
    for definition in definitions:
        command += ["--define", definition]
    done = subprocess.run([*command, str(folder / "lot.spec")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    subprocess.run(["createrepo_c", "-q", str(folder / "out")], check=True, capture_output=True)
    return folder / "out"


def dnfs(root: Path, folder: Path, request: list[str]) -> list[str] | None:
    """What dnf would install, None when it refuses."""
    (folder / "dnf.conf").write_text(
        f"[main]\nreposdir=/nonexistent\nvarsdir=/nonexistent\npluginpath=/nonexistent\nlogdir={folder}/log\n"
        f"persistdir={folder}/persist\ncachedir={folder}/cache\ninstall_weak_deps=0\noptional_metadata_types=filelists\nbest=1\n"
        f"[r]\nname=r\nbaseurl=file://{root}\ngpgcheck=0\n"
    )
    said = subprocess.run(
        ["dnf", "-c", str(folder / "dnf.conf"), "--installroot", str(folder / "root"), "--releasever", "1",
         "--assumeno", "--color=never", "install", *request],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    rows = re.findall(r"^ (\S+)\s+noarch\s+(\S+)\s+r\s", said.stdout, re.M)
    assert rows or "Error:" in said.stderr, said.stdout + said.stderr
    return sorted(f"{name}-{version}" for name, version in rows) if rows else None


@pytest.mark.root
@pytest.mark.skipif(
    any(shutil.which(name) is None for name in ("rpmbuild", "createrepo_c", "dnf")),
    reason="needs rpmbuild, createrepo_c and dnf",
)
@pytest.mark.parametrize("lot", [1, 2, 3, 4])
def test_the_choice_is_dnfs(root: Path, tmp_path: Path, lot: int) -> None:
    repository: Any = open_repository(
        Source("r", urls=(f"file://{root}",), check_packages=False), Cache(tmp_path / "cache"), Silent()
    )
    draw = random.Random(lot)
    for _ in range(REQUESTS):
        request = [f"lot{number}" for number in draw.sample(range(COUNT), draw.randint(1, 3))]
        expected = dnfs(root, tmp_path, request)
        try:
            chosen = sorted(f"{item.name}-{item.evr}" for item in Universe([repository], "x86_64").solve(request))
        except SmithError:
            assert expected is None, request
        else:
            assert chosen == expected, request
