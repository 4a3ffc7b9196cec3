"""`scripts: userns`: maintainer scripts do what they do over a copy, and reach nothing else."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from smith import scripts
from smith import tree as t
from smith.cache import Cache
from smith.content import FileContent
from smith.errors import ConfigError, SmithError
from smith.progress import Silent
from smith.sources import Package, Script, SourceResult
from smith.spec import Spec
from smith.tree import Node, Tree

SHELL = "/bin/sh"


@pytest.fixture
def source(railcar: Path, monkeypatch: pytest.MonkeyPatch, tool: Callable[[str], str]) -> SourceResult:
    """A root with busybox, one file of package `one`, and two packages."""
    busybox = Path(tool("busybox"))
    if b"interp" in busybox.read_bytes()[:4096]:
        pytest.skip(f"{busybox} is not static")
    monkeypatch.setenv("PATH", f"{railcar.parent}:{os.environ['PATH']}")
    tree = Tree()
    tree.add("bin/busybox", Node(t.FILE, 0o755, size=busybox.stat().st_size, content=FileContent(busybox)))
    for name in ("sh", "sleep", "env", "chown", "id", "cat", "rm", "mkdir"):
        tree.add(f"bin/{name}", Node(t.SYMLINK, 0o777, target="busybox"))
    for name in ("kept", "changed", "gone"):
        node = t.made(name.encode())
        node.package = "one"
        tree.add(f"etc/{name}", node)
    packages = [
        Package("one", "1", "amd64", "apk", ("etc/kept", "etc/changed", "etc/gone")),
        Package("two", "1", "amd64", "apk", ()),
    ]
    from ocicommon.platform import host

    return SourceResult(tree, packages, platform=str(host()))


def run(source: SourceResult, tmp_path: Path) -> list[tuple[str, str]]:
    try:
        return scripts.run(Spec(), source, Cache(tmp_path / "cache"), Silent())
    except SmithError as error:
        if "cannot be run" in error.message:
            pytest.skip(f"no user namespaces here: {error}")
        raise


def script(package: str, text: str, name: str = "post-install", interpreter: str = SHELL) -> Script:
    return Script(package, name, text.encode(), ("1",), interpreter)


def text(source: SourceResult, path: str) -> str:
    node = source.tree[path]
    assert node.content is not None
    return node.content.read_at(0, node.size).decode()


def test_what_scripts_make_change_and_remove_is_taken_back(source: SourceResult, tmp_path: Path) -> None:
    source.scripts = [
        script("one", "echo new >/etc/changed; rm /etc/gone; mkdir -p /srv/one; echo $1 >/srv/one/argument"),
        script("two", "echo two >/etc/two; chown 123:45 /etc/two; echo log >/var/log/two; echo run >/run/two"),
    ]
    assert run(source, tmp_path) == []
    assert text(source, "etc/changed") == "new\n"
    assert text(source, "srv/one/argument") == "1\n"
    assert text(source, "etc/two") == "two\n"
    assert "etc/gone" not in source.tree
    assert text(source, "etc/kept") == "kept"
    assert "var/log/two" not in source.tree
    assert "run/two" not in source.tree
    assert source.tree["etc/changed"].package == "one"
    assert source.tree["etc/two"].package == "two"
    files = {package.name: package.files for package in source.packages}
    assert "srv/one/argument" in files["one"]
    assert "etc/two" in files["two"]
    assert "etc/two" not in files["one"]


def test_a_script_sees_neither_the_machine_nor_a_network(source: SourceResult, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    marker.write_text("of the machine")
    source.scripts = [
        script(
            "one",
            f"cat {marker} >/etc/seen 2>/dev/null; cat /proc/net/dev >/etc/network; cat /proc/self/uid_map >/etc/map; "
            f"echo x >{marker} 2>/dev/null; true",
        )
    ]
    run(source, tmp_path)
    assert text(source, "etc/seen") == ""
    assert [line.split(":")[0].strip() for line in text(source, "etc/network").splitlines()[2:]] == ["lo"]
    inside, _, count = text(source, "etc/map").split()
    assert (inside, count) == ("0", "1")
    assert marker.read_text() == "of the machine"


def test_a_script_that_fails_is_named_with_its_last_words(source: SourceResult, tmp_path: Path) -> None:
    source.scripts = [script("one", "true"), script("two", "echo begin; echo no such thing; exit 3")]
    with pytest.raises(SmithError, match="two: its script post-install ended with 3: no such thing"):
        run(source, tmp_path)
    assert "etc/two" not in source.tree


def test_scripts_without_an_interpreter_are_told(source: SourceResult, tmp_path: Path) -> None:
    source.scripts = [
        script("one", "print(1)", "post", "<lua>"),
        script("two", "#!/usr/bin/python3\n", interpreter=""),
    ]
    told = dict(run(source, tmp_path))
    assert "Lua" in told["one"]
    assert "/usr/bin/python3" in told["two"]


def test_another_platform_is_refused(source: SourceResult, tmp_path: Path) -> None:
    source.platform = "linux/s390x"
    source.scripts = [script("one", "true")]
    with pytest.raises(ConfigError, match="linux/s390x do not run"):
        run(source, tmp_path)


def test_nothing_is_left_behind(source: SourceResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = Path("/var/tmp") / f"smith-test-{os.getpid()}"
    place.mkdir(mode=0o755)
    monkeypatch.setattr("tempfile.tempdir", str(place))
    try:
        source.scripts = [script("one", "mkdir /etc/closed; echo x >/etc/closed/x; chmod 0 /etc/closed; exit 9")]
        with pytest.raises(SmithError, match="ended with 9"):
            run(source, tmp_path)
        assert list(place.iterdir()) == []
    finally:
        shutil.rmtree(place)
