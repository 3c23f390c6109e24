"""Options of a guest's drives. Pure: text from parameters, facts and ready paths."""

from __future__ import annotations

import logging
from typing import Final

from ganeti.constants import EXTERNALLY_MIRRORED
from ganeti.errors import HypervisorError
from ganeti.hypervisor.drivers.kvm import devices
from ganeti.hypervisor.drivers.kvm.facts import QemuFacts
from ganeti.hypervisor.drivers.kvm.parameters import SCSI_DISK_TYPES, text
from ganeti.model.base import Parameters
from ganeti.model.disk import DiskMode, DiskType
from ganeti.model.instance import AttachedDisk

log = logging.getLogger(__name__)

CACHE_FORCED: Final = EXTERNALLY_MIRRORED - {DiskType.RBD}
"""Types where another node sees the data at once: what lay in this node's page cache would be lost by a migration."""


def value(path: str) -> str:
    """A path as the value of an option, where a comma begins the next option unless doubled."""
    return path.replace(",", ",,")


def interface(disk_type: str) -> str:
    """QEMU's word for a drive's interface when no device option names it."""
    return "virtio" if disk_type == "paravirtual" else disk_type


def boots_from(hvparams: Parameters, medium: str) -> bool:
    """Whether the guest starts from that medium; with a kernel of the node it starts from none."""
    return not text(hvparams, "kernel_path") and text(hvparams, "boot_order") == medium


def disk_options(disks: tuple[AttachedDisk, ...], hvparams: Parameters, facts: QemuFacts) -> list[str]:
    """Options of all disks. Raises: HypervisorError for one the guest may not write."""
    result: list[str] = []
    for index, attached in enumerate(disks):
        if attached.disk.mode not in (None, DiskMode.READ_WRITE):
            raise HypervisorError(f"disk {index} is read-only, which KVM guests do not support")
        boot = index == 0 and boots_from(hvparams, "disk")
        if boot:
            result += ["-boot", "c"]
        result += _one_disk(attached, hvparams, facts, boot=boot)
    return result


def source(attached: AttachedDisk) -> str:
    """Where QEMU finds the disk: its URI when it is to be reached from user space, else the node's link."""
    place = attached.uri if attached.disk.wants_userspace and attached.uri else attached.link
    if not place:
        raise HypervisorError(f"disk {attached.disk.describe()} has neither a device nor a URI on this node")
    return place


def has_own_device(hvparams: Parameters, facts: QemuFacts) -> bool:
    """Whether QEMU knows the disk type as a device, so that its name and place can be told."""
    disk_type = text(hvparams, "disk_type")
    return devices.driver_of("disk", disk_type) in facts.devices


def _one_disk(attached: AttachedDisk, hvparams: Parameters, facts: QemuFacts, *, boot: bool) -> list[str]:
    disk_type = text(hvparams, "disk_type")
    info = attached.disk.hvinfo or {}
    named = bool(info) and has_own_device(hvparams, facts)
    result: list[str] = []
    if named:
        result += ["-device", f"{devices.option(info)},drive={info['id']}"]
    drive = f"file={value(source(attached))},format=raw,if={'none' if named else interface(disk_type)}"
    if boot and facts.needs_boot_flag and disk_type != "ide":
        drive += ",boot=on"
    drive += _aio_and_cache(attached.disk.dev_type, hvparams)
    discard = text(hvparams, "disk_discard")
    if discard and discard != "default":
        drive += f",discard={discard}"
    if named:
        drive += f",id={info['id']}"
    if facts.has_auto_read_only:
        # otherwise QEMU may open the disk read-only, and a guest that was migrated here could not write
        drive += ",auto-read-only=off"
    return [*result, "-drive", drive]


def _aio_and_cache(kind: DiskType, hvparams: Parameters) -> str:
    cache = text(hvparams, "disk_cache")
    if kind in CACHE_FORCED:
        if cache != "none":
            log.warning("Disks of type %s are used without cache, not with disk_cache %s", kind, cache)
        cache = "none"
    if text(hvparams, "disk_aio") == "native":
        return ",aio=native,cache=none"
    return ",aio=threads" + (f",cache={cache}" if cache and cache != "default" else "")


# Removable media -----------------------------------------------------------------------------------------------------


def media_options(hvparams: Parameters, facts: QemuFacts) -> list[str]:
    """Options of the two CD-ROM drives and the floppy drive."""
    result = _cdrom(hvparams, facts, "cdrom_image_path", boot=boots_from(hvparams, "cdrom"))
    result += _cdrom(hvparams, facts, "cdrom2_image_path", boot=False)
    floppy = text(hvparams, "floppy_image_path")
    if floppy:
        boot = boots_from(hvparams, "floppy")
        flag = ",boot=on" if boot and facts.needs_boot_flag else ""
        result += ["-boot", "a"] if boot else []
        result += ["-drive", f"file={value(floppy)},format=raw,media=disk{flag},if=floppy"]
    return result


def _cdrom(hvparams: Parameters, facts: QemuFacts, name: str, *, boot: bool) -> list[str]:
    image = text(hvparams, name)
    if not image:
        return []
    disk_type = text(hvparams, "cdrom_disk_type") or text(hvparams, "disk_type")
    # the types that are devices of a SCSI controller are no word for a drive's interface
    kind = "ide" if boot or disk_type in SCSI_DISK_TYPES else interface(disk_type)
    flag = ",boot=on" if boot and facts.needs_boot_flag else ""
    drive = ["-drive", f"file={value(image)},media=cdrom,format=raw,if={kind}{flag}"]
    return [*(["-boot", "d"] if boot else []), *drive]
