"""`smith build` from an OCI archive: what is in the image, and that others read it."""

import gzip
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

BASE = {
    "config": {
        "Env": ["PATH=/bin", "A=B"],
        "Cmd": ["/bin/sh"],
        "WorkingDir": "/srv",
        "Labels": {"x": "y"},
        "ExposedPorts": {"80/tcp": {}},
    }
}


def simple(make_image: Any, busybox: bytes, folder: Path, name: str = "in.tar", **more: Any) -> Path:
    entries = [
        ("usr/bin/busybox", busybox),
        ("bin", "usr/bin"),
        ("usr/bin/sh", "busybox"),
        ("srv/page", b"page"),
        ("etc/passwd", b"root:x:0:0::/:/bin/sh\nwww:x:33:33::/:/bin/sh\n"),
    ]
    path: Path = make_image(entries, config=BASE, **more).write(folder / name)
    return path


def test_modes_owners_and_times_are_the_promised_ones(
    run_smith: Any, make_image: Any, busybox: bytes, read_image: Any
) -> None:
    set_id = tarfile.TarInfo("usr/bin/su")
    set_id.mode, set_id.uid, set_id.mtime = 0o4711 | 0o4, 5, 1234
    make_image([("usr/bin/busybox", busybox), (set_id, b"x"), ("etc/f", b"1"), ("bin", "usr/bin")]).write(
        run_smith.folder / "in.tar"
    )
    run_smith.yaml("package: in.tar\nmounts: [/data]\n")
    done = run_smith("-i", "out.tar")
    assert "/usr/bin/su" in done.stdout
    image = read_image(run_smith.folder / "out.tar")
    members = image.members()
    assert {(m.uid, m.gid, m.mtime, m.uname) for m in members.values()} == {(10, 10, 0, "")}
    assert members["usr/bin/su"].mode == 0o755
    assert members["etc/f"].mode == 0o644
    assert members["run"].mode == members["write"].mode == 0o1777
    assert {"dev", "proc", "sys", "read", "data"} <= set(members)
    assert list(members) == sorted(members, key=lambda name: name.split("/"))
    assert image.config["config"]["Volumes"] == {"/data": {}}
    assert image.config["config"]["User"] == "10:10"
    assert image.config["created"] == "1970-01-01T00:00:00Z"


def test_links_on_the_way_come_along(run_smith: Any, make_image: Any, busybox: bytes, read_image: Any) -> None:
    simple(make_image, busybox, run_smith.folder)
    run_smith.yaml("package: in.tar\npaths: [/bin/sh]\n")
    run_smith("-i", "out.tar")
    members = read_image(run_smith.folder / "out.tar").members()
    assert members["bin"].linkname == "usr/bin"
    assert members["usr/bin/sh"].linkname == "busybox"
    assert members["usr/bin/busybox"].isfile()
    assert "srv/page" not in members


def test_silent_keys_come_from_the_image(run_smith: Any, make_image: Any, busybox: bytes, read_image: Any) -> None:
    simple(make_image, busybox, run_smith.folder)
    run_smith.yaml("package: in.tar\npaths: [/bin/sh]\ncmd: [/bin/sh, -c, id]\n")
    run_smith("-i", "out.tar")
    config = read_image(run_smith.folder / "out.tar").config["config"]
    assert config["Cmd"] == ["/bin/sh", "-c", "id"]
    assert config["Env"] == ["PATH=/bin", "A=B"]
    assert config["WorkingDir"] == "/srv"
    assert config["Labels"] == {"x": "y"}
    assert config["ExposedPorts"] == {"80/tcp": {}}


