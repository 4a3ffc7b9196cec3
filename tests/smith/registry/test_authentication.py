"""Token servers in their several shapes, Basic, and credentials from files and helpers."""

import base64
import json
import stat
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import images
import pytest
from server import Handler, Server
from smith.registry import Credential, Denied, Options, RegistryError, Retry, authentication, credentials, pull, push

RETRY = Retry(sleep=lambda seconds: None)


class Tokens:
    """A token server beside a registry that wants its tokens."""

    def __init__(self, registry: Server, server: Server) -> None:
        self.registry, self.server = registry, server
        self.answer: Callable[[str], dict[str, Any]] = lambda token: {"token": token, "expires_in": 300}
        self.asked: list[dict[str, list[str]]] = []
        self.posted: list[dict[str, list[str]]] = []
        self.authorizations: list[str | None] = []
        self.valid: dict[str, list[str]] = {}
        self.users: dict[str, str] | None = None
        self.uses: int | None = None
        server.hooks.append(self.give)
        registry.hooks.append(self.guard)

    def give(self, handler: Handler, count: int) -> bool:
        query = urllib.parse.parse_qs(handler.parts.query)
        authorization = handler.headers.get("Authorization")
        if handler.command == "POST":
            query = urllib.parse.parse_qs(handler.body().decode())
            self.posted.append(query)
            query["scope"] = query["scope"][0].split(" ")
        self.asked.append(query)
        self.authorizations.append(authorization)
        if self.users is not None:
            known = {"Basic " + base64.b64encode(f"{u}:{p}".encode()).decode() for u, p in self.users.items()}
            if authorization not in known:
                handler.reply(401, b'{"details":"incorrect username or password"}')
                return True
        token = f"token-{len(self.asked)}"
        self.valid[token] = query.get("scope", [])
        handler.reply(200, json.dumps(self.answer(token)).encode())
        return True

    def guard(self, handler: Handler, count: int) -> bool:
        name = handler.parts.path.removeprefix("/v2/").partition("/manifests/")[0].partition("/blobs/")[0]
        name = name.partition("/referrers/")[0]
        actions = "pull" if handler.command in ("GET", "HEAD") else "pull,push"
        token = (handler.headers.get("Authorization") or "").removeprefix("Bearer ")
        granted = {
            part for scope in self.valid.get(token, []) for part in [scope, scope.replace(":pull,push", ":pull")]
        }
        if f"repository:{name}:{actions}" in granted:
            if self.uses is not None:
                self.uses -= 1
                if self.uses == 0:
                    self.valid.pop(token)
            return False
        handler.body()
        scope = f"repository:{name}:{actions}"
        realm = f'Bearer realm="http://{self.server.host}/token?given=1",service="a service",scope="{scope}"'
        handler.reply(401, b"{}", WWW_Authenticate=realm)
        return True


@pytest.fixture
def tokens(server: Server) -> Iterator[Tokens]:
    made = Server()
    yield Tokens(server, made)
    made.stop()


def anonymous(**more: Any) -> Options:
    return Options(retry=RETRY, **more)


@pytest.mark.parametrize(
    "answer",
    [
        lambda token: {"token": token, "access_token": "other", "expires_in": 300, "issued_at": "2020-01-01T00:00:00Z"},
        lambda token: {"token": token},
        lambda token: {"access_token": token, "expires_in": 300, "scope": "x"},
        lambda token: {"token": token, "expires_in": None},
    ],
    ids=["docker hub", "github", "oauth2", "null"],
)
def test_push_and_pull_with_tokens(
    server: Server, tokens: Tokens, tmp_path: Path, answer: Callable[[str], dict[str, Any]]
) -> None:
    tokens.answer = answer
    layout, _ = images.simple(10_000)
    push(layout.archive(tmp_path / "in.tar"), f"http://{server.host}/g/r", options=anonymous())
    pull(f"http://{server.host}/g/r", tmp_path / "out.tar", options=anonymous())
    assert len(tokens.asked) == 2
    assert all(each["service"] == ["a service"] and each["given"] == ["1"] for each in tokens.asked)
    assert [each["scope"] for each in tokens.asked] == [["repository:g/r:pull,push"], ["repository:g/r:pull"]]
    assert tokens.authorizations == [None, None]


def test_password_goes_to_the_token_server_only(server: Server, tokens: Tokens, tmp_path: Path) -> None:
    tokens.users = {"user": "secret"}
    layout, _ = images.simple(10_000)
    options = anonymous(credential=Credential("user", "secret"))
    push(layout.archive(tmp_path / "in.tar"), f"http://{server.host}/r", options=options)
    sent = [headers.get("Authorization", "") for _, _, headers in server.seen]
    assert not any(each.startswith("Basic") for each in sent)
    assert tokens.asked[0]["account"] == ["user"]


def test_wrong_password_is_one_sentence_without_it(server: Server, tokens: Tokens, tmp_path: Path) -> None:
    tokens.users = {"user": "secret"}
    options = anonymous(credential=Credential("user", "not-this"))
    with pytest.raises(Denied, match="the token server refused the user or password") as caught:
        pull(f"http://{server.host}/r", tmp_path / "out.tar", options=options)
    assert "not-this" not in str(caught.value)


