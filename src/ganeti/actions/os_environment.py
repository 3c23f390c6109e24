"""The environment of operating system scripts: the only input they get.

Source: the script interface of API versions 10 to 20 as 3.0.2 fills it. Knows no script and starts nothing.
"""

from __future__ import annotations

from collections.abc import Mapping

from ganeti.actions import os_definitions
from ganeti.actions.node import Node
from ganeti.constants import SCRIPT_PATH
from ganeti.model.disk import Disk, DiskMode, DiskType
from ganeti.model.instance import Instance
from ganeti.model.network import Nic
from ganeti.model.os import OperatingSystem, split_variant
from ganeti.storage import tree
from ganeti.storage.base import BlockDevice, UserspaceAccess
from ganeti.storage.registry import BlockDevices

Environment = dict[str, str]

_BLOCK_TYPES = frozenset({DiskType.PLAIN, DiskType.DRBD, DiskType.BLOCKDEV, DiskType.RBD, DiskType.EXT})
_FILE_TYPES = frozenset({DiskType.FILE, DiskType.SHAREDFILE, DiskType.GLUSTER})


def core(definition: OperatingSystem, os_name: str, parameters: Mapping[str, str], debug: int = 0) -> Environment:
    """What every script gets; `os_name` is the name with its variant, which is not judged here."""
    version = os_definitions.effective_api_version(definition)
    _, variant = split_variant(os_name)
    with_variant = version >= os_definitions.VARIANTS_SINCE and definition.supported_variants
    return {
        "OS_API_VERSION": str(version),
        "OS_NAME": definition.name,
        "DEBUG_LEVEL": str(debug),
        "OS_VARIANT": (variant or definition.supported_variants[0]) if with_variant else "",
        **{f"OSP_{name.upper().replace('-', '_')}": value for name, value in parameters.items()},
        "PATH": SCRIPT_PATH,
    }


def parameters_of(instance: Instance) -> dict[str, str]:
    """A guest's operating system parameters; scripts cannot tell public, private and secret ones apart."""
    return {**(instance.osparams or {}), **(instance.osparams_private or {})}


def of_instance(node: Node, instance: Instance, definition: OperatingSystem, debug: int = 0) -> Environment:
    """What scripts that work on a guest get. Its disks are opened. Raises: BlockDeviceError when one is not active."""
    env = core(definition, instance.os, parameters_of(instance), debug)
    env |= {
        "INSTANCE_NAME": instance.name,
        "INSTANCE_OS": instance.os,
        "INSTANCE_UUID": str(instance.uuid),
        "INSTANCE_CTIME": str(instance.ctime),
        "INSTANCE_MTIME": str(instance.mtime),
        "INSTANCE_PRIMARY_NODE": str(instance.primary_node),
        "INSTANCE_SECONDARY_NODES": " ".join(instance.secondary_nodes or ()),
        "HYPERVISOR": instance.hypervisor,
        "DISK_COUNT": str(len(instance.attached_disks)),
        "NIC_COUNT": str(len(instance.nics)),
    }
    devices = node.storage.observing()
    for index, disk in enumerate(instance.attached_disks):
        env |= _disk(devices, instance, disk, f"DISK_{index}_")
    for index, nic in enumerate(instance.nics):
        env |= _nic(instance, nic, f"NIC_{index}_")
    env |= {f"INSTANCE_BE_{key}": str(value) for key, value in instance.beparams.items()}
    env |= {f"INSTANCE_HV_{key}": str(value) for key, value in instance.hvparams.items()}
    return env


def _disk(devices: BlockDevices, instance: Instance, disk: Disk, prefix: str) -> Environment:
    device = tree.get(devices, disk)
    device.open()
    values: dict[str, str | None] = {
        "PATH": None if device.dev_path is None else str(device.dev_path),
        "ACCESS": str(disk.mode or DiskMode.READ_WRITE),
        "UUID": disk.uuid,
        "SIZE": str(disk.size),
        "NAME": disk.name,
        "URI": _uri(device, disk, instance.hypervisor),
        "FRONTEND_TYPE": _parameter(instance, "disk_type"),
        "BACKEND_TYPE": _backend_type(disk),
    }
    return {f"{prefix}{key}": value for key, value in values.items() if value is not None}


def _nic(instance: Instance, nic: Nic, prefix: str) -> Environment:
    values: dict[str, str | None] = {
        "MAC": nic.mac,
        "UUID": nic.uuid,
        "NAME": nic.name,
        "IP": nic.ip or None,
        "MODE": nic.mode,
        "BRIDGE": (nic.link or None) if nic.mode == "bridged" else None,
        "LINK": nic.link or None,
        "FRONTEND_TYPE": _parameter(instance, "nic_type"),
    }
    network = nic.netinfo.environment(prefix) if nic.netinfo else {}
    return {f"{prefix}{key}": value for key, value in values.items() if value is not None} | network


def _uri(device: BlockDevice, disk: Disk, hypervisor: str) -> str | None:
    if disk.wants_userspace and isinstance(device, UserspaceAccess):
        return device.userspace_uri(hypervisor)
    return None


def _parameter(instance: Instance, name: str) -> str | None:
    return str(instance.hvparams[name]) if name in instance.hvparams else None


def _backend_type(disk: Disk) -> str | None:
    if disk.dev_type in _BLOCK_TYPES:
        return "block"
    if disk.dev_type in _FILE_TYPES:
        return f"file:{disk.logical_id[0]}"
    return None
