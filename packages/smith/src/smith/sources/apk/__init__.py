"""Alpine packages, from repositories named in smith.yaml or the host's own, or .apk files."""

from smith.sources.apk.load import load

__all__ = ["load"]
