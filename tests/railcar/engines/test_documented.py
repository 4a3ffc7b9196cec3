"""Each block of docs/engines.md, as it stands there, given to the engine that it is for.

Only what is the reader's own is put in its place: the path of railcar, the image, the program.
"""

import json
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from engine_support import Engine
from engine_support.page import INSTALLED, PAGE, block, command


@pytest.fixture(scope="session")
def runtime(railcar: Path) -> str:
    """The page is about railcar alone."""
    return str(railcar)


@pytest.fixture(scope="module")
def daemon_options(runtime: str) -> dict[str, Any]:
    """docker: the block for daemon.json, and the runtime that it names is not the default."""
    options: dict[str, Any] = json.loads(block("json", "runtimes").replace(INSTALLED, runtime))
    return options | {"default-runtime": "runc"}


def test_docker(docker: Engine, runtime: str) -> None:
    words = command("docker run --runtime railcar --rm -it", runtime)
    words = ["box" if word == "debian" else word for word in words if word != "-it"]
    words[-1:] = ["--network", "none"] if words[-1] == "box" else []
    place = words.index("box")
    assert docker.ok(*words[:place], "--network", "none", "box", "echo", "hello") == "hello"
    assert "railcar" in docker.ok("info", "--format", "{{json .Runtimes}}")


def test_docker_names_what_an_image_lacks(docker: Engine) -> None:
    """The error that the page shows: a dynamic program in an image without its loader."""
    program = shutil.which("env")
    assert program is not None
    if b"ld-linux" not in Path(program).read_bytes()[:4096]:
        pytest.skip("the host's programs are not linked as the page has it")
    done = docker("run", "--runtime", "railcar", "--rm", "--network", "none", "-v", f"{program}:/app:ro", "box", "/app")
    assert done.returncode == 127
    shown = block("console", "Error response from daemon").replace("\n", " ")
    said = shown[shown.index("exec: /app") :].strip()
    if "ld-linux-x86-64" in done.stderr:
        assert said in done.stderr
    assert "no such file or directory" in done.stderr


def test_podman(podman: Engine, runtime: str) -> None:
    words = command("podman --runtime", runtime)
    words[words.index("docker.io/library/alpine")] = "box"
    words.insert(words.index("--rm"), "--network=none")
    assert podman.ok(*words) == "hello"


def test_containers_conf(podman: Engine, runtime: str, tmp_path: Path) -> None:
    """podman reads the file as the page has it; what this machine needs beside it is put in front."""
    text = block("toml", "[engine.runtimes]").replace(INSTALLED, runtime)
    assert tomllib.loads(text)["engine"]["runtime"] == "railcar"
    limits = '[containers]\ndefault_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]\n'
    (tmp_path / "containers.conf").write_text(limits + text)
    environment = podman.environment | {"CONTAINERS_CONF": str(tmp_path / "containers.conf")}
    engine = Engine([*podman.argv, "--cgroup-manager", "cgroupfs"], environment, podman.directory, podman.host)
    assert engine.ok("info", "--format", "{{.Host.OCIRuntime.Name}} {{.Host.OCIRuntime.Path}}") == f"railcar {runtime}"
    assert engine.ok("run", "--rm", "--network", "none", "box", "echo", "hello") == "hello"


def test_buildah(rootfs: Path, place: Path, podman: Engine, runtime: str) -> None:
    if not shutil.which("buildah"):
        pytest.skip("buildah is not installed")
    argv = ["buildah", "--root", f"{place}/buildah", "--runroot", f"{place}/buildah-run", "--storage-driver", "vfs"]
    engine = Engine(argv, podman.environment, place)
    name = engine.ok("from", "scratch")
    engine.ok("add", name, rootfs, "/")
    engine.ok("config", "--env", "PATH=/bin", name)
    words = command("buildah run", runtime)
    words[words.index("CONTAINER") :] = ["--network", "none", name, "--", "echo", "hello"]
    words = [*words[:1], *words[1:]]
    assert engine.ok(*words) == "hello"
    engine.ok("rm", name)


@pytest.fixture(scope="module")
def containerd(place: Path) -> str:
    """containerd's own reading of the block for Kubernetes, with all that it takes for granted."""
    if not shutil.which("containerd"):
        pytest.skip("containerd is not installed")
    (place / "config.toml").write_text(block("toml", "containerd.runtimes.railcar"))
    argv = ["containerd", "--config", place / "config.toml", "config", "dump"]
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


def test_containerd_takes_the_runtime_class(containerd: str) -> None:
    plugins = tomllib.loads(containerd)["plugins"]
    cri = next(plugins[name] for name in plugins if name.startswith("io.containerd.") and "containerd" in plugins[name])
    found = cri["containerd"]["runtimes"]["railcar"]
    assert found["runtime_type"] == "io.containerd.runc.v2"
    assert found["options"] == {"BinaryName": INSTALLED, "SystemdCgroup": True} | {
        key: value for key, value in found["options"].items() if key not in ("BinaryName", "SystemdCgroup")
    }


def test_the_runtime_class_has_the_name_of_the_runtime() -> None:
    runtime_class, pod = yaml.safe_load_all(block("yaml", "RuntimeClass"))
    plugins = tomllib.loads(block("toml", "containerd.runtimes.railcar"))["plugins"]
    assert runtime_class["handler"] in plugins["io.containerd.grpc.v1.cri"]["containerd"]["runtimes"]
    assert pod["spec"]["runtimeClassName"] == runtime_class["metadata"]["name"]


def test_the_pod_runs(podman: Engine, tmp_path: Path) -> None:
    """podman takes the page's pod, but for its class: the runtime is railcar already."""
    _, pod = yaml.safe_load_all(block("yaml", "RuntimeClass"))
    pod["spec"]["containers"][0]["image"] = "localhost/box"
    (tmp_path / "pod.yaml").write_text(yaml.safe_dump(pod))
    podman.ok("play", "kube", "--network", "none", tmp_path / "pod.yaml")
    name = f"{pod['metadata']['name']}-{pod['spec']['containers'][0]['name']}"
    podman.ok("wait", name)
    assert podman.logs(name).strip() == "hello"
    podman.ok("pod", "rm", "--force", "--time", "0", pod["metadata"]["name"])


def test_crio_takes_the_runtime() -> None:
    """CRI-O is in no Debian release: its file is read as TOML, and has the members that CRI-O's manual names."""
    entry = tomllib.loads(block("toml", "[crio"))["crio"]["runtime"]["runtimes"]["railcar"]
    assert entry == {"runtime_path": INSTALLED, "runtime_type": "oci", "runtime_root": "/run/railcar"}


def test_containerds_own_command(place: Path, runtime: str) -> None:
    """`ctr run` as the page has it is the one of test_containerd.py: the same options in the same place."""
    words = command("ctr run", runtime)
    assert words[:4] == ["run", "--rm", "--runc-binary", runtime]
    assert words[-3:] == ["one", "echo", "hello"]


def test_no_block_is_left_out() -> None:
    languages = re.findall(r"^```(\w+)$", PAGE.read_text(), re.MULTILINE)
    assert sorted(languages) == sorted(["json", *["console"] * 4, *["toml"] * 3, "yaml", "sh"])
