"""smith.yaml: every key is read, and every mistake is one line with place and way out."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from smith import config, keys
from smith.errors import ConfigError
from smith.nss import files, identity
from smith.origin import decide, split_tag, wants_package_lists
from smith.spec import Spec

WHOLE = """
type: oci
package: image.tar.gz:v1
packages: [nginx]
paths: [/usr/bin/x, {path: /etc/y, optional: true}]
excludes: ["**/*.a"]
binaries: [nginx]
parent: below.tar
nss: true
root: false
user: www:www
groups: [audio]
mounts: [/data]
entrypoint: [/usr/bin/x]
cmd: [-a, 1]
dir: /srv
env: [A=B]
labels: {a: b, n: 1}
ports: {80/tcp: {}, 53/udp: {}}
mock:
  config: f.cfg
  pre-build: ["true"]
  post-build: ["true"]
  deps: [a]
  debuginfo: true
  debugdeps: [b]
  debugpaths: [/usr/lib/debug/x]
preset: nginx
requirements: requirements.txt
package-json: package.json
scripts: none
compression: zstd
repositories: [{url: "http://x", suites: [bookworm], components: [main], keys: [k], name: n, options: {a: b}}]
platform: linux/arm64
"""


def test_every_key_is_read() -> None:
    spec = config.parse(WHOLE)
    assert {key.name for key in keys.KEYS} == set(yaml.safe_load(WHOLE))
    assert spec.package == "image.tar.gz:v1"
    assert [(p.glob, p.optional) for p in spec.paths] == [("/usr/bin/x", False), ("/etc/y", True)]
    assert spec.ports == ("80/tcp", "53/udp")
    assert spec.cmd == ("-a", "1")
    assert spec.labels == {"a": "b", "n": "1"}
    assert spec.mock.debug_paths == ("/usr/lib/debug/x",)
    assert spec.mock.pre_build == ("true",)
    assert spec.repositories[0].suites == ("bookworm",)
    assert all(
        (spec.type, spec.platform, spec.scripts, spec.compression, spec.preset, spec.user, spec.dir, spec.parent)
    )
    assert (spec.requirements, spec.package_json) == ("requirements.txt", "package.json")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("package: a\npathes: [b]", "smith.yaml:2:1: unknown key 'pathes'; did you mean 'paths'?"),
        ("paths: /a", "smith.yaml:1:8: paths: must be a list, and is '/a'; write [/a]"),
        ("type: dep", "smith.yaml:1:7: type: 'dep' is not one of them; did you mean 'deb'?"),
        ("root: 1", "smith.yaml:1:7: root: must be true or false, and is '1'"),
        ("paths: [../a]", "smith.yaml:1:9: paths: '../a' has a '..' in it"),
        ("paths: [{path: ../a}]", "smith.yaml:1:9: paths: '../a' has a '..' in it"),
        ("labels: [a]", "smith.yaml:1:9: labels: must be a map of names to texts, and is a list"),
        ("- a", "smith.yaml:1:1: smith.yaml must be a map of keys"),
        ("a: [", "smith.yaml:1:"),
        ("cmd: [[a]]", "smith.yaml:1:7: cmd: must be text, and is a list"),
        ("package: a\npackage: b", "smith.yaml:2:1: the key 'package' is there twice"),
        ("mock: {dep: [a]}", "smith.yaml:1:8: unknown key 'dep'; did you mean 'deps'?"),
        ("repositories: [{name: a}]", "smith.yaml:1:16: repositories: the entry has no `url`"),
        ("compression: lz4", "compression: 'lz4' is not one of them; write one of gzip, zstd, none"),
        ("paths: ['']", "smith.yaml:1:9: paths: an empty path"),
    ],
)
def test_a_mistake_is_named_with_its_place(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config.parse(text)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_empty_file_is_an_empty_spec() -> None:
    assert config.parse("") == Spec()


def test_mock_means_rpm() -> None:
    assert config.parse("type: mock").type == "rpm"


def test_the_schema_knows_the_keys_that_the_reader_knows() -> None:
    schema = keys.json_schema()
    assert set(schema["properties"]) == {key.name for key in keys.KEYS}
    assert "mock" in schema["properties"]["type"]["enum"]
    json.dumps(schema)


PACKAGE = Path(__file__).parents[2] / "packages/smith"
EXAMPLES = [
    *(block for page in (PACKAGE / "README.md", *sorted((PACKAGE / "docs").glob("*.md")))
      for block in re.findall(r"```yaml\n(.*?)```", page.read_text(), re.DOTALL)),
    *(path.read_text() for path in sorted((PACKAGE / "src/smith/presets.d").glob("*/smith.yaml"))),
]  # fmt: skip
RIGHT = [WHOLE, "cmd: [true, 1, 2.5]", "labels:", "type:", "ports: [80]", "ports: {80/tcp: }", "paths: [1]", "user: 10"]
WRONG = [
    "pathes: [b]", "paths: /a", "type: dep", "root: 1", "labels: [a]", "- a", "cmd: [[a]]", "mock: {dep: [a]}",
    "repositories: [{name: a}]", "compression: lz4", "paths: [{optional: true}]", "env: [A: b]", "cmd: [null]",
]  # fmt: skip


def test_the_schema_takes_what_the_reader_takes() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.Draft202012Validator.check_schema(keys.json_schema())
    validator = jsonschema.Draft202012Validator(keys.json_schema())
    assert len(EXAMPLES) > 15
    for text in (*EXAMPLES, *RIGHT):
        config.parse(text)
        assert [error.message for error in validator.iter_errors(yaml.safe_load(text))] == [], text
    for text in WRONG:
        with pytest.raises(ConfigError):
            config.parse(text)
        assert not validator.is_valid(yaml.safe_load(text)), text


@pytest.mark.parametrize(
    ("user", "uid", "gid", "passwd"),
    [
        ("root:root", 0, 0, True),
        ("0:0", 0, 0, False),
        ("daemon:daemon", 1, 1, True),
        ("1:1", 1, 1, False),
        ("smith:0", 10, 0, True),
        ("0:smith", 0, 10, True),
        ("1000:1000", 1000, 1000, False),
        ("foo:bar", 10, 10, True),
        ("foo:1000", 10, 1000, True),
        ("1000:bar", 1000, 10, True),
        ("", 10, 10, False),
    ],
)
def test_user_rules(user: str, uid: int, gid: int, passwd: bool) -> None:
    who = identity(user)
    assert (who.uid, who.gid, who.named) == (uid, gid, passwd)


@pytest.mark.parametrize("user", ["a b", "-1", "4294967295", "é", "a:", ":1", "1_0", "a:b:c"])
def test_what_is_no_user_is_refused(user: str) -> None:
    with pytest.raises(ConfigError):
        identity(user)


def test_groups_are_numbered_from_the_next_gid() -> None:
    made = files(identity("foo:bar"), ("audio", "video"))
    assert made["etc/group"].decode().splitlines() == [
        "root:x:0:",
        "bar:x:10:",
        "audio:x:11:foo",
        "video:x:12:foo",
    ]
    assert b"foo:x:10:10:" in made["etc/passwd"]


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("package: a.tar", "oci"),
        ("package: a.tar.gz:v1", "oci"),
        ("package: https://registry/x", "oci"),
        ("package: x.rpm", "rpm"),
        ("package: x.deb", "deb"),
        ("package: nginx", "apk"),
        ("packages: [nginx]", "apk"),
        ("type: host\npaths: [/bin/true]", "host"),
        ("", ""),
    ],
)
def test_a_silent_type_is_decided_by_the_package(text: str, kind: str) -> None:
    assert decide(config.parse(text), host_family="apk").spec.type == kind


@pytest.mark.parametrize(
    "text", ["paths: [/a]", "type: oci\npaths: [/a]", "type: deb\npaths: [/a]", "type: deb\npackage: a.tar"]
)
def test_what_does_not_go_together_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        decide(config.parse(text))


def test_a_tag_is_split_off_the_file() -> None:
    assert split_tag("a.tar.gz:v1") == ("a.tar.gz", "v1")
    assert split_tag("a.tar") == ("a.tar", "")
    assert split_tag("folder") == ("folder", "")


def test_a_package_with_globs_gives_what_they_match_alone() -> None:
    assert wants_package_lists(config.parse("type: deb\npackage: a\npaths: [/b]")) == ()
    assert wants_package_lists(config.parse("type: deb\npackage: a\npackages: [c]")) == ("a", "c")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("package: in.tar\npackages: [a,\n  nginx]", "smith.yaml:2:12: no package 'a' is there"),
        ("package: in.tar\nbinaries:\n- sh\n- zsh", "smith.yaml:4:3: no program 'zsh' in"),
        ("package: none.tar", "smith.yaml:1:10: package: there is no image file ./none.tar"),
        ("package: in.tar\nparent: none.tar", "smith.yaml:2:9: parent: there is no image file ./none.tar"),
        ("preset: ngin", "smith.yaml:1:9: no preset 'ngin'; did you mean 'nginx'?"),
        ("package: in.tar\nuser: a b", "smith.yaml:2:7: user: 'a b' is neither a number nor a name"),
        ("package: in.tar\nrequirements: r.txt", "smith.yaml:2:15: requirements: there is no file ./r.txt"),
        ("package: in.tar\npackage-json: p.json", "smith.yaml:2:15: package-json: there is no file ./p.json"),
        ("paths: [/a]", "smith.yaml:1:8: `paths` without `package` or `type`: write `type: host`"),
        ("type: deb\npackage: in.tar", "smith.yaml:2:10: type deb, but 'in.tar' is an image: write `type: oci`"),
        ("type: oci\npaths: [/a]", "smith.yaml:1:7: type oci with paths: `package` names the image"),
    ],
)
def test_what_a_build_misses_is_named_with_its_place(run_smith: Any, make_image: Any, text: str, message: str) -> None:
    make_image([("bin/sh", b"x"), ("usr/bin/bash", b"x")]).write(run_smith.folder / "in.tar")
    run_smith.yaml(f"{text}\n")
    done = run_smith("-i", "out.tar", code=2)
    assert done.stderr.startswith(f"smith: {message}"), done.stderr
    assert len(done.stderr.splitlines()) == 1
