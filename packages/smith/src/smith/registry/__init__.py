"""Registries, by the OCI distribution specification: pulling and pushing images, and what lies behind.

    pull("ghcr.io/owner/name:tag", "image.tar")
    push("image.tar", "localhost:5000/name:tag")

`client.Registry` is one repository, `download.fetch` and `upload.push_blob` move single blobs, `referrers` lists
what is about an image, `signatures` signs and verifies. Memory does not grow with the size of a layer.
"""

from smith.registry.address import Address, parse
from smith.registry.client import Manifest, Options, Registry, open_registry
from smith.registry.credentials import Credential
from smith.registry.errors import Broken, Denied, Mismatch, NotFound, RegistryError
from smith.registry.pull import Pulled, pull
from smith.registry.push import Pushed, push
from smith.registry.retry import Retry

__all__ = [
    "Address",
    "Broken",
    "Credential",
    "Denied",
    "Manifest",
    "Mismatch",
    "NotFound",
    "Options",
    "Pulled",
    "Pushed",
    "Registry",
    "RegistryError",
    "Retry",
    "open_registry",
    "parse",
    "pull",
    "push",
]
