"""Which Debian packages the guest's root is made of, as this machine's apt resolves them. Nothing is fetched here."""

import hashlib
import shlex
from pathlib import Path
from typing import NamedTuple

KERNEL = "linux-image-cloud-amd64"
#: What the guest boots and tests with. Dependencies come along, recommendations do not.
WANTED = f"""
base-files base-passwd bash coreutils dash diffutils findutils grep gzip hostname libc-bin login mawk passwd sed tar
mount util-linux bsdutils procps kmod acl attr libcap2-bin e2fsprogs iproute2 iptables jq strace
systemd systemd-sysv dbus dbus-user-session libpam-systemd libpam-runtime libnss-systemd apparmor secilc uidmap
python3 busybox-static runc crun criu {KERNEL}
""".split()
#: What `--engines` adds.
ENGINES = ["docker.io", "containerd", "ca-certificates", "podman", "conmon", "netavark", "catatonit", "buildah"]


class Package(NamedTuple):
    """One archive that apt would fetch: its file name holds name, version and architecture; `size` is in bytes."""

    file: str
    size: int
    checksum: str


def apt(state: Path, *words: str) -> list[str]:
    """argv of an apt-get that believes that nothing is installed, and keeps its files below `state`.

    Sources, lists and keys stay the machine's own: what it trusts is what the guest is made of.
    """
    options = (
        f"Dir::State::status={state}/status",
        f"Dir::State::extended_states={state}/extended",
        f"Dir::Cache::Archives={state}/archives",
        "APT::Install-Recommends=false",
        "APT::Architecture=amd64",
        "APT::Sandbox::User=root",
        "Acquire::Retries=5",
        "Debug::NoLocking=true",
    )
    return ["apt-get", "-qq", "-y", *(word for option in options for word in ("-o", option)), *words]


def parse(text: str) -> list[Package]:
    """The packages that `apt-get --print-uris install` tells of, sorted by file name. Raises ValueError."""
    found = []
    for line in text.splitlines():
        if not line.startswith("'"):
            continue
        _, file, size, *checksum = shlex.split(line)
        if not size.isdigit():
            raise ValueError(f"apt-get --print-uris: {line!r} has no size")
        found.append(Package(file, int(size), checksum[0] if checksum else ""))
    return sorted(found)


def digest(packages: list[Package], *further: bytes) -> str:
    """The name of a root made of these packages and of further material: 32 hexadecimal digits."""
    made = hashlib.sha256()
    for package in packages:
        made.update(f"{package.file} {package.checksum}\n".encode())
    for part in further:
        made.update(hashlib.sha256(part).digest())
    return made.hexdigest()[:32]
