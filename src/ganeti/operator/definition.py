"""From what the operator asked for to a guest's full definition, as a master would have written it."""

from __future__ import annotations

import secrets
import uuid
from contextlib import ExitStack
from pathlib import Path

from ganeti.actions import file_storage
from ganeti.actions.node import Node
from ganeti.host.paths import component
from ganeti.hypervisor.parameters import Parameter, check_syntax, defaults
from ganeti.model.base import Parameters, Scalar
from ganeti.model.disk import Disk, DiskMode, DiskType
from ganeti.model.instance import AdminState, Instance
from ganeti.model.network import Nic
from ganeti.operator.models import DiskSpec, GuestSpec, NicSpec
from ganeti.operator.settings import hypervisor_settings, parse, storage_directory

MAC_PREFIX = "aa:00:00"


def build(node: Node, spec: GuestSpec) -> Instance:
    """The guest's definition with filled parameters. Raises: HypervisorError for bad ones, UnsafePath for its name."""
    now = node.clock.time()
    disks = tuple(_disk(node, spec.name, index, disk) for index, disk in enumerate(spec.disks))
    return Instance(
        name=component(spec.name),
        uuid=str(uuid.uuid4()),
        ctime=now,
        mtime=now,
        serial_no=1,
        primary_node=node.hostname,
        secondary_nodes=(),
        os=spec.os,
        hypervisor=spec.hypervisor,
        hvparams=_hypervisor_parameters(node, spec),
        beparams={
            "maxmem": spec.memory_mib,
            "minmem": spec.memory_mib,
            "vcpus": spec.vcpus,
            "auto_balance": True,
            "always_failover": False,
            "spindle_use": 1,
        },
        osparams=dict(spec.osparams),
        osparams_private={},
        admin_state=AdminState.UP if spec.start else AdminState.DOWN,
        admin_state_source="admin",
        nics=tuple(_nic(nic) for nic in spec.nics),
        disks=tuple(disk.uuid or "" for disk in disks),
        disks_info=disks,
        disks_active=True,
        tags=(),
    )


def make_storage_directories(node: Node, instance: Instance, undo: ExitStack) -> None:
    """Make the directories of the guest's disks, and note how to remove them again."""
    for directory in _directories(instance):
        file_storage.create_directory(node, str(directory))
        undo.callback(file_storage.remove_directory, node, str(directory))


def remove_storage_directories(node: Node, instance: Instance) -> None:
    """Remove the directories of the guest's disks, which must be empty by now."""
    for directory in _directories(instance):
        file_storage.remove_directory(node, str(directory))


def _directories(instance: Instance) -> list[Path]:
    return sorted({Path(str(disk.logical_id[1])).parent for disk in instance.attached_disks})


def _hypervisor_parameters(node: Node, spec: GuestSpec) -> Parameters:
    driver = node.hypervisors.get(spec.hypervisor)
    given = {name: _typed(driver.parameters.get(name), value) for name, value in spec.hvparams.items()}
    filled = {**defaults(driver.parameters), **hypervisor_settings(node, spec.hypervisor), **given}
    check_syntax(driver.parameters, filled)
    return filled


def _typed(parameter: Parameter | None, value: Scalar) -> Scalar:
    """A value given as text becomes what the parameter's default is; an unknown parameter is refused later."""
    return parse(parameter.default, value) if parameter is not None and isinstance(value, str) else value


def _disk(node: Node, guest: str, index: int, spec: DiskSpec) -> Disk:
    kind = DiskType(spec.template)
    path = storage_directory(node, kind) / component(guest) / f"disk{index}"
    return Disk(
        dev_type=kind,
        logical_id=("loop", str(path)),
        size=spec.size_mib,
        iv_name=f"disk/{index}",
        mode=DiskMode.READ_WRITE,
        params={},
        dynamic_params={},
        children=(),
        nodes=(),
        uuid=str(uuid.uuid4()),
        serial_no=1,
    )


def _nic(spec: NicSpec) -> Nic:
    drawn = ":".join([MAC_PREFIX, *(f"{byte:02x}" for byte in secrets.token_bytes(3))])
    return Nic(
        mac=spec.mac or drawn,
        ip=spec.ip,
        nicparams={"mode": spec.mode, "link": spec.link, "vlan": ""},
        uuid=str(uuid.uuid4()),
    )
