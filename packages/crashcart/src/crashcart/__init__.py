"""Side-load a debugging image into a running container, and leave no trace."""

__version__ = "0.1.0"
