"""How one DRBD device is, in DRBD 8.4's words. What DRBD 9 calls otherwise is translated by its reader."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

UNCONFIGURED: Final = "Unconfigured"
STANDALONE: Final = "StandAlone"
WAITING: Final = "WFConnection"
CONNECTED: Final = "Connected"
PRIMARY: Final = "Primary"
SECONDARY: Final = "Secondary"
DISKLESS: Final = "Diskless"
UP_TO_DATE: Final = "UpToDate"

IN_RESYNC: Final = frozenset(
    {
        "WFReportParams",
        "StartingSyncS",
        "StartingSyncT",
        "WFBitMapS",
        "WFBitMapT",
        "WFSyncUUID",
        "SyncSource",
        "SyncTarget",
        "PausedSyncS",
        "PausedSyncT",
    }
)
"""Connection states in which a copy is being brought up to date, or is about to be. Verifying is none of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceState:
    """State of a device. Roles and disk states are None while it is unconfigured."""

    connection: str
    role: str | None = None
    peer_role: str | None = None
    disk: str | None = None
    peer_disk: str | None = None
    sync_percent: float | None = None
    """0 in a resync that gives no figures (yet); None when there is no resync."""
    seconds_left: int | None = None
    """None when it cannot be told."""
    has_peer: bool = False
    """Whether a connection object is left although nobody talks. In DRBD 8.4 it goes away by itself."""

    @property
    def is_in_use(self) -> bool:
        """Whether anything was given to it: a disk or a connection."""
        return self.connection != UNCONFIGURED

    @property
    def is_standalone(self) -> bool:
        """Whether it neither talks to the other node nor waits for it."""
        return self.connection == STANDALONE

    @property
    def is_connected(self) -> bool:
        """Whether both talk to each other and nothing is being copied."""
        return self.connection == CONNECTED

    @property
    def is_in_resync(self) -> bool:
        """Whether a copy is being brought up to date, or is about to be."""
        return self.connection in IN_RESYNC

    @property
    def is_primary(self) -> bool:
        """Whether it may be opened here."""
        return self.role == PRIMARY

    @property
    def is_secondary(self) -> bool:
        """Whether it cannot be opened here."""
        return self.role == SECONDARY

    @property
    def is_diskless(self) -> bool:
        """Whether there is no local copy."""
        return self.disk == DISKLESS

    @property
    def is_up_to_date(self) -> bool:
        """Whether the local copy is good."""
        return self.disk == UP_TO_DATE

    @property
    def is_peer_up_to_date(self) -> bool:
        """Whether the other node's copy is good."""
        return self.peer_disk == UP_TO_DATE
