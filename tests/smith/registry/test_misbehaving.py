"""Against a server that misbehaves: cuts, lies, loops and refuses. Nothing half-done is left, and nothing leaks."""

import re
import threading
from pathlib import Path

import images
import pytest
from server import Handler, Server
from smith.registry import Mismatch, NotFound, Options, RegistryError, Retry, pull, push

PATIENT = Options(retry=Retry(sleep=lambda seconds: None))


def config_of(layout: images.Layout) -> bytes:
    return min(layout.blobs.values(), key=len)


class Waits(list[float]):
    """Takes notes instead of sleeping."""

    @property
    def options(self) -> Options:
        return Options(retry=Retry(sleep=self.append))


def served(server: Server, tmp_path: Path, size: int = 3_000_000) -> tuple[str, images.Layout, str]:
    """An image that the server has under `r`; the address, and the digest of its large layer."""
    layout, _ = images.simple(size)
    push(layout.folder(tmp_path / "served"), f"http://{server.host}/r", options=PATIENT)
    server.seen.clear()
    return f"http://{server.host}/r", layout, max(layout.blobs, key=lambda each: len(layout.blobs[each]))


def test_cut_download_is_resumed_where_it_was(server: Server, tmp_path: Path) -> None:
    target, layout, big = served(server, tmp_path)
    content = layout.blobs[big]

    def cut(handler: Handler, count: int) -> bool:
        match = re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range") or "bytes=0-")
        if big not in handler.path or match is None:
            return False
        start = int(match[1])
        end = start + 400_000
        if end >= len(content):
            return False
        handler.send_response(206 if start else 200)
        handler.send_header("Content-Length", str(len(content) - start))
        if start:
            handler.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        handler.end_headers()
        handler.wfile.write(content[start:end])
        handler.cut()
        return True

    server.hooks.append(cut)
    pull(target, tmp_path / "out.tar", options=PATIENT)
    assert images.read(tmp_path / "out.tar")[f"blobs/{big.replace(':', '/')}"] == content
    asked = [headers.get("Range") for method, path, headers in server.seen if method == "GET" and big in path]
    assert asked[0] is None
    starts = [int(each[6:-1]) for each in asked[1:] if each]
    assert len(starts) == len(asked) - 1 >= 5
    assert starts == sorted(set(starts))


def test_server_that_cannot_resume_is_asked_from_the_start(server: Server, tmp_path: Path) -> None:
    target, layout, big = served(server, tmp_path)
    content = layout.blobs[big]

    def whole(handler: Handler, count: int) -> bool:
        if big not in handler.path:
            return False
        if count == 1:
            handler.reply(200, content[:500_000], Content_Length=str(len(content)))
            handler.cut()
        else:
            handler.reply(200, content)
        return True

    server.hooks.append(whole)
    pull(target, tmp_path / "out.tar", options=PATIENT)
    assert images.read(tmp_path / "out.tar")[f"blobs/{big.replace(':', '/')}"] == content


@pytest.mark.parametrize("answer", [(206, "bytes 7-9/100"), (206, "nonsense"), (416, "")])
def test_wrong_ranges_are_not_written(server: Server, tmp_path: Path, answer: tuple[int, str]) -> None:
    target, layout, big = served(server, tmp_path)
    content = layout.blobs[big]

    def wrong(handler: Handler, count: int) -> bool:
        if big not in handler.path:
            return False
        if handler.headers.get("Range"):
            handler.reply(answer[0], b"x" * 50, Content_Range=answer[1])
        elif count == 1:
            handler.reply(200, content[:500_000], Content_Length=str(len(content)))
            handler.cut()
        else:
            return False
        return True

    server.hooks.append(wrong)
    pull(target, tmp_path / "out.tar", options=PATIENT)
    assert images.read(tmp_path / "out.tar")[f"blobs/{big.replace(':', '/')}"] == content


def test_endless_cuts_end(server: Server, tmp_path: Path) -> None:
    target, _, big = served(server, tmp_path)

    def cut(handler: Handler, count: int) -> bool:
        if big in handler.path:
            handler.cut()
        return big in handler.path

    server.hooks.append(cut)
    waits = Waits()
    with pytest.raises(RegistryError, match=r"the connection (ended|failed)"):
        pull(target, tmp_path / "out.tar", options=waits.options)
    assert waits
    assert [path.name for path in tmp_path.iterdir()] == ["served"]


