"""The parameters of KVM guests: defaults, the check of each, and the checks that need more than one.

Source: the table of Ganeti 3.0.2. What needs the emulator's own word (machine, SPICE) is judged from its facts, which
the caller has; nothing is run here.
"""

from __future__ import annotations

import ipaddress
import os
import pwd
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from ganeti.errors import HypervisorError, UnsafePath
from ganeti.host import net
from ganeti.hypervisor.drivers.kvm.cpu_mask import parse_cpu_masks
from ganeti.hypervisor.drivers.kvm.facts import QemuFacts
from ganeti.hypervisor.parameters import (
    IS_DIRECTORY,
    IS_FILE,
    MIGRATION_MODE,
    NORMAL_PATH,
    NOT_NEGATIVE,
    PORT,
    Check,
    Parameter,
    between,
    is_unspecified,
    one_of,
)
from ganeti.model.base import Parameters, Scalar

SCSI_DISK_TYPES: Final = frozenset({"scsi-generic", "scsi-block", "scsi-hd", "scsi-cd"})
DISK_TYPES: Final = ("paravirtual", "ide", "scsi", "sd", "mtd", "pflash", *sorted(SCSI_DISK_TYPES))
NIC_TYPES: Final = (
    *("rtl8139", "ne2k_pci", "ne2k_isa", "i82551", "i82557b", "i82559er", "pcnet", "e1000"),
    "paravirtual",
)
SERIAL_SPEEDS: Final = (
    *(75, 110, 300, 600, 1200, 1800, 2400, 4800, 9600, 14400, 19200, 28800, 38400, 57600),
    *(115200, 230400, 345600, 460800),
)
PCI_SLOTS: Final = 32
URL_SCHEMES: Final = ("http://", "https://", "ftp://", "ftps://")

NEEDS_SPICE: Final = (
    "spice_ip_version",
    "spice_password_file",
    "spice_image_compression",
    "spice_jpeg_wan_compression",
    "spice_zlib_glz_wan_compression",
    "spice_streaming_video",
    "spice_use_tls",
)
"""Parameters that mean nothing without `spice_bind`."""


def is_url(value: Scalar) -> bool:
    """Whether a value is an address QEMU reads an image from."""
    return isinstance(value, str) and value.startswith(URL_SCHEMES)


def _is_cpu_mask(value: Scalar) -> bool:
    try:
        parse_cpu_masks(str(value))
    except HypervisorError:
        return False
    return True


_FILE_OR_URL = Check(
    test=lambda value: is_url(value) or NORMAL_PATH.test(value), reason="must be an absolute path or a URL"
)
_IS_FILE_OR_URL = Check(
    test=lambda value: is_url(value) or IS_FILE.test(value), reason="must be a file on the node or a URL"
)
_CPU_MASK = Check(test=_is_cpu_mask, reason="must be CPU masks such as all, 0-3,5 or 0-1:2-3")


def _text(default: str = "") -> Parameter:
    return Parameter(default=default)


def _flag(*, default: bool = False) -> Parameter:
    return Parameter(default=default)


def _file() -> Parameter:
    return Parameter(default="", syntax=NORMAL_PATH, on_node=IS_FILE)


def _directory() -> Parameter:
    return Parameter(default="", syntax=NORMAL_PATH, on_node=IS_DIRECTORY)


def _image() -> Parameter:
    return Parameter(default="", syntax=_FILE_OR_URL, on_node=_IS_FILE_OR_URL)


def _choice(*values: Scalar, default: Scalar = "", required: bool = False) -> Parameter:
    return Parameter(default=default, required=required, syntax=one_of(*values))


def _count(default: int = 0, *, required: bool = False) -> Parameter:
    return Parameter(default=default, required=required, syntax=NOT_NEGATIVE)


