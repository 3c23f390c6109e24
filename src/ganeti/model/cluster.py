"""Cluster objects that reach a node only beside a guest (console calls), and facts a node reports of itself."""

from __future__ import annotations

from ganeti.model.base import Model, Parameters, Tagged


class ClusterNode(Tagged, frozen=True, kw_only=True):
    """A node in the master's configuration."""

    name: str
    primary_ip: str | None = None
    secondary_ip: str | None = None
    master_candidate: bool | None = None
    offline: bool | None = None
    drained: bool | None = None
    group: str | None = None
    master_capable: bool | None = None
    vm_capable: bool | None = None
    powered: bool | None = None
    ndparams: Parameters | None = None
    hv_state: dict[str, Parameters] | None = None
    hv_state_static: dict[str, Parameters] | None = None
    disk_state: dict[str, dict[str, Parameters]] | None = None
    disk_state_static: dict[str, dict[str, Parameters]] | None = None


class NodeGroup(Tagged, frozen=True, kw_only=True):
    """A group of nodes; its `ndparams` are complete and a node's own are laid over them."""

    name: str
    members: tuple[str, ...] | None = None
    ndparams: Parameters | None = None
    diskparams: dict[str, Parameters] | None = None
    ipolicy: dict[str, object] | None = None
    hv_state_static: dict[str, Parameters] | None = None
    disk_state_static: dict[str, dict[str, Parameters]] | None = None
    alloc_policy: str | None = None
    networks: dict[str, Parameters] | None = None

    def ssh_port(self, node: ClusterNode) -> int | None:
        """Port of the node's ssh daemon; None when neither the node nor the group says."""
        merged = {**(self.ndparams or {}), **(node.ndparams or {})}
        port = merged.get("ssh_port")
        return int(port) if port is not None else None


class HypervisorFacts(Model, frozen=True, kw_only=True):
    """What a hypervisor says of the node: memory in MiB. The master accepts no other key."""

    memory_total: int
    memory_free: int
    memory_dom0: int
    cpu_total: int
    cpu_nodes: int
    cpu_sockets: int
    cpu_dom0: int
    memory_hv: int | None = None
    hv_version: tuple[int, ...] | None = None


class StorageUnit(Model, frozen=True, kw_only=True):
    """Space of one storage unit in MiB; None when it cannot be told."""

    type: str
    name: str
    storage_free: int | None
    storage_size: int | None