def test_server_that_says_nothing_is_left(server: Server, tmp_path: Path) -> None:
    over = threading.Event()

    def silent(handler: Handler, count: int) -> bool:
        over.wait()
        handler.close_connection = True
        return True

    server.hooks.append(silent)
    options = Options(retry=Retry(attempts=2, sleep=lambda seconds: None), timeout=1.0)
    try:
        with pytest.raises(RegistryError, match=r"nothing came in time while asking \(2 tries\)"):
            pull(f"http://{server.host}/r", tmp_path / "out.tar", options=options)
    finally:
        over.set()
    assert list(tmp_path.iterdir()) == []


def test_tries_are_not_multiplied(server: Server, tmp_path: Path) -> None:
    def cut(handler: Handler, count: int) -> bool:
        handler.cut()
        return True

    server.hooks.append(cut)
    waits = Waits()
    with pytest.raises(RegistryError, match=r"\(5 tries\)"):
        pull(f"http://{server.host}/r", tmp_path / "out.tar", options=waits.options)
    assert server.asked("GET") == 5
    assert len(waits) == 4


def test_where_nothing_listens_is_said_at_once(server: Server, tmp_path: Path) -> None:
    host = server.host
    server.stop()  # a server that still polls would take the connection, and cut it
    waits = Waits()
    with pytest.raises(RegistryError, match="nothing listens there"):
        pull(f"http://{host}/r", tmp_path / "out.tar", options=waits.options)
    assert not waits


@pytest.mark.parametrize("name", ["out.tar", "out.tgz", "out"])
def test_changed_blob_is_refused_and_leaves_nothing(server: Server, tmp_path: Path, name: str) -> None:
    target, layout, big = served(server, tmp_path)
    changed = bytearray(layout.blobs[big])
    changed[1_000_000] ^= 1
    server.blobs["r", big] = bytes(changed)
    with pytest.raises(Mismatch, match="changed or damaged"):
        pull(target, tmp_path / name, options=PATIENT)
    assert [path.name for path in tmp_path.iterdir()] == ["served"]


@pytest.mark.parametrize("extra", [b"more", None])
def test_wrong_length_is_refused(server: Server, tmp_path: Path, extra: bytes | None) -> None:
    target, layout, big = served(server, tmp_path)
    server.blobs["r", big] = layout.blobs[big] + extra if extra else layout.blobs[big][:-7]
    with pytest.raises(Mismatch, match="its descriptor says"):
        pull(target, tmp_path / "out.tar", options=PATIENT)


def test_body_longer_than_its_descriptor_without_a_length(server: Server, tmp_path: Path) -> None:
    target, layout, big = served(server, tmp_path)

    def endless(handler: Handler, count: int) -> bool:
        if big not in handler.path:
            return False
        handler.send_response(200)
        handler.send_header("Connection", "close")
        handler.end_headers()
        handler.close_connection = True
        try:
            handler.wfile.write(layout.blobs[big])
            while True:
                handler.wfile.write(bytes(100_000))
        except OSError:
            return True

    server.hooks.append(endless)
    with pytest.raises(Mismatch, match="is longer than"):
        pull(target, tmp_path / "out.tar", options=PATIENT)


def test_manifest_of_another_digest_is_refused(server: Server, tmp_path: Path) -> None:
    target, layout, _ = served(server, tmp_path)
    digest = layout.entries[0]["digest"]
    server.manifests["r", digest] = (b'{"schemaVersion":2}', "application/vnd.oci.image.manifest.v1+json")
    with pytest.raises(Mismatch, match="changed or damaged"):
        pull(f"{target}@{digest}", tmp_path / "out.tar", options=PATIENT)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"<html>", "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b"[]", "is not an object"),
        (b'{"schemaVersion":1}', "schema 1"),
        (b'{"schemaVersion":2,"layers":[]}', "None is not a digest"),
        (b'{"schemaVersion":2,"config":{"digest":"sha256:../../etc/passwd","size":1}}', "is not a digest"),
        (b'{"schemaVersion":2,"config":{"digest":"sha256:' + b"a" * 64 + b'","size":-1}}', "has the size -1"),
        (b'{"schemaVersion":2,"config":{"digest":"sha256:' + b"a" * 64 + b'","size":"1"}}', "has the size '1'"),
        (b'{"schemaVersion":2,"config":{"digest":"sha256:' + b"a" * 64 + b'","size":1e400}}', "has the size inf"),
        (b'{"schemaVersion":2,"config":{"digest":"sha256:' + b"a" * 64 + b'","size":NaN}}', "has the size nan"),
        (
            b'{"schemaVersion":2,"config":{"digest":"sha256:' + b"a" * 64 + b'","size":' + b"9" * 18 + b"}}",
            "the size 9",
        ),
        (
            b'{"schemaVersion":2,"config":{"digest":"sha256:' + b"a" * 64 + b'","size":' + b"9" * 30 + b"}}",
            "the size 9",
        ),
        (
            b'{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","layers":[]}',
            "is not what its media",
        ),
        (b'{"schemaVersion":2,"manifests":[1]}', "no list of manifests"),
        (b" " * (9 << 20), "longer than"),
    ],
)
def test_bad_manifests_are_one_sentence(server: Server, tmp_path: Path, content: bytes, text: str) -> None:
    server.manifests["r", "latest"] = (content, "application/json")
    with pytest.raises(RegistryError, match=text):
        pull(f"http://{server.host}/r", tmp_path / "out.tar", all_platforms=True, options=PATIENT)
    assert list(tmp_path.iterdir()) == []


