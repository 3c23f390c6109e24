"""The network of a lab of machines: a namespace with two bridges, a port on each for every machine.

`lan` is what the machines have among themselves and may be cut; over `ctl` the lab reaches them always. Nothing of the
machine's own network is in there, so all labs use the same addresses. It must not know what a machine is.
"""

from __future__ import annotations

import ctypes
import os
import socket
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.processes import run

_LAN = "10.98.0"
_CTL = "10.97.0"
_HOST = 254
LARGEST_NUMBER = 250
_CLONE_NEWNET = 0x40000000


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineNetwork:
    """A lab's network, a namespace of this name."""

    namespace: str

    @property
    def lan_host(self) -> str:
        """Address of the host on `lan`."""
        return f"{_LAN}.{_HOST}"

    @property
    def ctl_host(self) -> str:
        """Address of the host on `ctl`."""
        return f"{_CTL}.{_HOST}"

    def make(self) -> None:
        """Make it. Raises: LabError."""
        run(["ip", "netns", "add", self.namespace])
        lines = ["link set lo up"]
        for bridge, address in (("lan", self.lan_host), ("ctl", self.ctl_host)):
            lines += [
                f"link add {bridge} type bridge",
                f"addr add {address}/16 dev {bridge}",
                f"link set {bridge} up",
            ]
        self._ip(lines)

    def inside(self, argv: Sequence[str]) -> list[str]:
        """Return the command line which runs `argv` in this network."""
        return ["ip", "netns", "exec", self.namespace, *argv]

    def add(self, port: Port) -> None:
        """Give a machine its wires."""
        self._ip(
            line
            for wire in ("ctl", "lan")
            for line in (
                f"tuntap add dev {port.tap(wire)} mode tap",
                f"link set {port.tap(wire)} master {wire} up",
            )
        )

    def remove(self, port: Port) -> None:
        """Take a machine's wires away."""
        self._ip(f"link del {port.tap(wire)}" for wire in ("ctl", "lan"))

    def set_lan(self, port: Port, *, up: bool) -> None:
        """Let packets of a machine's `lan` through, or lose them; the machine is not told."""
        self._ip([f"link set {port.tap('lan')} {'up' if up else 'down'}"])

    def listen(self) -> socket.socket:
        """Listen on a free port of the host's address on `ctl`."""
        listener = self.socket()
        listener.bind((self.ctl_host, 0))
        listener.listen(64)
        return listener

    def connect(self, address: str, port: int, timeout_s: float = 30.0) -> socket.socket:
        """Connect to a machine; a connection whose other end is gone breaks after a minute. Raises: OSError."""
        connection = self.socket()
        try:
            connection.settimeout(timeout_s)
            connection.connect((address, port))
        except OSError:
            connection.close()
            raise
        connection.settimeout(None)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in ((socket.TCP_KEEPIDLE, 20), (socket.TCP_KEEPINTVL, 10), (socket.TCP_KEEPCNT, 4)):
            connection.setsockopt(socket.IPPROTO_TCP, option, value)
        return connection

    def socket(self) -> socket.socket:
        """Return a TCP socket of this network. Raises: OSError."""
        made: list[socket.socket] = []
        failures: list[OSError] = []

        def make() -> None:
            try:
                _enter(Path("/run/netns", self.namespace))
                made.append(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
            except OSError as err:
                failures.append(err)

        # A socket stays in the network it was made in, and a network is an attribute of a thread: only this one moves.
        thread = threading.Thread(target=make)
        thread.start()
        thread.join()
        if failures:
            raise failures[0]
        return made[0]

    def _ip(self, lines: Iterable[str]) -> None:
        run(["ip", "-n", self.namespace, "-batch", "-"], stdin="".join(f"{line}\n" for line in lines))


@dataclass(frozen=True, slots=True, kw_only=True)
class Port:
    """Where a machine is plugged in: its number from 1 on gives addresses, hardware addresses and device names."""

    number: int

    @property
    def lan(self) -> str:
        """Address on `lan`."""
        return f"{_LAN}.{self.number}"

    @property
    def ctl(self) -> str:
        """Address on `ctl`."""
        return f"{_CTL}.{self.number}"

    def tap(self, wire: str) -> str:
        """Name of the device that is the host's end of a wire."""
        return f"{wire}{self.number}"

    def mac(self, wire: str) -> str:
        """Hardware address of the machine's end of a wire."""
        return f"52:54:{'01' if wire == 'ctl' else '02'}:00:00:{self.number:02x}"


def _enter(namespace: Path) -> None:
    """Move this thread into a network namespace. Raises: OSError."""
    descriptor = os.open(namespace, os.O_RDONLY)
    try:
        if ctypes.CDLL(None, use_errno=True).setns(descriptor, _CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f"cannot enter {namespace}")
    finally:
        os.close(descriptor)
