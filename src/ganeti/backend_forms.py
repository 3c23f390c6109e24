"""The forms of release 2.7 at the door `ganeti.backend`: its objects in, its tuples and dictionaries out.

An object of 2.7 is taken by its attributes, or as the dictionary its `ToDict` gives; our own structs pass unchanged.
Differences between 2.7 and 3.0 end here: nothing below knows them. Runs no action.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar, cast, get_args

import msgspec

from ganeti.actions import external_storage, hooks
from ganeti.actions.blockdev import Assembled
from ganeti.actions.instances import RebootType
from ganeti.actions.node_info import HypervisorRequest, NodeInfo, UnitRequest
from ganeti.config.ssconf import Ssconf
from ganeti.errors import ConfigurationError, InvalidParameter, NodeError
from ganeti.model.base import Model, Parameters
from ganeti.model.cluster import HypervisorFacts, StorageUnit
from ganeti.model.disk import BlockDevStatus, Disk, DiskType, LocalDiskStatus
from ganeti.model.instance import AttachedDisk, Instance, InstanceInfo, RunState
from ganeti.model.network import MasterNetworkParameters, Network, Nic
from ganeti.model.os import OperatingSystem, OsDiagnosis
from ganeti.model.verify import VerifyRequest
from ganeti.tools import lvm

Form = object
"""An object of 2.7, its dictionary, or our own struct of the same thing."""

M = TypeVar("M", bound=Model)
T = TypeVar("T")

DISK_TYPES = {"lvm": DiskType.PLAIN, "drbd8": DiskType.DRBD}
"""Device types whose word changed; `file` stands for two, told apart by the guest's disk template."""

DRBD_PROTOCOL = "C"
"""What all mirrors of 2.7 speak; no parameter says so there."""

_NEW_KEYS = {"vmnodes": "nonvmnodes", "file-storage-paths": "allowed-file-storage-paths"}
_OLD_KEYS = {new: old for old, new in _NEW_KEYS.items()}
"""Questions of node verification whose name changed."""

HostsMode = Literal["add", "remove"]

RUNNING_STATE = "---b-"
"""The constant state text of a running guest in 2.7 (but under Xen)."""