def test_index_that_holds_itself_ends(server: Server, tmp_path: Path) -> None:
    layout = images.Layout()
    entry = layout.index()
    for _ in range(8):
        entry = layout.index(entry)
    for digest, content in layout.blobs.items():
        server.manifests["r", digest] = server.manifests["r", "latest"] = (content, entry["mediaType"])
    with pytest.raises(RegistryError, match="too many manifests"):
        pull(f"http://{server.host}/r", tmp_path / "out.tar", all_platforms=True, options=PATIENT)


def test_loop_of_redirects_ends(server: Server, tmp_path: Path) -> None:
    target, _, big = served(server, tmp_path)

    def loop(handler: Handler, count: int) -> bool:
        if big not in handler.path:
            return False
        handler.reply(307, Location=handler.path)
        return True

    server.hooks.append(loop)
    with pytest.raises(RegistryError, match="redirected more than 8 times"):
        pull(target, tmp_path / "out.tar", options=PATIENT)


@pytest.mark.parametrize("location", ["ftp://example.com/x", "file:///etc/passwd", "http://[", "http://a b/"])
def test_redirects_to_nowhere_are_refused(server: Server, tmp_path: Path, location: str) -> None:
    target, _, big = served(server, tmp_path)

    def away(handler: Handler, count: int) -> bool:
        if big not in handler.path:
            return False
        handler.reply(307, Location=location)
        return True

    server.hooks.append(away)
    with pytest.raises(RegistryError, match="sent an address that is none"):
        pull(target, tmp_path / "out.tar", options=PATIENT)


def test_redirect_takes_no_credentials_to_another_server(server: Server, tmp_path: Path) -> None:
    target, layout, big = served(server, tmp_path)
    storage = Server()
    try:
        storage.hooks.append(lambda handler, count: handler.reply(200, layout.blobs[big]) is None)

        def guarded(handler: Handler, count: int) -> bool:
            if not handler.headers.get("Authorization"):
                handler.reply(401, WWW_Authenticate='Basic realm="r"')
                return True
            if big in handler.path:
                handler.reply(307, Location=f"http://{storage.host}/signed?signature=secret")
                return True
            return False

        server.hooks.append(guarded)
        pull(target.replace("http://", "http://user:password@"), tmp_path / "out.tar", options=PATIENT)
        assert storage.asked("GET", "/signed") == 1
        assert all("Authorization" not in headers for _, _, headers in storage.seen)
        guards = [headers.get("Authorization") for _, path, headers in server.seen if "blobs" in path]
        assert all(guards)
    finally:
        storage.stop()


def test_upload_location_at_another_server_gets_no_credentials(server: Server, tmp_path: Path) -> None:
    storage = Server()
    try:
        layout, _ = images.simple()
        storage.uploads = server.uploads
        storage.blobs = server.blobs
        server.location = lambda name, session: f"http://{storage.host}/v2/{name}/blobs/uploads/{session}"
        storage.location = server.location

        def guarded(handler: Handler, count: int) -> bool:
            if handler.headers.get("Authorization"):
                return False
            handler.body()
            handler.reply(401, WWW_Authenticate='Basic realm="r"')
            return True

        server.hooks.append(guarded)
        push(layout.archive(tmp_path / "in.tar"), f"http://u:p@{server.host}/r", options=PATIENT)
        assert storage.asked("PUT") == 3
        assert all("Authorization" not in headers for _, _, headers in storage.seen)
    finally:
        storage.stop()


def test_giant_headers_are_refused(server: Server, tmp_path: Path) -> None:
    def giant(handler: Handler, count: int) -> bool:
        try:
            handler.reply(200, b"{}", X_Giant="x" * 100_000)
        except OSError:
            return True
        return True

    def many(handler: Handler, count: int) -> bool:
        handler.reply(200, b"{}", **{f"x{number}": "y" for number in range(200)})
        return True

    for hook in (giant, many):
        server.hooks[:] = [hook]
        with pytest.raises(RegistryError, match="headers are too large"):
            pull(f"http://{server.host}/r", tmp_path / "out.tar", options=PATIENT)


