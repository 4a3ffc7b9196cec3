"""Where rpm repositories are configured: .repo files (dnf.conf(5)), mock configurations, smith.yaml's own entries."""

from __future__ import annotations

import ast
import configparser
import glob
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from smith.errors import ConfigError, InputError
from smith.spec import Repository

ARCHITECTURES = {
    "amd64": "x86_64",
    "386": "i686",
    "arm64": "aarch64",
    "arm64/v8": "aarch64",
    "arm": "armv7hl",
    "arm/v7": "armv7hl",
    "ppc64le": "ppc64le",
    "s390x": "s390x",
    "riscv64": "riscv64",
}
PLATFORMS = {value: name for name, value in ARCHITECTURES.items()} | {"aarch64": "arm64", "armv7hl": "arm/v7"}
_BASES = {"i686": "i386", "armv7hl": "armhfp"}
_FALSE = {"0", "no", "false", "off"}
_VARIABLE = re.compile(r"\$(\{)?([A-Za-z_][A-Za-z0-9_]*)(?(1)\})")


@dataclass(frozen=True, slots=True)
class Source:
    """One repository. `keys` are files, addresses or armoured keys; `origin` is what an error speaks of."""

    name: str
    urls: tuple[str, ...] = ()
    mirrorlist: str = ""
    metalink: str = ""
    keys: tuple[str, ...] = ()
    check_packages: bool = True
    check_metadata: bool = False
    username: str = ""
    password: str = ""
    certificate: str = ""
    certificate_key: str = ""
    ca_file: str = ""
    verify_tls: bool = True
    priority: int = 99
    cost: int = 1000
    exclude: tuple[str, ...] = ()
    origin: str = ""


def architecture_of(platform: str) -> str:
    """rpm's word for a platform such as linux/arm64/v8; the machine's own for an empty one. ConfigError."""
    if not platform:
        return {"armv7l": "armv7hl"}.get(os.uname().machine, os.uname().machine)
    name = platform.removeprefix("linux/")
    if name not in ARCHITECTURES:
        raise ConfigError(f"platform {platform!r} has no rpm architecture; known: {', '.join(sorted(ARCHITECTURES))}")
    return ARCHITECTURES[name]


def variables(architecture: str, root: str = "/") -> dict[str, str]:
    """$basearch, $arch, $releasever, and those of /etc/dnf/vars and /etc/yum/vars."""
    found = {"arch": architecture, "basearch": _BASES.get(architecture, architecture)}
    try:
        with open(os.path.join(root, "etc/os-release"), encoding="utf-8") as stream:
            match = re.search(r"^VERSION_ID=[\"']?([^\"'\n]+)", stream.read(), re.M)
            if match:
                found["releasever"] = match.group(1).split(".")[0]
    except OSError:
        found.pop("releasever", None)
    for path in sorted(glob.glob(f"{root}/etc/yum/vars/*") + glob.glob(f"{root}/etc/dnf/vars/*")):
        try:
            with open(path, encoding="utf-8") as stream:
                found[os.path.basename(path)] = stream.readline().strip()
        except OSError as error:
            raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    return found


def repositories(text: str, origin: str, values: Mapping[str, str]) -> list[Source]:
    """The enabled sections of a .repo file. ConfigError names file and section."""
    parser = configparser.RawConfigParser(strict=False, interpolation=None)
    try:
        parser.read_string(text, origin)
    except configparser.Error as error:
        raise ConfigError(f"{origin}: {str(error).splitlines()[0]}") from None
    main = dict(parser["main"]) if parser.has_section("main") else {}
    found = []
    for section in parser.sections():
        if section == "main":
            continue
        options = {name: _expanded(value, values) for name, value in parser[section].items()}
        if options.get("enabled", "1").strip().lower() in _FALSE:
            continue
        found.append(_source(section, options, main, f"{origin} [{section}]"))
    return found


def _expanded(text: str, values: Mapping[str, str]) -> str:
    return _VARIABLE.sub(lambda match: values.get(match[2], match[0]), text)


