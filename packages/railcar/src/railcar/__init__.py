"""An OCI runtime in pure Python: a drop-in for runc."""
