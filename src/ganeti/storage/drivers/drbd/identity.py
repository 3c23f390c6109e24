"""Reads which device a DRBD disk is on this node: from its cluster-wide identity and what holds for this node alone.

Nothing here puts the secret into a text.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ganeti.errors import BlockDeviceError
from ganeti.host.runner import Secret
from ganeti.model.disk import Disk
from ganeti.tools.drbd.devices import HIGHEST_MINOR, LONGEST_SECRET, Device, Endpoint

LOGICAL_ID_LENGTH: Final = 6
NODE_KEYS: Final = ("local-ip", "remote-ip", "local-minor", "remote-minor")


def device_of(disk: Disk) -> Device:
    """The device of a disk. Raises: BlockDeviceError when its description makes no sense."""
    if not LOGICAL_ID_LENGTH - 1 <= len(disk.logical_id) <= LOGICAL_ID_LENGTH:
        raise _wrong(disk, "its identity has not 6 parts")
    port, secret = disk.logical_id[2], (*disk.logical_id, None)[5]
    here = disk.dynamic_params or {}
    missing = [key for key in NODE_KEYS if key not in here]
    if missing:
        raise _wrong(disk, f"nothing says what holds for this node ({', '.join(missing)} missing)")
    local, remote = _endpoint(disk, here, "local-ip", port), _endpoint(disk, here, "remote-ip", port)
    if local is not None and local == remote:
        raise _wrong(disk, f"both sides have the address {local}")
    if local is not None and remote is not None and local.family != remote.family:
        raise _wrong(disk, f"its addresses {local} and {remote} are of different families")
    return Device(minor=_minor(disk, here), local=local, remote=remote, secret=_secret(disk, secret))


def _minor(disk: Disk, here: Mapping[str, object]) -> int:
    minor = here["local-minor"]
    if not isinstance(minor, int) or isinstance(minor, bool) or not 0 <= minor <= HIGHEST_MINOR:
        raise _wrong(disk, f"{minor!r} is no minor number")
    return minor


def _endpoint(disk: Disk, here: Mapping[str, object], key: str, port: str | int | None) -> Endpoint | None:
    """None when the address or the port is not known (yet): such a device talks to nobody."""
    address = here[key]
    if address is None or port is None:
        return None
    if not isinstance(address, str) or not isinstance(port, int) or isinstance(port, bool):
        raise _wrong(disk, f"its {key} {address!r} or its port {port!r} is none")
    try:
        return Endpoint.of(address, port)
    except ValueError as err:
        raise _wrong(disk, str(err)) from err


def _secret(disk: Disk, secret: str | int | None) -> Secret | None:
    if secret is None:
        return None
    if not isinstance(secret, str) or not secret.isprintable() or not 0 < len(secret.encode()) <= LONGEST_SECRET:
        raise _wrong(disk, f"its secret is not a text of 1 to {LONGEST_SECRET} bytes")
    return Secret(secret)


def _wrong(disk: Disk, reason: str) -> BlockDeviceError:
    return BlockDeviceError(f"{disk.describe()}: {reason}")
