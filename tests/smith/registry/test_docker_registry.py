"""Against Debian's docker-registry: what is pushed can be pulled, by smith and by skopeo."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import images
import pytest
from distribution import Registry
from ocicommon import mediatypes
from smith.errors import UsageError
from smith.registry import (
    Denied,
    Mismatch,
    NotFound,
    Options,
    RegistryError,
    client,
    open_registry,
    pull,
    push,
    referrers,
)


def skopeo(*words: str) -> subprocess.CompletedProcess[str]:
    program = shutil.which("skopeo")
    if program is None:
        pytest.skip("skopeo is not installed")
    return subprocess.run([program, "--insecure-policy", *words], capture_output=True, text=True, check=True)


@pytest.mark.parametrize("name", ["out.tar", "out.tar.gz", "out"])
def test_pushed_image_comes_back_whole(registry: Registry, tmp_path: Path, name: str) -> None:
    layout, entry = images.simple()
    pushed = push(layout.archive(tmp_path / "in.tar"), f"{registry.host}/round/trip:v1")
    assert pushed.descriptor["digest"] == entry["digest"]
    assert pushed.reference == f"{registry.host}/round/trip@{entry['digest']}"
    pulled = pull(f"{registry.host}/round/trip:v1", tmp_path / name)
    files = images.read(tmp_path / name)
    assert pulled.descriptor["digest"] == entry["digest"]
    assert {f"blobs/{digest.replace(':', '/')}" for digest in layout.blobs} <= set(files)
    assert all(files[f"blobs/{digest.replace(':', '/')}"] == content for digest, content in layout.blobs.items())
    found = images.index_of(tmp_path / name)
    assert [each["annotations"][mediatypes.REF_NAME] for each in found] == ["v1"]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted({"in.tar", name})
    assert json.loads(files["manifest.json"])[0]["RepoTags"] == [f"{registry.host}/round/trip:v1"]


def test_second_push_sends_nothing(registry: Registry, tmp_path: Path) -> None:
    layout, _ = images.simple()
    source = layout.folder(tmp_path / "in")
    push(source, f"{registry.host}/twice:a")
    assert set(push(source, f"{registry.host}/twice:b").blobs.values()) == {"present"}


def test_blobs_are_mounted_from_another_repository(registry: Registry, tmp_path: Path) -> None:
    layout, _ = images.simple()
    source = layout.archive(tmp_path / "in.tar")
    push(source, f"{registry.host}/mount/source")
    pushed = push(source, f"{registry.host}/mount/target", mount_from=["mount/nothing", "mount/source"])
    assert set(pushed.blobs.values()) == {"mounted"}
    pull(f"{registry.host}/mount/target", tmp_path / "out.tar")


def test_base_image_at_the_same_registry_is_a_source(registry: Registry, tmp_path: Path) -> None:
    layout, _ = images.simple(10_000)
    push(layout.folder(tmp_path / "base"), f"{registry.host}/base/image:1")
    child = images.Layout()
    big = images.layer({"data": images.noise(10_000)})
    base_name = f"{registry.host}/base/image:1"
    child.name(child.image(big, annotations={mediatypes.BASE_NAME: base_name}))
    pushed = push(child.folder(tmp_path / "child"), f"{registry.host}/child/image")
    assert pushed.blobs[images.digest_of(big[0])] == "mounted"


@pytest.mark.parametrize("chunk", [0, 1_000_000, 2_999_999])
def test_uploads_in_pieces(registry: Registry, tmp_path: Path, chunk: int) -> None:
    layout = images.Layout()
    layout.name(layout.image(images.layer({"data": images.noise(3_000_000, seed=chunk)})))
    pushed = push(layout.folder(tmp_path / "in"), f"{registry.host}/pieces/c{chunk}", chunk=chunk)
    assert set(pushed.blobs.values()) == {"uploaded"}
    pull(f"{registry.host}/pieces/c{chunk}@{pushed.descriptor['digest']}", tmp_path / "out.tar")


def test_skopeo_reads_what_was_pushed_and_pulled(registry: Registry, tmp_path: Path) -> None:
    layout, entry = images.simple()
    push(layout.archive(tmp_path / "in.tar"), f"{registry.host}/skopeo:one")
    skopeo("copy", "--src-tls-verify=false", f"docker://{registry.host}/skopeo:one", f"oci:{tmp_path}/copied")
    assert images.index_of(tmp_path / "copied")[0]["digest"] == entry["digest"]
    for name in ("out.tar", "out.tar.gz"):
        pull(f"{registry.host}/skopeo:one", tmp_path / name)
        said = json.loads(skopeo("inspect", f"oci-archive:{tmp_path / name}").stdout)
        assert said["Digest"] == entry["digest"]
    pull(f"{registry.host}/skopeo:one", tmp_path / "folder")
    assert json.loads(skopeo("inspect", f"oci:{tmp_path}/folder").stdout)["Digest"] == entry["digest"]
    said = json.loads(skopeo("inspect", f"docker-archive:{tmp_path}/out.tar").stdout)
    assert said["Architecture"] == "amd64"


@pytest.mark.parametrize("kind", ["oci", "v2s2"])
def test_what_skopeo_pushed_is_pulled(registry: Registry, tmp_path: Path, kind: str) -> None:
    layout, _ = images.simple()
    layout.folder(tmp_path / "in")
    target = f"{registry.host}/by-skopeo:{kind}"
    skopeo("copy", "--dest-tls-verify=false", "-f", kind, f"oci:{tmp_path}/in", f"docker://{target}")
    said = json.loads(skopeo("inspect", "--tls-verify=false", f"docker://{target}").stdout)
    pulled = pull(target, tmp_path / "out.tar")
    assert pulled.descriptor["digest"] == said["Digest"]
    kinds = {"oci": mediatypes.MANIFEST, "v2s2": mediatypes.DOCKER_MANIFEST}
    assert pulled.descriptor["mediaType"] == kinds[kind]
    skopeo("inspect", f"oci-archive:{tmp_path}/out.tar" if kind == "oci" else f"docker-archive:{tmp_path}/out.tar")


def test_docker_types_when_asked_for(registry: Registry, tmp_path: Path) -> None:
    layout, entry = images.simple()
    pushed = push(layout.archive(tmp_path / "in.tar"), f"{registry.host}/docker/types", docker=True)
    assert pushed.descriptor["digest"] != entry["digest"]
    status, content = registry.get("docker/types/manifests/latest", mediatypes.DOCKER_MANIFEST)
    manifest = json.loads(content)
    assert (status, manifest["mediaType"]) == (200, mediatypes.DOCKER_MANIFEST)
    assert manifest["config"]["mediaType"] == mediatypes.DOCKER_CONFIG
    assert {each["mediaType"] for each in manifest["layers"]} == {mediatypes.DOCKER_LAYER_GZIP}


def multi(tmp_path: Path) -> tuple[images.Layout, dict[str, str]]:
    layout = images.Layout()
    made = {}
    for architecture in ("amd64", "arm64"):
        entry = layout.image(images.layer({"app": architecture.encode()}), architecture=architecture)
        made[architecture] = entry["digest"]
        layout.entries.append(entry)
    index = layout.index(*layout.entries)
    layout.entries = []
    layout.name(index)
    return layout, made


@pytest.mark.parametrize("docker", [False, True])
def test_index_with_all_platforms_and_with_one(registry: Registry, tmp_path: Path, docker: bool) -> None:
    layout, made = multi(tmp_path)
    target = f"{registry.host}/multi/d{int(docker)}"
    pushed = push(layout.archive(tmp_path / "in.tar"), target, docker=docker)
    assert pushed.descriptor["mediaType"] == (mediatypes.DOCKER_INDEX if docker else mediatypes.INDEX)
    whole = pull(target, tmp_path / "all.tar", all_platforms=True)
    assert whole.descriptor["digest"] == pushed.descriptor["digest"]
    one = pull(target, tmp_path / "arm.tar", platform="linux/arm64")
    if not docker:
        assert one.descriptor["digest"] == made["arm64"]
        assert made["amd64"].replace(":", "/") not in "".join(images.read(tmp_path / "arm.tar"))
    with pytest.raises(UsageError, match=r"is not for linux/s390x, but for linux/amd64, linux/arm64"):
        pull(target, tmp_path / "none.tar", platform="linux/s390x")
    assert not (tmp_path / "none.tar").exists()


def test_referrers_by_tag_where_the_registry_has_no_list(registry: Registry, tmp_path: Path) -> None:
    layout, entry = images.simple(1000)
    artifact = {
        "schemaVersion": 2,
        "mediaType": mediatypes.MANIFEST,
        "artifactType": "application/vnd.example",
        "config": layout.add(mediatypes.EMPTY_JSON, mediatypes.EMPTY),
        "layers": [layout.add(b"document", "text/plain")],
        "subject": {key: entry[key] for key in ("mediaType", "digest", "size")},
    }
    described = layout.add(json.dumps(artifact).encode(), mediatypes.MANIFEST)
    layout.entries = []
    layout.name(entry, **{"vnd.smith.artifact": described["digest"]})
    source = layout.archive(tmp_path / "in.tar")
    target = f"{registry.host}/with/artifact"
    push(source, target)
    push(source, target)
    with open_registry(target) as opened:
        found = referrers.listed(opened, entry["digest"])
        assert [each["digest"] for each in found] == [described["digest"]]
        assert referrers.listed(opened, entry["digest"], "application/vnd.other") == []
        assert referrers.listed(opened, "sha256:" + "0" * 64) == []
    push(source, target, docker=True)
    with open_registry(target) as opened:
        changed = opened.manifest("latest").digest
        assert [each["artifactType"] for each in referrers.listed(opened, changed)] == ["application/vnd.example"]


def test_what_is_not_there_is_said(registry: Registry, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"GET http://127.0.0.1:\d+/v2/no/such/manifests/tag: the registry answered 404"):
        pull(f"{registry.host}/no/such:tag", tmp_path / "out.tar")
    assert list(tmp_path.iterdir()) == []


def test_damaged_archive_is_refused_before_its_tag_exists(registry: Registry, tmp_path: Path) -> None:
    layout, _ = images.simple(10_000)
    digest = max(layout.blobs, key=lambda each: len(layout.blobs[each]))
    content = bytearray(layout.blobs[digest])
    content[100] ^= 1
    layout.blobs[digest] = bytes(content)
    with pytest.raises(Mismatch, match="it is damaged"):
        push(layout.archive(tmp_path / "in.tar"), f"{registry.host}/damaged")
    assert registry.get("damaged/manifests/latest")[0] == 404


def test_password_file(start: Callable[..., Registry], tmp_path: Path, no_one_elses_credentials: Path) -> None:
    htpasswd = shutil.which("htpasswd")
    if htpasswd is None:
        pytest.skip("htpasswd is not installed")
    line = subprocess.run([htpasswd, "-nbB", "-C", "4", "user", "pass:word"], capture_output=True, check=True).stdout
    (tmp_path / "htpasswd").write_bytes(line)
    registry = start(auth={"htpasswd": {"realm": "test", "path": str(tmp_path / "htpasswd")}})
    layout, _ = images.simple()
    source = layout.archive(tmp_path / "in.tar")
    with pytest.raises(Denied, match="answered 401") as caught:
        push(source, f"http://user:wrong-secret@{registry.host}/a")
    assert "wrong-secret" not in str(caught.value)
    with pytest.raises(Denied):
        pull(f"{registry.host}/a", tmp_path / "out.tar")
    pushed = push(source, f"http://user:pass%3Aword@{registry.host}/a")
    assert "pass" not in pushed.reference
    credential = client.Credential("user", "pass:word")
    pull(f"{registry.host}/a", tmp_path / "out.tar", options=Options(credential=credential))
    folder = no_one_elses_credentials / ".docker"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"auths": {registry.host: {"auth": "dXNlcjpwYXNzOndvcmQ="}}}))
    pull(f"{registry.host}/a", tmp_path / "again.tar")


def test_private_authority(
    start: Callable[..., Registry], certificate: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    ca, cert, key = certificate
    registry = start(tls=(cert, key))
    layout, entry = images.simple()
    source = layout.archive(tmp_path / "in.tar")
    for address in (f"https://{registry.host}/a", f"{registry.host}/a"):
        with pytest.raises(RegistryError, match="certificate is not trusted"):
            push(source, address)
    push(source, f"{registry.host}/a", options=Options(cacert=str(ca)))
    pulled = pull(f"https://{registry.host}/a", tmp_path / "out.tar", options=Options(insecure=True))
    assert pulled.descriptor["digest"] == entry["digest"]
    with pytest.raises(UsageError, match="cannot use it as certificates"):
        pull(f"https://{registry.host}/a", tmp_path / "x.tar", options=Options(cacert=str(key)))


def test_archive_mode_follows_the_umask(registry: Registry, tmp_path: Path) -> None:
    layout, _ = images.simple(100)
    push(layout.archive(tmp_path / "in.tar"), f"{registry.host}/umask")
    before = os.umask(0o027)
    try:
        pull(f"{registry.host}/umask", tmp_path / "out.tar")
    finally:
        os.umask(before)
    assert (tmp_path / "out.tar").stat().st_mode & 0o777 == 0o640


def test_provenance_travels_with_the_image(registry: Registry, tmp_path: Path) -> None:
    layout = images.Layout()
    entry = layout.image(images.layer({"app": b"x"}), annotations={"vnd.smith.compression": "some"})
    artifact = {
        "schemaVersion": 2,
        "mediaType": mediatypes.MANIFEST,
        "artifactType": "application/vnd.smith.provenance.v1",
        "config": layout.add(mediatypes.EMPTY_JSON, mediatypes.EMPTY),
        "layers": [layout.add(b"recipe", "text/plain")],
        "subject": {key: entry[key] for key in ("mediaType", "digest", "size")},
    }
    described = layout.add(json.dumps(artifact).encode(), mediatypes.MANIFEST)
    layout.name(entry, **{"vnd.smith.artifact": described["digest"]})
    push(layout.archive(tmp_path / "in.tar"), f"{registry.host}/provenance:1")
    pull(f"{registry.host}/provenance:1", tmp_path / "out.tar")
    found = images.index_of(tmp_path / "out.tar")
    assert [each["annotations"]["vnd.smith.artifact"] for each in found] == [described["digest"]]
    assert set(layout.files()) <= set(images.read(tmp_path / "out.tar"))
    again = push(tmp_path / "out.tar", f"{registry.host}/provenance:2")
    assert again.descriptor["digest"] == entry["digest"]
