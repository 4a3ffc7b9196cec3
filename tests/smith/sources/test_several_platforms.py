"""One smith.yaml for several platforms: foreign packages, nothing executed, one archive with one index."""

import json
import os
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

BOTH = "linux/amd64,linux/arm64"
MACHINES = {"linux/amd64": 62, "linux/arm64": 183}
"""e_machine of an ELF header: EM_X86_64, EM_AARCH64 (elf(5))."""


@pytest.fixture
def project(run_smith: Any, deb_repository: Any, serve: Any) -> Any:
    """A smith.yaml over a signed archive of two architectures, whose `app` has another version on each."""
    archive = deb_repository(architectures=("amd64", "arm64"))
    for architecture, version in (("amd64", "1.0"), ("arm64", "1.0+b1")):
        files = {"usr/share/app/arch": architecture.encode(), "usr/share/doc/app/copyright": b"License: MIT\n"}
        archive.add("app", version, files=files, Architecture=architecture, Depends="both")
    archive.add("both")
    served = serve(archive.publish().root)
    run_smith.yaml(
        "type: deb\npackages: [app, both]\nentrypoint: [/usr/share/app/arch]\nrepositories:\n"
        f"- {{url: '{served.url}', suites: [stable], components: [main], keys: ['{archive.key.public}']}}\n"
    )
    return run_smith


def documents(path: Path) -> tuple[dict[str, Any], dict[str, Any], dict[str, bytes]]:
    """index.json, the index inside of it, and all files of an archive, by Python's own libraries."""
    with tarfile.open(path) as archive:
        files = {m.name: archive.extractfile(m).read() for m in archive if m.isfile()}  # type: ignore[union-attr]
    outer = json.loads(files["index.json"])
    assert len(outer["manifests"]) == 1
    inner = json.loads(files["blobs/" + outer["manifests"][0]["digest"].replace(":", "/")])
    return outer, inner, files


def test_one_archive_has_one_index_of_both(project: Any) -> None:
    said = json.loads(project("build", "--platform", BOTH, "-i", "both.tar", "--json").stdout)
    outer, inner, files = documents(project.folder / "both.tar")
    assert outer["manifests"][0]["mediaType"] == inner["mediaType"] == "application/vnd.oci.image.index.v1+json"
    assert said["digest"] == outer["manifests"][0]["digest"]
    assert [entry["platform"] for entry in inner["manifests"]] == [
        {"os": "linux", "architecture": "amd64"},
        {"os": "linux", "architecture": "arm64"},
    ]
    assert [entry["digest"] for entry in inner["manifests"]] == [each["digest"] for each in said["platforms"]]
    for entry in inner["manifests"]:
        manifest = json.loads(files["blobs/" + entry["digest"].replace(":", "/")])
        config = json.loads(files["blobs/" + manifest["config"]["digest"].replace(":", "/")])
        assert config["architecture"] == entry["platform"]["architecture"]
    assert "manifest.json" not in files
    for platform, version in (("linux/amd64", "1.0"), ("linux/arm64", "1.0+b1")):
        assert "all promises hold" in project("verify", "--platform", platform, "both.tar").stdout
        bill = json.loads(project("sbom", "--platform", platform, "both.tar").stdout)
        assert {c["name"]: c["version"] for c in bill["components"] if c["type"] == "library"}["app"] == version


def test_the_digests_are_those_of_the_single_builds_in_any_order(project: Any) -> None:
    project("build", "--platform", BOTH, "-i", "one.tar", SOURCE_DATE_EPOCH="0")
    project("build", "--platform", "linux/arm64/v8", "--platform", "amd64", "-i", "two.tar")
    one, inner, _ = documents(project.folder / "one.tar")
    two, _, _ = documents(project.folder / "two.tar")
    assert one["manifests"][0]["digest"] == two["manifests"][0]["digest"]
    single = json.loads(project("build", "--platform", "linux/arm64", "-i", "arm.tar", "--json").stdout)
    assert single["digest"] == inner["manifests"][1]["digest"]


