"""Places of devices, drives found by the monitor's words, displays' addresses, consoles, words for the ifup script."""

from __future__ import annotations

from pathlib import Path

import pytest

from ganeti.errors import HypervisorError
from ganeti.host.paths import Paths
from ganeti.hypervisor.drivers.kvm import console, devices, nics
from ganeti.hypervisor.drivers.kvm.display import Binding, resolve
from ganeti.hypervisor.drivers.kvm.layout import Layout
from ganeti.hypervisor.drivers.kvm.parameters import PARAMETERS
from ganeti.hypervisor.drivers.kvm.resize import drive_of
from ganeti.hypervisor.parameters import defaults
from ganeti.model.base import Parameters, Scalar
from ganeti.model.cluster import ClusterNode, NodeGroup
from ganeti.model.disk import Disk, DiskType
from ganeti.model.instance import AttachedDisk, ConsoleKind, Instance, InstanceConsole
from ganeti.model.network import Network, Nic

UUID = "003fc157-66a8-4e6d-8b7e-ec4f69751396"
HVPARAMS = defaults(PARAMETERS)


def disk(**fields: object) -> AttachedDisk:
    return AttachedDisk(disk=Disk(dev_type=DiskType.FILE, logical_id=("loop", "/d"), uuid=UUID), link="/links/g1:0")


# Places --------------------------------------------------------------------------------------------------------------


def test_an_id_has_three_groups_of_the_uuid() -> None:
    assert devices.device_id("nic", UUID) == "nic-003fc157-66a8-4e6d"


def test_a_device_without_uuid_is_refused() -> None:
    with pytest.raises(HypervisorError, match="nic without UUID"):
        devices.place_all((), (Nic(mac="aa:00:00:00:00:01"),), HVPARAMS)


def test_disks_come_before_interfaces_above_the_reserved_slots() -> None:
    disks, interfaces = devices.place_all((disk(), disk()), (Nic(mac="aa:00:00:00:00:01", uuid=UUID),), HVPARAMS)
    infos = [entry.disk.hvinfo for entry in disks] + [nic.hvinfo for nic in interfaces]
    assert [info["addr"] for info in infos if info] == ["0xc", "0xd", "0xe"]
    assert list(infos[0] or {}) == ["driver", "id", "bus", "addr"]


def test_scsi_disks_count_on_their_own_bus() -> None:
    disks, _ = devices.place_all([disk()] * 16, (), HVPARAMS | {"disk_type": "scsi-hd"})
    assert disks[15].disk.hvinfo == {
        "driver": "scsi-hd",
        "id": "disk-003fc157-66a8-4e6d",
        "bus": "scsi.0",
        "channel": 0,
        "scsi-id": 15,
        "lun": 0,
    }
    with pytest.raises(HypervisorError, match=r"scsi\.0 has no free slot"):
        devices.place_all([disk()] * 17, (), HVPARAMS | {"disk_type": "scsi-hd"})


# Drives --------------------------------------------------------------------------------------------------------------


def placed(info: dict[str, str | int]) -> AttachedDisk:
    attached = Disk(dev_type=DiskType.FILE, logical_id=("loop", "/d"), uuid=UUID, hvinfo=info)
    return AttachedDisk(disk=attached, link="/links/g1:0")


def test_a_drive_is_found_by_its_name_or_its_file() -> None:
    blocks = [
        {"device": "ide1-cd0", "qdev": "x"},
        {"device": "ide0-hd0", "inserted": {"file": "/links/g1:0"}},
        {"device": "disk-1", "inserted": {"file": "/other"}},
    ]
    assert drive_of(placed({"id": "disk-1"}), blocks[::-1]) == "disk-1"
    assert drive_of(placed({}), blocks) == "ide0-hd0"


@pytest.mark.parametrize("blocks", [[], [{"device": ""}], {"no": "list"}])
def test_a_drive_that_is_not_there_is_told(blocks: object) -> None:
    with pytest.raises(HypervisorError):
        drive_of(placed({"id": "disk-1"}), blocks)


# Displays ------------------------------------------------------------------------------------------------------------


def binding(addresses: list[str], values: Parameters, version: int = 4) -> Binding:
    return resolve(
        HVPARAMS | values,
        interface_exists=lambda name: name == "eth0",
        addresses_of=lambda _: addresses,
        primary_version=version,
    )


BOTH = ["192.0.2.1", "2001:db8::1"]


@pytest.mark.parametrize(
    ("addresses", "version", "values", "expected"),
    [
        ([], 4, {}, Binding()),
        ([], 4, {"spice_bind": "127.0.0.1"}, Binding(address="127.0.0.1")),
        (BOTH, 4, {"spice_bind": "eth0"}, Binding(address="192.0.2.1", of_interface=True)),
        (BOTH, 6, {"spice_bind": "eth0"}, Binding(address="2001:db8::1", of_interface=True)),
        (BOTH[1:], 4, {"spice_bind": "eth0"}, Binding(address="2001:db8::1", of_interface=True)),
        (BOTH, 4, {"spice_bind": "eth0", "spice_ip_version": 6}, Binding(address="2001:db8::1", of_interface=True)),
        (BOTH[::-1], 6, {"vnc_bind_address": "eth0"}, Binding(address="192.0.2.1", of_interface=True)),
        ([], 4, {"vnc_bind_address": "/run/vnc"}, Binding(address="/run/vnc")),
    ],
)
def test_the_address_of_a_display(addresses: list[str], version: int, values: Parameters, expected: Binding) -> None:
    assert binding(addresses, values, version) == expected


