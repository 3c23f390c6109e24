"""Who keeps the list of guests when there is no master: the seam between actions and an embedded inventory.

With a master its configuration owns the guests and nothing is recorded here.
"""

from __future__ import annotations

from typing import Protocol

from ganeti.model.instance import Instance


class GuestRecords(Protocol):
    """Told when a guest comes to this node or leaves it by migration."""

    def arrived(self, instance: Instance) -> None:
        """The guest now lives here."""
        ...

    def left(self, instance_name: str) -> None:
        """The guest now lives on another node."""
        ...


class NoRecords:
    """The records of a node whose guests a master owns."""

    def arrived(self, instance: Instance) -> None:
        """Nothing to note."""

    def left(self, instance_name: str) -> None:
        """Nothing to note."""
