"""Build microcontainers: OCI images that hold one program and what it needs."""

__version__ = "0.1.0"