def test_a_registry_that_sends_back_what_it_got_reveals_nothing(server: Server, tmp_path: Path) -> None:
    def echo(handler: Handler, count: int) -> bool:
        sent = handler.headers.get("Authorization")
        if sent is None:
            handler.reply(401, b"{}", WWW_Authenticate='Basic realm="x"')
        else:
            handler.reply(403, f"{sent} {base64.b64decode(sent[6:]).decode()}".encode())
        return True

    server.hooks.append(echo)
    with pytest.raises(Denied) as caught:
        pull(f"http://user:s3cr3t@{server.host}/r", tmp_path / "out.tar", options=Options(retry=RETRY))
    assert "s3cr3t" not in str(caught.value)
    assert base64.b64encode(b"user:s3cr3t").decode() not in str(caught.value)


def test_token_that_expires_in_the_middle_of_a_push_is_renewed(server: Server, tokens: Tokens, tmp_path: Path) -> None:
    layout, entry = images.simple()
    tokens.uses = 4

    def refill(handler: Handler, count: int) -> bool:
        if tokens.uses is not None and tokens.uses <= 0:
            tokens.uses = 4
        return False

    tokens.server.hooks.insert(0, refill)
    push(layout.archive(tmp_path / "in.tar"), f"http://{server.host}/r", options=anonymous())
    assert ("r", entry["digest"]) in server.manifests
    assert len(tokens.asked) > 2


def test_tokens_are_renewed_before_they_expire() -> None:
    now = [0.0]
    asked: list[str] = []

    class Transport:
        def follow(self, method: str, url: str, headers: dict[str, str]) -> Any:
            asked.append(url)

            class Response:
                status = 200
                headers: dict[str, str] = {}  # noqa: RUF012

                def read(self, limit: int) -> bytes:
                    return json.dumps({"token": f"t{len(asked)}", "expires_in": 100}).encode()

            return Response()

    transport: Any = Transport()
    auth = authentication.Authenticator(transport, lambda: None, retry=RETRY, clock=lambda: now[0])
    assert auth.header("scope") is None
    assert auth.answer("https://r/v2/", 'Bearer realm="https://t/token"', "scope", None) == "Bearer t1"
    assert auth.header("scope") == "Bearer t1"
    now[0] = 79.0
    assert auth.header("scope") == "Bearer t1"
    now[0] = 81.0
    assert auth.header("scope") == "Bearer t2"
    assert auth.header("another") == "Bearer t3"


def test_mounting_asks_for_both_repositories(server: Server, tokens: Tokens, tmp_path: Path) -> None:
    layout, _ = images.simple(10_000)
    source = layout.archive(tmp_path / "in.tar")
    push(source, f"http://{server.host}/from", options=anonymous())
    pushed = push(source, f"http://{server.host}/to", mount_from=["from"], options=anonymous())
    assert set(pushed.blobs.values()) == {"mounted"}
    assert ["repository:to:pull,push", "repository:from:pull"] in [each["scope"] for each in tokens.asked]


def test_identity_token_is_exchanged(server: Server, tokens: Tokens, tmp_path: Path) -> None:
    layout, _ = images.simple(10_000)
    options = anonymous(credential=Credential(identity_token="refresh-me"))
    push(layout.archive(tmp_path / "in.tar"), f"http://{server.host}/r", options=options)
    assert tokens.posted[0]["refresh_token"] == ["refresh-me"]
    assert tokens.posted[0]["grant_type"] == ["refresh_token"]


def test_token_server_without_tls_is_refused_over_https() -> None:
    transport: Any = None
    auth = authentication.Authenticator(transport, lambda: None, retry=RETRY)
    with pytest.raises(RegistryError, match="token server without TLS"):
        auth.answer("https://r/v2/", 'Bearer realm="http://t/token"', "scope", None)
    with pytest.raises(RegistryError, match="no web address"):
        auth.answer("https://r/v2/", 'Bearer realm="file:///etc/passwd"', "scope", None)


@pytest.mark.parametrize("answer", [{}, {"token": ""}, {"token": 7}, {"token": "a\r\nX: y"}, []])
def test_answers_without_a_token_are_refused(server: Server, tokens: Tokens, tmp_path: Path, answer: Any) -> None:
    tokens.answer = lambda token: answer
    with pytest.raises(RegistryError, match="has no token"):
        pull(f"http://{server.host}/r", tmp_path / "out.tar", options=anonymous())


