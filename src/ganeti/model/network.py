"""A network of the cluster and a guest's interface in it."""

from __future__ import annotations

from ganeti.model.base import Model, Parameters, Tagged


class Network(Tagged, frozen=True, kw_only=True):
    """An IP network; `network` and `network6` are CIDR texts, the reservation maps are strings of 0 and 1."""

    name: str | None = None
    mac_prefix: str | None = None
    network: str | None = None
    gateway: str | None = None
    network6: str | None = None
    gateway6: str | None = None
    reservations: str | None = None
    ext_reservations: str | None = None
    network_type: str | None = None
    family: int | None = None

    def environment(self, prefix: str = "") -> dict[str, str]:
        """Variables `<prefix>NETWORK_*` that hooks, interface and operating system scripts get."""
        optional = {
            "NETWORK_SUBNET": self.network,
            "NETWORK_GATEWAY": self.gateway,
            "NETWORK_SUBNET6": self.network6,
            "NETWORK_GATEWAY6": self.gateway6,
            "NETWORK_MAC_PREFIX": self.mac_prefix,
        }
        always = {
            "NETWORK_NAME": self.name or "",
            "NETWORK_UUID": self.uuid or "",
            "NETWORK_TAGS": " ".join(self.tags or ()),
        }
        return {f"{prefix}{key}": value for key, value in (always | optional).items() if value is not None}


class Nic(Model, frozen=True, kw_only=True):
    """A guest's network interface.

    `nicparams` holds mode (`bridged`, `routed`, `openvswitch`), link and, in 3.0, vlan; `network` is the UUID of the
    network, whose whole object is `netinfo`. `hvinfo` is the hypervisor's name and place of the device.
    """

    mac: str
    ip: str | None = None
    network: str | None = None
    nicparams: Parameters | None = None
    netinfo: Network | None = None
    name: str | None = None
    uuid: str | None = None
    pci: int | None = None
    hvinfo: dict[str, str | int] | None = None

    @property
    def mode(self) -> str:
        """How the interface is joined to the node's network."""
        return str((self.nicparams or {}).get("mode") or "bridged")

    @property
    def link(self) -> str:
        """The bridge, switch or routing table; empty when there is none."""
        return str((self.nicparams or {}).get("link") or "")


class MasterNetworkParameters(Model, frozen=True, kw_only=True):
    """The master's address: `netmask` is a prefix length, `ip_family` 2 (IPv4) or 10 (IPv6)."""

    ip: str
    netmask: int
    netdev: str
    ip_family: int
    uuid: str | None = None
    name: str | None = None
