"""What the running kernel is able to do, and the switch by which tests take a newer way from it."""

from __future__ import annotations

import os

# The ways that have an older one behind them: the Linux version that brought each.
FEATURES = {
    "pidfd": "5.3",  # pidfd_open, and setns with it (5.8)
    "mount-fd": "5.2",  # open_tree, fsopen, fsmount, move_mount
    "clone3": "5.3",  # clone3; clone takes the same flags
    "close-range": "5.9",
    "mount-setattr": "5.12",
    "erofs-file": "6.12",  # erofs mounted straight from a file, without a loop device
    "proc-pidns": "6.17",  # a procfs of another pid namespace
    "memfd": "3.17",  # and where vm.memfd_noexec allows programs in memory
}
_taken = frozenset(name for name in os.environ.get("CRASHCART_WITHOUT", "").split(",") if name)


def may_use(feature: str) -> bool:
    """Whether a newer way may be tried; ``CRASHCART_WITHOUT=pidfd,mount-fd`` takes those two away."""
    return feature not in _taken


def is_missing(errno: int) -> bool:
    """Whether this errno says that the kernel lacks the call (ENOSYS), or that a filter hides it so."""
    return errno == 38
