"""The pod that carries crashcart to a node: its manifest is sound, podman plays it, and crashcart works from such a
place; containers by their Kubernetes names are entered in test_engines.py."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import crashcart_support as support
import pytest
import yaml
from crashcart_support import engines
from crashcart_support.engines import need, run

MANIFEST = Path(__file__).parents[2] / "packages/crashcart/docs/node-debug-pod.yaml"


@pytest.fixture
def manifest() -> dict[str, Any]:
    (pod,) = yaml.safe_load_all(MANIFEST.read_text())
    assert isinstance(pod, dict)
    return pod


def test_manifest_gives_the_pod_what_entering_takes(manifest: dict[str, Any]) -> None:
    assert (manifest["apiVersion"], manifest["kind"]) == ("v1", "Pod")
    spec = manifest["spec"]
    assert spec["hostPID"] is True
    assert spec["restartPolicy"] == "Never"
    assert spec["nodeName"]
    (container,) = spec["containers"]
    assert container["securityContext"] == {"privileged": True, "runAsUser": 0}
    volumes = {volume["name"]: volume["hostPath"] for volume in spec["volumes"]}
    places = {mount["mountPath"]: volumes[mount["name"]]["path"] for mount in container["volumeMounts"]}
    assert places == {"/run/containerd": "/run/containerd", "/dev": "/dev"}
    assert all(mount.get("readOnly") for mount in container["volumeMounts"] if mount["mountPath"] != "/dev")


@pytest.mark.root
def test_podman_plays_the_manifest(
    manifest: dict[str, Any], tmp_path: Path, tools: Path, can_mount: None, traces: support.Traces
) -> None:
    """All but hostPID, which podman 4 passes over."""
    need("podman", "conmon")
    podman = engines.Podman(tmp_path)
    tar = subprocess.run(["tar", "-C", str(tools), "-c", "."], capture_output=True, check=True).stdout
    (tmp_path / "tools.tar").write_bytes(tar)
    (tmp_path / "containerd").mkdir()
    name = f"crashcart{os.getpid()}"
    manifest["metadata"]["name"] = name
    del manifest["spec"]["nodeName"]
    (container,) = manifest["spec"]["containers"]
    container["image"] = "localhost/tools"
    container["command"] = engines.SLEEP
    manifest["spec"]["volumes"][0]["hostPath"]["path"] = str(tmp_path / "containerd")
    (tmp_path / "pod.yaml").write_text(yaml.safe_dump(manifest))
    try:
        podman("import", str(tmp_path / "tools.tar"), "localhost/tools")
        done = podman("play", "kube", "--network", "none", "--log-driver", "none", str(tmp_path / "pod.yaml"))
        if done.returncode:
            pytest.skip(f"podman cannot play a privileged pod here: {done.stderr.strip()[-400:]}")
        pid = podman.pid(f"{name}-crashcart")
        (capabilities,) = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if "CapEff" in line]
        assert int(capabilities.split()[1], 16) >> 21 & 1  # SYS_ADMIN
        assert Path(f"/proc/{pid}/root/run/containerd").is_dir()
        assert Path(f"/proc/{pid}/root/dev/loop-control").exists() == Path("/dev/loop-control").exists()
    finally:
        podman("pod", "rm", "-f", "-t", "0", name)
        podman.end()


@pytest.mark.root
def test_image_on_an_overlay_is_mounted_as_in_a_pod(
    containers: Callable[..., support.Container], crashcart: Path, image: Path, tmp_path: Path
) -> None:
    """Other namespaces than the host's but for pids, and the image where a container has its files."""
    container = containers()
    layers = tmp_path / "layers"
    layers.mkdir()
    options = f"lowerdir={layers}/l,upperdir={layers}/u,workdir={layers}/w"
    prepare = f"mount -t tmpfs layers {layers}; cd {layers}; mkdir l u w m; mount -t overlay -o {options} pod m"
    script = f'set -e; {prepare}; cp {image} m/crashcart.img; exec "$@"'
    words = [crashcart, "-v", "-i", f"{layers}/m/crashcart.img", str(container.pid)]
    command = ["cat", "/dev/crashcart/etc/marker"]
    done = run(["unshare", "--mount", "--net", "--ipc", "--uts", "sh", "-c", script, "sh", *words, *command])
    if "overlay" in done.stderr and done.returncode == 32:
        pytest.skip("needs overlayfs")
    if "loop" in done.stderr and done.returncode:
        pytest.skip(f"needs loop devices: {done.stderr}")
    assert (done.returncode, done.stdout) == (0, "tools\n"), done.stderr
