"""LVM in memory: what its commands do to volumes and print, as far as the driver's tests need it.

The real programs are held to the same driver inside machines of the lab; this one is fast and can be broken at will.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path

from ganeti.host.fake_runner import Asked, FakeRunner
from ganeti.host.runner import Result

GROUP = "xenvg"
EXTENT_MIB = 4
MIB = 1024 * 1024


@dataclass
class FakeVolume:
    """A logical volume; `device_mib` is how large the kernel has it."""

    size_mib: int
    physical: list[str]
    minor: int
    stripes: int = 1
    tags: list[str] = field(default_factory=list)
    origin: str = ""
    attributes: str = "-wi-a-----"
    device_mib: int = 0


@dataclass
class FakePhysical:
    """A physical volume."""

    size_mib: int
    attributes: str = "a--"


class FakeLvm(FakeRunner):
    """One volume group. `ran` has the commands; `failing` says which begin of a command fails, with what text."""

    def __init__(self, *sizes_mib: int) -> None:
        self.physical = {
            f"/dev/sd{letter}": FakePhysical(size) for letter, size in zip("abcd", sizes_mib, strict=False)
        }
        self.volumes: dict[str, FakeVolume] = {}
        self.ran: list[list[str]] = []
        self.failing: dict[str, str] = {}

    @property
    def programs(self) -> list[str]:
        """Programs that ran, in order."""
        return [argv[0] for argv in self.ran]

    def add(self, name: str, size_mib: int, *physical: str, **more: object) -> FakeVolume:
        """Make a volume without a command."""
        volume = FakeVolume(size_mib, list(physical or ["/dev/sda"]), len(self.volumes), device_mib=size_mib)
        for key, value in more.items():
            setattr(volume, key, value)
        self.volumes[name] = volume
        return volume

    def free_mib(self, physical: str) -> float:
        """What nothing lies on."""
        used = sum(one.size_mib / len(one.physical) for one in self.volumes.values() if physical in one.physical)
        return self.physical[physical].size_mib - used

    def respond(self, asked: Asked) -> Result:
        words = list(asked.words)
        self.ran.append(words)
        for begin, text in self.failing.items():
            if " ".join(words).startswith(begin):
                return Result(argv=asked.argv, stderr=text, exit_code=5)
        options = dict(word[2:].partition("=")[::2] for word in words if word.startswith("--") and word != "--")
        tags = [word.partition("=")[2] for word in words if word.startswith("--addtag=")]
        names = words[words.index("--") + 1 :] if "--" in words else []
        try:
            text = getattr(self, f"_{words[0]}")(options, names, tags)
        except LookupError as err:
            return Result(argv=asked.argv, stderr=str(err), exit_code=5)
        return Result(argv=asked.argv, stdout=text or "")

    def read(self, path: Path) -> str:
        minor = int(path.parent.name.partition(":")[2])
        (size,) = [volume.device_mib for volume in self.volumes.values() if volume.minor == minor]
        return f"{size * MIB // 512}\n"

    def block_device(self, path: Path) -> tuple[int, int] | None:
        (volume,) = [one for name, one in self.volumes.items() if name == path.name]
        return 253, volume.minor

    def _lvs(self, options: dict[str, str], names: list[str], tags: list[str]) -> str:
        free = int(sum(self.free_mib(name) for name in self.physical))
        return _report(
            "lv",
            options,
            [
                {
                    "vg_name": GROUP,
                    "lv_name": name,
                    "lv_attr": volume.attributes,
                    "lv_size": str(volume.size_mib * MIB),
                    "lv_kernel_major": "253" if volume.attributes[4] != "-" else "-1",
                    "lv_kernel_minor": str(volume.minor) if volume.attributes[4] != "-" else "-1",
                    "vg_extent_size": str(EXTENT_MIB * MIB),
                    "stripes": str(volume.stripes),
                    "devices": ",".join(f"{one}(0)" for one in volume.physical),
                    "lv_tags": ",".join(volume.tags),
                    "origin": volume.origin,
                    "vg_free": str(free * MIB),
                }
                for name, volume in self.volumes.items()
            ],
        )

    def _pvs(self, options: dict[str, str], names: list[str], tags: list[str]) -> str:
        return _report(
            "pv",
            options,
            [
                {
                    "pv_uuid": name,
                    "pv_name": name,
                    "vg_name": GROUP,
                    "pv_free": f"{self.free_mib(name):.2f}",
                    "pv_size": f"{physical.size_mib:.2f}",
                    "pv_used": f"{physical.size_mib - self.free_mib(name):.2f}",
                    "pv_attr": physical.attributes,
                    "lv_name": volume,
                }
                for name, physical in self.physical.items()
                for volume in [*(key for key, one in self.volumes.items() if name in one.physical), ""]
            ],
        )

    def _lvcreate(self, options: dict[str, str], names: list[str], tags: list[str]) -> None:
        name = options["name"]
        if name in self.volumes:
            raise LookupError(f'Logical Volume "{name}" already exists in volume group "{GROUP}"')
        size = int(options["size"].rstrip("m"))
        if "snapshot" in options:
            origin = names[0].partition("/")[2]
            self.add(name, size, *self.volumes[origin].physical, origin=origin, tags=tags)
            return
        stripes = int(options["stripes"])
        size = math.ceil(size / (EXTENT_MIB * stripes)) * EXTENT_MIB * stripes
        fitting = [one for one in names[1:] if self.free_mib(one) >= size / stripes]
        if len(fitting) < stripes:
            raise LookupError("Insufficient suitable allocatable extents")
        self.add(name, size, *fitting[:stripes], stripes=stripes, tags=tags)

    def _lvextend(self, options: dict[str, str], names: list[str], tags: list[str]) -> None:
        volume = self.volumes[names[0].partition("/")[2]]
        size = int(options["size"].rstrip("k")) // 1024
        if size <= volume.size_mib:
            raise LookupError("New size matches existing size")
        if "test" not in options:
            volume.size_mib = volume.device_mib = size

    def _lvremove(self, options: dict[str, str], names: list[str], tags: list[str]) -> None:
        del self.volumes[names[0].partition("/")[2]]

    def _lvrename(self, options: dict[str, str], names: list[str], tags: list[str]) -> None:
        _, old, new = names
        if new in self.volumes:
            raise LookupError(f'Logical Volume "{new}" already exists in volume group "{GROUP}"')
        self.volumes[new] = self.volumes.pop(old)

    def _lvchange(self, options: dict[str, str], names: list[str], tags: list[str]) -> None:
        volume = self.volumes[names[0].partition("/")[2]]
        gone = [word.partition("=")[2] for word in self.ran[-1] if word.startswith("--deltag=")]
        volume.tags = [tag for tag in volume.tags if tag not in gone] + tags
        if "activate" in options or "refresh" in options:
            volume.attributes = volume.attributes[:4] + "a" + volume.attributes[5:]
            volume.device_mib = volume.size_mib


def _report(section: str, options: dict[str, str], rows: list[dict[str, str]]) -> str:
    fields = options["options"].split(",")
    return json.dumps({"report": [{section: [{key: row[key] for key in fields} for row in rows]}]})
