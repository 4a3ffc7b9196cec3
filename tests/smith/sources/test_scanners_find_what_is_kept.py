"""A vulnerability scanner that knows nothing of smith finds exactly the packages that gave files, in each image."""

import json
import subprocess
import zlib
from collections.abc import Callable
from typing import Any

import pytest

RELEASE = b'ID=debian\nVERSION_ID="12"\nVERSION_CODENAME=bookworm\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n'


@pytest.mark.parametrize("platform", ["linux/amd64", "linux/arm64"])
def test_the_scanner_finds_exactly_the_kept_packages(
    run_smith: Any, deb_repository: Any, serve: Any, scanned: Any, platform: str
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
    found = scanned(run_smith.folder / "bundle/rootfs")
    assert found == {("pkg:deb/debian/app@2.0-1%2Bb1", "0"), ("pkg:deb/debian/liba@1.5-2", "1")}
    assert {entry["name"] for entry in said["packages"]} == {"app", "liba"}


DEBSECAN = """VERSION 1
CVE-1,,a flaw in app
CVE-2,,a flaw in the source of liba that is not fixed
CVE-3,,a flaw that an older app had
CVE-4,,a flaw in what is not kept

app,0, LRF,2.0-2,
lib-src,1, M? ,,
app,2, L F,1.9,
unused,3, L F,9,

lib-src,liba
"""
"""debsecan's format: names of the flaws; package, flaw, flags, fixed version, others; sources and their packages."""


def test_debsecan_reports_the_flaws_of_what_is_kept_and_no_others(
    run_smith: Any, deb_repository: Any, serve: Any, tool: Callable[[str], str]
) -> None:
    debsecan = tool("debsecan")
    archive = deb_repository()
    archive.add("app", "2.0-1", Depends="liba, unused", Maintainer="A B <a@example.org>")
    archive.add("liba", "1:1.5-2", Maintainer="A B <a@example.org>", Source="lib-src (1.5)")
    archive.add("unused", "3")
    archive.add("base-files", "12.4", files={"etc/os-release": RELEASE, "etc/debian_version": b"12.4\n"})
    served = serve(archive.publish().root)
    run_smith.yaml(
        "type: deb\npackages: [app, liba]\nentrypoint: [/usr/share/app/data]\nrepositories:\n"
        f"- {{url: '{served.url}', suites: [stable], components: [main], keys: ['{archive.key.public}']}}\n"
    )
    run_smith("build", "-i", "image.tar")
    run_smith("unpack", "image.tar", "bundle")
    records = sorted((run_smith.folder / "bundle/rootfs/var/lib/dpkg/status.d").iterdir())
    status = "\n".join(path.read_text() for path in records if path.suffix != ".md5sums")
    (run_smith.folder / "status").write_text(status)
    (run_smith.folder / "data").mkdir()
    (run_smith.folder / "data/bookworm").write_bytes(zlib.compress(DEBSECAN.encode()))
    published = serve(run_smith.folder / "data")
    words = [debsecan, "--suite", "bookworm", "--source", published.url, "--status", "status", "--format", "simple"]
    environment = {**run_smith.environment, "no_proxy": "*", "HOME": str(run_smith.folder)}
    done = subprocess.run(words, cwd=run_smith.folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert published.asked, "it looked at the data served here"
    assert sorted(done.stdout.splitlines()) == ["CVE-1 app", "CVE-2 liba"]
