"""Image references, with Docker's short names."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ocicommon import reference
from ocicommon.errors import InvalidDigest, InvalidReference

DIGEST = "sha256:" + "0123456789abcdef" * 4

GOOD = [
    ("nginx", "docker.io", "library/nginx", None, None, "nginx"),
    ("nginx:1.25", "docker.io", "library/nginx", "1.25", None, "nginx:1.25"),
    ("user/app", "docker.io", "user/app", None, None, "user/app"),
    ("docker.io/nginx", "docker.io", "library/nginx", None, None, "nginx"),
    ("index.docker.io/user/app:x", "docker.io", "user/app", "x", None, "user/app:x"),
    ("docker.io/library/nginx", "docker.io", "library/nginx", None, None, "nginx"),
    ("library/nginx", "docker.io", "library/nginx", None, None, "nginx"),
    ("localhost/a", "localhost", "a", None, None, "localhost/a"),
    ("localhost:5000/a/b:tag", "localhost:5000", "a/b", "tag", None, "localhost:5000/a/b:tag"),
    ("127.0.0.1:5000/a", "127.0.0.1:5000", "a", None, None, "127.0.0.1:5000/a"),
    ("[::1]:5000/a:b", "[::1]:5000", "a", "b", None, "[::1]:5000/a:b"),
    ("[2001:db8::1]/repo", "[2001:db8::1]", "repo", None, None, "[2001:db8::1]/repo"),
    ("ghcr.io/o/r@" + DIGEST, "ghcr.io", "o/r", None, DIGEST, "ghcr.io/o/r@" + DIGEST),
    ("ghcr.io/o/r:t@" + DIGEST, "ghcr.io", "o/r", "t", DIGEST, "ghcr.io/o/r:t@" + DIGEST),
    ("nginx@" + DIGEST, "docker.io", "library/nginx", None, DIGEST, "nginx@" + DIGEST),
    ("Host/repo", "Host", "repo", None, None, "Host/repo"),
    (
        "xn--n3h.com/myimage:xn--n3h.com",
        "xn--n3h.com",
        "myimage",
        "xn--n3h.com",
        None,
        "xn--n3h.com/myimage:xn--n3h.com",
    ),
    ("a/b_c/d__e/f-g/h--i/j.k", "docker.io", "a/b_c/d__e/f-g/h--i/j.k", None, None, "a/b_c/d__e/f-g/h--i/j.k"),
    ("docker.io/a/b/c", "docker.io", "a/b/c", None, None, "a/b/c"),
    ("test:5000/repo", "test:5000", "repo", None, None, "test:5000/repo"),
    ("a:" + "t" * 128, "docker.io", "library/a", "t" * 128, None, "a:" + "t" * 128),
    ("a:_x", "docker.io", "library/a", "_x", None, "a:_x"),
    ("a/" * 8 + "a", "docker.io", "a/" * 8 + "a", None, None, "a/" * 8 + "a"),
    ("0" * 63, "docker.io", "library/" + "0" * 63, None, None, "0" * 63),
]


@pytest.mark.parametrize(
    ("text", "host", "path", "tag", "digest", "familiar"), GOOD, ids=[case[0][:40] for case in GOOD]
)
def test_reference_is_parsed(
    text: str, host: str, path: str, tag: str | None, digest: str | None, familiar: str
) -> None:
    found = reference.parse(text)
    assert found == reference.Reference(host, path, tag, digest)
    assert found.familiar() == familiar
    assert reference.parse(str(found)) == found
    assert reference.parse(found.familiar()) == found


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no name"),
        (":tag", "has no name"),
        ("@" + DIGEST, "has no name"),
        ("Nginx", "lower-case"),
        ("a/Nginx", "lower-case"),
        ("a//b", "lower-case"),
        ("a/b/", "lower-case"),
        ("/a", "lower-case"),
        ("a/_b", "lower-case"),
        ("a/b_", "lower-case"),
        ("a/b___c", "lower-case"),
        ("a/b..c", "lower-case"),
        ("a/../b", "lower-case"),
        ("a b", "lower-case"),
        ("a\n", "lower-case"),
        ("é", "lower-case"),
        ("https://example.com/a", "has no scheme"),
        ("a:", "is not a tag"),
        ("a:b:c", "not an image reference"),
        ("a:.b", "is not a tag"),
        ("a:-b", "is not a tag"),
        ("a:b\n", "is not a tag"),
        ("a:" + "t" * 129, "is not a tag"),
        ("a@sha256:abc", "64 lower-case hexadecimal digits"),
        ("a@", "is not a digest"),
        ("a@" + DIGEST + "@" + DIGEST, "is not a digest"),
        ("exa_mple.com:80/a", "host name"),
        ("-bad.com/a", "host name"),
        ("bad-.com/a", "host name"),
        ("host.com:port/a", "host name"),
        ("user:password@host.com/a", "is not a digest"),
        ("[::1/a", "host name"),
        ("a/" * 130 + "a", "over 255 characters"),
        ("0123456789abcdef" * 4, "looks like an image id"),
    ],
)
def test_other_text_is_refused(text: str, message: str) -> None:
    with pytest.raises(InvalidReference, match=message):
        reference.parse(text)


def test_password_before_the_host_is_not_repeated() -> None:
    for text in ("user:secret@host.com/a", "https://user:secret@host.com/a"):
        with pytest.raises(InvalidReference) as caught:
            reference.parse(text)
        assert "secret" not in str(caught.value)


def test_version_prefers_the_digest() -> None:
    assert reference.parse("a").version == "latest"
    assert reference.parse("a:b").version == "b"
    assert reference.parse("a:b@" + DIGEST).version == DIGEST


def test_other_versions_of_a_repository() -> None:
    found = reference.parse("ghcr.io/o/r:t@" + DIGEST)
    assert str(found.with_tag("new")) == "ghcr.io/o/r:new"
    assert str(found.with_digest(DIGEST)) == "ghcr.io/o/r@" + DIGEST
    with pytest.raises(InvalidReference):
        found.with_tag("a b")
    with pytest.raises(InvalidDigest):
        found.with_digest("x")


@settings(derandomize=True, deadline=None, max_examples=200)
@given(st.text(alphabet="aA0.:/@_-[]\n", max_size=24))
def test_what_is_accepted_survives_being_printed(text: str) -> None:
    try:
        found = reference.parse(text)
    except InvalidReference:
        return
    assert reference.parse(str(found)) == found