def test_rootfs_wins_and_gitignore_stays(run_smith: Any, make_image: Any, busybox: bytes, read_image: Any) -> None:
    simple(make_image, busybox, run_smith.folder)
    (run_smith.folder / "rootfs/srv").mkdir(parents=True)
    (run_smith.folder / "rootfs/srv/page").write_text("mine")
    (run_smith.folder / "rootfs/srv/page").chmod(0o600)
    (run_smith.folder / "rootfs/.gitignore").write_text("x")
    run_smith.yaml("package: in.tar\npaths: [/bin/sh]\n")
    run_smith("-i", "out.tar")
    image = read_image(run_smith.folder / "out.tar")
    assert image.content("srv/page") == b"mine"
    assert image.members()["srv/page"].mode == 0o644
    assert ".gitignore" not in image.members()


def test_rootfs_alone_is_an_image(run_smith: Any, read_image: Any) -> None:
    (run_smith.folder / "rootfs").mkdir()
    (run_smith.folder / "rootfs/hello").write_text("hi")
    run_smith.yaml("cmd: [/hello]\n")
    run_smith("-i", "out.tar")
    assert read_image(run_smith.folder / "out.tar").content("hello") == b"hi"


def test_excludes_win(run_smith: Any, make_image: Any, busybox: bytes, read_image: Any) -> None:
    simple(make_image, busybox, run_smith.folder)
    run_smith.yaml("package: in.tar\nexcludes: [/etc, 'srv/*']\n")
    run_smith("-i", "out.tar")
    members = read_image(run_smith.folder / "out.tar").members()
    assert "usr/bin/busybox" in members
    assert not {"etc/passwd", "srv/page"} & set(members)


def test_a_parent_lies_below_and_not_twice(run_smith: Any, make_image: Any, busybox: bytes, read_image: Any) -> None:
    simple(make_image, busybox, run_smith.folder, "below.tar")
    (run_smith.folder / "rootfs").mkdir()
    (run_smith.folder / "rootfs/hello").write_text("hi")
    run_smith.yaml("parent: below.tar\n")
    run_smith("-i", "one.tar")
    one = read_image(run_smith.folder / "one.tar")
    assert len(one.layers) == 2
    assert one.config["config"]["Cmd"] == ["/bin/sh"]
    run_smith.yaml("parent: one.tar\n")
    run_smith("-i", "two.tar")
    assert len(read_image(run_smith.folder / "two.tar").layers) == 2


def test_names_bring_passwd(run_smith: Any, make_image: Any, busybox: bytes, read_image: Any) -> None:
    simple(make_image, busybox, run_smith.folder)
    run_smith.yaml("package: in.tar\npaths: [/bin/sh]\nuser: www:staff\ngroups: [audio]\n")
    run_smith("-i", "out.tar")
    image = read_image(run_smith.folder / "out.tar")
    assert image.config["config"]["User"] == "33:10"
    assert b"www:x:33:10:" in image.content("etc/passwd")
    assert b"audio:x:11:www" in image.content("etc/group")
    assert b"hosts: files dns" in image.content("etc/nsswitch.conf")


def test_one_descriptor_and_the_rest_in_one_artifact(
    run_smith: Any, make_image: Any, busybox: bytes, read_image: Any
) -> None:
    simple(make_image, busybox, run_smith.folder)
    run_smith.yaml("package: in.tar\npaths: [/bin/sh]\n")
    run_smith("-i", "out.tar:v1", "-b", "17", SOURCE_DATE_EPOCH="86400")
    image = read_image(run_smith.folder / "out.tar")
    descriptor = image.index["manifests"][0]
    assert descriptor["annotations"]["org.opencontainers.image.ref.name"] == "v1"
    assert image.index["annotations"]["org.opencontainers.image.created"] == "1970-01-02T00:00:00Z"
    assert image.index["annotations"]["vnd.smith.build"] == "17"
    assert "vnd.smith.host" not in image.index["annotations"]
    artifact = json.loads(image.blobs["blobs/" + descriptor["annotations"]["vnd.smith.artifact"].replace(":", "/")])
    assert artifact["subject"]["digest"] == image.digest
    types = {layer["mediaType"] for layer in artifact["layers"]}
    assert {"application/vnd.smith.spec+json", "application/vnd.smith.packages", "application/spdx+json"} <= types
    assert "libdeflate" in image.manifest["annotations"]["vnd.smith.compression"]


