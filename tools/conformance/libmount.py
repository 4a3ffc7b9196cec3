"""As much of util-linux' libmount as crun's tests use, which no package of Debian has: a mountinfo by targets."""


class FileSystem:
    """One line of a mountinfo."""

    def __init__(self, line: str) -> None:
        mount, _, superblock = line.partition(" - ")
        self.target, self.vfs_options = mount.split()[4:6]
        self.fs_options = superblock.split()[-1]


class Table:
    """All lines of the file of this name."""

    def __init__(self, name: str) -> None:
        with open(name) as file:
            self.lines = [FileSystem(line) for line in file if " - " in line]

    def find_target(self, target: str) -> FileSystem:
        """The mount that lies there on top."""
        return next(found for found in reversed(self.lines) if found.target == target)
