"""The wire's table: one row a call. Nothing else in the tree knows a call's name.

A row joins a name to an action (or to a short adapter in this door where the wire's form differs). The annotations of
its parameters after the node are the schema of the arguments.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum


class Lane(Enum):
    """Which threads a call runs on, so that a day-long call never starves a short one."""

    SHORT = "short"
    LONG = "long"


@dataclass(frozen=True, slots=True)
class Call:
    """One row: `shared` lets identical questions in flight share one answer (read-only calls alone)."""

    name: str
    action: Callable[..., object]
    lane: Lane = Lane.SHORT
    shared: bool = False
