"""`smith schema`: the JSON schema of smith.yaml."""

from smith.cli.terminal import show_json


def command() -> None:
    """Print the JSON schema of smith.yaml, for editors."""
    from smith.keys import json_schema

    show_json(json_schema())
