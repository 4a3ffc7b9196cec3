"""What docs/registries.md shows works as it stands, at a registry of the test's own."""

import os
import re
import subprocess
from pathlib import Path

import images
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from server import Server

PAGE = Path(__file__).parents[3] / "packages/smith/docs/registries.md"
HOST = "registry.example.com"


def test_the_commands(smith: Path, server: Server, tmp_path: Path) -> None:
    text = "".join(re.findall(r"```console\n(.*?)```", PAGE.read_text(), re.DOTALL))
    lines = [line[2:].replace(HOST, server.host) for line in text.splitlines() if line.startswith("$ ")]
    shown = [line.replace(HOST, server.host) for line in text.splitlines() if not line.startswith("$ ")]
    layout, entry = images.simple(1000)
    layout.archive(tmp_path / "nginx.tar.gz")
    key = ec.generate_private_key(ec.SECP256R1())
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    said = ""
    for line in lines:
        if line == "cosign generate-key-pair":
            private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain)
            (tmp_path / "cosign.key").write_bytes(private)
            public = key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo)
            (tmp_path / "cosign.pub").write_bytes(public)
            continue
        assert line.startswith("smith ")
        words = [str(smith), *line.split()[1:]]
        done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False, env=os.environ)
        assert done.returncode == 0, f"{line}: {done.stderr}"
        said += done.stdout
    for line in shown:
        assert line.replace("6e8741dd…", entry["digest"].removeprefix("sha256:")) in said


def test_the_functions(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layout, entry = images.simple(1000)
    layout.archive(tmp_path / "image.tar")
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    code = code.replace("localhost:5000", server.host).replace("ghcr.io/owner", server.host)
    code = code.replace(', options=Options(cacert="ca.pem")', "")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(compile(code, str(PAGE), "exec"), names)
    assert names["done"].descriptor["digest"] == entry["digest"]  # type: ignore[attr-defined]
