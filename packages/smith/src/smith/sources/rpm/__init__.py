"""RPM packages, from repositories named in smith.yaml, the host's own, a mock configuration's, or .rpm files."""

from smith.sources.rpm.load import load

__all__ = ["load"]