def test_no_http_at_all_is_one_sentence(server: Server, tmp_path: Path) -> None:
    def nonsense(handler: Handler, count: int) -> bool:
        handler.wfile.write(b"SSH-2.0-\x1b]0;title\x07OpenSSH\r\n\r\n")
        handler.cut()
        return True

    server.hooks.append(nonsense)
    with pytest.raises(RegistryError, match="connection") as caught:
        pull(f"http://{server.host}/r", tmp_path / "out.tar", options=PATIENT)
    assert str(caught.value).isprintable()


def test_an_answer_that_announces_too_much_is_left_at_once(server: Server, tmp_path: Path) -> None:
    def promising(handler: Handler, count: int) -> bool:
        handler.reply(200, b"{}", Content_Length=str(10**20))
        return True

    server.hooks.append(promising)
    with pytest.raises(RegistryError, match="longer than"):
        pull(f"http://{server.host}/r", tmp_path / "out.tar", options=PATIENT)
    assert len(server.seen) == 1


@pytest.mark.parametrize(
    ("status", "header", "wait"), [(429, "7", 7.0), (503, None, None), (500, None, None), (502, "x", None)]
)
def test_busy_server_is_asked_again(
    server: Server, tmp_path: Path, status: int, header: str | None, wait: float | None
) -> None:
    target, _, _ = served(server, tmp_path)
    waits = Waits()
    refused: dict[tuple[str, bool], int] = {}

    def busy(handler: Handler, count: int) -> bool:
        kind = handler.command, "uploads" in handler.path
        refused[kind] = refused.get(kind, 0) + 1
        if refused[kind] > 2:
            return False
        handler.body()
        handler.reply(status, **({"Retry_After": header} if header else {}))
        return True

    server.hooks.append(busy)
    pull(target, tmp_path / "out.tar", options=waits.options)
    assert len(waits) >= 2
    if wait is not None:
        assert set(waits) == {wait}
    push(tmp_path / "out.tar", f"http://{server.host}/again", options=waits.options)


def test_server_that_stays_busy_is_an_error(server: Server, tmp_path: Path) -> None:
    server.hooks.append(lambda handler, count: handler.reply(503, b"come back later") is None)
    waits = Waits()
    with pytest.raises(RegistryError, match=r"answered 503 \(come back later\)"):
        pull(f"http://{server.host}/r", tmp_path / "out.tar", options=waits.options)
    assert len(waits) == 4


def test_retry_after_is_obeyed_within_reason(server: Server, tmp_path: Path) -> None:
    server.hooks.append(lambda handler, count: handler.reply(429, Retry_After="999999") is None)
    waits = Waits()
    with pytest.raises(RegistryError, match="answered 429"):
        pull(f"http://{server.host}/r", tmp_path / "out.tar", options=waits.options)
    assert set(waits) == {120.0}


@pytest.mark.parametrize("chunk", [0, 1_000_000])
def test_cut_upload_is_resumed(server: Server, tmp_path: Path, chunk: int) -> None:
    layout, entry = images.simple()
    cuts = threading.Semaphore(2)

    def cut(handler: Handler, count: int) -> bool:
        large = handler.command == "PATCH" and int(handler.headers["Content-Length"]) > 700_000
        if not large or not cuts.acquire(blocking=False):
            return False
        session = handler.parts.path.rpartition("/")[2]
        server.uploads[session] += handler.body(700_000)
        handler.cut()
        return True

    server.hooks.append(cut)
    push(layout.archive(tmp_path / "in.tar"), f"http://{server.host}/r", chunk=chunk, options=PATIENT)
    assert ("r", entry["digest"]) in server.manifests
    resumed = [headers.get("Content-Range", "") for method, _, headers in server.seen if method == "PATCH"]
    assert any(each.startswith("700000-") for each in resumed)
    assert server.asked("POST") == 3
    pull(f"http://{server.host}/r", tmp_path / "out.tar", options=PATIENT)


def test_forgotten_upload_is_begun_again(server: Server, tmp_path: Path) -> None:
    def forget(handler: Handler, count: int) -> bool:
        session = handler.parts.path.rpartition("/")[2]
        if handler.command == "PATCH" and server.sessions == 1:
            server.uploads.pop(session)
            handler.body(10_000)
            handler.cut()
            return True
        return False

    server.hooks.append(forget)
    layout = images.Layout()
    layout.name(layout.image(images.layer({"data": images.noise(2_000_000)})))
    source = layout.archive(tmp_path / "in.tar")
    server.blobs["r", images.digest_of(config_of(layout))] = config_of(layout)
    push(source, f"http://{server.host}/r", options=PATIENT)
    pull(f"http://{server.host}/r", tmp_path / "out.tar", options=PATIENT)


