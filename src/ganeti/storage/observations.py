"""What one action has seen of the machine, so that a question about many disks is asked once.

Knows no technology: a driver brings the question, a function of the machine. Whoever changes something that was asked
about says `forget`. Lives as long as one action; nothing seen outlasts it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar, cast

from ganeti.errors import NodeError
from ganeti.host.system import System

Fact = TypeVar("Fact")


class Observations:
    """Answers of one machine, each asked for once; a question that failed fails the same way again."""

    def __init__(self, system: System) -> None:
        """Know nothing yet."""
        self._system = system
        self._seen: dict[Callable[[System], object], object] = {}
        self._lock = threading.Lock()

    def of(self, look: Callable[[System], Fact]) -> Fact:
        """The answer to `look`, a function at module level. Raises: what it raises, also from memory."""
        with self._lock:
            if look not in self._seen:
                try:
                    self._seen[look] = look(self._system)
                except NodeError as err:
                    self._seen[look] = err
            seen = self._seen[look]
        if isinstance(seen, NodeError):
            raise seen
        return cast("Fact", seen)

    def forget(self, *looks: Callable[[System], object]) -> None:
        """Ask these questions again, or everything: something was changed."""
        with self._lock:
            if not looks:
                self._seen.clear()
            for look in looks:
                self._seen.pop(look, None)
