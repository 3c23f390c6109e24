"""Options of a guest's display: VNC, SPICE or none. Pure, but for `resolve`, which looks up interface addresses."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ganeti.constants import VNC_BASE_PORT
from ganeti.errors import HypervisorError
from ganeti.hypervisor.drivers.kvm.disks import value
from ganeti.hypervisor.drivers.kvm.facts import QemuFacts
from ganeti.hypervisor.drivers.kvm.parameters import flag, ip_version, number, text
from ganeti.model.base import Parameters

log = logging.getLogger(__name__)

ANY_ADDRESS: Final = "0.0.0.0"  # noqa: S104 - a value to compare with
TLS_ID: Final = "vnctls0"

_IMAGE_OPTIONS: Final = (
    ("image-compression", "spice_image_compression"),
    ("jpeg-wan-compression", "spice_jpeg_wan_compression"),
    ("zlib-glz-wan-compression", "spice_zlib_glz_wan_compression"),
    ("streaming-video", "spice_streaming_video"),
)
_AGENT: Final = (
    *("-device", "virtio-serial-pci,id=spice"),
    *("-device", "virtserialport,chardev=spicechannel0,name=com.redhat.spice.0"),
    *("-chardev", "spicevmc,id=spicechannel0,name=vdagent"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """Where the display listens: an address of this node, or for VNC a directory. `of_interface`: it was looked up."""

    address: str = ""
    of_interface: bool = False


def resolve(
    hvparams: Parameters,
    *,
    interface_exists: Callable[[str], bool],
    addresses_of: Callable[[str], Sequence[str]],
    primary_version: int,
) -> Binding:
    """Find the address to listen on, where an interface is named. Raises: HypervisorError for SPICE without one."""
    bind = text(hvparams, "vnc_bind_address")
    if bind:
        return _resolve_vnc(bind, interface_exists, addresses_of)
    bind = text(hvparams, "spice_bind")
    if not bind or ip_version(bind) is not None or not interface_exists(bind):
        return Binding(address=bind)
    by_version: dict[int, str] = {}
    for address in addresses_of(bind):
        by_version.setdefault(ip_version(address) or 0, address)
    wanted = number(hvparams, "spice_ip_version")
    if not wanted:
        wanted = primary_version if len(by_version) == 2 else next(iter(by_version), 0)
    if wanted not in by_version:
        which = f"IPv{wanted} address" if wanted else "address"
        raise HypervisorError(f"interface {bind} has no {which} for SPICE to listen on")
    return Binding(address=by_version[wanted], of_interface=True)


def display_options(
    hvparams: Parameters,
    facts: QemuFacts,
    *,
    name: str,
    port: int | None,
    binding: Binding,
    data_dir: Path,
) -> list[str]:
    """Options of the one display of a guest; `port` is its port in the cluster."""
    if text(hvparams, "vnc_bind_address"):
        return _vnc(hvparams, name, port, binding)
    if text(hvparams, "spice_bind"):
        return _spice(hvparams, port, binding, data_dir)
    return ["-display", "none"] if facts.has_option("-display") else ["-nographic"]


def takes_password(hvparams: Parameters, protocol: str, port: int | None) -> bool:
    """Whether the guest's display was made to ask for a password of that protocol."""
    if protocol == "spice":
        return bool(text(hvparams, "spice_bind") and text(hvparams, "spice_password_file"))
    bind = text(hvparams, "vnc_bind_address")
    is_on_network = bool(bind) and not bind.startswith("/") and port is not None and port > VNC_BASE_PORT
    return is_on_network and bool(text(hvparams, "vnc_password_file"))


def _resolve_vnc(
    bind: str, interface_exists: Callable[[str], bool], addresses_of: Callable[[str], Sequence[str]]
) -> Binding:
    if ip_version(bind) is not None or not interface_exists(bind):
        return Binding(address=bind)
    first = next((address for address in addresses_of(bind) if ip_version(address) == 4), None)
    if first is None:
        raise HypervisorError(f"interface {bind} has no IPv4 address for VNC to listen on")
    return Binding(address=first, of_interface=True)


def _vnc(hvparams: Parameters, name: str, port: int | None, binding: Binding) -> list[str]:
    version = ip_version(binding.address)
    if version is None:
        return ["-vnc", f"unix:{value(f'{binding.address}/{name}.vnc')}"]
    if port is None or port <= VNC_BASE_PORT:
        log.error("Instance %s has port %s, which is too low for VNC; it gets no display", name, port)
        return ["-vnc", "none"]
    host = f"[{binding.address}]" if version == 6 else binding.address
    argument = f"{'' if host == ANY_ADDRESS else host}:{port - VNC_BASE_PORT}"
    result: list[str] = []
    if flag(hvparams, "vnc_tls"):
        argument += f",tls-creds={TLS_ID}"
        directory = text(hvparams, "vnc_x509_path")
        if directory:
            verify = "yes" if flag(hvparams, "vnc_x509_verify") else "no"
            more = f",dir={value(directory)},verify-peer={verify}"
            result += ["-object", f"tls-creds-x509,id={TLS_ID},endpoint=server{more}"]
        else:
            result += ["-object", f"tls-creds-anon,id={TLS_ID},endpoint=server"]
    if text(hvparams, "vnc_password_file"):
        # the short form, without =on, is deprecated since QEMU 6.0 and prints a warning
        argument += ",password=on"
    return [*result, "-vnc", argument]


def _spice(hvparams: Parameters, port: int | None, binding: Binding, data_dir: Path) -> list[str]:
    parts = [f"addr={binding.address}"]
    if flag(hvparams, "spice_use_tls"):
        key, authority = value(str(data_dir / "spice.pem")), value(str(data_dir / "spice-ca.pem"))
        parts += [f"tls-port={port}", f"x509-cacert-file={authority}"]
        parts += [f"x509-key-file={key}", f"x509-cert-file={key}"]
        ciphers = text(hvparams, "spice_tls_ciphers")
        parts += [f"tls-ciphers={value(ciphers)}"] if ciphers else []
    else:
        parts.append(f"port={port}")
    if not text(hvparams, "spice_password_file"):
        parts.append("disable-ticketing=on")
    if binding.of_interface:
        parts.append(f"ipv{ip_version(binding.address)}=on")
    parts += [f"{option}={text(hvparams, name)}" for option, name in _IMAGE_OPTIONS if text(hvparams, name)]
    if not flag(hvparams, "spice_playback_compression"):
        parts.append("playback-compression=off")
    agent = flag(hvparams, "spice_use_vdagent")
    if not agent:
        parts.append("agent-mouse=off")
    return [*(_AGENT if agent else ()), "-spice", ",".join(parts)]
