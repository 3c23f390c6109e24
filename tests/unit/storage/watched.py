"""A machine on which every program seems to work and whose words are remembered: LVM, Ceph, DRBD, providers."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from ganeti.host.fake_runner import Asked, FakeRunner
from ganeti.host.runner import Result

LVM_ROW = {
    "lv_attr": "-wi-a-----",
    "lv_size": "8388608",
    "lv_kernel_major": "253",
    "lv_kernel_minor": "0",
    "vg_extent_size": "4194304",
    "stripes": "1",
    "devices": "/dev/vda(0)",
    "lv_tags": "old",
    "origin": "",
    "vg_free": "104857600000",
    "vg_size": "1000000",
    "vg_attr": "wz--n-",
    "vg_missing_pv_count": "0",
    "pv_uuid": "uuid1",
    "pv_name": "/dev/vda",
    "pv_free": "900000",
    "pv_size": "1000000",
    "pv_used": "0",
    "pv_attr": "a--",
}
LVM_SECTIONS = {"lvs": "lv", "vgs": "vg", "pvs": "pv"}
RBD_ANSWERS = {
    "showmapped": "[]",
    "map": "/dev/rbd0\n",
    "info": '{"size": 8388608}',
    "snap": "[]",
    "children": "[]",
}
DRBD_CONFIGURATION = """\
resource resource0 {
    _remote_host {
        address ipv4 192.0.2.2:11000;
    }
    _this_host {
        address ipv4 192.0.2.1:11000;
        volume 0 {
            device minor 0;
            disk "/dev/xenvg/data";
            meta-disk "/dev/xenvg/meta";
        }
    }
}
"""
FILES = {
    "/proc/drbd": "version: 8.4.11 (api:1/proto:86-101)\n",
    "/sys/dev/block/253:0/size": "262144\n",
    "/sys/dev/block/252:0/size": "16384\n",
    "/sys/dev/block/147:0/size": "16384\n",
}
"""Devices of 8 MiB, volumes that mirrors can have their metadata on, and a kernel module without devices."""


class WatchedRunner(FakeRunner):
    """Remembers the words of every command. `volumes` are the groups and volumes LVM has, `images` Ceph's."""

    def __init__(
        self,
        volumes: Sequence[tuple[str, str]] = (),
        images: Sequence[str] = (),
        files: Mapping[str, str] | None = None,
    ) -> None:
        self._volumes = volumes
        self._images = images
        self._files = {**FILES, **(files or {})}
        self.commands: list[tuple[str, ...]] = []
        self.variables: list[Mapping[str, str]] = []

    def respond(self, asked: Asked) -> Result:
        words = list(asked.words)
        self.commands.append(tuple(words_of(words)))
        self.variables.append(asked.env)
        return Result(argv=asked.argv, stdout=self._says(words))

    def read(self, path: Path) -> str:
        try:
            return self._files[str(path)]
        except KeyError:
            raise FileNotFoundError(2, "No such file or directory", str(path)) from None

    def block_device(self, path: Path) -> tuple[int, int] | None:
        return (252, 0) if path.name.startswith("rbd") else (253, 0)

    def _says(self, words: Sequence[str]) -> str:
        if words[0] in LVM_SECTIONS:
            fields = next(word for word in words if word.startswith("--options=")).partition("=")[2].split(",")
            rows = [
                {**LVM_ROW, "pv_uuid": f"of {group}", "vg_name": group, "lv_name": name}
                for group, name in self._volumes
            ]
            shown_rows = [{field: row[field] for field in fields} for row in rows]
            return json.dumps({"report": [{LVM_SECTIONS[words[0]]: shown_rows}]})
        if words[0] == "rbd":
            return json.dumps(self._images) if words[1] == "ls" else RBD_ANSWERS.get(words[1], "")
        if words[:2] == ["drbdsetup", "show"]:
            return DRBD_CONFIGURATION
        return "/dev/provided\n" if words[0].endswith("/attach") else ""


def words_of(argv: Sequence[str]) -> list[str]:
    """The words that programs get: of a shell line, and of one that ssh takes to another host, those in it."""
    if argv[:1] == ["/bin/bash"]:
        return [*argv[:-1], *words_of(shlex.split(argv[-1]))]
    if "ssh" in argv and argv[-2].startswith("root@"):
        return [*argv[:-1], *shlex.split(argv[-1])]
    return list(argv)