@pytest.mark.parametrize("form", ["gz", "zst", "docker", "folder", "index"])
def test_every_form_of_image_is_read(
    run_smith: Any, make_image: Any, make_tar: Any, busybox: bytes, read_image: Any, form: str, tool: Any
) -> None:
    folder = run_smith.folder
    plain = simple(make_image, busybox, folder)
    source = "in.tar"
    if form == "gz":
        source = "in.tgz"
        (folder / source).write_bytes(gzip.compress(plain.read_bytes()))
    elif form == "zst":
        source = "in.tar.zst"
        subprocess.run([tool("zstd"), "-q", "in.tar", "-o", source], cwd=folder, check=True)
    elif form == "folder":
        source = "layout"
        with tarfile.open(plain) as archive:
            archive.extractall(folder / source)
    elif form == "docker":
        image = make_image([("usr/bin/busybox", busybox), ("bin", "usr/bin"), ("usr/bin/sh", "busybox")], config=BASE)
        config = next(json.loads(d) for n, d in image.files().items() if b"diff_ids" in d)
        entry = {"Config": "c.json", "RepoTags": ["x:latest"], "Layers": ["l/layer.tar"]}
        members = {
            "c.json": json.dumps(config).encode(),
            "manifest.json": json.dumps([entry]).encode(),
            "real.tar": image.layers[0],
            "l/layer.tar": "../real.tar",
        }
        (folder / "in.tar").write_bytes(make_tar(members.items()))
    else:
        made = make_image([("usr/bin/busybox", busybox), ("bin", "usr/bin"), ("usr/bin/sh", "busybox")], config=BASE)
        files = made.files()
        inner = json.loads(files["index.json"])["manifests"][0]
        other = {**inner, "digest": "sha256:" + "0" * 64, "platform": {"os": "linux", "architecture": "s390x"}}
        mine = {**inner, "platform": {"os": "linux", "architecture": "amd64"}}
        nested = json.dumps({"schemaVersion": 2, "manifests": [other, mine]}).encode()
        import hashlib

        digest = hashlib.sha256(nested).hexdigest()
        made.changes[f"blobs/sha256/{digest}"] = nested
        top = {
            "digest": f"sha256:{digest}",
            "size": len(nested),
            "mediaType": "application/vnd.oci.image.index.v1+json",
        }
        made.changes["index.json"] = json.dumps({"schemaVersion": 2, "manifests": [top]}).encode()
        made.write(folder / "in.tar")
    kind = "type: oci\n" if form == "folder" else ""
    run_smith.yaml(f"{kind}package: {source}\npaths: [/bin/sh]\nplatform: linux/amd64\n")
    run_smith("-i", "out.tar")
    assert "usr/bin/busybox" in read_image(folder / "out.tar").members()


def test_a_tag_that_is_not_there_is_named(run_smith: Any, make_image: Any) -> None:
    make_image([("app", b"x")], tag="v1").write(run_smith.folder / "in.tar")
    run_smith.yaml("package: in.tar:v2\npaths: [/app]\n")
    done = run_smith("-i", "out.tar", code=1)
    assert "'v2'" in done.stderr
    assert "v1" in done.stderr


