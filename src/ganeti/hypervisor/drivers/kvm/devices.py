"""Names and places of a guest's disks and interfaces on its buses (`hvinfo`), which must stay for the guest's life.

Source: Ganeti 3.0.2. The options made of them are text like `virtio-blk-pci,id=disk-...,bus=pci.0,addr=0xc`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

import msgspec

from ganeti.errors import HypervisorError
from ganeti.hypervisor.drivers.kvm.parameters import PCI_SLOTS, SCSI_DISK_TYPES, number, text
from ganeti.model.base import Parameters
from ganeti.model.disk import Disk
from ganeti.model.instance import AttachedDisk
from ganeti.model.network import Nic

HvInfo = dict[str, str | int]

PCI_BUS: Final = "pci.0"
PCI_EXPRESS_BUS: Final = "pcie.0"
SCSI_BUS: Final = "scsi.0"
SCSI_SLOTS: Final = 16

_PARAVIRTUAL: Final = {"disk": "virtio-blk-pci", "nic": "virtio-net-pci"}
_ISA_DRIVERS: Final = frozenset({"ne2k_isa"})
"""They take a slot in the records like all others, but sit on no PCI bus."""


class Slots:
    """Free places on the buses of one guest."""

    def __init__(self, hvparams: Parameters) -> None:
        """All free but those left to QEMU's own devices."""
        # the root bus of a q35 machine has a name of its own
        is_express = re.match(r"(pc-)?q35\b", text(hvparams, "machine_version")) is not None
        self.pci_bus = PCI_EXPRESS_BUS if is_express else PCI_BUS
        self._taken = {self.pci_bus: set(range(number(hvparams, "kvm_pci_reservations"))), SCSI_BUS: set[int]()}
        self._size = {self.pci_bus: PCI_SLOTS, SCSI_BUS: SCSI_SLOTS}

    def take(self, bus: str) -> int:
        """The lowest free place. Raises: HypervisorError when there is none."""
        free = next((slot for slot in range(self._size[bus]) if slot not in self._taken[bus]), None)
        if free is None:
            raise HypervisorError(f"bus {bus} has no free slot")
        self._taken[bus].add(free)
        return free


def device_id(kind: str, uuid: str | None) -> str:
    """`disk-` or `nic-` and the first three groups of the UUID. Raises: HypervisorError without one."""
    if not uuid:
        raise HypervisorError(f"a {kind} without UUID cannot be given to a KVM guest")
    return f"{kind}-{'-'.join(uuid.split('-')[:3])}"


def driver_of(kind: str, type_name: str) -> str:
    """QEMU's name of the device for a `disk_type` or `nic_type`."""
    return _PARAVIRTUAL[kind] if type_name == "paravirtual" else type_name


def place(kind: str, device: Disk | Nic, type_name: str, slots: Slots) -> HvInfo:
    """Name a device and give it the next free place; keys in the order of the options."""
    info: HvInfo = {"driver": driver_of(kind, type_name), "id": device_id(kind, device.uuid)}
    if kind == "disk" and type_name in SCSI_DISK_TYPES:
        return info | {"bus": SCSI_BUS, "channel": 0, "scsi-id": slots.take(SCSI_BUS), "lun": 0}
    return info | {"bus": slots.pci_bus, "addr": hex(slots.take(slots.pci_bus))}


def place_all(
    disks: Iterable[AttachedDisk], nics: Iterable[Nic], hvparams: Parameters
) -> tuple[tuple[AttachedDisk, ...], tuple[Nic, ...]]:
    """Place every disk in order, then every interface. Raises: HypervisorError when a bus is full."""
    slots = Slots(hvparams)
    disk_type, nic_type = text(hvparams, "disk_type"), text(hvparams, "nic_type")
    placed_disks = tuple(
        msgspec.structs.replace(
            attached,
            disk=msgspec.structs.replace(attached.disk, hvinfo=place("disk", attached.disk, disk_type, slots)),
        )
        for attached in disks
    )
    placed_nics = tuple(msgspec.structs.replace(nic, hvinfo=place("nic", nic, nic_type, slots)) for nic in nics)
    return placed_disks, placed_nics


def option(info: HvInfo) -> str:
    """The device option of a placed device: driver, then `key=value` in order."""
    driver = str(info["driver"])
    hidden = {"driver", "bus", "addr"} if driver in _ISA_DRIVERS else {"driver"}
    return ",".join([driver, *(f"{key}={value}" for key, value in info.items() if key not in hidden)])
