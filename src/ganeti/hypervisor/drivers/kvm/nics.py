"""A guest's network interfaces: options of the emulator, and the environment of the script that joins them.

Pure text; opening taps and running the script are the launcher's.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ganeti.errors import HypervisorError
from ganeti.hypervisor.drivers.kvm import devices
from ganeti.hypervisor.drivers.kvm.facts import QemuFacts
from ganeti.hypervisor.drivers.kvm.parameters import flag, number, text
from ganeti.model.base import Parameters
from ganeti.model.instance import Instance
from ganeti.model.network import Nic

COMMUNICATION_PREFIX: Final = "ganeti:communication:"
"""Names of the interfaces through which guests speak to their node."""
COMMUNICATION_TAP: Final = "gnt.com."

_VIRTIO: Final = "virtio-net-pci"


@dataclass(frozen=True, slots=True, kw_only=True)
class TapHandle:
    """Descriptors of one tap, a queue each."""

    fds: tuple[int, ...]
    vhost_fds: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class NicFeatures:
    """How the interfaces of a guest are made: all alike."""

    model: str
    vnet_hdr: bool = False
    vhost: bool = False
    queues: int = 1

    @classmethod
    def of(cls, hvparams: Parameters, facts: QemuFacts) -> NicFeatures:
        """What the parameters ask for. Raises: HypervisorError when this emulator cannot."""
        nic_type = text(hvparams, "nic_type")
        if nic_type != "paravirtual":
            return cls(model=nic_type)
        known = _VIRTIO in facts.devices
        vhost = flag(hvparams, "vhost_net")
        if vhost and not facts.option_has("-netdev", ",vhost=on|off"):
            raise HypervisorError("vhost_net is set, but this emulator does not know vhost")
        queues = number(hvparams, "virtio_net_queues") if vhost else 1
        if queues > 1 and not facts.option_has("-netdev", ",fds=x:y:...:z"):
            raise HypervisorError("virtio_net_queues is more than 1, but this emulator knows one queue only")
        return cls(
            model=_VIRTIO if known else "virtio",
            vnet_hdr=known and flag(hvparams, "vnet_hdr"),
            vhost=vhost,
            queues=queues,
        )


def nic_options(nics: Sequence[Nic], hvparams: Parameters, facts: QemuFacts, taps: Sequence[TapHandle]) -> list[str]:
    """Options of all interfaces, with one tap each."""
    if not nics:
        return ["-net", "none"]
    features = NicFeatures.of(hvparams, facts)
    result: list[str] = []
    for index, (nic, tap) in enumerate(zip(nics, taps, strict=True)):
        result += _one_nic(index, nic, tap, features)
    return result


def _one_nic(index: int, nic: Nic, tap: TapHandle, features: NicFeatures) -> list[str]:
    info = nic.hvinfo or {}
    identity = str(info.get("id", f"netdev{index}"))
    backend = f"type=tap,id={identity},{_descriptors('fd', tap.fds)}"
    if features.vhost:
        backend += f",{_descriptors('vhostfd', tap.vhost_fds)},vhost=on"
    device = devices.option(info) if "id" in info else features.model
    device += f",netdev={identity},mac={nic.mac}"
    if features.queues > 1:
        # one interrupt a queue and direction, one for the configuration, one for control
        device += f",mq=on,vectors={2 * features.queues + 2}"
    return ["-netdev", backend, "-device", device]


def _descriptors(option: str, numbers: tuple[int, ...]) -> str:
    if len(numbers) == 1:
        return f"{option}={numbers[0]}"
    return f"{option}s={':'.join(map(str, numbers))}"


# Joining the tap to the node's network -------------------------------------------------------------------------------


def configured_early(nic: Nic) -> bool:
    """Whether an incoming guest's interface is joined before the guest is there; a routed one would attract packets."""
    return nic.mode != "routed"


def ifup_environment(
    instance: Instance, index: int, nic: Nic, tap: str, conf_dir: Path, environ: Mapping[str, str] = os.environ
) -> dict[str, str]:
    """Variables of the script, besides the daemon's own. Source: Ganeti 3.0.2."""
    result = {
        "LC_ALL": "C",
        "PATH": f"{environ.get('PATH', '/bin:/usr/bin')}:/sbin:/usr/sbin",
        "CONF_DIR": str(conf_dir),
        "INSTANCE": instance.name,
        "MAC": nic.mac,
        "MODE": nic.mode,
        "INTERFACE": tap,
        "INTERFACE_INDEX": str(index),
        "INTERFACE_UUID": nic.uuid or "",
        "TAGS": " ".join(instance.tags or ()),
    }
    if nic.name:
        result["INTERFACE_NAME"] = nic.name
    if nic.ip:
        result["IP"] = nic.ip
    if nic.link:
        result["LINK"] = nic.link
    if nic.mode == "bridged":
        result["BRIDGE"] = nic.link
    if nic.nicparams and "vlan" in nic.nicparams:
        result["VLAN"] = str(nic.nicparams["vlan"] or "")
    if nic.network and nic.netinfo is not None:
        result |= nic.netinfo.environment()
    return result
