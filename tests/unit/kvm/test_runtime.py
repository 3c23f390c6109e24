"""The runtime file: what is written is read again, and what older releases wrote is understood."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ganeti.errors import HypervisorError
from ganeti.hypervisor.drivers.kvm.layout import GuestFiles
from ganeti.hypervisor.drivers.kvm.runtime import Runtime, load
from ganeti.model.disk import Disk, DiskMode, DiskType
from ganeti.model.instance import AttachedDisk
from ganeti.model.network import Network, Nic

UUID = "003fc157-66a8-4e6d-8b7e-ec4f69751396"
NIC: dict[str, object] = {"mac": "aa:00:00:00:00:01", "uuid": UUID, "nicparams": {"mode": "bridged", "link": "br0"}}
HVPARAMS = {"nic_type": "paravirtual", "disk_type": "paravirtual", "acpi": True}
DISK = {"dev_type": "plain", "logical_id": ["vg", "lv"], "size": 1024, "uuid": UUID, "mode": "rw"}


def content(
    command: list[str | int] | None = None,
    nics: list[dict[str, object]] | None = None,
    disks: list[list[object]] | None = None,
) -> str:
    return json.dumps([command or ["/usr/bin/kvm"], nics or [], HVPARAMS, disks or []]) + "\n"


def test_what_is_written_is_read_again() -> None:
    runtime = Runtime(
        command=("/usr/bin/kvm", "-name", "g1", "-m", 512),
        nics=(
            Nic(
                mac="aa:00:00:00:00:01",
                uuid=UUID,
                hvinfo={"driver": "virtio-net-pci", "id": "nic-1", "bus": "pci.0", "addr": "0xd"},
                netinfo=Network(name="net1", uuid=UUID, tags=("a",)),
            ),
        ),
        hvparams={"acpi": True, "kvm_path": "/usr/bin/kvm", "migration_port": 8102},
        disks=(
            AttachedDisk(
                disk=Disk(
                    dev_type=DiskType.DRBD,
                    logical_id=("a", "b", 11000, 0, 0, "secret"),
                    mode=DiskMode.READ_WRITE,
                    uuid=UUID,
                    hvinfo={"driver": "scsi-hd", "id": "disk-1", "bus": "scsi.0", "scsi-id": 3, "lun": 0},
                    children=(Disk(dev_type=DiskType.PLAIN, logical_id=("vg", "lv")),),
                ),
                link="/var/run/ganeti/instance-disks/g1:0",
                uri=None,
            ),
        ),
    )
    assert load(runtime.dump()) == runtime


def test_the_form_is_one_line_with_a_list_of_four_and_the_memory_as_a_number() -> None:
    runtime = Runtime(command=("kvm", "-m", 512), nics=(), hvparams={}, disks=())
    assert runtime.dump().endswith("\n")
    assert json.loads(runtime.dump()) == [["kvm", "-m", 512], [], {}, []]
    assert runtime.dump().count("\n") == 1


def test_a_disk_is_written_with_its_link_and_uri() -> None:
    disk = AttachedDisk(disk=Disk(dev_type=DiskType.RBD, logical_id=("rbd", "d")), link=None, uri="rbd:rbd/d")
    runtime = Runtime(command=(), nics=(), hvparams={}, disks=(disk,))
    assert json.loads(runtime.dump())[3] == [[{"dev_type": "rbd", "logical_id": ["rbd", "d"]}, None, "rbd:rbd/d"]]


def test_three_items_have_their_disks_in_the_command() -> None:
    old = load(json.dumps([["kvm", "-drive", "file=/dev/x"], [], HVPARAMS]))
    assert old.disks == ()
    assert old.command == ("kvm", "-drive", "file=/dev/x")


def test_a_nic_without_uuid_gets_one_of_its_own() -> None:
    nics = load(content(nics=[{"mac": "aa:00:00:00:00:01"}, {"mac": "aa:00:00:00:00:02"}])).nics
    assert nics[0].uuid != nics[1].uuid
    assert all(nic.uuid for nic in nics)


def test_a_device_without_place_has_an_empty_one() -> None:
    assert load(content(nics=[NIC])).nics[0].hvinfo == {}
    assert load(content(disks=[[DISK, "/dev/x", None]])).disks[0].disk.hvinfo == {}


def test_the_old_slot_number_becomes_a_place() -> None:
    runtime = load(content(nics=[NIC | {"pci": 13}], disks=[[DISK | {"pci": 14}, "/dev/x", None]]))
    assert runtime.nics[0].hvinfo == {
        "driver": "virtio-net-pci",
        "id": "hotnic-003fc157-pci-13",
        "addr": "0xd",
        "bus": "pci.0",
    }
    assert runtime.disks[0].disk.hvinfo == {
        "driver": "virtio-blk-pci",
        "id": "hotdisk-003fc157-pci-14",
        "addr": "0xe",
        "bus": "pci.0",
    }
    assert runtime.nics[0].pci is None


def test_keys_of_other_releases_are_left_out() -> None:
    disk = DISK | {"physical_id": ["vg", "lv"], "children": [DISK | {"physical_id": [1]}]}
    nic = NIC | {"later": 1, "network": "n", "netinfo": {"name": "n", "later": 2}}
    runtime = load(content(nics=[nic], disks=[[disk, "/dev/x", None]]))
    assert runtime.disks[0].disk.children is not None
    assert runtime.nics[0].netinfo == Network(name="n")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (["-localtime"], ["-rtc", "base=localtime"]),
        (["-balloon", "virtio"], ["-device", "virtio-balloon"]),
        (["-balloon", "virtio,addr=5"], ["-device", "virtio-balloon,addr=5"]),
        (["-vnc", ":5,password"], ["-vnc", ":5,password"]),
        (
            ["-vnc", ":5,tls"],
            ["-object", "tls-creds-anon,id=vnctls0,endpoint=server", "-vnc", ":5,tls-creds=vnctls0"],
        ),
        (
            ["-vnc", ":5,tls,x509=/pki,password"],
            [
                "-object",
                "tls-creds-x509,id=vnctls0,endpoint=server,dir=/pki,verify-peer=no",
                "-vnc",
                ":5,tls-creds=vnctls0,password",
            ],
        ),
        (
            ["-vnc", ":5,tls,x509verify=/pki"],
            [
                "-object",
                "tls-creds-x509,id=vnctls0,endpoint=server,dir=/pki,verify-peer=yes",
                "-vnc",
                ":5,tls-creds=vnctls0",
            ],
        ),
        (["-S"], []),
    ],
)
def test_options_of_older_emulators_are_brought_up_to_date(old: list[str | int], new: list[str]) -> None:
    assert load(content(["kvm", *old, "-usb"])).command == ("kvm", *new, "-usb")


@pytest.mark.parametrize(
    "text",
    ["", "{}", "[]", "[1, 2, 3]", '[["kvm"], [], {}, [[]]]', '[["kvm"], [{}], {}, []]', '[["kvm"], [], [], []]', "["],
)
def test_what_is_no_runtime_file_is_refused(text: str) -> None:
    with pytest.raises(HypervisorError, match="cannot be understood"):
        load(text)


def test_a_guest_of_another_root_gets_this_nodes_files() -> None:
    sent = GuestFiles(name="g1", root=Path("/a/run/kvm-hypervisor"), log_dir=Path("/a/log"))
    here = GuestFiles(name="g1", root=Path("/b/run/kvm-hypervisor"), log_dir=Path("/b/log"))
    command = (
        *("kvm", "-name", "g1", "-m", 128, "-pidfile", str(sent.pid), "-D", str(sent.log)),
        *("-monitor", f"unix:{sent.monitor},server,nowait", "-serial", f"unix:{sent.serial},server,nowait"),
        *("-chroot", str(sent.chroot), "-chardev", f"socket,path={sent.guest_agent},server=on,wait=off,id=qga0"),
        *("-chardev", "spicevmc,id=spicechannel0,name=vdagent"),
    )
    disk = AttachedDisk(disk=Disk(dev_type=DiskType.FILE, logical_id=("loop", "/d")), link="/a/disks/g1:0")
    other = AttachedDisk(disk=Disk(dev_type=DiskType.BLOCKDEV, logical_id=("manual", "/dev/x")), link="/dev/x")
    runtime = Runtime(command=command, nics=(), hvparams={}, disks=(disk, other))

    moved = runtime.relocated(here, Path("/b/disks"))

    assert not [word for word in moved.command if "/a/" in str(word)]
    assert moved.command[6:9] == (str(here.pid), "-D", str(here.log))
    assert moved.command[-2:] == command[-2:]
    assert [entry.link for entry in moved.disks] == ["/b/disks/g1:0", "/dev/x"]
    assert moved.relocated(sent, Path("/a/disks")) == runtime


def test_a_serial_line_that_is_none_stays_so() -> None:
    files = GuestFiles(name="g1", root=Path("/b"), log_dir=Path("/b/log"))
    runtime = Runtime(command=("-serial", "none"), nics=(), hvparams={})
    assert runtime.relocated(files, Path("/b/disks")) == runtime
