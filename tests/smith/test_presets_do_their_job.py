"""Presets built from this machine's own package source, run with a read-only root, doing their real job."""

import json
import os
import signal
import socket
import subprocess
import time
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from smith import config, presets
from smith.errors import ConfigError
from smith.spec import Spec


@pytest.fixture(scope="module")
def archive_answers() -> None:
    """Skips where apt's own sources are not those that the presets are for, or do not answer."""
    release = Path("/etc/os-release").read_text() if os.path.exists("/etc/os-release") else ""
    if 'VERSION_ID="12"' not in release or "ID=debian" not in release:
        pytest.skip("the presets are tried with Debian 12's packages")
    done = subprocess.run(
        ["apt-get", "--print-uris", "-qq", "download", "hostname"], capture_output=True, text=True, check=False
    )
    url = done.stdout.split("'")[1] if "'" in done.stdout else ""
    if not url.startswith("http"):
        pytest.skip("apt has no package index here")
    import urllib.request

    try:
        urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=20).close()
    except OSError as error:
        pytest.skip(f"the package archive does not answer: {error}")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("cache"))


class Running:
    """A bundle under a runtime, on the host's network, ended when the test ends."""

    def __init__(self, runtime: list[str], bundle: Path, name: str) -> None:
        self.runtime = runtime
        self.name = name
        self.log = bundle / "log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*runtime, "run", "--bundle", str(bundle), name],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def ask(self, port: int, request: bytes, answer: bytes) -> None:
        """Wait until the server says `answer` to `request`."""
        deadline = time.monotonic() + 120
        seen = b""
        while answer not in seen:
            assert self.process.poll() is None, self.log.read_text(errors="replace")
            assert time.monotonic() < deadline, (seen, self.log.read_text(errors="replace"))
            try:
                with socket.create_connection(("127.0.0.1", port), 10) as connection:
                    connection.sendall(request)
                    seen = b""
                    while answer not in seen and (data := connection.recv(65536)):
                        seen += data
            except OSError:
                time.sleep(0.1)

    def end(self) -> None:
        for name in ("TERM", "KILL"):
            subprocess.run([*self.runtime, "kill", self.name, name], capture_output=True, check=False)
            try:
                self.process.wait(20)
                break
            except subprocess.TimeoutExpired:
                continue
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
        subprocess.run([*self.runtime, "delete", "--force", self.name], capture_output=True, check=False)


@pytest.fixture
def launch(run_smith: Any, cache: str, railcar: Path, archive_answers: None) -> Iterator[Callable[..., Running]]:
    """Build a preset (smith.yaml alone for ""), unpack it, and run it, with more arguments, under railcar."""
    started: list[Running] = []
    run_smith.environment["XDG_CACHE_HOME"] = cache

    def start(preset: str, *arguments: str) -> Running:
        run_smith(*(("--preset", preset) if preset else ()), "-i", "image.tar")
        run_smith("verify", "image.tar")
        run_smith("unpack", "image.tar", "bundle")
        path = run_smith.folder / "bundle/config.json"
        document = json.loads(path.read_text())
        document["process"]["args"] += arguments
        assert document["root"]["readonly"] is True
        document["linux"]["namespaces"] = [n for n in document["linux"]["namespaces"] if n["type"] != "network"]
        path.write_text(json.dumps(document))
        runtime = [os.environ.get("SMITH_TEST_RUNTIME") or str(railcar), "--root", str(run_smith.folder / "state")]
        running = Running(runtime, run_smith.folder / "bundle", f"smith-{preset}-{os.getpid()}")
        started.append(running)
        return running

    yield start
    for running in started:
        running.end()


