"""Debian and Ubuntu packages, from the host's own apt sources, sources named in smith.yaml, or .deb files."""

from smith.sources.deb.load import load

__all__ = ["load"]