def _source(name: str, options: Mapping[str, str], main: Mapping[str, str], origin: str) -> Source:
    def words(key: str) -> tuple[str, ...]:
        return tuple(options.get(key, "").replace(",", " ").split())

    def truth(key: str, default: bool) -> bool:
        text = options.get(key, main.get(key, "")).strip().lower()
        return default if not text else text not in _FALSE

    if not (words("baseurl") or options.get("mirrorlist") or options.get("metalink")):
        raise ConfigError(f"{origin}: has none of baseurl, mirrorlist and metalink")
    wanted = " ".join(options.get(key, "") for key in ("baseurl", "mirrorlist", "metalink"))
    missing = _VARIABLE.search(wanted)
    if missing:
        raise ConfigError(
            f"{origin}: nothing says what ${missing[2]} is; write it out, or name the repository in smith.yaml"
        )
    return Source(
        name=name,
        urls=words("baseurl"),
        mirrorlist=options.get("mirrorlist", "").strip(),
        metalink=options.get("metalink", "").strip(),
        keys=words("gpgkey"),
        check_packages=truth("gpgcheck", True),
        check_metadata=truth("repo_gpgcheck", False),
        username=options.get("username", ""),
        password=options.get("password", ""),
        certificate=options.get("sslclientcert", ""),
        certificate_key=options.get("sslclientkey", ""),
        ca_file=options.get("sslcacert", ""),
        verify_tls=truth("sslverify", True),
        priority=int(options.get("priority", "99") or 99),
        cost=int(options.get("cost", "1000") or 1000),
        exclude=words("exclude") + words("excludepkgs"),
        origin=origin,
    )


def host(architecture: str, root: str = "/") -> list[Source]:
    """This machine's /etc/yum.repos.d."""
    values = variables(architecture, root)
    found = []
    for path in sorted(glob.glob(os.path.join(root, "etc/yum.repos.d/*.repo"))):
        with open(path, encoding="utf-8") as stream:
            found += repositories(stream.read(), path, values)
    return found


def mock(path: str, architecture: str, depth: int = 0) -> list[Source]:
    """The repository sections of a mock configuration: Python read as data, never run. ConfigError.

    Understood are assignments and `+=` of text to config_opts[...] and include('file') of files beside it.
    """
    try:
        with open(path, encoding="utf-8") as stream:
            module = ast.parse(stream.read(), path)
    except OSError as error:
        raise ConfigError(f"mock.config: {path} cannot be read: {error.strerror}") from None
    except SyntaxError as error:
        raise ConfigError(f"mock.config: {path}:{error.lineno}: is not in mock's form: {error.msg}") from None
    if depth > 8:
        raise ConfigError(f"mock.config: {path} includes itself")
    values = variables(architecture)
    texts: list[str] = []
    found: list[Source] = []
    for node in module.body:
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and _name(node.value.func) == "include":
            for argument in node.value.args:
                if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                    found += mock(_beside(path, argument.value), architecture, depth + 1)
        target = (
            node.targets[0]
            if isinstance(node, ast.Assign)
            else node.target
            if isinstance(node, ast.AugAssign)
            else None
        )
        value = node.value if isinstance(node, ast.Assign | ast.AugAssign) else None
        if (
            not isinstance(target, ast.Subscript)
            or not isinstance(value, ast.Constant)
            or not isinstance(value.value, str)
        ):
            continue
        key = target.slice.value if isinstance(target.slice, ast.Constant) else ""
        if key in ("yum.conf", "dnf.conf"):
            texts.append(value.value)
        elif key in ("releasever", "target_arch"):
            values["releasever" if key == "releasever" else "arch"] = value.value
    for text in texts:
        found += repositories(re.sub(r"\{\{\s*releasever\s*\}\}", values.get("releasever", ""), text), path, values)
    return found


def _name(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else ""


def _beside(path: str, included: str) -> str:
    own = os.path.join(os.path.dirname(path), included)
    return own if os.path.exists(own) else os.path.join("/etc/mock", included)


def named(items: Sequence[Repository], directory: str, architecture: str) -> list[Source]:
    """The entries of smith.yaml. ConfigError for one without keys that does not say `gpgcheck: no`."""
    found = []
    for item in items:
        values = variables(architecture) | {k: v for k, v in item.options.items() if k == "releasever"}
        options = {name.replace("-", "_"): value for name, value in item.options.items()}
        kind = "baseurl"
        if "metalink" in item.url.rpartition("/")[2] or options.pop("type", "") == "metalink":
            kind = "metalink"
        elif "mirrorlist" in item.url.rpartition("/")[2]:
            kind = "mirrorlist"
        options[kind] = item.url
        options = {k: _expanded(str(v), values) for k, v in options.items()}
        origin = f"repositories: {item.url}"
        source = _source(item.name or item.url, options, {}, origin)
        keys = tuple(
            k if "-----BEGIN" in k or "://" in k else os.path.join(directory, k) for k in (*item.keys, *source.keys)
        )
        if not keys and source.check_packages:
            raise ConfigError(f"{origin} needs `keys` to check its packages by (or the option gpgcheck: no)")
        found.append(replace(source, keys=keys))
    return found
