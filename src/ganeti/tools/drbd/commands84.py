"""Command lines for the kernel module 8.4, as drbdsetup-8.4(8) has them; tried with 8.4.11 under drbd-utils 9.22.

A newer drbdsetup finds out that the module is 8.4 and hands over to the older program, whose words these are.
The speed of a resync is given while attaching, so that not even the first one begins at another.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from ganeti.errors import BlockDeviceError
from ganeti.host.runner import Runner
from ganeti.tools.drbd import show
from ganeti.tools.drbd.commands import CommandLine, secret_words, size_words
from ganeti.tools.drbd.devices import Configuration, Device
from ganeti.tools.drbd.parameters import DrbdParameters

FORMAT: Final = ("v08", "flex-external")
"""Format of the metadata, and its place: a device of its own of any size."""

DUAL_PRIMARY_PROTOCOL: Final = "C"


def create_metadata(minor: int, metadata: Path) -> CommandLine:
    """See `Commands.create_metadata`."""
    return [*_drbdmeta(minor, metadata), "create-md"]


def add(device: Device) -> list[CommandLine]:
    """See `Commands.add`."""
    return [
        ["drbdsetup", "new-resource", device.resource],
        ["drbdsetup", "new-minor", device.resource, str(device.minor), "0"],
    ]


def attach(device: Device, data: Path, metadata: Path, size_mib: int, parameters: DrbdParameters) -> list[CommandLine]:
    """See `Commands.attach`. The activity log is applied first: without it, 8.4 attaches nothing that ran before."""
    return [
        [*_drbdmeta(device.minor, metadata), "apply-al"],
        [
            *("drbdsetup", "attach", str(device.minor), data, metadata, "flexible", "--on-io-error=detach"),
            *size_words(size_mib),
            *parameters.barrier_options(),
            *parameters.sync_options(),
            *parameters.disk_words(),
        ],
    ]


def connect(device: Device, parameters: DrbdParameters, *, dual_primary: bool) -> list[CommandLine]:
    """See `Commands.connect`."""
    if device.local is None or device.remote is None:
        raise BlockDeviceError(f"{device.path} has no addresses to connect")
    return [
        [
            *("drbdsetup", "connect", device.resource, str(device.local), str(device.remote)),
            f"--protocol={DUAL_PRIMARY_PROTOCOL if dual_primary else parameters.protocol}",
            *("--after-sb-0pri=discard-zero-changes", "--after-sb-1pri=consensus"),
            *(("--allow-two-primaries",) if dual_primary else ()),
            *secret_words(device),
            *parameters.net_words(),
        ]
    ]


def disconnect(device: Device, local: str, remote: str) -> list[CommandLine]:  # noqa: ARG001 - addresses name it here
    """See `Commands.disconnect`."""
    return [["drbdsetup", "disconnect", local, remote]]


def detach(device: Device) -> CommandLine:
    """See `Commands.detach`."""
    return ["drbdsetup", "detach", str(device.minor)]


def primary(device: Device, *, force: bool) -> CommandLine:
    """See `Commands.primary`."""
    return ["drbdsetup", "primary", str(device.minor), *(["--force"] if force else [])]


def secondary(device: Device) -> CommandLine:
    """See `Commands.secondary`."""
    return ["drbdsetup", "secondary", str(device.minor)]


def down(device: Device) -> CommandLine:
    """See `Commands.down`."""
    return ["drbdsetup", "down", device.resource]


def resize(device: Device, size_mib: int) -> CommandLine:
    """See `Commands.resize`."""
    return ["drbdsetup", "resize", str(device.minor), *size_words(size_mib)]


def pause_sync(device: Device, *, pause: bool) -> CommandLine:
    """See `Commands.pause_sync`."""
    return ["drbdsetup", "pause-sync" if pause else "resume-sync", str(device.minor)]


def configuration(runner: Runner, device: Device) -> Configuration:
    """See `Commands.configuration`."""
    return show.parse(show.run(runner, ["drbdsetup", "show", str(device.minor)]))


def _drbdmeta(minor: int, metadata: Path) -> CommandLine:
    version, place = FORMAT
    return ["drbdmeta", f"/dev/drbd{minor}", version, metadata, place]