@pytest.mark.parametrize("name", ["out.tar", "out.tar.gz", "layout"])
def test_skopeo_umoci_and_podman_read_it(
    run_smith: Any, make_image: Any, busybox: bytes, tool: Callable[[str], str], name: str
) -> None:
    simple(make_image, busybox, run_smith.folder)
    run_smith.yaml("package: in.tar\npaths: [/bin/sh]\n")
    run_smith("-i", name)
    folder = run_smith.folder
    transport = "oci" if name == "layout" else "oci-archive"
    environment = {**run_smith.environment, "TMPDIR": str(folder)}

    def run(*command: str) -> str:
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command}: {done.stderr}"
        return done.stdout

    shown = json.loads(run(tool("skopeo"), "inspect", f"{transport}:{name}"))
    assert shown["Architecture"] == "amd64"
    run(tool("skopeo"), "copy", "-q", f"{transport}:{name}", "oci:copy:x")
    run(tool("umoci"), "unpack", "--rootless", "--image", "copy:x", "bundle")
    assert (folder / "bundle/rootfs/usr/bin/busybox").stat().st_size == len(busybox)


@pytest.mark.root
@pytest.mark.parametrize("name", ["out.tar", "out.tar.gz"])
def test_podman_loads_it(
    run_smith: Any,
    make_image: Any,
    busybox: bytes,
    tool: Any,
    name: str,
    request: pytest.FixtureRequest,
    read_image: Any,
) -> None:
    podman = tool("podman")
    simple(make_image, busybox, run_smith.folder)
    run_smith.yaml("package: in.tar\npaths: [/bin/sh]\n")
    run_smith("-i", name)
    runroot = tempfile.mkdtemp(prefix="smith-", dir="/tmp")  # podman takes 50 characters at most
    request.addfinalizer(lambda: shutil.rmtree(runroot, ignore_errors=True))
    places = ["--root", str(run_smith.folder / "storage"), "--runroot", runroot]
    base = [podman, *places, "--storage-driver", "vfs"]
    probe = subprocess.run([*base, "images"], capture_output=True, text=True, check=False)
    if probe.returncode != 0:
        pytest.skip(f"podman does not work here: {probe.stderr.strip()[-200:]}")
    done = subprocess.run(
        [*base, "load", "-i", name], cwd=run_smith.folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Loaded image" in done.stdout
    store = f'[storage]\ndriver = "vfs"\ngraphroot = "{run_smith.folder}/storage"\nrunroot = "{runroot}"\n'
    (run_smith.folder / "storage.conf").write_text(store)
    name = done.stdout.split("Loaded image: ")[1].split()[0]
    run_smith.yaml(f"package: containers-storage:{name}\npaths: [/bin/sh]\n")
    run_smith("-i", "again.tar", CONTAINERS_STORAGE_CONF=str(run_smith.folder / "storage.conf"))
    assert read_image(run_smith.folder / "again.tar").content("usr/bin/busybox") == busybox


def test_dockers_store_is_read_by_docker_itself(
    run_smith: Any, make_image: Any, busybox: bytes, read_image: Any
) -> None:
    folder = run_smith.folder
    simple(make_image, busybox, folder)
    (folder / "bin").mkdir()
    docker = folder / "bin/docker"
    docker.write_text(
        f'#!/bin/sh\n[ "$1 $2 $4" = "save --output base:1" ] && exec cp {folder}/in.tar "$3"\n'
        "echo Error response from daemon: no such image >&2; exit 1\n"
    )
    docker.chmod(0o755)
    path = f"{folder}/bin:{run_smith.environment['PATH']}"
    run_smith.yaml("package: docker-daemon:base:1\npaths: [/bin/sh]\n")
    run_smith("-i", "out.tar", PATH=path)
    assert read_image(folder / "out.tar").content("usr/bin/busybox") == busybox
    run_smith.yaml("package: docker-daemon:absent\npaths: [/bin/sh]\n")
    assert "docker save absent: Error response from daemon: no such image" in run_smith(code=1, PATH=path).stderr
    docker.unlink()
    if shutil.which("docker", path=path) is None:
        assert "docker is not installed, and 'absent' is in its store" in run_smith(code=4, PATH=path).stderr


def test_the_same_bytes_everywhere(run_smith: Any, make_image: Any, busybox: bytes, read_image: Any) -> None:
    folder = run_smith.folder
    simple(make_image, busybox, folder)
    run_smith.yaml("package: in.tar\n")
    (folder / "rootfs/a").mkdir(parents=True)
    for number in (3, 1, 2):
        (folder / f"rootfs/a/{number}").write_text(str(number))
    surroundings = [
        {},
        {"TZ": "Asia/Tokyo", "LC_ALL": "C"},
        {"LANG": "de_DE.UTF-8", "PYTHONHASHSEED": "7", "HOME": "/nonexistent"},
    ]
    made = []
    for number, environment in enumerate(surroundings):
        old = os.umask(0o077 if number == 1 else 0o022)
        try:
            run_smith("-i", f"{number}.tar", SOURCE_DATE_EPOCH="1", **environment)
        finally:
            os.umask(old)
        made.append((folder / f"{number}.tar").read_bytes())
        # another order of the folder's entries, another mode
        (folder / "rootfs/a/1").unlink()
        (folder / "rootfs/a/1").write_text("1")
        (folder / "rootfs/a/1").chmod(0o600)
    # docker's manifest names the file; all else must be the same
    images = [read_image(folder / f"{number}.tar") for number in range(3)]
    assert len({image.digest for image in images}) == 1
    run_smith("-i", "0.tar", SOURCE_DATE_EPOCH="1", TZ="UTC")
    assert (folder / "0.tar").read_bytes() == made[0]


@pytest.mark.parametrize("kind", ["zstd", "none"])
def test_other_compressions(
    run_smith: Any, make_image: Any, busybox: bytes, read_image: Any, kind: str, tool: Any
) -> None:
    simple(make_image, busybox, run_smith.folder)
    run_smith.yaml(f"package: in.tar\npaths: [/bin/sh]\ncompression: {kind}\n")
    run_smith("-i", "out.tar")
    image = read_image(run_smith.folder / "out.tar")
    assert image.content("usr/bin/busybox") == busybox
    ending = {"zstd": "+zstd", "none": ".tar"}[kind]
    assert image.manifest["layers"][0]["mediaType"].endswith(ending)
    run_smith.yaml("package: out.tar\npaths: [/bin/sh]\n")
    run_smith("-i", "again.tar")


@pytest.mark.root
def test_a_normal_user_gets_the_same_digest(
    run_smith: Any, make_image: Any, busybox: bytes, read_image: Any, tool: Any, request: pytest.FixtureRequest
) -> None:
    setpriv = tool("setpriv")
    place = Path(tempfile.mkdtemp(prefix="smith-", dir="/var/tmp"))
    request.addfinalizer(lambda: shutil.rmtree(place, ignore_errors=True))
    simple(make_image, busybox, place)
    (place / "smith.yaml").write_text("package: in.tar\n")
    os.chown(place, 65534, 65534)
    place.chmod(0o755)
    user = [setpriv, "--reuid=65534", "--regid=65534", "--clear-groups"]
    environment = {**run_smith.environment, "HOME": str(place), "XDG_CACHE_HOME": str(place / "cache")}
    probe = subprocess.run([*user, str(run_smith.command), "-V"], env=environment, capture_output=True, check=False)
    if probe.returncode != 0:
        pytest.skip("another user cannot reach the installed command")
    for words, name in ((user, "theirs.tar"), ([], "ours.tar")):
        done = subprocess.run(
            [*words, str(run_smith.command), "-i", name],
            cwd=place,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    assert read_image(place / "theirs.tar").digest == read_image(place / "ours.tar").digest


def test_an_image_that_cannot_run_says_so(run_smith: Any) -> None:
    run_smith.yaml("cmd: [/none]\n")
    assert "no file at all: name `package`" in run_smith("-i", "empty.tar").stdout
    run_smith.yaml("labels: {a: b}\n")
    (run_smith.folder / "rootfs").mkdir()
    (run_smith.folder / "rootfs/file").write_text("x")
    assert "nothing to run yet: name the program in `entrypoint`" in run_smith("-i", "data.tar").stdout
