"""`railcar features`: what this runtime and kernel can do, as JSON."""

import sys

from railcar import documents, features
from railcar.cli.parse import Arguments, Globals


def run(options: Globals, arguments: Arguments) -> int:
    """Print the features document, and nothing else: engines read both streams as one."""
    sys.stdout.write(documents.indented(features.features()) + "\n")
    return 0