def test_lost_answer_to_a_finished_upload_is_no_failure(server: Server, tmp_path: Path) -> None:
    layout, _ = images.simple()

    def lost(handler: Handler, count: int) -> bool:
        if handler.command != "PUT" or "uploads" not in handler.path or count > 1:
            return False
        session = handler.parts.path.rpartition("/")[2]
        server.blobs["r", handler.query["digest"]] = server.uploads.pop(session) + handler.body()
        handler.cut()
        return True

    server.hooks.append(lost)
    push(layout.archive(tmp_path / "in.tar"), f"http://{server.host}/r", options=PATIENT)
    assert server.asked("POST") == 3
    pull(f"http://{server.host}/r", tmp_path / "out.tar", options=PATIENT)


def test_upload_that_is_always_cut_ends(server: Server, tmp_path: Path) -> None:
    layout, _ = images.simple()

    def cut(handler: Handler, count: int) -> bool:
        if handler.command in ("PATCH", "PUT"):
            handler.cut()
            return True
        return False

    server.hooks.append(cut)
    with pytest.raises(RegistryError):
        push(layout.archive(tmp_path / "in.tar"), f"http://{server.host}/r", options=PATIENT)
    assert not server.manifests


@pytest.mark.parametrize("absolute", [True, False])
def test_upload_locations_are_taken_as_they_are(server: Server, tmp_path: Path, absolute: bool) -> None:
    layout, _ = images.simple()
    start = f"http://{server.host}" if absolute else ""
    server.location = lambda name, session: f"{start}/v2/{name}/blobs/uploads/{session}?opaque=%2F%3D&x"
    push(layout.archive(tmp_path / "in.tar"), f"http://{server.host}/r", options=PATIENT)
    uploads = [path for method, path, _ in server.seen if method in ("PATCH", "PUT") and "uploads" in path]
    assert uploads
    assert all("?opaque=%2F%3D&x" in path for path in uploads)


def test_missing_location_is_an_error(server: Server, tmp_path: Path) -> None:
    layout, _ = images.simple(10)
    server.hooks.append(lambda handler, count: handler.command == "POST" and handler.reply(202) is None)
    with pytest.raises(RegistryError, match="does not say where to upload"):
        push(layout.archive(tmp_path / "in.tar"), f"http://{server.host}/r", options=PATIENT)


def test_refusal_before_the_body_was_read_is_shown(server: Server, tmp_path: Path) -> None:
    layout, _ = images.simple(8_000_000)

    def refuse(handler: Handler, count: int) -> bool:
        if handler.command != "PATCH":
            return False
        handler.body(1000)
        handler.reply(413, b'{"errors":[{"code":"SIZE_INVALID","message":"too large\\u001b[31m"}]}')
        handler.close_connection = True
        while handler.rfile.read(1 << 16):
            continue
        return True

    server.hooks.append(refuse)
    with pytest.raises(RegistryError, match=r"answered 413 \(SIZE_INVALID: too large \[31m\)"):
        push(layout.archive(tmp_path / "in.tar"), f"http://{server.host}/r", options=PATIENT)


def test_referrers_list_in_pages(server: Server, tmp_path: Path) -> None:
    from smith.registry import open_registry, referrers

    target, layout, _ = served(server, tmp_path, 10)
    digest = layout.entries[0]["digest"]
    entry = {"mediaType": "a/b", "digest": "sha256:" + "0" * 64, "size": 1, "artifactType": "x/y"}
    server.referrers = {digest: [entry]}

    def page(handler: Handler, count: int) -> bool:
        if "/referrers/" not in handler.path or handler.query.get("page"):
            return False
        link = f'<{handler.parts.path}?page=2>; rel="next"'
        handler.reply(200, b'{"schemaVersion":2,"manifests":[]}', Link=link, Content_Type="x/y")
        return True

    server.hooks.append(page)
    with open_registry(target, PATIENT) as opened:
        assert referrers.listed(opened, digest) == [entry]
        assert referrers.listed(opened, digest, "x/y") == [entry]
        assert referrers.listed(opened, digest, "other/type") == []


def test_not_found_names_no_password(server: Server, tmp_path: Path) -> None:
    with pytest.raises(NotFound) as caught:
        pull(f"http://user:secret-word@{server.host}/r", tmp_path / "out.tar", options=PATIENT)
    assert "secret-word" not in str(caught.value)
