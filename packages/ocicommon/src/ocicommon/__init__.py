"""OCI image and runtime specifications as pydantic models, and typed Linux system calls."""
