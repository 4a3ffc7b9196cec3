"""Image documents: good ones are read and written exactly, bad ones are refused where they are wrong."""

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
from ocicommon import document, image, mediatypes
from ocicommon.errors import InvalidDocument
from ocicommon.oci.base import Document

DIGEST = "sha256:" + "a" * 64
DESCRIPTOR = {"mediaType": mediatypes.LAYER_GZIP, "size": 148, "digest": DIGEST}
CONFIG = {"mediaType": mediatypes.CONFIG, "size": 7023, "digest": "sha256:" + "b" * 64}
MANIFEST: dict[str, Any] = {"schemaVersion": 2, "config": CONFIG, "layers": [DESCRIPTOR]}
IMAGE: dict[str, Any] = {
    "architecture": "amd64",
    "os": "linux",
    "rootfs": {"type": "layers", "diff_ids": [DIGEST]},
}
INDEX: dict[str, Any] = {"schemaVersion": 2, "manifests": [dict(CONFIG, mediaType=mediatypes.MANIFEST)]}

GOOD: list[tuple[str, type[Document], dict[str, Any]]] = [
    ("descriptor", image.Descriptor, DESCRIPTOR),
    ("descriptor with sha512", image.Descriptor, dict(DESCRIPTOR, digest="sha512:" + "0" * 128)),
    ("descriptor with an unregistered algorithm", image.Descriptor, dict(DESCRIPTOR, digest="a+b.c_d-e:Ab=_-")),
    ("descriptor of nothing", image.Descriptor, dict(DESCRIPTOR, size=0)),
    ("descriptor of the largest size", image.Descriptor, dict(DESCRIPTOR, size=2**63 - 1)),
    ("descriptor with urls", image.Descriptor, dict(DESCRIPTOR, urls=["https://example.com/a?b#c", "urn:x:y"])),
    ("descriptor with no urls", image.Descriptor, dict(DESCRIPTOR, urls=[])),
    ("descriptor with data", image.Descriptor, dict(DESCRIPTOR, data="e30=")),
    ("descriptor with annotations", image.Descriptor, dict(DESCRIPTOR, annotations={"a.b/c": "", "": "x"})),
    ("descriptor with artifact type", image.Descriptor, dict(DESCRIPTOR, artifactType="application/x.y+z")),
    ("descriptor with unknown members", image.Descriptor, dict(DESCRIPTOR, **{"com.example.extra": {"a": [1, None]}})),
    ("docker descriptor", image.Descriptor, dict(DESCRIPTOR, mediaType=mediatypes.DOCKER_LAYER_GZIP)),
    ("manifest", image.Manifest, MANIFEST),
    ("manifest with media type", image.Manifest, dict(MANIFEST, mediaType=mediatypes.MANIFEST)),
    ("docker manifest", image.Manifest, dict(MANIFEST, mediaType=mediatypes.DOCKER_MANIFEST)),
    ("manifest with annotations", image.Manifest, dict(MANIFEST, annotations={"key": "value"})),
    ("manifest with null annotations", image.Manifest, dict(MANIFEST, annotations=None)),
    ("manifest with subject", image.Manifest, dict(MANIFEST, subject=INDEX["manifests"][0], artifactType="a/b")),
    ("manifest with unknown members", image.Manifest, dict(MANIFEST, **{"x-extra": 1.5, "config2": []})),
    (
        "artifact",
        image.Manifest,
        dict(
            MANIFEST,
            config={"mediaType": mediatypes.EMPTY, "digest": mediatypes.EMPTY_DIGEST, "size": 2, "data": "e30="},
            artifactType="application/vnd.example+json",
        ),
    ),
    ("index", image.Index, INDEX),
    ("index of nothing", image.Index, {"schemaVersion": 2, "manifests": []}),
    ("index with media type", image.Index, dict(INDEX, mediaType=mediatypes.INDEX)),
    ("docker manifest list", image.Index, dict(INDEX, mediaType=mediatypes.DOCKER_INDEX)),
    (
        "index with platforms",
        image.Index,
        dict(
            INDEX,
            manifests=[
                dict(CONFIG, platform={"architecture": "ppc64le", "os": "linux"}),
                dict(
                    CONFIG,
                    platform={
                        "architecture": "amd64",
                        "os": "windows",
                        "os.version": "10.0.14393.1066",
                        "os.features": ["win32k"],
                    },
                    annotations={"a": "b"},
                ),
                dict(CONFIG, platform={"architecture": "arm", "os": "linux", "variant": "v7", "features": ["x"]}),
                dict(CONFIG, artifactType="application/vnd.example", data="e30="),
            ],
            annotations={"com.example.key1": "value1"},
        ),
    ),
    ("index with subject", image.Index, dict(INDEX, subject=DESCRIPTOR, artifactType="a/b")),
    ("image", image.Image, IMAGE),
    (
        "whole image",
        image.Image,
        dict(
            IMAGE,
            created="2015-10-31T22:22:56.015925234Z",
            author="Alyssa P. Hacker <alyspdev@example.com>",
            variant="v2",
            **{"os.version": "1", "os.features": ["a"]},
            config={
                "User": "alice",
                "ExposedPorts": {"8080/tcp": {}},
                "Env": ["PATH=/usr/local/sbin:/usr/bin", "FOO=oci=is_a", "EMPTY="],
                "Entrypoint": ["/bin/my-app-binary"],
                "Cmd": ["--foreground", "--config", "/etc/my-app.d/default.cfg"],
                "Volumes": {"/var/job-result-data": {}, "/var/log/my-app-logs": {}},
                "WorkingDir": "/home/alice",
                "Labels": {"com.example.project.git.url": "https://example.com/project.git"},
                "StopSignal": "SIGTERM",
                "ArgsEscaped": True,
                "Healthcheck": {"Test": ["NONE"]},
            },
            history=[
                {"created": "2015-10-31T22:22:54.690851953Z", "created_by": "/bin/sh -c #(nop) ADD file:a in /"},
                {"created": "2015-10-31T22:22:55+02:00", "created_by": "/bin/sh", "empty_layer": True, "comment": "c"},
            ],
        ),
    ),
    (
        "image with nulls",
        image.Image,
        dict(IMAGE, config={"Entrypoint": None, "Cmd": None, "Volumes": None, "Env": None}),
    ),
    ("image with an empty config", image.Image, dict(IMAGE, config={})),
    ("image without layers", image.Image, dict(IMAGE, rootfs={"type": "layers", "diff_ids": []})),
    ("image by docker", image.Image, dict(IMAGE, container_config={"Hostname": "x"}, docker_version="20.10", id="abc")),
    ("layout", image.Layout, {"imageLayoutVersion": "1.0.0"}),
]


