"""`type: host`: this machine's own files, with their owners from its package database. No network, no root."""

import os

from ocicommon import platform as platforms

from smith import installed
from smith.cache import Cache
from smith.errors import ConfigError
from smith.hosttree import HostTree
from smith.progress import Progress
from smith.sources import SourceResult
from smith.spec import Spec


def load(spec: Spec, cache: Cache, progress: Progress) -> SourceResult:
    """The machine's root, read as it is asked for. With `package: FOLDER/` that folder is the root. ConfigError."""
    root = "/"
    if spec.package.endswith("/"):
        root = os.path.join(spec.directory, spec.package)
        if not os.path.isdir(root):
            raise ConfigError(f"{spec.where('package')}: package: there is no folder {root}")
    own = str(platforms.host())
    if spec.platform and platforms.parse(spec.platform) != platforms.host() and root == "/":
        raise ConfigError(f"{spec.where('platform')}: platform {spec.platform}: this machine's files are for {own}")
    tree = HostTree(root)
    found = installed.packages(tree)
    progress.note(f"{len(found)} packages are installed")
    return SourceResult(tree, found, [], None, spec.platform or own)
