"""Where rpm repositories are configured: .repo files, mock configurations, smith.yaml."""

from pathlib import Path
from typing import Any

import pytest
from rpm_packages import names, needs_rpmbuild
from smith.errors import ConfigError
from smith.sources.rpm import configuration
from smith.spec import Mock, Repository


@needs_rpmbuild
def test_a_mock_configuration_gives_its_repositories(load: Any, repository: Any, serve: Any, tmp_path: Path) -> None:
    root, key = repository
    (tmp_path / "base.tpl").write_text(
        f"config_opts['dnf.conf'] = '''\n[main]\nkeepcache=1\n[r]\nname=r\nbaseurl={serve(root).url}\n"
        f"gpgkey=file://{key.public}\n[off]\nname=off\nbaseurl=http://127.0.0.1:9\nenabled=0\n'''\n"
    )
    (tmp_path / "mock.cfg").write_text("include('base.tpl')\nconfig_opts['target_arch'] = 'x86_64'\nimport os\n")
    spec = {"repositories": (), "mock": Mock(config="mock.cfg", deps=("shell",)), "directory": str(tmp_path)}
    assert names(load("libdep", **spec)) == ["libdep-1.2-1", "shell-1.0-1"]


def test_repo_files_are_read() -> None:
    text = (
        "[main]\ngpgcheck=0\n[a]\nname=A\nbaseurl=http://m/$releasever/$basearch http://n/${basearch}\ngpgkey=file:///k\n"
        "[b]\nmetalink=http://m/metalink?arch=$basearch\ngpgcheck=1\nenabled=1\nexclude=x*,y\n[c]\nenabled=0\n"
    )
    found = configuration.repositories(text, "f.repo", {"releasever": "40", "basearch": "x86_64"})
    assert [source.name for source in found] == ["a", "b"]
    assert found[0].urls == ("http://m/40/x86_64", "http://n/x86_64")
    assert (found[0].check_packages, found[1].check_packages) == (False, True)
    assert found[1].exclude == ("x*", "y")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[a]\nname=A\n", r"f\.repo \[a\]: has none of baseurl, mirrorlist and metalink"),
        ("[a]\nbaseurl=http://m/$releasever\n", r"nothing says what \$releasever is"),
        ("baseurl=http://m\n", r"f\.repo"),
    ],
)
def test_a_wrong_repo_file_is_named(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        configuration.repositories(text, "f.repo", {})


def test_a_repository_without_keys_must_say_so() -> None:
    with pytest.raises(ConfigError, match="needs `keys`"):
        configuration.named([Repository("http://m")], ".", "x86_64")
    assert not configuration.named([Repository("http://m", options={"gpgcheck": "no"})], ".", "x86_64")[
        0
    ].check_packages
