"""containerd's containers in every namespace, Kubernetes' (``k8s.io``) among them, from its state on disk.

Its socket speaks gRPC; the bundle directories say the same, and need no client of it.
"""

from __future__ import annotations

import os

from crashcart.procfs import read
from crashcart.targets import places, records
from crashcart.targets.container import Container, matches

ENGINE = "containerd"
_TASKS = "io.containerd.runtime.v2.task"
STATES = (
    "/run/containerd",
    "/run/docker/containerd/daemon",
    "/run/k3s/containerd",
    "/var/snap/microk8s/common/run/containerd",
)
# Annotations of config.json by which Kubernetes and nerdctl name a container and its image.
_NAMES = ("io.kubernetes.cri.container-name", "nerdctl/name")
_POD = "io.kubernetes.cri.sandbox-name"
_IMAGES = ("io.kubernetes.cri.image-name", "nerdctl/image-name")


def find(text: str, extra: str | None = None) -> list[Container]:
    """The containers that ``text`` (an id, NAMESPACE/ID or a name) may mean; all when it is empty."""
    found = []
    for state in (*STATES, *([extra] if extra else [])):
        for directory in places.children(os.path.join(state, _TASKS)):
            for path in places.children(directory):
                container = look(path, text)
                if container is not None:
                    found.append(container)
    return found


def look(bundle: str, text: str = "") -> Container | None:
    """The container of a bundle directory ``STATE/TASKS/NAMESPACE/ID``; None when it has no process or is not meant."""
    id = os.path.basename(bundle)
    namespace = os.path.basename(os.path.dirname(bundle))
    try:
        pid = int(read(os.path.join(bundle, "init.pid")))
        created = os.stat(os.path.join(bundle, "init.pid")).st_mtime
    except (OSError, ValueError):
        return None
    config = os.path.join(bundle, "config.json")
    name = image = ""
    if not text or not matches(text, id, namespace=namespace):
        try:
            annotations = records.read(config).get("annotations") or {}
        except (OSError, *records.MISSHAPEN):
            annotations = {}
        name = next((annotations[key] for key in _NAMES if key in annotations), "")
        if name and _POD in annotations:
            name = f"{annotations[_POD]}/{name}"
        image = next((annotations[key] for key in _IMAGES if key in annotations), "")
    if not matches(text, id, name, namespace):
        return None
    return Container(
        ENGINE, id, pid, name=name, namespace=namespace, image=image, created=created, config=config, place=bundle
    )
