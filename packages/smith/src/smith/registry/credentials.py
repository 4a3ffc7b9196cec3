"""Credentials that people already have: docker's and podman's configuration files, and docker's credential helpers."""

import base64
import binascii
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ocicommon.reference import DOCKER_HUB

from smith.registry.errors import RegistryError

HUB_KEY = "https://index.docker.io/v1/"
_HELPER = re.compile(r"[A-Za-z0-9_.-]+", re.ASCII)
_SECONDS = 60


@dataclass(frozen=True)
class Credential:
    """A user and password; or an identity token, which is exchanged for others; or a token to be sent as it is."""

    user: str = ""
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)
    registry_token: str = field(default="", repr=False)

    @property
    def basic(self) -> str:
        """The value of an `Authorization` header for Basic (RFC 7617)."""
        return "Basic " + base64.b64encode(f"{self.user}:{self.password}".encode()).decode()

    @property
    def secrets(self) -> list[str]:
        """What must never be shown."""
        encoded = self.basic.removeprefix("Basic ") if self.user else ""
        words = (encoded, self.password, self.identity_token, self.registry_token)
        return [word for word in words if word]


def files() -> Iterator[Path]:
    """The configuration files to look at, in order."""
    if named := os.environ.get("REGISTRY_AUTH_FILE"):
        yield Path(named)
    if folder := os.environ.get("DOCKER_CONFIG"):
        yield Path(folder, "config.json")
    else:
        yield Path(os.environ.get("HOME") or "/root", ".docker/config.json")
    if folder := os.environ.get("XDG_RUNTIME_DIR"):
        yield Path(folder, "containers/auth.json")
    yield Path(
        os.environ.get("XDG_CONFIG_HOME") or Path(os.environ.get("HOME") or "/root", ".config"), "containers/auth.json"
    )


def find(host: str, path: str = "") -> Credential | None:
    """The credential for the registry `host` (as a reference has it) and the repository `path`, None if there is none.

    Raises RegistryError when a file or a helper that should know one is broken.
    """
    for file in files():
        try:
            text = file.read_bytes()
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            continue
        except OSError as error:
            raise RegistryError(f"{file}: cannot read it: {error.strerror}") from None
        try:
            config = json.loads(text)
        except (ValueError, RecursionError):
            raise RegistryError(f"{file}: is not JSON: repair or remove it") from None
        if isinstance(config, dict) and (found := _in_config(config, host, path, file)) is not None:
            return found
    return None


def keys(host: str, path: str = "") -> list[str]:
    """The names under which a configuration file may know a registry, most exact first."""
    parts = path.split("/") if path else []
    names = [f"{host}/{'/'.join(parts[:count])}" for count in range(len(parts), 0, -1)]
    if host == DOCKER_HUB:
        return [*names, HUB_KEY, DOCKER_HUB, "index.docker.io", "registry-1.docker.io", "https://index.docker.io"]
    return [
        *names,
        host,
        f"https://{host}",
        f"https://{host}/",
        f"{host}/v1/",
        f"{host}/v2/",
        f"https://{host}/v1/",
        f"https://{host}/v2/",
    ]


def _in_config(config: dict[str, Any], host: str, path: str, file: Path) -> Credential | None:
    names = keys(host, path)
    helpers = config.get("credHelpers")
    if isinstance(helpers, dict):
        for name in names:
            if isinstance(helpers.get(name), str):
                return _from_helper(helpers[name], HUB_KEY if host == DOCKER_HUB else name, file)
    store = config.get("credsStore")
    if isinstance(store, str) and store:
        found = _from_helper(store, HUB_KEY if host == DOCKER_HUB else host, file)
        if found is not None:
            return found
    entries = config.get("auths")
    if isinstance(entries, dict):
        for name in names:
            entry = entries.get(name)
            if isinstance(entry, dict) and (found := _from_entry(entry, name, file)) is not None:
                return found
    return None


def _from_entry(entry: dict[str, Any], name: str, file: Path) -> Credential | None:
    def text(key: str) -> str:
        value = entry.get(key)
        return value if isinstance(value, str) else ""

    user, password = text("username"), text("password")
    if text("auth"):
        try:
            decoded = base64.b64decode(text("auth"), validate=True).decode()
        except (binascii.Error, ValueError):
            raise RegistryError(f"{file}: the entry {name!r} is damaged: log in again") from None
        user, _, password = decoded.partition(":")
        password = password.rstrip("\0")
    found = Credential(user, password, text("identitytoken"), text("registrytoken"))
    return found if found.user or found.identity_token or found.registry_token else None


def _from_helper(name: str, server: str, file: Path) -> Credential | None:
    program = f"docker-credential-{name}"
    if not _HELPER.fullmatch(name) or shutil.which(program) is None:
        raise RegistryError(f"{file}: names the credential helper {program!r}, which is not installed")
    try:
        ran = subprocess.run(
            [program, "get"], input=server.encode(), capture_output=True, timeout=_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise RegistryError(f"{program} (named by {file}): failed: {type(error).__name__}") from None
    if ran.returncode != 0:
        said = (ran.stdout or ran.stderr).decode("utf-8", "replace").strip()
        if "not found" in said:
            return None
        raise RegistryError(f"{program} (named by {file}): failed: {said[:200]}")
    try:
        answer = json.loads(ran.stdout)
        user, secret = str(answer["Username"]), str(answer["Secret"])
    except (ValueError, KeyError, TypeError):
        raise RegistryError(f"{program} (named by {file}): answered something that is not a credential") from None
    return Credential(identity_token=secret) if user == "<token>" else Credential(user, secret)
