"""The machine's own Debian archive: real signatures, real packages, and apt itself as the judge of what is chosen."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from smith.cache import Cache
from smith.errors import SmithError
from smith.fetch import Fetcher
from smith.progress import Silent
from smith.sources import deb
from smith.sources.deb.load import Sources, open_sources
from smith.sources.deb.universe import Universe
from smith.spec import Spec

ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, "")

REQUESTS = """
nginx
curl ca-certificates
redis-server
postgresql
mariadb-server
python3 python3-venv
default-jdk-headless
php-fpm
ruby
nodejs
apache2 memcached haproxy
gcc make git
openssh-server strace procps
bash coreutils
vim
emacs-nox
libreoffice
python3-flask
python3-numpy
perl
tclsh
lua5.4
golang-go
rustc
cargo
ffmpeg
imagemagick
graphviz
sqlite3
dnsutils
bind9
postfix
exim4
samba
squid
varnish
rabbitmq-server
openjdk-17-jre-headless maven
texlive-base
qemu-utils
gnuplot-nox
r-base-core
octave
"""


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mirror")


@pytest.fixture(scope="module")
def sources(shared: Path) -> Iterator[Sources]:
    try:
        yield open_sources(Spec(type="deb"), ARCHITECTURE, Fetcher(Cache(shared / "cache")))
    except SmithError as error:
        pytest.skip(f"the machine's apt sources cannot be used: {error}")


@pytest.fixture(scope="module")
def apt(shared: Path, sources: Sources) -> list[str]:
    """apt-get with a state of its own: nothing installed, the host's sources."""
    if shutil.which("apt-get") is None:
        pytest.skip("needs apt-get to compare with")
    for name in ("state/lists/partial", "cache/archives/partial"):
        (shared / name).mkdir(parents=True)
    (shared / "status").touch()
    settings = {
        "Dir::State": shared / "state",
        "Dir::State::status": shared / "status",
        "Dir::Cache": shared / "cache",
        "APT::Install-Recommends": "0",
        "APT::Sandbox::User": "",
        "Acquire::Languages": "none",
        "Dir::Cache::pkgcache": "pkgcache.bin",
        "Dir::Cache::srcpkgcache": "srcpkgcache.bin",
        "Debug::NoLocking": "1",
    }
    command = ["apt-get"]
    for name, value in settings.items():
        command += ["-o", f"{name}={value}"]
    done = subprocess.run([*command, "update"], capture_output=True, text=True, check=False)
    if done.returncode or "W:" in done.stderr:
        pytest.skip(f"apt-get update does not work here: {done.stderr[-200:]}")
    return command


def explained(universe: Universe, ours: set[str], theirs: set[str]) -> bool:
    """Whether two choices differ by alternatives alone: each differing package is one of several that a package of both
    would do with (such as gnupg | gpg, settled by what is in when it is looked at), or is needed by such a one."""
    differing = ours ^ theirs
    needs: dict[str, list[set[str]]] = {}
    for name in ours | theirs:
        record = universe.candidate(name)
        assert record is not None, name
        groups = record.relations("Pre-Depends", "Depends")
        needs[name] = [{target.name for one in group for target in universe._targets(one)} for group in groups]
    reached = {name for common in ours & theirs for group in needs[common] if len(group) > 1 for name in group}
    pending = list(reached & differing)
    while pending:
        for group in needs[pending.pop()]:
            fresh = (group & differing) - reached
            reached |= fresh
            pending += fresh
    return differing <= reached


@pytest.mark.parametrize("request_", REQUESTS.strip().splitlines())
def test_the_choice_of_packages_is_apts(sources: Sources, apt: list[str], request_: str) -> None:
    wanted = request_.split()
    said = subprocess.run([*apt, "-s", "install", *wanted], capture_output=True, text=True, check=False)
    universe = Universe(sources.indexes, ARCHITECTURE, sources.pins)
    if said.returncode:
        with pytest.raises(SmithError):
            universe.solve([universe.choose(name) for name in wanted])
        return
    lines = [line.split() for line in said.stdout.splitlines() if line.startswith("Inst ")]
    expected = {(words[1].partition(":")[0], words[2].lstrip("(")) for words in lines}
    records, _ = universe.solve([universe.choose(name) for name in wanted])
    found = {(record.name, record.version) for record in records}
    versions = dict(expected)
    assert all(versions.get(name, version) == version for name, version in found)
    assert found == expected or explained(universe, {name for name, _ in found}, {name for name, _ in expected})


def test_nginx_loads_with_everything_its_binary_needs(sources: Sources, shared: Path) -> None:
    result = deb.load(
        Spec(type="deb", package="nginx", packages=("ca-certificates",)), Cache(shared / "cache"), Silent()
    )
    binary = result.tree["usr/sbin/nginx"]
    assert binary.package == "nginx"
    assert binary.content is not None
    assert binary.content.read_at(0, 4) == b"\x7fELF"
    assert result.tree.resolve("lib/ld-linux-aarch64.so.1") or result.tree.resolve("lib64/ld-linux-x86-64.so.2")
    assert result.tree["etc/ssl/certs/ca-certificates.crt"].size > 100_000
    assert {"libc6", "zlib1g", "libssl3"} & {package.name for package in result.packages}
    assert all(package.sha256 and package.metadata for package in result.packages)
    for package in result.packages:
        assert (
            f"usr/share/doc/{package.name}/copyright" in result.tree or "usr/share/doc/" + package.name in result.tree
        )


def test_another_architecture_loads_without_running_anything(sources: Sources, shared: Path) -> None:
    other = "linux/arm64" if ARCHITECTURE == "amd64" else "linux/amd64"
    try:
        result = deb.load(Spec(type="deb", package="hello", platform=other), Cache(shared / "cache"), Silent())
    except SmithError as error:
        pytest.skip(f"the mirror has no {other}: {error}")
    machine = result.tree["usr/bin/hello"].content
    assert machine is not None
    assert machine.read_at(18, 2) == (b"\xb7\x00" if other == "linux/arm64" else b"\x3e\x00")
    assert result.platform == other
