"""Connecting a DRBD device to the other node, and ending that, with the waiting it takes."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from ganeti.errors import BlockDeviceError, CommandError, TimedOut
from ganeti.host.clock import TryAgain, retry
from ganeti.host.system import System
from ganeti.tools.drbd.commands import Commands, run
from ganeti.tools.drbd.devices import Configuration, Device
from ganeti.tools.drbd.parameters import DrbdParameters
from ganeti.tools.drbd.states import DeviceState

log = logging.getLogger(__name__)

CONNECT_DELAY_S: Final = 1.0
CONNECT_TIMEOUT_S: Final = 10.0
DISCONNECT_DELAY_S: Final = 0.1
DISCONNECT_FACTOR: Final = 1.5
DISCONNECT_LONGEST_S: Final = 2.0
DISCONNECT_TIMEOUT_S: Final = 60.0
DISCONNECT_LONG_S: Final = 15.0


def connect(
    system: System, commands: Commands, device: Device, parameters: DrbdParameters, *, dual_primary: bool
) -> None:
    """Give a device its addresses; return before the other node answers.

    The kernel takes back addresses it cannot use without a word (8.4.11), hence the question afterwards.
    Raises: BlockDeviceError, CommandError.
    """
    for argv in commands.connect(device, parameters, dual_primary=dual_primary):
        run(system.runner, argv)

    def check() -> None:
        present = commands.configuration(system.runner, device)
        if (present.local, present.remote) != (device.local, device.remote):
            raise TryAgain

    try:
        retry(system.clock, check, delay_s=CONNECT_DELAY_S, timeout_s=CONNECT_TIMEOUT_S)
    except TimedOut as err:
        raise BlockDeviceError(f"{device.path} does not keep its addresses {device.local} and {device.remote}") from err


def disconnect(system: System, commands: Commands, device: Device, state: Callable[[], DeviceState]) -> None:
    """End the connection and wait until that is so. Raises: BlockDeviceError when it is not within 60 s."""
    began = system.clock.monotonic()
    worked: list[bool] = []

    def attempt() -> None:
        now = state()
        if now.is_standalone and not now.has_peer:
            return
        worked.append(end_connection(system, commands, device))
        if not state().is_standalone:
            raise TryAgain

    try:
        retry(
            system.clock,
            attempt,
            delay_s=DISCONNECT_DELAY_S,
            factor=DISCONNECT_FACTOR,
            longest_s=DISCONNECT_LONGEST_S,
            timeout_s=DISCONNECT_TIMEOUT_S,
        )
    except TimedOut as err:
        what = "did not react to being disconnected" if any(worked) else "could not be disconnected"
        raise BlockDeviceError(f"{device.path} {what} within {DISCONNECT_TIMEOUT_S:g} s") from err
    took = system.clock.monotonic() - began
    if took > DISCONNECT_LONG_S:
        log.info("Disconnecting %s took %.0f s", device.path, took)


def end_connection(system: System, commands: Commands, device: Device, present: Configuration | None = None) -> bool:
    """Tell a device to end its connection, by the addresses it has if they are not its own; say whether it did.

    All steps are tried: DRBD 9 has one more, which is what is left when the connection has ended by itself.
    """
    has = present or Configuration(local=device.local, remote=device.remote)
    worked = False
    for argv in commands.disconnect(device, str(has.local), str(has.remote)):
        try:
            run(system.runner, argv)
        except CommandError as err:
            log.info("%s was not disconnected: %s", device.path, err)
        else:
            worked = True
    return worked
