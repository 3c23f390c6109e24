"""What a guest was started with, as text in the form of Ganeti 3.0: so that it survives daemons, reboots and migration.

A list of four: the saved part of the command line, the interfaces, the hypervisor parameters, the disks. Older content
is upgraded when read. Pure: reading and writing files is the caller's.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from ganeti.errors import HypervisorError
from ganeti.hypervisor.drivers.kvm.devices import PCI_BUS, driver_of
from ganeti.hypervisor.drivers.kvm.layout import GuestFiles
from ganeti.model.base import Model, Parameters
from ganeti.model.disk import Disk
from ganeti.model.instance import AttachedDisk
from ganeti.model.network import Network, Nic

Argument = str | int
_Dict = dict[str, object]
_TLS_ID = "vnctls0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """A guest as it was started. `command` is what must stay the same for the guest; `-m` has a number."""

    command: tuple[Argument, ...]
    nics: tuple[Nic, ...]
    hvparams: Parameters
    disks: tuple[AttachedDisk, ...] = ()

    def dump(self) -> str:
        """The content of the runtime file."""
        disks = [(msgspec.to_builtins(entry.disk), entry.link, entry.uri) for entry in self.disks]
        nics = [msgspec.to_builtins(nic) for nic in self.nics]
        return msgspec.json.encode((list(self.command), nics, self.hvparams, disks)).decode() + "\n"

    def relocated(self, files: GuestFiles, disk_links: Path) -> Runtime:
        """The same guest with the files of this node, where the sender's lie elsewhere (virtual clusters)."""
        disks = tuple(_relocated_disk(entry, disk_links, files.name) for entry in self.disks)
        return replace(self, command=_relocated_command(self.command, files), disks=disks)


def load(content: str) -> Runtime:
    """Read a runtime file's content, of this or an older form. Raises: HypervisorError.

    `-S` is left out: packaged daemons save it for a guest that was started paused, and then every reboot and migration
    leaves it paused again.
    """
    try:
        command, nics, hvparams, *rest = msgspec.json.decode(content, type=list[object])
        disks = rest[0] if rest else []
        words = _upgraded_command(msgspec.convert(command, type=list[Argument]))
        parameters = msgspec.convert(hvparams, type=Parameters)
        nic_type, disk_type = str(parameters.get("nic_type")), str(parameters.get("disk_type"))
        return Runtime(
            command=tuple(word for word in words if word != "-S"),
            nics=tuple(_load_nic(entry, nic_type) for entry in msgspec.convert(nics, type=list[_Dict])),
            hvparams=parameters,
            disks=tuple(
                _load_disk(entry, disk_type)
                for entry in msgspec.convert(disks, type=list[tuple[_Dict, str | None, str | None]])
            ),
        )
    except (msgspec.MsgspecError, ValueError) as err:
        raise HypervisorError(f"a runtime file cannot be understood: {err}") from err


def _load_nic(entry: _Dict, nic_type: str) -> Nic:
    entry = _known(_with_hvinfo(entry, "nic", nic_type), Nic)
    entry.setdefault("uuid", str(uuid.uuid4()))
    if isinstance(entry.get("netinfo"), dict):
        entry["netinfo"] = _known(msgspec.convert(entry["netinfo"], type=_Dict), Network)
    return msgspec.convert(entry, type=Nic)


def _load_disk(entry: tuple[_Dict, str | None, str | None], disk_type: str) -> AttachedDisk:
    disk, link, uri = entry
    known = _known_disk(_with_hvinfo(disk, "disk", disk_type))
    return AttachedDisk(disk=msgspec.convert(known, type=Disk), link=link, uri=uri)


def _known_disk(entry: _Dict) -> _Dict:
    known = _known(entry, Disk)
    children = msgspec.convert(known.get("children") or [], type=list[_Dict])
    return known | ({"children": [_known_disk(child) for child in children]} if children else {})


def _known(entry: Mapping[str, object], model: type[Model]) -> _Dict:
    """An entry without keys of other releases: what a running guest has must stay readable."""
    return {key: value for key, value in entry.items() if key in model.__struct_fields__}


def _with_hvinfo(entry: _Dict, kind: str, type_name: str) -> _Dict:
    """Before 3.0 a device had only the number of its PCI slot, and only when it had been added while running."""
    entry = dict(entry)
    pci = entry.pop("pci", None)
    if entry.get("hvinfo") is None:
        entry["hvinfo"] = {}
        if isinstance(pci, int):
            group = str(entry.get("uuid", "")).partition("-")[0]
            entry["hvinfo"] = {
                "driver": driver_of(kind, type_name),
                "id": f"hot{kind}-{group}-pci-{pci}",
                "addr": hex(pci),
                "bus": PCI_BUS,
            }
    return entry


# Options of older releases -------------------------------------------------------------------------------------------


def _upgraded_command(command: Sequence[Argument]) -> list[Argument]:
    result: list[Argument] = []
    words = iter(command)
    for word in words:
        if word == "-localtime":
            result += ["-rtc", "base=localtime"]
        elif word == "-balloon":
            _, comma, more = str(next(words, "")).partition(",")
            result += ["-device", f"virtio-balloon{comma}{more}"]
        elif word == "-vnc":
            result += _upgraded_vnc(str(next(words, "")))
        else:
            result.append(word)
    return result


def _upgraded_vnc(value: str) -> list[Argument]:
    """TLS was given in the display's own option before QEMU 2.5; since then it is an object of its own."""
    kept: list[str] = []
    directory, verify, has_tls = "", "no", False
    for part in value.split(","):
        key, _, path = part.partition("=")
        if part == "tls":
            kept.append(f"tls-creds={_TLS_ID}")
        elif key in ("x509", "x509verify"):
            directory, verify = path, "yes" if key == "x509verify" else "no"
        else:
            kept.append(part)
            continue
        has_tls = True
    if not has_tls:
        return ["-vnc", value]
    kind, more = ("tls-creds-x509", f",dir={directory},verify-peer={verify}") if directory else ("tls-creds-anon", "")
    return ["-object", f"{kind},id={_TLS_ID},endpoint=server{more}", "-vnc", ",".join(kept)]


# Other places --------------------------------------------------------------------------------------------------------


def _relocated_command(command: Sequence[Argument], files: GuestFiles) -> tuple[Argument, ...]:
    own: dict[str, str] = {"-pidfile": str(files.pid), "-D": str(files.log), "-chroot": str(files.chroot)}
    result: list[Argument] = []
    option = ""
    for word in command:
        text = str(word)
        if option in own:
            word = own[option]
        elif option in ("-monitor", "-serial") and text.startswith("unix:"):
            _, comma, more = text.partition(",")
            path = files.monitor if option == "-monitor" else files.serial
            word = f"unix:{path}{comma}{more}"
        elif option == "-chardev" and text.startswith("socket,path=") and text.endswith("id=qga0"):
            more = text.removeprefix("socket,path=").partition(",")[2]
            word = f"socket,path={files.guest_agent},{more}"
        result.append(word)
        option = text
    return tuple(result)


def _relocated_disk(entry: AttachedDisk, disk_links: Path, name: str) -> AttachedDisk:
    if entry.link is None:
        return entry
    link = Path(entry.link)
    if link.parent == disk_links or not link.name.startswith(f"{name}:"):
        return entry
    return msgspec.structs.replace(entry, link=str(disk_links / link.name))
