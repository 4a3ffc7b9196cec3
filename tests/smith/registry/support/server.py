"""A registry of a few lines, whose answers a test may replace by wrong ones."""

import hashlib
import json
import re
import socket
import threading
import urllib.parse
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Handler(BaseHTTPRequestHandler):
    """Keeps connections open, asks the test's hook first, then does what the distribution specification says."""

    protocol_version = "HTTP/1.1"
    server: "Server"

    def log_message(self, format: str, *args: Any) -> None:
        return None

    def handle_any(self) -> None:
        self.parts = urllib.parse.urlsplit(self.path)
        self.query = dict(urllib.parse.parse_qsl(self.parts.query))
        with self.server.lock:
            self.server.seen.append((self.command, self.path, dict(self.headers)))
            count = sum(1 for method, path, _ in self.server.seen if (method, path) == (self.command, self.path))
        for hook in self.server.hooks:
            if hook(self, count):
                return
        self.regular()

    def body(self, limit: int | None = None) -> bytes:
        """What was sent, or its first `limit` bytes."""
        length = int(self.headers.get("Content-Length") or 0)
        return self.rfile.read(length if limit is None else min(limit, length))

    def cut(self) -> None:
        """Ends the connection at once."""
        self.close_connection = True
        try:
            self.connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            return

    def reply(self, status: int, content: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if not any(name.lower() == "content_length" for name in headers):
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def regular(self) -> None:
        server = self.server
        path = self.parts.path
        if path == "/v2/":
            return self.reply(200, b"{}")
        if match := re.fullmatch(r"/v2/(.+)/manifests/([^/]+)", path):
            return self.manifest(match[1], match[2])
        if match := re.fullmatch(r"/v2/(.+)/blobs/uploads/([^/]*)", path):
            return self.upload(match[1], match[2])
        if match := re.fullmatch(r"/v2/(.+)/blobs/([^/]+)", path):
            content = server.blobs.get((match[1], match[2]))
            return self.reply(404) if content is None else self.blob(content)
        if (match := re.fullmatch(r"/v2/(.+)/referrers/([^/]+)", path)) and server.referrers is not None:
            index = {"schemaVersion": 2, "manifests": server.referrers.get(match[2], [])}
            return self.reply(200, json.dumps(index).encode(), Content_Type="application/vnd.oci.image.index.v1+json")
        return self.reply(404, b'{"errors":[{"code":"NAME_UNKNOWN","message":"nothing here"}]}')

    def blob(self, content: bytes) -> None:
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "")
        if not wanted:
            return self.reply(200, content)
        start = int(wanted[1])
        where = f"bytes {start}-{len(content) - 1}/{len(content)}"
        return self.reply(206, content[start:], Content_Range=where)

    def manifest(self, name: str, version: str) -> None:
        server = self.server
        if self.command == "PUT":
            content = self.body()
            digest = "sha256:" + hashlib.sha256(content).hexdigest()
            kind = self.headers["Content-Type"]
            server.manifests[name, version] = server.manifests[name, digest] = (content, kind)
            headers = {"Docker_Content_Digest": digest}
            subject = json.loads(content).get("subject")
            if subject and server.referrers is not None:
                entry = {"mediaType": kind, "digest": digest, "size": len(content)}
                entry["artifactType"] = json.loads(content).get("artifactType")
                server.referrers.setdefault(subject["digest"], []).append(entry)
                headers["OCI_Subject"] = subject["digest"]
            return self.reply(201, **headers)
        found = server.manifests.get((name, version))
        if found is None:
            return self.reply(404, b'{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}')
        digest = "sha256:" + hashlib.sha256(found[0]).hexdigest()
        return self.reply(200, found[0], Content_Type=found[1], Docker_Content_Digest=digest)

    def upload(self, name: str, session: str) -> None:
        server = self.server
        if self.command == "POST":
            source = server.blobs.get((self.query.get("from", ""), self.query.get("mount", "")))
            if source is not None:
                server.blobs[name, self.query["mount"]] = source
                return self.reply(201)
            with server.lock:
                session = f"session{server.sessions}"
                server.sessions += 1
                server.uploads[session] = b""
            return self.reply(202, Location=server.location(name, session), Range="0-0")
        if session not in server.uploads:
            self.body()
            return self.reply(404)
        if self.command == "GET":
            return self.accepted(name, session, 204)
        server.uploads[session] += self.body()
        if self.command == "PATCH":
            return self.accepted(name, session, 202)
        digest = self.query["digest"]
        if "sha256:" + hashlib.sha256(server.uploads[session]).hexdigest() != digest:
            return self.reply(400, b'{"errors":[{"code":"DIGEST_INVALID","message":"wrong digest"}]}')
        server.blobs[name, digest] = server.uploads.pop(session)
        return self.reply(201)

    def accepted(self, name: str, session: str, status: int) -> None:
        have = max(len(self.server.uploads[session]) - 1, 0)
        self.reply(status, Location=self.server.location(name, session), Range=f"0-{have}")


for method in ("GET", "HEAD", "POST", "PUT", "PATCH"):
    setattr(Handler, f"do_{method}", Handler.handle_any)

Hook = Callable[[Handler, int], bool]


class Server(ThreadingHTTPServer):
    """The registry. `hooks` are asked before each answer: True means that the hook has answered itself."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.lock = threading.Lock()
        self.hooks: list[Hook] = []
        self.seen: list[tuple[str, str, dict[str, str]]] = []
        self.blobs: dict[tuple[str, str], bytes] = {}
        self.manifests: dict[tuple[str, str], tuple[bytes, str]] = {}
        self.uploads: dict[str, bytes] = {}
        self.sessions = 0
        self.referrers: dict[str, list[dict[str, Any]]] | None = None
        self.host = f"127.0.0.1:{self.server_address[1]}"
        self.location: Callable[[str, str], str] = lambda name, session: (
            f"/v2/{name}/blobs/uploads/{session}?_state=a%2Bb"
        )
        self.thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self.thread.start()

    def handle_error(self, request: Any, client_address: Any) -> None:
        return None

    def stop(self) -> None:
        self.shutdown()
        self.server_close()

    def asked(self, method: str, part: str = "") -> int:
        """How many requests of that method had `part` in their address."""
        return sum(1 for found, path, _ in self.seen if found == method and part in path)
