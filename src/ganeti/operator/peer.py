"""Another node's daemon, asked over its wire: mutual TLS with this node's client certificate.

Source: the 3.0 protocol. The server's certificate is checked against the cluster's; names and dates of the client's do
not matter to the other side, only whether its digest is among the accepted ones.
"""

from __future__ import annotations

import ssl
from types import TracebackType
from typing import Self

import httpx
import msgspec

from ganeti.constants import PROTOCOL_VERSION
from ganeti.errors import NodeError
from ganeti.host.paths import Paths
from ganeti.model.disk import Disk
from ganeti.model.instance import Instance

TIMEOUT_S = 900.0
CONNECT_TIMEOUT_S = 5.0


class PeerError(NodeError):
    """The other node could not be asked, or refused; when it could not, nobody knows how far the call came."""


class PeerRefusal(PeerError):
    """The other node answered that the call failed."""


class Peer:
    """The calls this door makes of another node."""

    def __init__(self, paths: Paths, address: str, port: int) -> None:
        """Prepare the connection; nothing is sent yet. Raises: OSError when this node has no certificates."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.load_verify_locations(paths.server_pem)
        context.load_cert_chain(paths.client_pem)
        host = f"[{address}]" if ":" in address else address
        self.address = address
        self._client = httpx.Client(
            base_url=f"https://{host}:{port}",
            verify=context,
            trust_env=False,
            timeout=httpx.Timeout(TIMEOUT_S, connect=CONNECT_TIMEOUT_S),
        )

    def __enter__(self) -> Self:
        """Use as a context: the connection is closed at its end."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connection."""
        self._client.close()

    def require_same_protocol(self) -> None:
        """Raises: PeerError when the other node does not answer or speaks another protocol."""
        version = self._call("version")
        if version != PROTOCOL_VERSION:
            raise PeerError(f"{self.address} speaks protocol {version}, this node {PROTOCOL_VERSION}")

    def open_disks(self, instance_name: str, disks: tuple[Disk, ...]) -> None:
        """Make the guest's disks ready there, while they are still open here."""
        self._call("blockdev_open", instance_name, disks, False)

    def close_disks(self, instance_name: str, disks: tuple[Disk, ...]) -> None:
        """End what `open_disks` began."""
        self._call("blockdev_close", instance_name, disks)

    def accept(self, instance: Instance, info: str, target: str) -> None:
        """Let it wait for the guest on its address `target`."""
        self._call("accept_instance", instance, info, target)

    def finalize(self, instance: Instance, info: str, *, success: bool) -> None:
        """Let it take the guest over for good, or end the half-received one."""
        self._call("instance_finalize_migration_dst", instance, info, success)

    def _call(self, name: str, *arguments: object) -> object:
        try:
            response = self._client.post(f"/{name}", content=msgspec.json.encode(arguments))
            response.raise_for_status()
            success, payload = msgspec.json.decode(response.content, type=tuple[bool, object])
        except (httpx.HTTPError, msgspec.MsgspecError) as err:
            raise PeerError(f"{name} on {self.address} failed: {str(err) or type(err).__name__}") from err
        if not success:
            raise PeerRefusal(f"{name} on {self.address} failed: {payload}")
        return payload
