"""User ids of the cluster's pool, so that each guest's QEMU runs as a user of its own (security model `pool`).

A file named by the number marks an id as taken; a lock on it holds it until QEMU runs. Source: Ganeti 3.0.2, whose
daemon uses the same files.
"""

from __future__ import annotations

import pwd
import random
from pathlib import Path
from types import TracebackType
from typing import Final

from ganeti.errors import HypervisorError
from ganeti.host import files, locks
from ganeti.host.locks import Lock
from ganeti.host.system import System

DIRECTORY_MODE: Final = 0o755


class PooledUid:
    """A user id taken, given back at the end of a `with` unless it was kept for a guest that runs."""

    def __init__(self, number: int, user: str, lock: Lock) -> None:
        """Take over a locked number."""
        self.number = number
        self.user = user
        self._lock = lock
        self._kept = False

    def keep(self) -> None:
        """The guest runs: its processes mark the id as taken from now on."""
        self._kept = True

    def __enter__(self) -> PooledUid:
        """Use it."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Unlock it; without `keep` it is free again."""
        if not self._kept:
            files.remove(self._lock.path)
        self._lock.release()


class UidPool:
    """The ids of this cluster on this node."""

    def __init__(self, system: System) -> None:
        """Remember the machine."""
        self._system = system
        self._directory = system.paths.run_dir / "uid-pool"

    def take(self) -> PooledUid:
        """A free id, preferably one that was not used before. Raises: HypervisorError when there is none."""
        files.ensure_directory(self._directory, DIRECTORY_MODE)
        candidates = self._numbers()
        random.shuffle(candidates)  # two nodes' daemons would otherwise always try the same first
        candidates.sort(key=lambda number: self._file(number).exists())
        for number in candidates:
            lock = locks.try_exclusive(self._file(number))
            if lock is None:
                continue
            if self._in_use(number):
                lock.release()
                continue
            return PooledUid(number, self._user(number, lock), lock)
        raise HypervisorError("no user id of the cluster's pool is free on this node")

    def release(self, number: int) -> None:
        """Make an id free again."""
        files.remove(self._file(number))

    def _file(self, number: int) -> Path:
        return self._directory / str(number)

    def _numbers(self) -> list[int]:
        """The pool: one range or number a line. Raises: HypervisorError."""
        path = self._system.paths.ssconf("uid_pool")
        try:
            lines = files.significant_lines(files.read_text(path))
        except FileNotFoundError:
            return []
        numbers: list[int] = []
        for line in lines:
            low, dash, high = line.partition("-")
            try:
                numbers += range(int(low), int(high if dash else low) + 1)
            except ValueError as err:
                raise HypervisorError(f"{path} has a line that is no range of user ids: {line!r}") from err
        return numbers

    def _in_use(self, number: int) -> bool:
        # 0: there are processes of that user, 1: there are none; anything else is a failure of the program
        result = self._system.runner.run(["pgrep", "-u", str(number)])
        if result.exit_code not in (0, 1):
            result.raise_if_failed()
        return result.exit_code == 0

    @staticmethod
    def _user(number: int, lock: Lock) -> str:
        try:
            return pwd.getpwuid(number).pw_name
        except KeyError:
            files.remove(lock.path)
            lock.release()
            raise HypervisorError(f"user id {number} of the cluster's pool has no user on this node") from None
