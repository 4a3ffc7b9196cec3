"""`smith upload` and `smith download`, as they are typed."""

import json
import signal
import subprocess
import sys
import threading
from pathlib import Path

import images
import pytest
from server import Handler, Server


def run(smith: Path, *words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run([smith, *words], capture_output=True, text=True, check=False, cwd=cwd)


def guard(handler: Handler, count: int) -> bool:
    """Lets user:secret in."""
    if handler.headers.get("Authorization") == "Basic dXNlcjpzZWNyZXQ=":
        return False
    handler.body()
    handler.reply(401, WWW_Authenticate='Basic realm="r"')
    return True


def test_upload_and_download_as_the_original_has_them(smith: Path, server: Server, tmp_path: Path) -> None:
    server.hooks.append(guard)
    layout, entry = images.simple(100_000)
    layout.archive(tmp_path / "image.tar")
    address = f"http://user:secret@{server.host}/name/space:tag"
    sent = run(smith, "upload", "-r", address, "-i", "image.tar", cwd=tmp_path)
    assert (sent.returncode, sent.stderr) == (0, "")
    assert sent.stdout == f"{server.host}/name/space@{entry['digest']}: 3 of 3 blobs sent, the others were there\n"
    got = run(smith, "download", "-r", address, "-i", "out.tar.gz", cwd=tmp_path)
    assert (got.returncode, got.stderr) == (0, "")
    assert "secret" not in sent.stdout + got.stdout
    assert images.index_of(tmp_path / "out.tar.gz")[0]["digest"] == entry["digest"]


def test_docker_types_and_json(smith: Path, server: Server, tmp_path: Path) -> None:
    layout, _ = images.simple(1000)
    layout.folder(tmp_path / "image")
    sent = run(smith, "upload", "-d", "-r", f"{server.host}/r", "-i", str(tmp_path / "image"), "--json")
    said = json.loads(sent.stdout)
    assert said["descriptor"]["mediaType"] == "application/vnd.docker.distribution.manifest.v2+json"
    assert set(said["blobs"].values()) == {"uploaded"}
    got = run(smith, "download", "-r", said["reference"], "-i", str(tmp_path / "out.tar"), "--json")
    assert json.loads(got.stdout)["descriptor"]["digest"] == said["descriptor"]["digest"]


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (("upload", "-r", "http://user:wrong@HOST/r", "-i", "image.tar"), 1, "answered 401"),
        (("download", "-r", "http://user:wrong@HOST/r", "-i", "out.tar"), 1, "answered 401"),
        (("upload", "-r", "http://user:wrong@HOST/R", "-i", "image.tar"), 2, "lower-case letters"),
        (("upload", "-r", "http://user:secret@HOST/r", "-i", "absent.tar"), 1, "absent.tar"),
        (("download", "-r", "http://user:secret@HOST/absent:tag", "-i", "out.tar"), 1, "answered 404"),
        (("download", "-r", "http://user:secret@HOST/r", "-i", "no/such/out.tar"), 1, "no/such/out.tar"),
        (("download", "-r", "http://user:secret@HOST/r", "--platform", "x/y/z/w"), 2, "--platform"),
        (("download", "-r", "http://user:secret@HOST/r", "--platform", "linux/arm", "--all-platforms"), 2, "exclude"),
        (("download", "-r", "http://user:secret@HOST/r", "--cacert", "absent.pem"), 2, "absent.pem"),
    ],
)
def test_failures_are_one_sentence(
    smith: Path, server: Server, tmp_path: Path, words: tuple[str, ...], code: int, text: str
) -> None:
    server.hooks.append(guard)
    layout = images.Layout()
    entry = layout.image(images.layer({"app": b"x"}))
    layout.name(layout.index(entry))
    layout.archive(tmp_path / "image.tar")
    sent = run(smith, "upload", "-r", f"http://user:secret@{server.host}/r", "-i", str(tmp_path / "image.tar"))
    assert sent.returncode == 0, sent.stderr
    failed = run(smith, *(word.replace("HOST", server.host) for word in words), cwd=tmp_path)
    assert (failed.returncode, failed.stdout) == (code, "")
    assert text in failed.stderr
    assert failed.stderr.count("\n") == 1
    assert "wrong" not in failed.stderr
    assert "secret" not in failed.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["image.tar"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("busy", [False, True])
def test_interrupted_download_ends_and_leaves_nothing(
    smith: Path, server: Server, tmp_path: Path, number: signal.Signals, busy: bool
) -> None:
    """While data flows, and while a busy server has asked for patience."""
    layout, _ = images.simple(1_000_000)
    layout.folder(tmp_path / "image")
    assert run(smith, "upload", "-r", f"{server.host}/r", "-i", str(tmp_path / "image")).returncode == 0
    big = max(layout.blobs, key=lambda each: len(layout.blobs[each]))
    reached, over = threading.Event(), threading.Event()

    def stall(handler: Handler, count: int) -> bool:
        if handler.command != "GET" or big not in handler.path:
            return False
        if busy:
            handler.reply(429, Retry_After="10000")
            reached.set()
            return True
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(layout.blobs[big])))
        handler.end_headers()
        handler.wfile.write(layout.blobs[big][:1000])
        handler.wfile.flush()
        reached.set()
        over.wait()
        handler.close_connection = True
        return True

    server.hooks.append(stall)
    command = [smith, "download", "-r", f"{server.host}/r", "-i", str(tmp_path / "out.tar")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert reached.wait(120)
            process.send_signal(number)
            _, said = process.communicate(timeout=100)
        finally:
            over.set()
            process.kill()
    assert process.returncode == 128 + number
    assert "Traceback" not in said
    assert [path.name for path in tmp_path.iterdir()] == ["image"]


# A process's peak includes that of the process it was forked from: something small has to stand between.
LAUNCHER = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def test_memory_does_not_grow_with_the_layer(smith: Path, server: Server, tmp_path: Path) -> None:
    """The peak of a large layer over a small one's: far under the layer's size."""
    peaks = []
    for size in (100_000, 60_000_000):
        layout = images.Layout()
        layout.name(layout.image((images.noise(size), "sha256:" + "0" * 64)))
        source = layout.archive(tmp_path / f"{size}.tar")
        for words in (
            ("upload", "-r", f"{server.host}/r{size}", "-i", str(source)),
            ("download", "-r", f"{server.host}/r{size}", "-i", str(tmp_path / "out.tar")),
        ):
            ran = run(Path(sys.executable), "-Sc", LAUNCHER, str(smith), *words)
            peaks.append(int(ran.stdout))
    assert peaks[2] - peaks[0] < 10_000
    assert peaks[3] - peaks[1] < 10_000