_LOCAL_STATUS = {
    LocalDiskStatus.OKAY: 1,
    LocalDiskStatus.SYNC: 2,
    LocalDiskStatus.UNKNOWN: 2,
    LocalDiskStatus.FAULTY: 3,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceStatus:
    """State of a block device with the numbers of 2.7: `ldisk_status` 1 okay, 2 unknown, 3 faulty."""

    dev_path: str | None
    major: int | None
    minor: int | None
    sync_percent: float | None
    estimated_time: int | None
    is_degraded: bool | None
    ldisk_status: int | None


# In ------------------------------------------------------------------------------------------------------------------


def instance(form: Form) -> Instance:
    """A guest whose `disks` are disk objects (2.7) or whose `disks_info` are. Raises: InvalidParameter."""
    if isinstance(form, Instance):
        return form
    fields = _fields(form, (*Instance.__struct_fields__, "admin_up"), "instance")
    if "disks_info" not in fields:
        is_shared = fields.get("disk_template") == DiskType.SHAREDFILE
        fields["disks_info"] = [_disk(one, is_shared=is_shared) for one in _items(fields.pop("disks", ()), "disks")]
    else:
        fields["disks_info"] = disks(fields["disks_info"])
    fields["nics"] = [nic(one) for one in _items(fields.pop("nics", ()), "nics")]
    was_up = fields.pop("admin_up", False)
    fields.setdefault("admin_state", "up" if was_up else "down")
    return _convert(fields, Instance, "instance")


def disk(form: Form) -> Disk:
    """A disk with its children. Raises: InvalidParameter."""
    return _disk(form, is_shared=False)


def disks(forms: Form) -> tuple[Disk, ...]:
    """Some disks. Raises: InvalidParameter."""
    return tuple(disk(form) for form in _items(forms, "disks"))


def mirrors(forms: Form, nodes_ip: Mapping[str, str], own_name: str) -> tuple[Disk, ...]:
    """Some disks as this node has them: a mirror is found by the addresses of its two nodes.

    Raises: InvalidParameter; ConfigurationError when this node is none of the two or an address is missing.
    """
    return tuple(_of_this_node(one, nodes_ip, own_name) for one in disks(forms))


def physical_volumes(forms: Form) -> list[lvm.PhysicalVolume]:
    """Physical volumes of which only the name and those of the volumes on it count. Raises: InvalidParameter."""
    return [_physical_volume(form) for form in _items(forms, "pvi_list")]


def renames(forms: Form) -> tuple[tuple[Disk, tuple[str | int | None, ...]], ...]:
    """Disks with the identity each shall get: pairs; a third part repeats the second. Raises: InvalidParameter."""
    found: list[tuple[Disk, tuple[str | int | None, ...]]] = []
    for form in _items(forms, "devlist"):
        parts = list(_items(form, "devlist"))
        if len(parts) not in {2, 3}:
            raise InvalidParameter(
                "devlist", f"pairs of a disk and its new identity are expected, not {len(parts)} parts"
            )
        found.append((disk(parts[0]), _identity(parts[1], "devlist")))
    return tuple(found)


def nic(form: Form) -> Nic:
    """A network interface. Raises: InvalidParameter."""
    if isinstance(form, Nic):
        return form
    fields = _fields(form, Nic.__struct_fields__, "nic")
    if "netinfo" in fields:
        fields["netinfo"] = _network(fields["netinfo"])
    return _convert(fields, Nic, "nic")


def operating_system(form: Form) -> OperatingSystem:
    """A definition. Raises: InvalidParameter."""
    if isinstance(form, OperatingSystem):
        return form
    return _convert(_fields(form, OperatingSystem.__struct_fields__, "inst_os"), OperatingSystem, "inst_os")


def master_parameters(form: Form) -> MasterNetworkParameters:
    """The master's address. Raises: InvalidParameter."""
    if isinstance(form, MasterNetworkParameters):
        return form
    names = MasterNetworkParameters.__struct_fields__
    return _convert(_fields(form, names, "master_params"), MasterNetworkParameters, "master_params")


def node_questions(
    volume_groups: Iterable[str] | None, hypervisors: Iterable[str] | None, exclusive_storage: bool
) -> tuple[list[UnitRequest] | None, list[HypervisorRequest] | None]:
    """What is to be measured, in the form of today."""
    return (
        None if volume_groups is None else [("lvm-vg", name, (exclusive_storage,)) for name in volume_groups],
        None if hypervisors is None else [(name, {}) for name in hypervisors],
    )


def verify_request(what: Mapping[str, object], own_name: str) -> VerifyRequest:
    """What is to be verified. Every node of 2.7 makes the tests that are the master candidates' now.

    Raises: InvalidParameter.
    """
    fields = {_NEW_KEYS.get(key, key): value for key, value in what.items()}
    for key, count in (("nodelist", 2), ("master-ip", 2)):
        if key in fields:
            parts = _items(fields[key], f"what[{key!r}]")
            fields[key] = [*parts, [own_name]] if len(parts) == count else parts
    if "node-net-test" in fields:
        fields["node-net-test"] = [_items(fields["node-net-test"], "what['node-net-test']"), [own_name]]
    try:
        return msgspec.convert(fields, VerifyRequest)
    except msgspec.ValidationError as err:
        raise InvalidParameter("what", str(err)) from err


def hosts_mode(word: str) -> HostsMode:
    """What to do with an entry of the hosts file. Raises: InvalidParameter."""
    if word not in get_args(HostsMode):
        raise InvalidParameter("mode", f"add or remove is expected, not {word!r}")
    return cast("HostsMode", word)


def hook_phase(word: str) -> hooks.Phase:
    """When hooks run. Raises: InvalidParameter."""
    if word not in get_args(hooks.Phase):
        raise InvalidParameter("phase", f"pre or post is expected, not {word!r}")
    return cast("hooks.Phase", word)


def reboot_type(word: str) -> RebootType:
    """How to restart a guest. Raises: InvalidParameter."""
    if word not in get_args(RebootType):
        raise InvalidParameter("reboot_type", f"soft or hard is expected, not {word!r}")
    return cast("RebootType", word)


def path(text: str | None) -> Path | None:
    """A path that may be missing."""
    return None if text is None else Path(text)


# Out -----------------------------------------------------------------------------------------------------------------


def info(found: InstanceInfo | None) -> dict[str, int | float | str]:
    """The four keys of a running guest; empty for one that is down, in whatever way."""
    if found is None or found.state is not RunState.RUNNING:
        return {}
    return {"memory": found.memory, "vcpus": found.vcpus, "state": RUNNING_STATE, "time": found.time}


def all_info(found: Mapping[str, InstanceInfo]) -> dict[str, dict[str, int | float | str]]:
    """Running guests by name."""
    return {name: shape for name, one in found.items() if (shape := info(one))}


def no_parameters(hypervisors: Iterable[str]) -> dict[str, Parameters]:
    """What 2.7 tells of the cluster's hypervisor parameters when it asks for guests: nothing."""
    return {kind: {} for kind in hypervisors}


def device_status(found: BlockDevStatus) -> DeviceStatus:
    """The state of a device."""
    return DeviceStatus(
        dev_path=found.dev_path,
        major=found.major,
        minor=found.minor,
        sync_percent=found.sync_percent,
        estimated_time=found.estimated_time,
        is_degraded=found.is_degraded,
        ldisk_status=None if found.ldisk_status is None else _LOCAL_STATUS[found.ldisk_status],
    )


def found_device(found: BlockDevStatus | None) -> DeviceStatus | None:
    """The state of a device that may be missing."""
    return None if found is None else device_status(found)


def device_answer(worked: bool, found: BlockDevStatus | str) -> tuple[bool, DeviceStatus | str]:
    """One of many answers: the state, or the text of a failure."""
    return worked, found if isinstance(found, str) else device_status(found)


def assembled(found: Assembled | None) -> str | bool | None:
    """Path of the active device (None: it has none); True when nothing had to be made active."""
    return True if found is None else found.dev_path


def gathered(found: Iterable[AttachedDisk]) -> list[tuple[Disk, str | None]]:
    """Disks with the links to them."""
    return [(one.disk, one.link) for one in found]


def diagnosis(found: OsDiagnosis) -> tuple[object, ...]:
    """(name, path, valid, message, variants, parameters, API versions); a parameter is [name, text] or [name]."""
    return (
        found.name,
        found.path,
        found.is_valid,
        found.message,
        list(found.variants),
        [[word for word in parameter if word] for parameter in found.parameters],
        list(found.api_versions),
    )


def provider(found: external_storage.Row) -> tuple[str, str, bool, str, list[list[str]]]:
    """(name, path, valid, message, parameters); a parameter is [name, text], or [name] without one."""
    return (*found[:4], [[word for word in parameter if word] for parameter in found[4]])


def attempt(read: Callable[[], T]) -> tuple[bool, T | str]:
    """(True, result) or (False, text of the failure)."""
    try:
        return True, read()
    except NodeError as err:
        return False, str(err)


def node_info(found: NodeInfo) -> tuple[str, list[dict[str, object]] | None, list[dict[str, object]] | None]:
    """Boot identifier, volume groups, hypervisors; None for what was not asked."""
    return (
        found.boot_id,
        None if found.units is None else [volume_group(unit) for unit in found.units],
        None if found.hypervisors is None else [node_facts(facts) for facts in found.hypervisors],
    )


def master_info(ssconf: Ssconf) -> tuple[str, str, str, int, str]:
    """Network device, address, name of the master, address family, prefix length. Raises: ConfigurationError."""
    return (
        ssconf.text("master_netdev"),
        ssconf.text("master_ip"),
        ssconf.master_node(),
        ssconf.primary_ip_family(),
        ssconf.text("master_netmask"),
    )


def verify_answer(found: Mapping[str, object]) -> dict[str, object]:
    """The answers under the keys of 2.7, in its forms."""
    answer = {_OLD_KEYS.get(key, key): value for key, value in found.items()}
    rows, facts = answer.get("oslist"), answer.get("hvinfo")
    if isinstance(rows, list):
        answer["oslist"] = [diagnosis(row) for row in rows]
    if isinstance(facts, HypervisorFacts):
        answer["hvinfo"] = node_facts(facts)
    return answer


def volume_group(found: StorageUnit) -> dict[str, object]:
    """Space of a volume group."""
    return {"name": found.name, "vg_free": found.storage_free, "vg_size": found.storage_size}


def only_volume_group(found: NodeInfo) -> dict[str, object]:
    """Space of the one volume group asked for."""
    (unit,) = found.units or ()
    return volume_group(unit)


def node_facts(found: HypervisorFacts) -> dict[str, object]:
    """What a hypervisor says of the node, without what 2.7 does not know."""
    facts: dict[str, object] = msgspec.to_builtins(found)
    del facts["cpu_dom0"]
    return facts


# Parts ---------------------------------------------------------------------------------------------------------------


def _disk(form: Form, *, is_shared: bool) -> Disk:
    if isinstance(form, Disk):
        return form
    fields = _fields(form, (*Disk.__struct_fields__, "physical_id"), "disk")
    physical = fields.pop("physical_id", None)
    kind = fields.get("dev_type")
    if isinstance(kind, str):
        fields["dev_type"] = DiskType.SHAREDFILE if kind == "file" and is_shared else DISK_TYPES.get(kind, kind)
    if fields.get("dev_type") == DiskType.DRBD:
        fields.update(_drbd(fields.get("logical_id"), physical))
        if isinstance(given := fields.get("params"), Mapping):
            fields["params"] = {"protocol": DRBD_PROTOCOL, **given}
    elif physical is not None:
        # What 2.7 addresses a device by on this node; it differs from the logical id after a rename only.
        fields["logical_id"] = physical
    if "children" in fields:
        fields["children"] = [_disk(child, is_shared=False) for child in _items(fields["children"], "disk.children")]
    return _convert(fields, Disk, "disk")


def _drbd(logical: object, physical: object) -> dict[str, object]:
    """Identity and node-specific part of a DRBD disk; `physical` is (ip, port, ip, port, minor, secret), ours first."""
    if logical is None and physical is None:
        return {}
    if physical is None:
        known = _identity(logical, "disk.logical_id")
        return {"logical_id": (*known, *[None] * (6 - len(known)))}
    local = _identity(physical, "disk.physical_id")
    if len(local) != 6:
        raise InvalidParameter("disk.physical_id", f"six parts are expected of a DRBD disk, not {len(local)}")
    own_ip, port, peer_ip, _, minor, secret = local
    known = (None, None, port, minor, None, secret) if logical is None else _identity(logical, "disk.logical_id")
    minors = known[3:5]
    peer_minor = minors[0] if len(minors) == 2 and minors[1] == minor else minors[-1] if minors else None
    dynamic = {"local-ip": own_ip, "remote-ip": peer_ip, "local-minor": minor, "remote-minor": peer_minor}
    return {"logical_id": (*known[:5], secret), "dynamic_params": dynamic}


def _of_this_node(disk: Disk, nodes_ip: Mapping[str, str], own_name: str) -> Disk:
    children = tuple(_of_this_node(child, nodes_ip, own_name) for child in disk.children or ())
    disk = msgspec.structs.replace(disk, children=children if disk.children is not None else None)
    if disk.dev_type is not DiskType.DRBD or disk.logical_id[0] is None:
        return disk
    names, minors = [str(name) for name in disk.logical_id[:2]], disk.logical_id[3:5]
    if own_name not in names:
        raise ConfigurationError(f"{disk.describe()} has no copy on {own_name}")
    addresses = [nodes_ip.get(name) for name in names]
    if None in addresses:
        raise ConfigurationError(f"an address of a node of {disk.describe()} is not known")
    own = names.index(own_name)
    dynamic: Parameters = {
        "local-ip": addresses[own],
        "remote-ip": addresses[1 - own],
        "local-minor": minors[own],
        "remote-minor": minors[1 - own],
    }
    return msgspec.structs.replace(disk, dynamic_params=dynamic)


def _physical_volume(form: Form) -> lvm.PhysicalVolume:
    if isinstance(form, lvm.PhysicalVolume):
        return form
    fields = _fields(form, ("name", "vg_name", "size", "free", "attributes", "lv_list"), "pvi_list")
    names = tuple(str(name) for name in _items(fields.get("lv_list", ()), "lv_list"))
    return lvm.PhysicalVolume(
        name=str(fields.get("name")),
        group=str(fields.get("vg_name", "")),
        free=0,
        size=0,
        used=0,
        attributes="",
        volumes=names,
    )


def _network(form: Form) -> Network:
    if isinstance(form, Network):
        return form
    return _convert(_fields(form, Network.__struct_fields__, "netinfo"), Network, "netinfo")


def _identity(form: Form, name: str) -> tuple[str | int | None, ...]:
    try:
        return msgspec.convert(list(_items(form, name)), tuple[str | int | None, ...])
    except msgspec.ValidationError as err:
        raise InvalidParameter(name, str(err)) from err


def _items(form: Form, name: str) -> list[object]:
    if isinstance(form, str | bytes | Mapping) or not isinstance(form, Iterable):
        raise InvalidParameter(name, f"a list is expected, not {type(form).__name__}")
    return list(form)


def _fields(form: Form, names: Iterable[str], what: str) -> dict[str, object]:
    """What is set of an object's fields, or of a dictionary's keys (all of them: an unknown one is refused later)."""
    if isinstance(form, Mapping):
        fields = {str(name): value for name, value in form.items() if value is not None}
    else:
        fields = {name: value for name in names if (value := getattr(form, name, None)) is not None}
    if not fields:
        raise InvalidParameter(what, f"an object or its dictionary is expected, not {type(form).__name__}")
    if "tags" in fields:
        fields["tags"] = sorted(str(tag) for tag in _items(fields["tags"], f"{what}.tags"))
    return fields


def _convert(fields: dict[str, object], model: type[M], what: str) -> M:
    try:
        return msgspec.convert(fields, model)
    except msgspec.ValidationError as err:
        raise InvalidParameter(what, str(err)) from err
