"""Compares what the kernel has for a minor with what it should have: is it ours, and what is missing?"""

from __future__ import annotations

from enum import Enum
from pathlib import Path

from ganeti.tools.drbd.devices import Configuration, Device


class Match(Enum):
    """How one side of a device, its disks or its addresses, is."""

    SAME = "same"
    ABSENT = "absent"
    OTHER = "other"


Backing = tuple[Path, Path]
"""Data and metadata device."""


def local_match(present: Configuration, wanted: Backing | None) -> Match:
    """The disks. Without any wanted, none is the same."""
    if present.data is None and present.metadata is None:
        return Match.SAME if wanted is None else Match.ABSENT
    is_same = (present.data, present.metadata) == wanted and present.metadata_index in (None, 0)
    return Match.SAME if is_same else Match.OTHER


def network_match(present: Configuration, wanted: Device, *, has_peer: bool) -> Match:
    """The addresses; `has_peer` says that a connection is left that talks to nobody."""
    has_addresses = present.local is not None or present.remote is not None
    if wanted.local is None or wanted.remote is None:
        return Match.OTHER if has_addresses else Match.SAME
    if not has_addresses:
        return Match.OTHER if has_peer else Match.ABSENT
    return Match.SAME if (present.local, present.remote) == (wanted.local, wanted.remote) else Match.OTHER


def foreign(present: Configuration, device: Device, wanted: Backing | None) -> str | None:
    """Why what the kernel has under our minor is somebody else's; None when nothing says so."""
    if present.resource not in (None, device.resource):
        return f"{device.path} belongs to the resource {present.resource}"
    is_other = wanted is not None and local_match(present, wanted) is Match.OTHER
    if is_other and network_match(present, device, has_peer=False) is not Match.SAME:
        return f"{device.path} is in use with other disks ({present.data}, {present.metadata})"
    return None
