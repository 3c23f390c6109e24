"""Reader of what DRBD 9 tells in JSON: `drbdsetup status --json` and `drbdsetup show --json`.

UNVERIFIED ON A REAL KERNEL: this project's machines have the module 8.4. The keys are those drbd-utils 9.22 prints,
the words those of drbdsetup-9.0(8).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec
from msgspec import field

from ganeti.errors import BlockDeviceError
from ganeti.host.runner import Runner
from ganeti.tools.drbd import show, states
from ganeti.tools.drbd.devices import Configuration, Endpoint
from ganeti.tools.drbd.states import DeviceState

STATUS: Final = ("drbdsetup", "status", "--json", "--verbose", "--statistics")
SHOW: Final = ("drbdsetup", "show", "--json")

_IN_84: Final = {"Connecting": states.WAITING, "Established": states.CONNECTED, "Off": "WFReportParams"}
"""Words of 9 and what 8.4 calls the same. `Off` on a connection that stands is the moment before both compare."""


class _PeerDevice(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    volume: int
    replication_state: str
    peer_disk_state: str
    percent_in_sync: float | None = None
    percent_resync_done: float | None = None
    estimated_seconds_to_finish: float | None = None


class _Connection(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    connection_state: str
    peer_role: str = "Unknown"
    peer_devices: tuple[_PeerDevice, ...] = field(name="peer_devices", default=())


class _Device(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    volume: int
    minor: int
    disk_state: str


class _Resource(msgspec.Struct, frozen=True, kw_only=True):
    role: str
    devices: tuple[_Device, ...] = ()
    connections: tuple[_Connection, ...] = ()


def states_of_all(runner: Runner) -> dict[int, DeviceState]:
    """State of every device by its minor. Raises: CommandError, BlockDeviceError."""
    return parse_status(runner.check(STATUS).stdout)


def parse_status(text: str) -> dict[int, DeviceState]:
    """Read the text of STATUS. Raises: BlockDeviceError."""
    try:
        resources = msgspec.json.decode(text, type=list[_Resource]) if text.strip() else []
    except msgspec.MsgspecError as err:
        raise BlockDeviceError(f"DRBD's state cannot be understood: {err}") from err
    return {device.minor: _state(resource, device) for resource in resources for device in resource.devices}


def _state(resource: _Resource, device: _Device) -> DeviceState:
    if not resource.connections:
        if device.disk_state == states.DISKLESS:
            return DeviceState(connection=states.UNCONFIGURED)
        return DeviceState(
            connection=states.STANDALONE,
            role=resource.role,
            peer_role="Unknown",
            disk=device.disk_state,
            peer_disk="DUnknown",
        )
    # this project's resources have one other node
    connection = resource.connections[0]
    peer = next((one for one in connection.peer_devices if one.volume == device.volume), None)
    word = connection.connection_state
    if word == states.CONNECTED and peer is not None:
        word = peer.replication_state
    state = DeviceState(connection=_IN_84.get(word, word))
    percent, seconds = _progress(peer) if state.is_in_resync else (None, None)
    return DeviceState(
        connection=state.connection,
        role=resource.role,
        peer_role=connection.peer_role,
        disk=device.disk_state,
        peer_disk="DUnknown" if peer is None else peer.peer_disk_state,
        sync_percent=percent,
        seconds_left=seconds,
        has_peer=True,
    )


def _progress(peer: _PeerDevice | None) -> tuple[float, int | None]:
    if peer is None:
        return 0, None
    done = peer.percent_resync_done if peer.percent_resync_done is not None else peer.percent_in_sync
    seconds = peer.estimated_seconds_to_finish
    return 0 if done is None else done, None if seconds is None else round(seconds)


# Configuration -------------------------------------------------------------------------------------------------------


class _ShownVolume(msgspec.Struct, frozen=True, kw_only=True):
    device_minor: int
    backing_disk: str | None = field(name="backing-disk", default=None)
    meta_disk: str | None = field(name="meta-disk", default=None)


class _ShownHost(msgspec.Struct, frozen=True, kw_only=True):
    volumes: tuple[_ShownVolume, ...] = ()


class _ShownPath(msgspec.Struct, frozen=True, kw_only=True):
    this_host: str = field(name="_this_host")
    remote_host: str = field(name="_remote_host")


class _ShownConnection(msgspec.Struct, frozen=True, kw_only=True):
    is_standalone: bool = field(name="_is_standalone", default=False)
    path: _ShownPath | None = None


class _ShownResource(msgspec.Struct, frozen=True, kw_only=True):
    resource: str
    this_host: _ShownHost = field(name="_this_host")
    connections: tuple[_ShownConnection, ...] = ()


def configuration(runner: Runner, minor: int) -> Configuration:
    """What the kernel has for a minor. Raises: CommandError, BlockDeviceError; neither has the secret."""
    return parse_show(show.run(runner, SHOW), minor)


def parse_show(text: str, minor: int) -> Configuration:
    """Read the text of SHOW. Raises: BlockDeviceError, which tells none of it."""
    try:
        resources = msgspec.json.decode(text, type=list[_ShownResource]) if text.strip() else []
        found = _find(resources, minor)
        if found is None:
            return Configuration()
        resource, volume = found
        path = next((one.path for one in resource.connections if not one.is_standalone), None)
        return Configuration(
            resource=resource.resource,
            data=None if volume.backing_disk in (None, "none") else Path(str(volume.backing_disk)),
            metadata=None if volume.meta_disk is None else Path(volume.meta_disk),
            local=None if path is None else _endpoint(path.this_host),
            remote=None if path is None else _endpoint(path.remote_host),
        )
    except (msgspec.MsgspecError, ValueError):
        # not chained: the cause might show words of the text
        raise BlockDeviceError("DRBD's configuration cannot be understood") from None


def _find(resources: Sequence[_ShownResource], minor: int) -> tuple[_ShownResource, _ShownVolume] | None:
    for resource in resources:
        for volume in resource.this_host.volumes:
            if volume.device_minor == minor:
                return resource, volume
    return None


def _endpoint(text: str) -> Endpoint:
    """`ipv4:10.0.0.1:7788` or `ipv6:[fd00::1]:7788`."""
    host, _, port = text.partition(":")[2].rpartition(":")
    return Endpoint.of(host.removeprefix("[").removesuffix("]"), int(port))
