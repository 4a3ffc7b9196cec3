"""What the commands that ask about an image share: opening it with a bar on the terminal, and asking who signed it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from smith.answers import Known, know
from smith.cli.terminal import Bars
from smith.imagefile import open_image
from smith.origin import split_tag

if TYPE_CHECKING:
    from smith.registry import Registry
    from smith.registry.signatures import Signature


def opened(image: str, platform: str = "") -> Known:
    """The image FILE[:TAG], read and known."""
    file, tag = split_tag(image)
    with Bars() as progress:
        return know(open_image(file, tag, platform), progress)


def signed_by(path: str) -> Callable[[Registry, str], list[Signature]]:
    """What finds the signatures of an image that the public key in the file `path` made. InputError for no key."""
    from smith.registry.signatures import verified
    from smith.signing.keys import public_key

    key = public_key(path)
    return lambda registry, digest: verified(registry, digest, key, path)
