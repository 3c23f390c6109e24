"""Cases of golden command lines: small text files that say what a guest is, and how such a guest is made of them.

A line is `hv NAME = VALUE`, `be NAME = VALUE`, `disks = TYPE...`, `nics = MODE...`, `port = N`, `qemu = VERSION`,
`kvm = usable` or `name = NAME`; the rest is default. Lines that begin with # are comments.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from ganeti.host.paths import Paths
from ganeti.hypervisor.drivers.kvm.facts import QemuFacts
from ganeti.hypervisor.drivers.kvm.parameters import PARAMETERS
from ganeti.hypervisor.parameters import defaults
from ganeti.model.base import Parameters, Scalar
from ganeti.model.disk import Disk, DiskMode, DiskType
from ganeti.model.instance import AttachedDisk, Instance
from ganeti.model.network import Nic

HERE = Path(__file__).parent
CASES = sorted((HERE / "guests").glob("*.case"))
NO_KVM = "/dev/kvm cannot be opened: No such file or directory"


@dataclass(frozen=True, kw_only=True)
class Case:
    """One guest to be."""

    instance: Instance
    disks: tuple[AttachedDisk, ...] = ()
    qemu: str = "7.2"
    has_kvm: bool = False
    addresses: dict[str, list[str]] = field(default_factory=dict)

    def facts(self) -> QemuFacts:
        """What the emulator of the case printed of itself."""
        directory = HERE / "qemu" / self.qemu
        return QemuFacts(
            help=(directory / "help.txt").read_text(),
            machine_list=(directory / "machines.txt").read_text(),
            device_list=(directory / "devices.txt").read_text(),
            kvm_problem=None if self.has_kvm else NO_KVM,
        )


def read(path: Path, paths: Paths = Paths()) -> Case:  # noqa: B008 - a frozen value
    """Read a case; links to its disks lie below `paths`."""
    groups: dict[str, dict[str, str]] = {"hv": {}, "be": {}, "address": {}}
    single: dict[str, str] = {}
    for line in path.read_text().splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        key, _, value = (part.strip() for part in line.partition("="))
        group, _, name = key.rpartition(" ")
        (groups[group] if group else single)[name] = value
    name = single.get("name", "inst1.example.com")
    instance = Instance(
        name=name,
        uuid="f5d1c1a2-0c5e-4b61-9e3a-6f6a4c1f2b10",
        hypervisor="kvm",
        hvparams=_hvparams(groups["hv"]),
        beparams={"maxmem": 128, "minmem": 128, "vcpus": 1, **{key: int(text) for key, text in groups["be"].items()}},
        nics=tuple(_nic(index, mode) for index, mode in enumerate(single.get("nics", "").split())),
        network_port=int(single["port"]) if "port" in single else None,
        tags=("one", "two"),
    )
    kinds = single.get("disks", "file").split()
    return Case(
        instance=instance,
        disks=tuple(_disk(index, kind, paths.disk_link(name, index)) for index, kind in enumerate(kinds)),
        qemu=single.get("qemu", "7.2"),
        has_kvm=single.get("kvm") == "usable",
        addresses={name: value.split() for name, value in groups["address"].items()},
    )


def _hvparams(given: dict[str, str]) -> Parameters:
    values = defaults(PARAMETERS) | {"kernel_path": "", "kvm_path": "/usr/bin/qemu-system-x86_64"}
    return values | {name: _typed(PARAMETERS[name].default, text) for name, text in given.items()}


def _typed(default: Scalar, text: str) -> Scalar:
    if isinstance(default, bool):
        return text == "true"
    return int(text) if isinstance(default, int) else text


def _disk(index: int, kind: str, link: Path) -> AttachedDisk:
    """A disk of that type; `TYPE:userspace` has a URI and is to be reached by it, `TYPE:ro` is read-only."""
    kind, _, special = kind.partition(":")
    disk = Disk(
        dev_type=DiskType(kind),
        logical_id=("loop", f"/srv/disk{index}"),
        size=1024,
        uuid=f"0000000{index}-1111-2222-3333-444444444444",
        mode=DiskMode.READ_ONLY if special == "ro" else DiskMode.READ_WRITE,
        params={"access": "userspace"} if special == "userspace" else {},
    )
    return AttachedDisk(disk=disk, link=str(link), uri=f"{kind}:pool/disk{index}" if special == "userspace" else None)


def _nic(index: int, mode: str) -> Nic:
    return Nic(
        mac=f"aa:00:00:00:00:0{index}",
        ip=f"192.0.2.{10 + index}" if mode == "routed" else None,
        uuid=f"0000000{index}-aaaa-bbbb-cccc-dddddddddddd",
        nicparams={"mode": mode, "link": "br0" if mode == "bridged" else "", "vlan": ""},
    )
