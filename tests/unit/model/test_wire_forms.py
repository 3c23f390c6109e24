"""Model structs as they travel: decoded from what a 3.0 master sends, encoded as it expects, strict about the rest."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ganeti.model.base import Model
from ganeti.model.cluster import ClusterNode, HypervisorFacts, NodeGroup, StorageUnit
from ganeti.model.disk import BlockDevStatus, Disk, DiskMode, DiskType, LocalDiskStatus
from ganeti.model.instance import (
    AdminState,
    AttachedDisk,
    ConsoleKind,
    Instance,
    InstanceConsole,
    InstanceInfo,
    MigrationState,
    MigrationStatus,
    RunState,
)
from ganeti.model.network import MasterNetworkParameters, Network, Nic
from ganeti.model.os import OperatingSystem, OsDiagnosis, split_variant

SECRET = "b0df7acb3ff1b9e0dd1a41aa6f0a3d1f9f2d3a11"

# A DRBD disk on its secondary as sent with blockdev_create.
DRBD: dict[str, Any] = {
    "dev_type": "drbd",
    "logical_id": ["uuid1", "uuid2", 11000, 0, 0, SECRET],
    "children": [
        {
            "dev_type": "plain",
            "logical_id": ["xenvg", "x.disk0_data"],
            "children": [],
            "nodes": ["uuid1", "uuid2"],
            "size": 1024,
            "params": {"stripes": 1},
            "serial_no": 1,
            "uuid": "c1",
            "ctime": 1.5,
            "mtime": 1.5,
        },
        {
            "dev_type": "plain",
            "logical_id": ["xenvg", "x.disk0_meta"],
            "children": [],
            "nodes": ["uuid1", "uuid2"],
            "size": 128,
            "params": {"stripes": 1},
            "serial_no": 1,
            "uuid": "c2",
            "ctime": 1.5,
            "mtime": 1.5,
        },
    ],
    "nodes": ["uuid1", "uuid2"],
    "iv_name": "disk/0",
    "size": 1024,
    "mode": "rw",
    "params": {
        "c-delay-target": 1,
        "c-fill-target": 0,
        "c-max-rate": 61440,
        "c-min-rate": 4096,
        "c-plan-ahead": 20,
        "default-metavg": "xenvg",
        "disable-meta-flush": False,
        "disabled-barriers": "n",
        "disk-custom": "",
        "dynamic-resync": False,
        "net-custom": "",
        "protocol": "C",
        "resync-rate": 61440,
    },
    "serial_no": 1,
    "dynamic_params": {
        "local-ip": "198.51.100.2",
        "remote-ip": "198.51.100.1",
        "local-minor": 0,
        "remote-minor": 0,
    },
    "uuid": "d",
    "ctime": 1.5,
    "mtime": 1.5,
}

NETWORK: dict[str, Any] = {
    "name": "net1",
    "uuid": "n-uuid",
    "network": "198.51.100.0/24",
    "gateway": "198.51.100.1",
    "reservations": "0" * 4,
    "ext_reservations": "1" * 4,
    "tags": [],
    "serial_no": 1,
}

INSTANCE: dict[str, Any] = {
    "name": "inst1.example.com",
    "uuid": "i-uuid",
    "serial_no": 3,
    "ctime": 1.25,
    "mtime": 2,
    "tags": ["a", "b"],
    "primary_node": "uuid1",
    "secondary_nodes": ["uuid2"],
    "os": "debootstrap+default",
    "hypervisor": "kvm",
    "hvparams": {"kernel_path": "", "acpi": True, "migration_bandwidth": 32, "boot_order": "disk"},
    "beparams": {"maxmem": 512, "minmem": 256, "vcpus": 2, "auto_balance": True, "spindle_use": 1},
    "osparams": {"dhcp": "yes"},
    "osparams_private": {"password": SECRET},
    "admin_state": "up",
    "admin_state_source": "admin",
    "nics": [
        {
            "mac": "aa:00:00:00:00:01",
            "ip": "198.51.100.9",
            "network": "n-uuid",
            "nicparams": {"mode": "bridged", "link": "br0", "vlan": ""},
            "netinfo": NETWORK,
            "name": "eth0",
            "uuid": "nic-uuid",
        }
    ],
    "disks": ["d"],
    "disks_info": [DRBD],
    "disks_active": True,
    "network_port": 11001,
    "forthcoming": False,
}

SAMPLES: list[tuple[type[Model], dict[str, Any]]] = [
    (Disk, DRBD),
    (Instance, INSTANCE),
    (Network, NETWORK),
    (Nic, {"mac": "aa:00:00:00:00:01", "pci": 4, "hvinfo": {"driver": "virtio-net-pci", "addr": "0xd"}}),
    (ClusterNode, {"name": "node1", "uuid": "uuid1", "powered": True, "ndparams": {"ssh_port": 2222}, "tags": []}),
    (NodeGroup, {"name": "default", "members": ["uuid1"], "ndparams": {"ssh_port": 22}, "ipolicy": {"std": {}}}),
    (MasterNetworkParameters, {"uuid": "u", "ip": "192.0.2.1", "netmask": 24, "netdev": "eth0", "ip_family": 2}),
    (MasterNetworkParameters, {"name": "n", "ip": "2001:db8::1", "netmask": 64, "netdev": "eth0", "ip_family": 10}),
]
KINDS = sorted({kind for kind, _ in SAMPLES}, key=lambda kind: kind.__name__)


def sent(kind: type[Model], data: dict[str, Any]) -> Model:
    """What a node makes of an object that arrived."""
    return msgspec.json.decode(json.dumps(data).encode(), type=kind)


def answered(model: Model) -> Any:
    """What arrives at the master."""
    return json.loads(msgspec.json.encode(model))


# Both ways -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "data"), SAMPLES)
def test_every_key_of_a_sample_is_a_field_and_every_value_comes_back(kind: type[Model], data: dict[str, Any]) -> None:
    model = sent(kind, data)
    back = answered(model)
    assert back == {key: value for key, value in data.items() if key in back}
    assert {key for key in data if key not in back} <= {"nics", "size", "os"}  # may be left out at their default
    assert sent(kind, back) == model


@pytest.mark.parametrize(("kind", "data"), SAMPLES)
def test_null_reads_as_absence(kind: type[Model], data: dict[str, Any]) -> None:
    optional = [field.name for field in msgspec.structs.fields(kind) if field.default is None]
    assert sent(kind, {**dict.fromkeys(optional), **data}) == sent(kind, data)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_none_does_not_travel(kind: type[Model]) -> None:
    data = next(data for sample, data in SAMPLES if sample is kind)
    required = {key: data[key] for key in data if key in required_fields(kind)}
    assert None not in answered(sent(kind, required)).values()


def required_fields(kind: type[Model]) -> set[str]:
    return {field.name for field in msgspec.structs.fields(kind) if field.required}


@pytest.mark.parametrize(("kind", "data"), SAMPLES)
def test_an_unknown_key_is_refused_by_its_name(kind: type[Model], data: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError, match="`surprise`"):
        sent(kind, {**data, "surprise": 1})


def test_an_unknown_key_far_inside_is_refused_with_the_way_to_it() -> None:
    child = {**DRBD["children"][1], "surprise": 1}
    disk = {**DRBD, "children": [DRBD["children"][0], child]}
    with pytest.raises(msgspec.ValidationError, match=r"`surprise` - at `\$\.disks_info\[0\]\.children\[1\]`"):
        sent(Instance, {**INSTANCE, "disks_info": [disk]})


@pytest.mark.parametrize("kind", KINDS)
def test_a_missing_required_field_is_refused_by_its_name(kind: type[Model]) -> None:
    data = next(data for sample, data in SAMPLES if sample is kind)
    for name in required_fields(kind):
        with pytest.raises(msgspec.ValidationError, match=f"`{name}`"):
            sent(kind, {key: value for key, value in data.items() if key != name})


@pytest.mark.parametrize(
    ("kind", "data", "key", "value"),
    [
        (Disk, DRBD, "size", -1),
        (Disk, DRBD, "size", "1024"),
        (Disk, DRBD, "size", 1.5),
        (Disk, DRBD, "dev_type", "lvm"),
        (Disk, DRBD, "mode", "w"),
        (Disk, DRBD, "logical_id", "xenvg/x"),
        (Disk, DRBD, "children", {}),
        (Instance, INSTANCE, "name", "a/b"),
        (Instance, INSTANCE, "name", ""),
        (Instance, INSTANCE, "name", "a\n"),
        (Instance, INSTANCE, "name", "x" * 256),
        (Instance, INSTANCE, "admin_state", "sideways"),
        (Instance, INSTANCE, "hvparams", []),
        (Instance, INSTANCE, "nics", {}),
    ],
)
def test_a_value_that_cannot_be_is_refused_with_its_field(
    kind: type[Model], data: dict[str, Any], key: str, value: object
) -> None:
    with pytest.raises(msgspec.ValidationError, match=rf"\$\.{key}"):
        sent(kind, {**data, key: value})


# Secrets -------------------------------------------------------------------------------------------------------------


def test_no_secret_is_in_any_text_made_of_a_disk_or_a_guest() -> None:
    disk = sent(Disk, DRBD)
    instance = sent(Instance, INSTANCE)
    assert isinstance(disk, Disk)
    attached = AttachedDisk(disk=disk, link="/dev/drbd0")
    for thing in (disk, instance, attached, [disk], {"disk": disk}, (instance, disk)):
        assert SECRET not in repr(thing)
        assert SECRET not in str(thing)
        assert SECRET not in f"{thing}"


def test_a_refusal_does_not_repeat_the_secret() -> None:
    with pytest.raises(msgspec.ValidationError) as caught:
        sent(Disk, {**DRBD, "logical_id": SECRET})
    assert SECRET not in str(caught.value)


# What they say of themselves -----------------------------------------------------------------------------------------


def test_what_a_name_may_hold_stays_one_printable_line_of_the_log() -> None:
    disk = Disk(dev_type=DiskType.PLAIN, logical_id=("xenvg", "a\nb\ud800ü"), size=1)
    assert disk.describe() == "plain xenvg/a\\nb\\ud800ü (not visible, 1m)"


def test_a_disk_describes_itself_in_a_line() -> None:
    disk = sent(Disk, DRBD)
    assert isinstance(disk, Disk)
    assert disk.describe() == "drbd uuid1/uuid2/11000/0/0 (disk/0, 1024m)"
    assert [item.describe() for item in disk.walk()][1:] == [
        "plain xenvg/x.disk0_data (not visible, 1024m)",
        "plain xenvg/x.disk0_meta (not visible, 128m)",
    ]


@pytest.mark.parametrize("kind", DiskType)
def test_what_of_a_disk_is_on_a_secondary_node_depends_on_its_type(kind: DiskType) -> None:
    disk = Disk(dev_type=kind, logical_id=())
    mirrored = kind in (DiskType.PLAIN, DiskType.DRBD)
    assert (disk.created_on_secondary, disk.assembled_on_secondary) == (mirrored, mirrored)
    assert disk.opened_on_secondary == (kind is DiskType.PLAIN)
    assert disk.children_needed == (0 if kind is DiskType.DRBD else -1)


@pytest.mark.parametrize(
    ("params", "wanted"), [(None, False), ({"access": "kernelspace"}, False), ({"access": "userspace"}, True)]
)
def test_a_disk_says_whether_the_hypervisor_reaches_it_itself(
    params: dict[str, bool | int | float | str | None] | None, wanted: bool
) -> None:
    assert Disk(dev_type=DiskType.RBD, logical_id=(), params=params).wants_userspace == wanted


def test_a_guest_knows_its_size_and_disks() -> None:
    instance = sent(Instance, INSTANCE)
    assert isinstance(instance, Instance)
    assert (instance.maximum_memory_mib, instance.minimum_memory_mib, instance.vcpus) == (512, 256, 2)
    assert [disk.uuid for disk in instance.attached_disks] == ["d"]
    bare = Instance(name="a")
    assert (bare.maximum_memory_mib, bare.minimum_memory_mib, bare.vcpus, bare.attached_disks) == (0, 0, 1, ())


def test_an_interface_without_parameters_is_bridged_to_nothing() -> None:
    assert (Nic(mac="m").mode, Nic(mac="m").link) == ("bridged", "")
    nic = Nic(mac="m", nicparams={"mode": "routed", "link": "100"})
    assert (nic.mode, nic.link) == ("routed", "100")


def test_a_network_gives_scripts_what_it_has() -> None:
    network = sent(Network, NETWORK)
    assert isinstance(network, Network)
    assert network.environment("NIC_0_") == {
        "NIC_0_NETWORK_NAME": "net1",
        "NIC_0_NETWORK_UUID": "n-uuid",
        "NIC_0_NETWORK_TAGS": "",
        "NIC_0_NETWORK_SUBNET": "198.51.100.0/24",
        "NIC_0_NETWORK_GATEWAY": "198.51.100.1",
    }


def test_the_nodes_ssh_port_is_its_own_or_its_groups() -> None:
    group = NodeGroup(name="g", ndparams={"ssh_port": 22})
    assert group.ssh_port(ClusterNode(name="n")) == 22
    assert group.ssh_port(ClusterNode(name="n", ndparams={"ssh_port": 2222})) == 2222
    assert NodeGroup(name="g").ssh_port(ClusterNode(name="n")) is None


@pytest.mark.parametrize(
    ("name", "parts"),
    [("debian", ("debian", "")), ("debian+12", ("debian", "12")), ("a+b+c", ("a", "b+c")), ("", ("", ""))],
)
def test_a_variant_begins_at_the_first_plus(name: str, parts: tuple[str, str]) -> None:
    assert split_variant(name) == parts


def test_a_definition_is_trusted_unless_its_script_runs_in_a_guest() -> None:
    assert OperatingSystem(name="o", path="/o", api_versions=(20,), create_script="/o/create").is_trusted
    assert not OperatingSystem(name="o", path="/o", api_versions=(20,), create_script_untrusted="/o/c").is_trusted


# Answers -------------------------------------------------------------------------------------------------------------


def test_answers_have_the_words_and_numbers_of_the_protocol() -> None:
    status = BlockDevStatus(dev_path="/dev/x", major=0, is_degraded=False, ldisk_status=LocalDiskStatus.FAULTY)
    assert answered(status) == {"dev_path": "/dev/x", "major": 0, "is_degraded": False, "ldisk_status": 4}
    assert answered(MigrationStatus(status=MigrationState.POSTCOPY_ACTIVE, total_ram=0)) == {
        "status": "postcopy-active",
        "total_ram": 0,
    }
    console = InstanceConsole(instance="i", kind=ConsoleKind.SSH, host="h", user="root", command=("a", "b"))
    assert answered(console) == {"instance": "i", "kind": "ssh", "host": "h", "user": "root", "command": ["a", "b"]}


def test_the_master_gets_four_figures_of_a_guest_and_no_other() -> None:
    info = InstanceInfo(name="i", hypervisor_id=7, memory=512, vcpus=1, state=RunState.RUNNING, time=1.5, age_s=3)
    assert info.wire() == {"memory": 512, "vcpus": 1, "state": 0, "time": 1.5}


def test_figures_of_a_hypervisor_that_are_unknown_are_left_out() -> None:
    facts = HypervisorFacts(
        memory_total=1, memory_free=0, memory_dom0=0, cpu_total=1, cpu_nodes=1, cpu_sockets=1, cpu_dom0=1
    )
    assert answered(facts) == {
        "memory_total": 1,
        "memory_free": 0,
        "memory_dom0": 0,
        "cpu_total": 1,
        "cpu_nodes": 1,
        "cpu_sockets": 1,
        "cpu_dom0": 1,
    }


def test_space_that_cannot_be_told_travels_as_null() -> None:
    unit = StorageUnit(type="lvm-vg", name="xenvg", storage_free=None, storage_size=None)
    assert answered(unit) == {"type": "lvm-vg", "name": "xenvg", "storage_free": None, "storage_size": None}


def test_closed_sets_have_the_words_of_the_wire() -> None:
    assert [kind.value for kind in DiskMode] == ["rw", "ro"]
    assert [kind.value for kind in AdminState] == ["up", "down", "offline"]
    assert sorted(kind.value for kind in ConsoleKind) == ["msg", "spice", "ssh", "vnc"]
    assert sorted(LocalDiskStatus) == [1, 2, 3, 4]


# Any struct ----------------------------------------------------------------------------------------------------------

scalars = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**53), 2**53), st.floats(allow_nan=False, allow_infinity=False), st.text()
)
parameters = st.dictionaries(st.text(), scalars, max_size=3)
plain_disks = st.builds(
    Disk,
    dev_type=st.sampled_from(DiskType),
    logical_id=st.lists(st.one_of(st.text(), st.integers(-(2**53), 2**53), st.none()), max_size=6).map(tuple),
    size=st.integers(0, 2**40),
    iv_name=st.none() | st.text(),
    mode=st.none() | st.sampled_from(DiskMode),
    params=st.none() | parameters,
    dynamic_params=st.none() | parameters,
    tags=st.none() | st.lists(st.text(), max_size=2).map(tuple),
    children=st.none(),
)
disks = st.builds(
    lambda disk, children: msgspec.structs.replace(disk, children=tuple(children)),
    plain_disks,
    st.lists(plain_disks, max_size=2),
)
diagnoses = st.builds(OsDiagnosis, name=st.text(), path=st.text(), is_valid=st.booleans())


@given(st.one_of(plain_disks, disks, diagnoses))
def test_any_struct_survives_the_wire(model: Model) -> None:
    assert msgspec.json.decode(msgspec.json.encode(model), type=type(model)) == model


@given(disks)
def test_any_disk_hides_the_sixth_part_of_a_mirrored_ones_identity(disk: Disk) -> None:
    mirrored = msgspec.structs.replace(disk, dev_type=DiskType.DRBD, logical_id=("a", "b", 1, 2, 3, SECRET))
    assert SECRET not in repr(msgspec.structs.replace(mirrored, children=(mirrored,)))
