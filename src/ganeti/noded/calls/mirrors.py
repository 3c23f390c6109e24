"""Calls about disks that have a copy on another node."""

from __future__ import annotations

from ganeti.noded.table import Call

CALLS: tuple[Call, ...] = ()