PARAMETERS: Final[Mapping[str, Parameter]] = {
    "acpi": _flag(default=True),
    "boot_order": _choice("floppy", "cdrom", "disk", "network", default="disk", required=True),
    "cdrom2_image_path": _image(),
    "cdrom_disk_type": _choice(*DISK_TYPES),
    "cdrom_image_path": _image(),
    "cpu_cores": _count(),
    "cpu_mask": Parameter(default="all", syntax=_CPU_MASK),
    "cpu_sockets": _count(),
    "cpu_threads": _count(),
    "cpu_type": _text(),
    "disk_aio": _choice("threads", "native", default="threads"),
    "disk_cache": _choice("default", "none", "writethrough", "writeback", default="default", required=True),
    "disk_discard": _choice("default", "ignore", "unmap", default="default"),
    "disk_type": _choice(*DISK_TYPES, default="paravirtual", required=True),
    "floppy_image_path": _file(),
    "initrd_path": _file(),
    "kernel_args": _text("ro"),
    "kernel_path": Parameter(default="/boot/vmlinuz-3-kvmU", syntax=NORMAL_PATH, on_node=IS_FILE),
    "keymap": _text(),
    "kvm_extra": _text(),
    "kvm_flag": _choice("enabled", "disabled"),
    "kvm_path": Parameter(default="/usr/bin/kvm", required=True, syntax=NORMAL_PATH, on_node=IS_FILE),
    "kvm_pci_reservations": Parameter(default=12, syntax=between(0, PCI_SLOTS)),
    "machine_version": _text(),
    "mem_path": _directory(),
    "migration_bandwidth": _count(32, required=True),
    "migration_caps": _text(),
    "migration_downtime": _count(30, required=True),
    "migration_mode": Parameter(default="live", required=True, syntax=MIGRATION_MODE),
    "migration_port": Parameter(default=8102, required=True, syntax=PORT),
    "nic_type": _choice(*NIC_TYPES, default="paravirtual", required=True),
    "reboot_behavior": _choice("reboot", "exit", default="reboot", required=True),
    "root_path": _text("/dev/vda1"),
    "scsi_controller_type": _choice("lsi", "virtio-scsi-pci", "megasas", default="lsi", required=True),
    "security_domain": _text(),
    "security_model": _choice("none", "user", "pool", default="none", required=True),
    "serial_console": _flag(default=True),
    "serial_speed": Parameter(default=38400),
    "soundhw": _text(),
    "spice_bind": _text(),
    "spice_image_compression": _choice("auto_glz", "auto_lz", "quic", "glz", "lz", "off"),
    "spice_ip_version": _choice(0, 4, 6, default=0),
    "spice_jpeg_wan_compression": _choice("auto", "never", "always"),
    "spice_password_file": _file(),
    "spice_playback_compression": _flag(default=True),
    "spice_streaming_video": _choice("off", "all", "filter"),
    "spice_tls_ciphers": _text("HIGH:-DES:-3DES:-EXPORT:-DH"),
    "spice_use_tls": _flag(),
    "spice_use_vdagent": _flag(default=True),
    "spice_zlib_glz_wan_compression": _choice("auto", "never", "always"),
    "usb_devices": _text(),
    "usb_mouse": _choice("mouse", "tablet"),
    "use_chroot": _flag(),
    "use_guest_agent": _flag(),
    "use_localtime": _flag(),
    "user_shutdown": _flag(),
    "vga": _text(),
    "vhost_net": _flag(),
    "virtio_net_queues": Parameter(default=1, syntax=between(1, 8)),
    "vnc_bind_address": _text(),
    "vnc_password_file": _file(),
    "vnc_tls": _flag(),
    "vnc_x509_path": _directory(),
    "vnc_x509_verify": _flag(),
    "vnet_hdr": _flag(default=True),
}


def check_together(hvparams: Parameters) -> None:
    """Judge what needs several parameters and no node. Raises: HypervisorError."""
    for check in (_check_boot, _check_security, _check_console, _check_vnc, _check_spice, _check_cache):
        check(hvparams)


def validate_on_node(hvparams: Parameters, facts: QemuFacts, interface_exists: Callable[[str], bool]) -> None:
    """Judge what needs this node and its emulator, beyond the single checks. Raises: HypervisorError."""
    _validate_security(hvparams)
    _validate_vnc(hvparams, interface_exists)
    _validate_spice(hvparams, facts, interface_exists)
    machine = text(hvparams, "machine_version")
    if machine and machine not in facts.machines:
        raise HypervisorError(f"machine_version {machine!r} is none this emulator has")


def text(hvparams: Parameters, name: str) -> str:
    """A parameter as text; empty when it is absent or has no value."""
    value = hvparams.get(name)
    return "" if is_unspecified(value) or value is False else str(value)


def number(hvparams: Parameters, name: str) -> int:
    """A parameter as a whole number; the default when it is absent or has no value."""
    value = hvparams.get(name)
    if is_unspecified(value):
        value = PARAMETERS[name].default
    return int(value) if value is not None else 0


def flag(hvparams: Parameters, name: str) -> bool:
    """A parameter as a boolean; the default when it is absent or has no value."""
    value = hvparams.get(name)
    return bool(PARAMETERS[name].default if is_unspecified(value) else value)


