"""What the commands that ask about an image share: opening it with a bar on the terminal."""

from smith.answers import Known, know
from smith.cli.terminal import Bars
from smith.imagefile import open_image
from smith.origin import split_tag


def opened(image: str, platform: str = "") -> Known:
    """The image FILE[:TAG], read and known."""
    file, tag = split_tag(image)
    with Bars() as progress:
        return know(open_image(file, tag, platform), progress)