@pytest.mark.parametrize(
    ("addresses", "values"),
    [
        ([], {"spice_bind": "eth0"}),
        (BOTH[:1], {"spice_bind": "eth0", "spice_ip_version": 6}),
        (BOTH[1:], {"vnc_bind_address": "eth0"}),
    ],
)
def test_an_interface_without_address_is_told(addresses: list[str], values: Parameters) -> None:
    with pytest.raises(HypervisorError, match="eth0 has no"):
        binding(addresses, values)


# Consoles ------------------------------------------------------------------------------------------------------------


def describe(port: int | None = 11000, **values: Scalar) -> InstanceConsole:
    instance = Instance(name="g1", network_port=port)
    hvparams = HVPARAMS | values
    group = NodeGroup(name="default", ndparams={"ssh_port": 22})
    node = ClusterNode(name="node1.example.com", ndparams={"ssh_port": 2222})
    paths = Paths()
    return console.describe(instance, node, group, hvparams, files=Layout.of(paths).guest("g1"), paths=paths)


def test_the_serial_line_comes_first_over_ssh() -> None:
    found = describe(vnc_bind_address="192.0.2.1")
    assert (found.kind, found.host, found.port, found.user) == (ConsoleKind.SSH, "node1.example.com", 2222, "root")
    assert found.command is not None
    assert found.command[0].endswith("kvm-console-wrapper")
    assert found.command[2:] == (
        "g1",
        "/var/run/ganeti/kvm-hypervisor/ctrl/g1.monitor",
        "STDIO,raw,echo=0,escape=0x1d",
        "UNIX-CONNECT:/var/run/ganeti/kvm-hypervisor/ctrl/g1.serial",
    )


def test_then_vnc_then_spice_then_a_message() -> None:
    vnc = describe(serial_console=False, vnc_bind_address="192.0.2.1")
    assert (vnc.kind, vnc.host, vnc.port, vnc.display) == (ConsoleKind.VNC, "192.0.2.1", 11000, 5100)
    spice = describe(serial_console=False, spice_bind="eth0")
    assert (spice.kind, spice.host, spice.port) == (ConsoleKind.SPICE, "eth0", 11000)
    none = describe(serial_console=False)
    assert none.kind is ConsoleKind.MESSAGE
    assert "g1" in str(none.message)
    assert describe(5900, serial_console=False, vnc_bind_address="192.0.2.1").kind is ConsoleKind.MESSAGE


# Words for the script that joins an interface ------------------------------------------------------------------------


def environment(nic: Nic) -> dict[str, str]:
    return nics.ifup_environment(Instance(name="g1"), 2, nic, "tap5", Path("/etc/ganeti"), {"PATH": "/bin"})


def test_a_bare_interface_has_no_words_for_what_it_has_not() -> None:
    assert environment(Nic(mac="aa:00:00:00:00:01", uuid="u", nicparams={"mode": "routed", "link": ""})) == {
        "LC_ALL": "C",
        "PATH": "/bin:/sbin:/usr/sbin",
        "CONF_DIR": "/etc/ganeti",
        "INSTANCE": "g1",
        "MAC": "aa:00:00:00:00:01",
        "MODE": "routed",
        "INTERFACE": "tap5",
        "INTERFACE_INDEX": "2",
        "INTERFACE_UUID": "u",
        "TAGS": "",
    }


def test_a_full_one_has_all() -> None:
    nic = Nic(
        mac="aa:00:00:00:00:01",
        ip="192.0.2.9",
        name="front",
        network="n",
        netinfo=Network(name="net1", uuid="n", network6="2001:db8::/64"),
        nicparams={"mode": "bridged", "link": "br0", "vlan": ".10"},
    )
    found = environment(nic)
    assert {name: found[name] for name in ("IP", "LINK", "BRIDGE", "VLAN", "INTERFACE_NAME", "NETWORK_SUBNET6")} == {
        "IP": "192.0.2.9",
        "LINK": "br0",
        "BRIDGE": "br0",
        "VLAN": ".10",
        "INTERFACE_NAME": "front",
        "NETWORK_SUBNET6": "2001:db8::/64",
    }
    assert "NETWORK_SUBNET" not in found


@pytest.mark.parametrize(("mode", "early"), [("bridged", True), ("openvswitch", True), ("routed", False)])
def test_a_routed_interface_of_an_incoming_guest_waits(mode: str, early: bool) -> None:
    assert nics.configured_early(Nic(mac="aa:00:00:00:00:01", nicparams={"mode": mode})) is early
