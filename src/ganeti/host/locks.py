"""Exclusive locks between the programs of a node, and between the threads of this one.

They are flock locks on a file opened anew for each use. flock, because the master's own daemon holds a record lock
(fcntl) on the job queue's lock file all its life, and on Linux the two kinds do not see each other. Opened anew,
because a flock belongs to the open file: threads that shared one descriptor would exclude nobody.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Final

from ganeti.errors import LockTimeout, TimedOut
from ganeti.host.clock import Clock, TryAgain, retry

FIRST_DELAY_S: Final = 0.005
LONGEST_DELAY_S: Final = 0.1


class Lock:
    """A lock that is held until `release`, or the end of a `with`."""

    def __init__(self, path: Path, descriptor: int) -> None:
        """Take over a descriptor that has the lock on `path`."""
        self.path = path
        self.descriptor = descriptor

    def release(self) -> None:
        """Give the lock back, also when a program inherited the descriptor."""
        fcntl.flock(self.descriptor, fcntl.LOCK_UN)
        os.close(self.descriptor)

    def hand_over(self) -> None:
        """Close it here but leave the lock to the programs that inherited the descriptor: it ends with the last."""
        os.close(self.descriptor)

    def __enter__(self) -> Lock:
        """Hold it; released at the end."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Release it."""
        self.release()


def try_exclusive(path: Path, *, mode: int = 0o640) -> Lock | None:
    """Lock a file (made with `mode` when missing); None when somebody else has it.

    Raises: OSError when the file cannot be opened, ELOOP when it is a symbolic link: lock directories are often
    writable by everybody.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        is_ours = _is_still(path, descriptor)
    except BlockingIOError:
        is_ours = False
    except BaseException:
        os.close(descriptor)
        raise
    if not is_ours:
        os.close(descriptor)
        return None
    return Lock(path, descriptor)


def exclusive(path: Path, clock: Clock, *, timeout_s: float, mode: int = 0o640) -> Lock:
    """Lock a file (made with `mode` when missing), waiting up to `timeout_s`. Raises: LockTimeout; OSError."""

    def attempt() -> Lock:
        lock = try_exclusive(path, mode=mode)
        if lock is None:
            raise TryAgain
        return lock

    try:
        return retry(clock, attempt, delay_s=FIRST_DELAY_S, timeout_s=timeout_s, factor=1.5, longest_s=LONGEST_DELAY_S)
    except TimedOut as err:
        raise LockTimeout(f"{path} was locked by another process for {timeout_s:g} s") from err


def _is_still(path: Path, descriptor: int) -> bool:
    """Whether `path` is the file that was locked: a holder may remove it with its lock (the master's daemon does)."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    except FileNotFoundError:
        return False