def ip_version(value: str) -> int | None:
    """4 or 6 when `value` is an IP address, else None."""
    try:
        return ipaddress.ip_address(value).version
    except ValueError:
        return None


def interface_on_node(value: str) -> bool:
    """Whether an interface of that name exists; what cannot be a name is none.

    The packaged 3.0.2 fails with an internal error here when the value is a path, so that a directory as
    `vnc_bind_address` cannot be used there though it is documented; here it can.
    """
    try:
        return net.interface_exists(value)
    except UnsafePath:
        return False


# Checks of several parameters ----------------------------------------------------------------------------------------


def _check_boot(hvparams: Parameters) -> None:
    if text(hvparams, "kernel_path") and not text(hvparams, "root_path"):
        raise HypervisorError("kernel_path is set, so root_path must be, too")
    if text(hvparams, "boot_order") == "cdrom" and not text(hvparams, "cdrom_image_path"):
        raise HypervisorError("boot_order is cdrom, so cdrom_image_path must be set")


def _check_security(hvparams: Parameters) -> None:
    model, domain = text(hvparams, "security_model"), text(hvparams, "security_domain")
    if model == "user" and not domain:
        raise HypervisorError("security_model is user, so security_domain must name one")
    if model in ("none", "pool") and domain:
        raise HypervisorError(f"security_domain has no meaning with security_model {model}")


def _check_console(hvparams: Parameters) -> None:
    speed = hvparams.get("serial_speed")
    if flag(hvparams, "serial_console") and speed not in SERIAL_SPEEDS:
        raise HypervisorError(f"serial_speed {speed!r} must be one of {', '.join(map(str, SERIAL_SPEEDS))}")


def _check_vnc(hvparams: Parameters) -> None:
    if flag(hvparams, "vnc_x509_verify") and not text(hvparams, "vnc_x509_path"):
        raise HypervisorError("vnc_x509_verify is set, so vnc_x509_path must be, too")


def _check_spice(hvparams: Parameters) -> None:
    bind, version = text(hvparams, "spice_bind"), number(hvparams, "spice_ip_version")
    if not bind:
        for name in NEEDS_SPICE:
            if hvparams.get(name):
                raise HypervisorError(f"{name} has no meaning without spice_bind")
        return
    kind = ip_version(bind)
    if version and kind and kind != version:
        raise HypervisorError(f"spice_bind {bind} is an IPv{kind} address, but spice_ip_version is {version}")


def _check_cache(hvparams: Parameters) -> None:
    if text(hvparams, "disk_aio") == "native" and text(hvparams, "disk_cache") != "none":
        raise HypervisorError("disk_aio native works with disk_cache none only")


# On the node ---------------------------------------------------------------------------------------------------------


def _validate_security(hvparams: Parameters) -> None:
    if text(hvparams, "security_model") != "user":
        return
    user = text(hvparams, "security_domain")
    try:
        pwd.getpwnam(user)
    except KeyError:
        raise HypervisorError(f"security_domain {user!r} is no user of this node") from None


def _validate_vnc(hvparams: Parameters, interface_exists: Callable[[str], bool]) -> None:
    bind = text(hvparams, "vnc_bind_address")
    if not bind or ip_version(bind) is not None or interface_exists(bind):
        return
    if not NORMAL_PATH.test(bind):
        raise HypervisorError(f"vnc_bind_address {bind!r} is no IP address, interface or absolute path")


def _validate_spice(hvparams: Parameters, facts: QemuFacts, interface_exists: Callable[[str], bool]) -> None:
    bind = text(hvparams, "spice_bind")
    if not bind:
        return
    if text(hvparams, "vnc_bind_address"):
        raise HypervisorError("spice_bind and vnc_bind_address exclude each other")
    if not facts.has_option("-spice"):
        raise HypervisorError("spice_bind is set, but this emulator knows no SPICE")
    if ip_version(bind) is None and not interface_exists(bind):
        raise HypervisorError(f"spice_bind {bind!r} is no IP address or interface of this node")


def single_line(path: str) -> str:
    """The one line of a password file. Raises: HypervisorError, never with the content."""
    try:
        with Path(path).open("rb") as file:
            lines = [line.strip() for line in os.fsdecode(file.read(4096)).splitlines()]
    except OSError as err:
        raise HypervisorError(f"cannot read {path}: {err.strerror}") from err
    filled = [line for line in lines if line]
    if len(filled) != 1:
        raise HypervisorError(f"{path} must have exactly one line")
    return filled[0]
