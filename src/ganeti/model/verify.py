"""What the master asks a node to verify: a key that is there is asked for, also when its value is null.

Keys unknown here are passed over, as 3.0.2 does.
"""

from __future__ import annotations

import msgspec
from msgspec import UNSET, UnsetType

from ganeti.model.base import Parameters

Names = tuple[str, ...]


class SshKeyHolder(msgspec.Struct, frozen=True, array_like=True):
    """A node in the check of the ssh set-up."""

    uuid: str
    name: str
    is_candidate: bool
    is_potential_candidate: bool
    is_online: bool


class VerifyRequest(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """The questions. `object` stands for a value nobody looks at."""

    hypervisor: Names | UnsetType = UNSET
    hvparms: tuple[tuple[str, str, Parameters], ...] | UnsetType = UNSET
    filelist: Names | UnsetType = UNSET
    client_cert: object = UNSET
    ssh_setup: tuple[tuple[SshKeyHolder, ...] | None, str] | UnsetType = UNSET
    ssh_clutter: object = UNSET
    nodelist: tuple[Names, dict[str, Names], Names] | UnsetType = UNSET
    """Nodes to reach by ssh, further ones by the name of the asking node, master candidates."""
    node_net_test: tuple[tuple[tuple[str, str, str], ...], Names] | UnsetType = UNSET
    """Name, primary and secondary address of every node; master candidates."""
    master_ip: tuple[str, str, Names] | UnsetType = UNSET
    """Name and address of the master; master candidates."""
    user_scripts: Names | UnsetType = UNSET
    oob_paths: Names | UnsetType = UNSET
    lvlist: object = UNSET
    instancelist: Names | UnsetType = UNSET
    vglist: object = UNSET
    pvlist: Names | UnsetType = UNSET
    exclusive_pvs: object = UNSET
    version: object = UNSET
    hvinfo: str | UnsetType = UNSET
    drbd_version: object = UNSET
    drbd_list: object = UNSET
    drbd_helper: object = UNSET
    nodesetup: object = UNSET
    time: object = UNSET
    oslist: object = UNSET
    bridges: Names | UnsetType = UNSET
    allowed_file_storage_paths: str | UnsetType = UNSET
    file_storage_path: str | UnsetType = UNSET
    shared_file_storage_path: str | UnsetType = UNSET
    nonvmnodes: Names = ()
    """Nodes that run no guests: questions about guests are not answered there."""
