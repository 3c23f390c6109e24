"""Reader of /proc/drbd: the module's version and, up to DRBD 8.4, the state of every device.

Source: observed with 8.4.11; the layouts of 8.0 to 8.3 are read too, so that an old module is told from no module.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ganeti.errors import BlockDeviceError
from ganeti.host.printable import safe
from ganeti.host.runner import Runner
from ganeti.tools.drbd.states import IN_RESYNC, UNCONFIGURED, DeviceState

STATUS_FILE: Final = Path("/proc/drbd")

_VERSION: Final = re.compile(
    r"version: (?P<major>\d+)\.(?P<minor>\d+)\.(?P<point>\d+)(?:[.-](?P<fix>[0-9A-Za-z.]+))?"
    r" \(api:(?P<api>\d+)/proto:(?P<proto>\d+)(?:-(?P<proto2>\d+))?\)"
)
_RECORD: Final = re.compile(r"\s*(\d+):\s*cs:\w")
_UNUSED: Final = re.compile(r"\s*\d+:\s*cs:Unconfigured\s*")
_STATE: Final = re.compile(
    r"\s*\d+:\s*cs:(?P<connection>\w+)\s+(?:st|ro):(?P<role>\w+)/(?P<peer_role>\w+)"
    r"\s+ds:(?P<disk>\w+)/(?P<peer_disk>\w+)\s.*"
)
# Linux 2.6.39 prints the unit of the amount directly before "finish:"
_PROGRESS: Final = re.compile(
    r"sync'ed:\s*(?P<percent>\d+(?:\.\d+)?)%.*(?:\s|M)finish: (?P<h>\d+):(?P<m>\d+):(?P<s>\d+)\s"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """A kernel module's version and the range of wire protocols it speaks."""

    major: int
    minor: int
    point: int
    fix: str | None = None
    api: int
    protocol: int
    highest_protocol: int | None = None
    """None when it speaks a single one."""

    def __str__(self) -> str:
        text = f"{self.major}.{self.minor}.{self.point}"
        return text if self.fix is None else f"{text}-{self.fix}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """What the file says. `records` has the lines of each device joined to one, in the file's order."""

    version: Version
    records: Mapping[int, str]

    def used(self) -> list[int]:
        """Minors which have a disk or a connection."""
        return [minor for minor, record in self.records.items() if _UNUSED.fullmatch(record) is None]

    def state(self, minor: int) -> DeviceState | None:
        """State of a device; None when it is not listed. Raises: BlockDeviceError for a line not understood."""
        record = self.records.get(minor)
        return None if record is None else state_of(record)


def read(runner: Runner) -> Status:
    """Ask the kernel. Raises: BlockDeviceError, also when the module is not loaded."""
    try:
        text = runner.read(STATUS_FILE)
    except FileNotFoundError as err:
        raise BlockDeviceError(f"{STATUS_FILE} does not exist: the kernel module drbd is not loaded") from err
    except OSError as err:
        raise BlockDeviceError(f"cannot read {STATUS_FILE}: {err.strerror}") from err
    return parse(text)


def parse(text: str) -> Status:
    """Read the file's text. Raises: BlockDeviceError when its first line gives no version."""
    first, _, rest = text.partition("\n")
    return Status(version=version_of(first), records=dict(_records(rest)))


def version_of(line: str) -> Version:
    """Read the version line. Raises: BlockDeviceError."""
    match = _VERSION.fullmatch(line.strip())
    if match is None:
        raise BlockDeviceError(f"the first line of {STATUS_FILE} gives no version: {safe(line)!r}")
    return Version(
        major=int(match["major"]),
        minor=int(match["minor"]),
        point=int(match["point"]),
        fix=match["fix"],
        api=int(match["api"]),
        protocol=int(match["proto"]),
        highest_protocol=None if match["proto2"] is None else int(match["proto2"]),
    )


def state_of(record: str) -> DeviceState:
    """Read the joined lines of one device. Raises: BlockDeviceError."""
    if _UNUSED.fullmatch(record):
        return DeviceState(connection=UNCONFIGURED)
    match = _STATE.fullmatch(record + " ")
    if match is None:
        raise BlockDeviceError(f"a line of {STATUS_FILE} cannot be understood: {safe(record)!r}")
    connection = match["connection"]
    percent: float | None = 0 if connection in IN_RESYNC else None
    seconds = None
    progress = _PROGRESS.search(record + " ")
    if progress is not None:
        percent = float(progress["percent"])
        seconds = int(progress["h"]) * 3600 + int(progress["m"]) * 60 + int(progress["s"])
    return DeviceState(
        connection=connection,
        role=match["role"],
        peer_role=match["peer_role"],
        disk=match["disk"],
        peer_disk=match["peer_disk"],
        sync_percent=percent,
        seconds_left=seconds,
    )


def _records(text: str) -> Iterator[tuple[int, str]]:
    minor, lines = -1, list[str]()
    for line in text.split("\n"):
        start = _RECORD.match(line)
        if start is not None:
            if lines:
                yield minor, " ".join(lines)
            minor, lines = int(start[1]), [line.rstrip()]
        elif lines and line.strip():
            lines.append(line.strip())
    if lines:
        yield minor, " ".join(lines)
