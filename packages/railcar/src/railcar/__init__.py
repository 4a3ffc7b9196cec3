"""An OCI runtime in pure Python: a drop-in for runc."""

__version__ = "0.1.0"
