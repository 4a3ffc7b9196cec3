"""Debian's docker-registry on this machine, in a folder of its own, ended by its pid."""

import json
import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

PROGRAM = shutil.which("docker-registry")
DEADLINE = 120.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Registry:
    """A running registry; `host` is where."""

    def __init__(
        self, folder: Path, *, auth: dict[str, Any] | None = None, tls: tuple[Path, Path] | None = None
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.settings: dict[str, Any] = {
            "version": "0.1",
            "log": {"level": "warn", "accesslog": {"disabled": True}},
            "storage": {"filesystem": {"rootdirectory": str(folder / "data")}, "delete": {"enabled": True}},
        }
        if auth:
            self.settings["auth"] = auth
        self.tls = tls
        self.process: subprocess.Popen[bytes] | None = None
        self.host = ""

    def start(self) -> "Registry":
        for _ in range(5):
            if self._started():
                return self
        raise RuntimeError((self.folder / "log").read_text())

    def _started(self) -> bool:
        """Whether the registry listens; another process may have taken the port in between."""
        port = free_port()
        self.host = f"127.0.0.1:{port}"
        http: dict[str, Any] = {"addr": self.host, "secret": "secret"}
        if self.tls:
            http["tls"] = {"certificate": str(self.tls[0]), "key": str(self.tls[1])}
        config = self.folder / "config.yml"
        config.write_text(json.dumps({**self.settings, "http": http}))
        with open(self.folder / "log", "wb") as log:
            assert PROGRAM is not None
            environment = {key: value for key, value in os.environ.items() if not key.startswith("REGISTRY_")}
            self.process = subprocess.Popen(
                [PROGRAM, "serve", str(config)], stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment
            )
        end = time.monotonic() + DEADLINE
        while time.monotonic() < end and self.process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", port), 5).close()
                return True
            except OSError:
                time.sleep(0.02)
        self.stop()
        return False

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def get(self, path: str, accept: str = "*/*") -> tuple[int, bytes]:
        """A plain request, past the client that is tested."""
        request = urllib.request.Request(f"http://{self.host}/v2/{path}", headers={"Accept": accept})
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=60) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()