@pytest.mark.parametrize("name", ["both.tar", "both.tar.gz", "both"])
def test_skopeo_reads_and_copies_all_of_it(project: Any, tool: Callable[[str], str], name: str) -> None:
    skopeo = tool("skopeo")
    project("build", "--platform", BOTH, "-i", name)
    source = f"{'oci-archive' if '.' in name else 'oci'}:{name}"

    def run(*words: str) -> str:
        environment = {**project.environment, "TMPDIR": str(project.folder)}
        done = subprocess.run(
            [skopeo, "--insecure-policy", *words],
            cwd=project.folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    raw = json.loads(run("inspect", "--raw", source))
    assert [entry["platform"]["architecture"] for entry in raw["manifests"]] == ["amd64", "arm64"]
    run("copy", "-q", "--all", source, "oci:copy:x")
    digests = [entry["digest"] for entry in raw["manifests"]]
    assert all((project.folder / "copy/blobs" / digest.replace(":", "/")).exists() for digest in digests)
    shown = json.loads(run("--override-arch", "arm64", "inspect", source))
    assert shown["Architecture"] == "arm64"


@pytest.mark.parametrize(
    ("platforms", "text"),
    [
        ("linux/amd64,linux/amd64", "linux/amd64 is there twice"),
        ("linux/amd64,", "'' is not a platform"),
        ("linux/amd64,a/b/c/d", "'a/b/c/d' is not a platform"),
        ("linux/amd64,linux/sparc", "has no Debian architecture"),
    ],
)
def test_a_wrong_platform_is_one_sentence(project: Any, platforms: str, text: str) -> None:
    failed = project("build", "--platform", platforms, "-i", "out.tar", code=2)
    assert text in failed.stderr
    assert not (project.folder / "out.tar").exists()


def test_a_lock_of_one_platform_is_not_for_several(project: Any) -> None:
    project("lock", "--platform", "linux/amd64")
    failed = project("build", "--platform", BOTH, "-i", "out.tar", code=2)
    assert "smith.lock: was made for other packages, repositories or platforms" in failed.stderr
    assert not (project.folder / "out.tar").exists()


def test_one_lock_fixes_the_inputs_of_several(project: Any) -> None:
    first = json.loads(project("build", "--platform", BOTH, "-i", "one.tar", "--json").stdout)["digest"]
    said = json.loads(project("lock", "--platform", BOTH, "--vendor", "kept", "--json").stdout)
    assert [each["platform"] for each in said] == BOTH.split(",")
    assert {p["version"] for each in said for p in each["packages"] if p["name"] == "app"} == {"1.0", "1.0+b1"}
    # Neither the repository nor the cache is needed any more.
    text = (project.folder / "smith.yaml").read_text()
    empty = {"XDG_CACHE_HOME": str(project.folder / "empty"), "http_proxy": "http://127.0.0.1:9"}
    again = json.loads(project("build", "--platform", BOTH, "-i", "two.tar", "--json", **empty).stdout)
    assert again["digest"] == first
    single = json.loads(project("build", "--platform", "arm64", "-i", "arm.tar", "--json").stdout)["digest"]
    assert single == again["platforms"][1]["digest"]
    failed = project("build", "-i", "out.tar", code=2)
    assert "has locks for linux/amd64, linux/arm64" in failed.stderr
    assert "choose by --platform" in failed.stderr
    project.yaml(text.replace("packages: [app, both]", "packages: [app]"))
    assert "run `smith lock`" in project("build", "--platform", BOTH, "-i", "out.tar", code=2).stderr


def test_an_older_variant_that_the_platform_runs_is_taken(run_smith: Any, deb_repository: Any, serve: Any) -> None:
    """Debian's armel is made for ARM v5, and is what it has for v6."""
    archive = deb_repository(architectures=("armel", "armhf"))
    archive.add("app")
    served = serve(archive.publish().root)
    run_smith.yaml(
        "type: deb\npackages: [app]\nrepositories:\n"
        f"- {{url: '{served.url}', suites: [stable], components: [main], keys: ['{archive.key.public}']}}\n"
    )
    run_smith("build", "--platform", "linux/arm/v6,linux/arm", "-i", "arm.tar")
    _, inner, _ = documents(run_smith.folder / "arm.tar")
    assert [entry["platform"]["variant"] for entry in inner["manifests"]] == ["v5", "v7"]


def test_an_image_of_one_platform_is_not_passed_off_as_another(project: Any) -> None:
    project("build", "--platform", "linux/amd64", "-i", "one.tar")
    project.yaml("package: one.tar\n")
    failed = project("build", "--platform", BOTH, "-i", "out.tar", code=1)
    assert "is for linux/amd64, not for linux/arm64" in failed.stderr
    assert not (project.folder / "out.tar").exists()


def test_dpkgs_own_reader_finds_exactly_the_kept_packages(project: Any, tool: Callable[[str], str]) -> None:
    """What debsecan reads: the names, versions and sources of the database, here as `dpkg-query` gives them."""
    query = tool("dpkg-query")
    project("build", "--platform", BOTH, "-i", "both.tar")
    for platform, version in (("linux/amd64", "1.0"), ("linux/arm64", "1.0+b1")):
        bundle = project.folder / platform.replace("/", "-")
        project("unpack", "--platform", platform, "both.tar", str(bundle))
        folder = bundle / "rootfs/var/lib/dpkg/status.d"
        stanzas = [path.read_text() for path in sorted(folder.iterdir()) if path.suffix != ".md5sums"]
        admin = project.folder / f"{bundle.name}-dpkg"
        (admin / "info").mkdir(parents=True)
        (admin / "updates").mkdir()
        (admin / "status").write_text("\n".join(stanzas))
        words = [query, "--admindir", str(admin), "-W", "-f", "${Package} ${Version} ${db:Status-Status}\n"]
        found = subprocess.run(words, capture_output=True, text=True, check=True).stdout
        assert sorted(found.splitlines()) == [f"app {version} installed", "both 1.0 installed"]


def test_a_program_of_debians_own_archive_for_both(run_smith: Any) -> None:
    """The loader and the libc of each architecture come along, although one of them cannot run here."""
    if not os.path.exists("/usr/bin/apt-get"):
        pytest.skip("needs a Debian system, whose sources are used")
    run_smith.yaml("type: deb\npackage: hello\nentrypoint: [/usr/bin/hello]\n")
    for platform in MACHINES:
        words = [run_smith.command, "lock", "--platform", platform]
        probe = subprocess.run(
            words, cwd=run_smith.folder, env=run_smith.environment, capture_output=True, text=True, check=False
        )
        if probe.returncode:
            pytest.skip(f"the machine's apt sources do not give `hello` for {platform}: {probe.stderr[-300:]}")
    (run_smith.folder / "smith.lock").unlink()
    run_smith("build", "--platform", BOTH, "-i", "hello.tar")
    for platform, loader in (("linux/amd64", "ld-linux-x86-64.so.2"), ("linux/arm64", "ld-linux-aarch64.so.1")):
        bundle = run_smith.folder / platform.replace("/", "-")
        run_smith("verify", "--platform", platform, "hello.tar")
        run_smith("unpack", "--platform", platform, "hello.tar", str(bundle))
        root = bundle / "rootfs"
        assert int.from_bytes((root / "usr/bin/hello").read_bytes()[18:20], "little") == MACHINES[platform]
        assert [path.name for path in root.rglob("ld-linux*")].count(loader) >= 1
        assert list(root.rglob("libc.so.6"))
