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


def obstacle(present: Configuration, device: Device, local: Match, net: Match) -> str | None:
    """Why what is there cannot become what is wanted; None when it can.

    Other addresses are only given up by a device that has our disks: without them nothing says that it is ours.
    """
    if present.resource not in (None, device.resource):
        return f"{device.path} belongs to the resource {present.resource}"
    if local is Match.OTHER:
        return f"{device.path} is in use with other disks ({present.data}, {present.metadata})"
    if net is Match.OTHER and present.data is None:
        return f"{device.path} is in use with other addresses ({present.local}, {present.remote})"
    return None


def foreign(present: Configuration, device: Device, wanted: Backing | None) -> str | None:
    """Why what the kernel has under our minor is somebody else's; None when nothing says so.

    Our addresses or our disks make it ours: after an interruption or a change of an address not both need be.
    """
    local = Match.SAME if wanted is None else local_match(present, wanted)
    net = network_match(present, device, has_peer=False)
    reason = obstacle(present, device, local, Match.SAME)
    return None if present.resource == device.resource and net is Match.SAME else reason
