"""Build microcontainers: OCI images that hold one program and what it needs."""
