"""Registries to talk to: Debian's, started here, and one in this process that misbehaves when told to."""

import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent / "support"))

import certificates
import distribution
import server as servers


@pytest.fixture(autouse=True)
def no_one_elses_credentials(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of our own, without proxies."""
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(home))
    for name in ("DOCKER_CONFIG", "REGISTRY_AUTH_FILE", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return home


@pytest.fixture(autouse=True)
def cut_connections_are_errors() -> Iterator[None]:
    """Python's own way with SIGPIPE: the servers here run in this process, and clients leave them."""
    before = signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGPIPE, before)


@pytest.fixture
def server() -> Iterator[servers.Server]:
    made = servers.Server()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., distribution.Registry]]:
    """Starts Debian's docker-registry with the given settings."""
    if distribution.PROGRAM is None:
        pytest.skip("docker-registry is not installed")
    running: list[distribution.Registry] = []

    def started(**settings: object) -> distribution.Registry:
        made = distribution.Registry(tmp_path_factory.mktemp("registry"), **settings)  # type: ignore[arg-type]
        running.append(made)
        return made.start()

    yield started
    for each in running:
        each.stop()


@pytest.fixture(scope="module")
def registry(start: Callable[..., distribution.Registry]) -> distribution.Registry:
    return start()


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    return certificates.make(tmp_path_factory.mktemp("certificates"))
