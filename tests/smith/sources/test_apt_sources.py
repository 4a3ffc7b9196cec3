"""The host's apt configuration, in both of its formats."""

from pathlib import Path

import pytest
from smith.errors import ConfigError
from smith.sources.deb import configuration, policy


def test_one_line_sources_with_options() -> None:
    found = configuration.one_line(
        "# comment\ndeb [arch=amd64,arm64 signed-by=/k.gpg check-valid-until=no] http://m/debian trixie main contrib\n"
        "deb-src http://m/debian trixie main\n\ndeb http://flat ./\n",
        "list",
    )
    assert [str(a) for a in found] == ["http://m/debian trixie", "http://flat ./"]
    assert found[0].architectures == ("amd64", "arm64")
    assert found[0].signed_by == ("/k.gpg",)
    assert not found[0].check_valid_until
    assert found[0].base == "http://m/debian/dists/trixie"
    assert found[1].base == "http://flat"


def test_deb822_sources_with_an_inline_key_and_several_suites() -> None:
    text = (
        "Types: deb deb-src\nURIs: http://a http://b\nSuites: one two\nComponents: main\n"
        "Signed-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n abc\n -----END PGP PUBLIC KEY BLOCK-----\n\n"
        "# off\nTypes: deb\nEnabled: no\nURIs: http://c\nSuites: x\nComponents: main\n\n"
        "Types: deb-src\nURIs: http://d\nSuites: x\n"
    )
    found = configuration.deb822(text, "file")
    assert [(a.url, a.suite) for a in found] == [
        ("http://a", "one"),
        ("http://a", "two"),
        ("http://b", "one"),
        ("http://b", "two"),
    ]
    assert found[0].signed_by == ("-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nabc\n-----END PGP PUBLIC KEY BLOCK-----\n",)


@pytest.mark.parametrize("line", ["debx http://m s c", "deb http://m", "deb http://m stable"])
def test_a_wrong_line_is_named_with_file_and_line(line: str) -> None:
    with pytest.raises(ConfigError, match=r"sources\.list:2"):
        configuration.one_line(f"\n{line}\n", "sources.list")


def test_a_stanza_without_suites_is_named() -> None:
    with pytest.raises(ConfigError, match="Suites is missing"):
        configuration.deb822("Types: deb\nURIs: http://a\nComponents: main\n", "x.sources")


def test_the_whole_directory_is_read(tmp_path: Path) -> None:
    for name in ("sources.list.d", "preferences.d", "auth.conf.d", "trusted.gpg.d"):
        (tmp_path / name).mkdir()
    (tmp_path / "sources.list").write_text("deb http://a s main\n")
    (tmp_path / "sources.list.d/b.list").write_text("deb http://b s main\n")
    (tmp_path / "sources.list.d/c.sources").write_text("Types: deb\nURIs: http://c\nSuites: s\nComponents: main\n")
    (tmp_path / "sources.list.d/ignored.save").write_text("nonsense\n")
    (tmp_path / "preferences.d/p").write_text("Package: *\nPin: release n=s\nPin-Priority: 50\n")
    (tmp_path / "auth.conf.d/a.conf").write_text("machine example.org login me password secret\n")
    (tmp_path / "trusted.gpg.d/k.asc").write_text("")
    host = configuration.host(str(tmp_path), str(tmp_path))
    assert [a.url for a in host.archives] == ["http://a", "http://b", "http://c"]
    assert host.credentials == {"example.org": ("me", "secret")}
    assert host.keyrings == (f"{tmp_path}/trusted.gpg.d/k.asc",)
    assert policy.pins(host.preferences) == [policy.Pin(("*",), "release", "n=s", 50)]


def test_a_mirror_list_gives_its_first_mirror(tmp_path: Path) -> None:
    (tmp_path / "mirrors").write_text("# best first\nhttps://one/debian priority:1\nhttps://two/debian\n")
    assert configuration.one_line(f"deb mirror+file:{tmp_path}/mirrors s main", "l")[0].url == "https://one/debian"


def test_a_pin_without_priority_is_refused() -> None:
    with pytest.raises(ConfigError, match="Pin-Priority"):
        policy.pins("Package: x\nPin: release a=b\n")
