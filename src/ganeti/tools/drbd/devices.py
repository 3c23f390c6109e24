"""One DRBD device and what it was given: numbers, addresses, backing devices. The secret never shows."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Final

from ganeti.host.runner import Secret

MAJOR: Final = 147
"""Device major number of DRBD (Linux, Documentation/admin-guide/devices.txt)."""

HIGHEST_MINOR: Final = 2**20 - 1
"""The kernel's limit; the module's parameter minor_count is none since DRBD 8.4 (tried with 8.4.11)."""

LONGEST_SECRET: Final = 63
"""Bytes; 8.4.11 answers "invalid attribute value" to a longer one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where one side of a connection listens."""

    address: IPv4Address | IPv6Address
    port: int

    @classmethod
    def of(cls, address: str, port: int) -> Endpoint:
        """Read an address. Raises: ValueError when it is no IP address or the port is out of range."""
        if not 0 < port < 2**16:
            raise ValueError(f"{port} is no port")
        return cls(address=ip_address(address), port=port)

    @property
    def family(self) -> str:
        """DRBD's name of the address family."""
        return f"ipv{self.address.version}"

    def __str__(self) -> str:
        # 8.4 guesses what an IPv6 address without brackets means, and says so
        host = f"[{self.address}]" if self.address.version == 6 else str(self.address)
        return f"{self.family}:{host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """What is to be: a device which this node shares with one other. Without both addresses it talks to nobody."""

    minor: int
    local: Endpoint | None = None
    remote: Endpoint | None = None
    secret: Secret | None = field(default=None, repr=False)

    @property
    def resource(self) -> str:
        """Its resource, which has no other volume."""
        return f"resource{self.minor}"

    @property
    def path(self) -> Path:
        """Its device node."""
        return Path(f"/dev/drbd{self.minor}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """What is: the devices and addresses the kernel has for a minor. None: it has none."""

    resource: str | None = None
    data: Path | None = None
    metadata: Path | None = None
    metadata_index: int | None = None
    """None for a layout of variable size."""
    local: Endpoint | None = None
    remote: Endpoint | None = None
