"""Command lines for the kernel module 9, as drbdsetup-9.0(8) has them.

UNVERIFIED ON A REAL KERNEL: this project's machines have the module 8.4. What is known for sure is what the man page
says, that drbd-utils 9.22 understands these words, and that its drbdmeta makes and reads such metadata.

Other than in 8.4: nodes of a resource have numbers, the connection is an object with options of its own that outlives
the talking, roles belong to resources, and the speed of a resync belongs to the connection. Both nodes have to come to
the same numbers without asking each other: the one with the lower address is 0.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from ganeti.errors import BlockDeviceError
from ganeti.host.runner import Runner
from ganeti.tools.drbd import status9
from ganeti.tools.drbd.commands import CommandLine, secret_words, size_words
from ganeti.tools.drbd.devices import Configuration, Device
from ganeti.tools.drbd.parameters import DrbdParameters

FORMAT: Final = ("v09", "flex-external")
HIGHEST_PEER_COUNT: Final = "1"
"""For how many other nodes the metadata has room."""

DUAL_PRIMARY_PROTOCOL: Final = "C"


def create_metadata(minor: int, metadata: Path) -> CommandLine:
    """See `Commands.create_metadata`."""
    return [*_drbdmeta(minor, metadata), "create-md", HIGHEST_PEER_COUNT]


def add(device: Device) -> list[CommandLine]:
    """See `Commands.add`. Without the option, whoever opens the device would make this node its primary."""
    return [
        ["drbdsetup", "new-resource", device.resource, str(node_id(device)), "--auto-promote=no"],
        ["drbdsetup", "new-minor", device.resource, str(device.minor), "0"],
    ]


def attach(device: Device, data: Path, metadata: Path, size_mib: int, parameters: DrbdParameters) -> list[CommandLine]:
    """See `Commands.attach`."""
    return [
        [*_drbdmeta(device.minor, metadata), "apply-al"],
        [
            *("drbdsetup", "attach", str(device.minor), data, metadata, "flexible", "--on-io-error=detach"),
            *size_words(size_mib),
            *parameters.barrier_options(),
            *parameters.disk_words(),
        ],
    ]


def connect(device: Device, parameters: DrbdParameters, *, dual_primary: bool) -> list[CommandLine]:
    """See `Commands.connect`."""
    if device.local is None or device.remote is None:
        raise BlockDeviceError(f"{device.path} has no addresses to connect")
    peer = [device.resource, str(1 - node_id(device))]
    return [
        [
            *("drbdsetup", "new-peer", *peer),
            f"--protocol={DUAL_PRIMARY_PROTOCOL if dual_primary else parameters.protocol}",
            *("--after-sb-0pri=discard-zero-changes", "--after-sb-1pri=consensus"),
            *(("--allow-two-primaries=yes",) if dual_primary else ()),
            *secret_words(device),
            *parameters.net_words(),
        ],
        ["drbdsetup", "new-path", *peer, str(device.local), str(device.remote)],
        ["drbdsetup", "peer-device-options", *peer, "0", *parameters.sync_options()],
        ["drbdsetup", "connect", *peer],
    ]


def disconnect(device: Device, local: str, remote: str) -> list[CommandLine]:  # noqa: ARG001 - a number names it here
    """See `Commands.disconnect`."""
    peer = [device.resource, str(1 - node_id(device))]
    return [["drbdsetup", "disconnect", *peer], ["drbdsetup", "del-peer", *peer]]


def detach(device: Device) -> CommandLine:
    """See `Commands.detach`."""
    return ["drbdsetup", "detach", str(device.minor)]


def primary(device: Device, *, force: bool) -> CommandLine:
    """See `Commands.primary`."""
    return ["drbdsetup", "primary", device.resource, *(["--force"] if force else [])]


def secondary(device: Device) -> CommandLine:
    """See `Commands.secondary`."""
    return ["drbdsetup", "secondary", device.resource]


def down(device: Device) -> CommandLine:
    """See `Commands.down`."""
    return ["drbdsetup", "down", device.resource]


def resize(device: Device, size_mib: int) -> CommandLine:
    """See `Commands.resize`."""
    return ["drbdsetup", "resize", str(device.minor), *size_words(size_mib)]


def pause_sync(device: Device, *, pause: bool) -> CommandLine:
    """See `Commands.pause_sync`."""
    return [
        *("drbdsetup", "pause-sync" if pause else "resume-sync"),
        *(device.resource, str(1 - node_id(device)), "0"),
    ]


def configuration(runner: Runner, device: Device) -> Configuration:
    """See `Commands.configuration`."""
    return status9.configuration(runner, device.minor)


def node_id(device: Device) -> int:
    """This node's number in the resource: 0 for the lower address, also as long as there are no addresses."""
    if device.local is None or device.remote is None:
        return 0
    ours, theirs = device.local, device.remote
    return int((ours.address.packed, ours.port) > (theirs.address.packed, theirs.port))


def _drbdmeta(minor: int, metadata: Path) -> CommandLine:
    version, place = FORMAT
    return ["drbdmeta", f"/dev/drbd{minor}", version, metadata, place]