@pytest.mark.parametrize(("model", "value"), [case[1:] for case in GOOD], ids=[case[0] for case in GOOD])
def test_good_document_round_trips_exactly(model: type[Document], value: dict[str, Any]) -> None:
    text = json.dumps(value)
    read = document.parse(text, model)
    assert read.to_dict() == value
    assert json.dumps(read.to_dict(), sort_keys=True) == json.dumps(value, sort_keys=True)
    assert document.parse(json.dumps(read.to_dict()), model) == read


def edited(value: dict[str, Any], edit: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    value = copy.deepcopy(value)
    edit(value)
    return value


BAD: list[tuple[type[Document], dict[str, Any], str]] = [
    (image.Descriptor, edited(DESCRIPTOR, lambda d: d.pop("mediaType")), "mediaType: is missing"),
    (image.Descriptor, edited(DESCRIPTOR, lambda d: d.pop("size")), "size: is missing"),
    (image.Descriptor, edited(DESCRIPTOR, lambda d: d.pop("digest")), "digest: is missing"),
    (image.Descriptor, dict(DESCRIPTOR, mediaType="text"), "mediaType: expected a media type"),
    (image.Descriptor, dict(DESCRIPTOR, mediaType=".foo/bar"), "mediaType: expected a media type"),
    (image.Descriptor, dict(DESCRIPTOR, mediaType="foo/bar\n"), "mediaType: expected a media type"),
    (image.Descriptor, dict(DESCRIPTOR, mediaType="foo/" + "a" * 128), "mediaType: expected a media type"),
    (image.Descriptor, dict(DESCRIPTOR, size="148"), 'size: expected an integer, got "148"'),
    (image.Descriptor, dict(DESCRIPTOR, size=1.5), "size: expected an integer, got 1.5"),
    (image.Descriptor, dict(DESCRIPTOR, size=True), "size: expected an integer, got true"),
    (image.Descriptor, dict(DESCRIPTOR, size=-1), "size: expected 0 or more, got -1"),
    (image.Descriptor, dict(DESCRIPTOR, size=2**63), "size: expected 9223372036854775807 or less"),
    (image.Descriptor, dict(DESCRIPTOR, digest=""), "digest: '' is not a digest"),
    (image.Descriptor, dict(DESCRIPTOR, digest=":" + "a" * 64), "is not a digest"),
    (image.Descriptor, dict(DESCRIPTOR, digest="sha256:" + "A" * 64), "64 lower-case hexadecimal digits"),
    (image.Descriptor, dict(DESCRIPTOR, digest="sha256:" + "a" * 63), "64 lower-case hexadecimal digits"),
    (image.Descriptor, dict(DESCRIPTOR, digest="sha512:" + "a" * 64), "128 lower-case hexadecimal digits"),
    (image.Descriptor, dict(DESCRIPTOR, digest="SHA256:" + "a" * 64), "is not a digest"),
    (image.Descriptor, dict(DESCRIPTOR, urls=["value"]), r"urls\[0\]: expected a URL"),
    (image.Descriptor, dict(DESCRIPTOR, urls="https://x"), "urls: expected a list"),
    (image.Descriptor, dict(DESCRIPTOR, data="$$$"), "data: expected base64"),
    (image.Descriptor, dict(DESCRIPTOR, annotations={"a": 1}), "annotations.a: expected a string, got 1"),
    (image.Descriptor, dict(DESCRIPTOR, annotations=["a"]), "annotations: expected an object, got a list"),
    (image.Descriptor, dict(DESCRIPTOR, artifactType="foo"), "artifactType: expected a media type"),
    (image.Manifest, dict(MANIFEST, schemaVersion=1), "schemaVersion: expected 2 or more"),
    (image.Manifest, dict(MANIFEST, schemaVersion="2"), "schemaVersion: expected an integer"),
    (image.Manifest, edited(MANIFEST, lambda m: m.pop("config")), "config: is missing"),
    (image.Manifest, edited(MANIFEST, lambda m: m.pop("layers")), "layers: is missing"),
    (image.Manifest, dict(MANIFEST, layers=[]), r"layers: expected at least 1 element\(s\), got 0"),
    (image.Manifest, dict(MANIFEST, layers=[dict(DESCRIPTOR, size="1")]), r"layers\[0\].size: expected an integer"),
    (image.Manifest, dict(MANIFEST, config="x"), 'config: expected an object, got "x"'),
    (image.Manifest, dict(MANIFEST, subject=".nope"), "subject: expected an object"),
    (image.Manifest, dict(MANIFEST, mediaType="invalid"), "mediaType: expected a media type"),
    (image.Index, edited(INDEX, lambda i: i.pop("manifests")), "manifests: is missing"),
    (image.Index, dict(INDEX, manifests={}), "manifests: expected a list, got an object"),
    (image.Index, dict(INDEX, manifests=[dict(CONFIG, platform={"os": "linux"})]), "platform.architecture: is missing"),
    (
        image.Index,
        dict(INDEX, manifests=[dict(CONFIG, platform={"os": "linux", "architecture": "a", "os.version": 1})]),
        r'manifests\[0\].platform\["os.version"\]: expected a string, got 1',
    ),
    (image.Image, edited(IMAGE, lambda i: i.pop("os")), "os: is missing"),
    (image.Image, edited(IMAGE, lambda i: i.pop("rootfs")), "rootfs: is missing"),
    (image.Image, dict(IMAGE, architecture=8), "architecture: expected a string, got 8"),
    (image.Image, dict(IMAGE, rootfs={"type": "layer", "diff_ids": []}), "rootfs.type: expected 'layers'"),
    (
        image.Image,
        dict(IMAGE, rootfs={"type": "layers", "diff_ids": ["x"]}),
        r"rootfs.diff_ids\[0\]: 'x' is not a digest",
    ),
    (image.Image, dict(IMAGE, created="yesterday"), "created: expected a time"),
    (image.Image, dict(IMAGE, created="2015-13-31T22:22:56Z"), "created: expected a time"),
    (image.Image, dict(IMAGE, config={"Env": ["=x"]}), r"config.Env\[0\]: expected NAME=VALUE"),
    (image.Image, dict(IMAGE, config={"Env": [7]}), r"config.Env\[0\]: expected a string, got 7"),
    (image.Image, dict(IMAGE, config={"User": 1234}), "config.User: expected a string, got 1234"),
    (image.Image, dict(IMAGE, config={"Cmd": "sh"}), 'config.Cmd: expected a list, got "sh"'),
    (image.Image, dict(IMAGE, config={"Volumes": {"/a": 1}}), r'config.Volumes\["/a"\]: expected an object, got 1'),
    (image.Image, dict(IMAGE, history="should be an array"), "history: expected a list"),
    (image.Layout, {"imageLayoutVersion": "1.0.1"}, "imageLayoutVersion: expected '1.0.0'"),
    (image.Layout, {"imageLayoutVersion": 1}, "imageLayoutVersion: expected '1.0.0'"),
    (image.Layout, {}, "imageLayoutVersion: is missing"),
]


@pytest.mark.parametrize(("model", "value", "text"), BAD)
def test_bad_document_is_refused_by_name(model: type[Document], value: dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidDocument, match=text):
        document.parse(json.dumps(value), model)


def test_describe_has_the_given_members_only() -> None:
    made = image.describe(b"{}", mediatypes.EMPTY)
    assert made.to_dict() == {"mediaType": mediatypes.EMPTY, "digest": mediatypes.EMPTY_DIGEST, "size": 2}
    platform = image.Platform(architecture="arm64", os="linux")
    full = image.describe(b"x", "a/b", annotations={"k": "v"}, artifact_type="c/d", platform=platform).to_dict()
    assert full["platform"] == {"architecture": "arm64", "os": "linux"}
    assert (full["annotations"], full["artifactType"]) == ({"k": "v"}, "c/d")


def test_members_have_attributes_in_snake_case() -> None:
    manifest = image.Manifest.from_dict(MANIFEST)
    assert manifest.layers[0].media_type == mediatypes.LAYER_GZIP
    assert image.Descriptor(media_type="a/b", size=1, digest=DIGEST).to_dict()["mediaType"] == "a/b"
