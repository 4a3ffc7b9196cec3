"""Side-load a debugging image into a running container, and leave no trace."""