def free(port: int) -> int:
    """The port, or a skip when something listens on it here."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            pytest.skip(f"port {port} is taken on this machine")
    return port


def said(running: Running, code: int = 0) -> str:
    assert running.process.wait(120) == code, running.log.read_text(errors="replace")
    return running.log.read_text(errors="replace")


@pytest.mark.root
@pytest.mark.parametrize("preset", ["python", "nginx"])
def test_the_real_loader_finds_everything_inside(
    run_smith: Any, cache: str, archive_answers: None, preset: str
) -> None:
    run_smith.environment["XDG_CACHE_HOME"] = cache
    run_smith("--preset", preset, "-i", "image.tar")
    run_smith("unpack", "image.tar", "bundle")
    root = run_smith.folder / "bundle/rootfs"
    loader = next((f"/{each.relative_to(root)}" for each in root.glob("lib*/ld-linux-*.so.*")), "")
    assert loader
    files = [p for p in root.rglob("*") if p.is_file() and not p.is_symlink() and p.read_bytes()[:4] == b"\x7fELF"]
    compared = 0
    for path in files:
        name = f"/{path.relative_to(root)}"
        traced = subprocess.run(
            [loader, name],
            env={"LD_TRACE_LOADED_OBJECTS": "1"},
            preexec_fn=partial(os.chroot, root),
            capture_output=True,
            text=True,
            check=False,
        )
        if "statically linked" not in traced.stdout and "=>" in traced.stdout:
            compared += 1
        assert "not found" not in traced.stdout, (name, traced.stdout)
    assert compared >= 3


@pytest.mark.root
def test_nginx_serves_a_page(launch: Any) -> None:
    port = free(8080)
    launch("nginx").ask(port, b"GET / HTTP/1.0\r\n\r\n", b"Welcome to nginx")


@pytest.mark.root
def test_redis_stores_and_answers(launch: Any) -> None:
    port = free(6379)
    server = launch("redis")
    server.ask(port, b"SET key value\r\n", b"+OK")
    server.ask(port, b"GET key\r\n", b"value")


@pytest.mark.root
def test_the_readmes_own_example_runs(launch: Any, run_smith: Any) -> None:
    port = free(6379)
    readme = Path(__file__).resolve().parents[2] / "packages/smith/README.md"
    (run_smith.folder / "smith.yaml").write_text(readme.read_text().split("```yaml\n")[1].split("```")[0])
    launch("").ask(port, b"SET key value\r\n", b"+OK")


@pytest.mark.root
def test_memcached_stores_and_answers(launch: Any) -> None:
    port = free(11211)
    server = launch("memcached")
    server.ask(port, b"set key 0 0 5\r\nvalue\r\n", b"STORED")
    server.ask(port, b"get key\r\n", b"value")


@pytest.mark.root
def test_python_has_its_standard_library(launch: Any) -> None:
    program = "import ssl, sqlite3, json, ctypes, asyncio, lzma, bz2, decimal, uuid; print('sum', sum(range(10)))"
    assert "sum 45" in said(launch("python", "-c", program))


@pytest.mark.root
def test_curl_has_its_authorities(launch: Any) -> None:
    text = said(launch("curl", "-sS", "--max-time", "5", "https://127.0.0.1:1/"), 7)
    assert "Failed to connect" in text


@pytest.mark.root
def test_bash_runs_and_the_root_is_read_only(launch: Any) -> None:
    text = said(
        launch("bash", "-c", "echo yes > /write/x && read x < /write/x && echo $x; echo no > /x || echo refused")
    )
    assert "yes" in text
    assert "refused" in text


@pytest.mark.root
def test_postgres_makes_its_data_and_answers(launch: Any) -> None:
    port = free(5432)
    # the SSL request of the protocol, which a server without certificates answers by N
    launch("postgres").ask(port, b"\0\0\0\x08\x04\xd2\x16\x2f", b"N")


@pytest.mark.root
def test_mariadb_makes_its_data_and_greets(launch: Any) -> None:
    port = free(3306)
    launch("mariadb").ask(port, b"", b"MariaDB")


@pytest.mark.root
def test_httpd_serves_a_page(launch: Any) -> None:
    port = free(8080)
    launch("httpd").ask(port, b"GET / HTTP/1.0\r\n\r\n", b"200 OK")


@pytest.mark.root
def test_haproxy_answers(launch: Any) -> None:
    port = free(8080)
    launch("haproxy").ask(port, b"GET / HTTP/1.0\r\n\r\n", b"haproxy is up")


@pytest.mark.root
def test_php_runs_a_script(launch: Any, run_smith: Any) -> None:
    port = free(9000)
    (run_smith.folder / "rootfs/srv").mkdir(parents=True)
    (run_smith.folder / "rootfs/srv/sum.php").write_text("<?php echo 'sum ', array_sum(range(1, 9)), json_encode([1]);")
    values = {"SCRIPT_FILENAME": "/srv/sum.php", "REQUEST_METHOD": "GET", "SCRIPT_NAME": "/sum.php"}
    pairs = b"".join(bytes([len(k), len(v)]) + k.encode() + v.encode() for k, v in values.items())

    def record(kind: int, body: bytes) -> bytes:
        return bytes([1, kind, 0, 1]) + len(body).to_bytes(2, "big") + b"\0\0" + body

    # FastCGI: begin (responder), parameters, no more parameters, no input
    request = record(1, b"\0\1" + bytes(6)) + record(4, pairs) + record(4, b"") + record(5, b"")
    launch("php-fpm").ask(port, request, b"sum 45[1]")


@pytest.mark.root
@pytest.mark.parametrize(
    ("preset", "arguments", "answer"),
    [
        ("coreutils", [], "usr"),
        ("node", ["-e", "console.log('sum', [4, 5].reduce((a, b) => a + b), require('zlib').crc32 !== 1)"], "sum 9"),
        ("ruby", ["-rjson", "-rset", "-e", "puts 'sum %d' % JSON.parse('[4, 5]').sum"], "sum 9"),
        ("openjdk", ["-version"], "OpenJDK"),
    ],
)
def test_programs_run(launch: Any, preset: str, arguments: list[str], answer: str) -> None:
    assert answer in said(launch(preset, *arguments))


@pytest.mark.root
def test_a_node_application_runs(launch: Any, run_smith: Any) -> None:
    (run_smith.folder / "smith.yaml").write_text("preset: node\npackage-json: package.json\ncmd: [/app/main.js]\n")
    (run_smith.folder / "package.json").write_text('{"main": "main.js", "files": ["sum.js"]}')
    (run_smith.folder / "sum.js").write_text("module.exports = (a, b) => a + b")
    (run_smith.folder / "main.js").write_text("console.log('sum', require('./sum')(4, 5))")
    assert "sum 9" in said(launch("node"))


@pytest.mark.root
def test_a_python_application_has_its_requirements(launch: Any, run_smith: Any) -> None:
    folder = run_smith.folder
    with zipfile.ZipFile(folder / "sums-1.0-py3-none-any.whl", "w") as archive:
        archive.writestr("sums.py", "def add(a, b):\n    return a + b\n")
        archive.writestr("sums-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: sums\nVersion: 1.0\n")
        archive.writestr("sums-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr("sums-1.0.dist-info/RECORD", "sums.py,,\n")
    (folder / "requirements.txt").write_text("--no-index\n--find-links .\nsums\n")
    (folder / "smith.yaml").write_text("preset: python\nrequirements: requirements.txt\n")
    assert "sum 9" in said(launch("python", "-c", "import sums; print('sum', sums.add(4, 5))"))


def test_every_preset_is_read() -> None:
    assert {"bash", "coreutils", "curl", "nginx", "python", "redis", "postgres"} <= set(presets.names())
    for name in presets.names():
        spec = presets.expand(Spec(preset=name))
        assert spec.packages
        assert spec.entrypoint or spec.cmd


def test_the_users_words_win_over_the_presets() -> None:
    spec = presets.expand(config.parse("preset: nginx\nports: [80/tcp]\npackages: [x]\n"))
    assert spec.ports == ("80/tcp",)
    assert spec.packages == ("nginx", "nginx-common", "x")
    assert spec.entrypoint
    assert spec.overlays


def test_a_preset_that_is_not_there_is_named() -> None:
    with pytest.raises(ConfigError, match="did you mean 'nginx'"):
        presets.expand(Spec(preset="ngnix"))


def test_presets_need_no_yaml(run_smith: Any) -> None:
    done = run_smith("--preset", "ngnix", code=2)
    assert "did you mean 'nginx'" in done.stderr