def test_busy_token_server_is_asked_again(server: Server, tokens: Tokens, tmp_path: Path) -> None:
    tokens.server.hooks.insert(0, lambda handler, count: count == 1 and handler.reply(503) is None)
    layout, _ = images.simple(10)
    push(layout.archive(tmp_path / "in.tar"), f"http://{server.host}/r", options=anonymous())


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ('Basic realm="a b"', [("basic", {"realm": "a b"})]),
        (
            'Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push"',
            [
                (
                    "bearer",
                    {
                        "realm": "https://auth.docker.io/token",
                        "service": "registry.docker.io",
                        "scope": "repository:a/b:pull,push",
                    },
                )
            ],
        ),
        ("Bearer realm=https://x/y", [("bearer", {"realm": "https://x/y"})]),
        ('Negotiate, Basic realm="x"', [("negotiate", {}), ("basic", {"realm": "x"})]),
        (
            'BASIC Realm="say \\"hi\\"" , bearer realm = "r"',
            [("basic", {"realm": 'say "hi"'}), ("bearer", {"realm": "r"})],
        ),
        ('Bearer realm="r",error="invalid_token"', [("bearer", {"realm": "r", "error": "invalid_token"})]),
        ("", []),
        ("===", []),
    ],
)
def test_challenges_are_read(header: str, found: list[tuple[str, dict[str, str]]]) -> None:
    assert [(each.scheme, each.parameters) for each in authentication.challenges(header)] == found


def write(home: Path, **config: Any) -> None:
    (home / ".docker").mkdir(exist_ok=True)
    (home / ".docker/config.json").write_text(json.dumps(config))


def helper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, script: str) -> None:
    folder = tmp_path / "bin"
    folder.mkdir(exist_ok=True)
    program = folder / f"docker-credential-{name}"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(folder), prepend=":")


AUTH = base64.b64encode(b"user:pass:word").decode()


@pytest.mark.parametrize(
    ("host", "key"),
    [
        ("host:5000", "host:5000"),
        ("host", "https://host"),
        ("host", "https://host/v2/"),
        ("host", "host/group"),
        ("docker.io", "https://index.docker.io/v1/"),
        ("docker.io", "docker.io"),
    ],
)
def test_entries_of_the_configuration(no_one_elses_credentials: Path, host: str, key: str) -> None:
    write(no_one_elses_credentials, auths={key: {"auth": AUTH}, "other": {"auth": "eDp5"}})
    assert credentials.find(host, "group/name") == Credential("user", "pass:word")
    assert credentials.find("elsewhere", "group/name") is None


def test_other_shapes_of_entries(
    no_one_elses_credentials: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    write(
        no_one_elses_credentials, auths={"a": {"username": "u", "password": "p"}, "b": {"identitytoken": "t"}, "c": {}}
    )
    assert credentials.find("a") == Credential("u", "p")
    assert credentials.find("b") == Credential(identity_token="t")
    assert credentials.find("c") is None
    (tmp_path / "config.json").write_text(json.dumps({"auths": {"a": {"registrytoken": "r"}}}))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    assert credentials.find("a") == Credential(registry_token="r")


def test_podman_file_is_known(no_one_elses_credentials: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    (tmp_path / "containers").mkdir()
    (tmp_path / "containers/auth.json").write_text(json.dumps({"auths": {"h": {"auth": AUTH}}}))
    assert credentials.find("h") == Credential("user", "pass:word")


def test_credential_helpers(no_one_elses_credentials: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    script = 'read server; [ "$1" = get ] && printf \'{"ServerURL":"x","Username":"for %s","Secret":"s"}\' "$server"'
    helper(tmp_path, monkeypatch, "one", script)
    helper(tmp_path, monkeypatch, "two", 'printf \'{"Username":"<token>","Secret":"t"}\'')
    helper(tmp_path, monkeypatch, "none", "echo credentials not found in native keychain; exit 1")
    write(no_one_elses_credentials, credsStore="one", credHelpers={"special": "two", "absent": "none"})
    assert credentials.find("host:1") == Credential("for host:1", "s")
    assert credentials.find("docker.io") == Credential("for https://index.docker.io/v1/", "s")
    assert credentials.find("special") == Credential(identity_token="t")
    assert credentials.find("absent") is None


@pytest.mark.parametrize(
    ("script", "text"),
    [("exit 1", "failed"), ("echo no json", "not a credential"), ("echo locked >&2; exit 3", "failed: locked")],
)
def test_broken_helpers_are_one_sentence(
    no_one_elses_credentials: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: str, text: str
) -> None:
    helper(tmp_path, monkeypatch, "broken", script)
    write(no_one_elses_credentials, credsStore="broken")
    with pytest.raises(RegistryError, match=f"docker-credential-broken.*{text}"):
        credentials.find("h")


@pytest.mark.parametrize("name", ["absent-helper", "../../bin/sh", "a b"])
def test_helpers_that_are_not_there(no_one_elses_credentials: Path, name: str) -> None:
    write(no_one_elses_credentials, credsStore=name)
    with pytest.raises(RegistryError, match="is not installed"):
        credentials.find("h")


def test_broken_configuration_is_one_sentence(no_one_elses_credentials: Path) -> None:
    (no_one_elses_credentials / ".docker").mkdir()
    (no_one_elses_credentials / ".docker/config.json").write_text("{")
    with pytest.raises(RegistryError, match=r"config\.json: is not JSON"):
        credentials.find("h")
    write(no_one_elses_credentials, auths={"h": {"auth": "!!!"}})
    with pytest.raises(RegistryError, match="is damaged: log in again"):
        credentials.find("h")


def test_secrets_are_not_in_representations() -> None:
    shown = repr(Credential("user", "secret-1", "secret-2", "secret-3"))
    assert "secret" not in shown
