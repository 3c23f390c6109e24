"""Keeping this process in memory, so that it can still turn the node off when its disks are broken."""

from __future__ import annotations

import os

from ganeti.errors import NodeError

MCL_CURRENT = 1
MCL_FUTURE = 2
MCL_ONFAULT = 4


def lock_memory() -> None:
    """Lock what this process has and will have in memory, each page when it is first used. Raises: NodeError.

    Without "when first used" every thread's stack and every reserved range would be filled at once.
    A fork does not inherit the lock.
    """
    # Loading ctypes takes 5 ms and 1 MiB; who does not lock memory does not pay for it.
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) != 0:
        raise NodeError(f"cannot lock memory: {os.strerror(ctypes.get_errno())}")
