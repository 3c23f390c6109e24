"""The inside of bench/disks: a volume group with many volumes, and both daemons asked about them in turn.

Runs in a machine of the lab, whose files are its own. Prints one JSON object: by daemon and question, the LVM commands
run and the seconds until the answer.
"""

from __future__ import annotations

import json
import statistics
import string
import sys
import tempfile
import time
import uuid
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from lab import master_defaults  # noqa: E402

from bench import site  # noqa: E402 - the repository is not installed
from bench.daemons import Daemon  # noqa: E402
from bench.load import Load, run  # noqa: E402

GROUP = "xenvg"
DEVICE = "/dev/vda"
LVM = Path("/usr/sbin/lvm")
COUNTED = Path("/run/lvm-commands")
NODES = ("3c1f4a52-8a5b-4f0e-9c39-5d0a6e1f7b01", "3c1f4a52-8a5b-4f0e-9c39-5d0a6e1f7b02")
DAEMONS = (
    Daemon("packaged", Path("/usr/sbin/ganeti-noded")),
    Daemon("ours", ROOT / ".venv" / "bin" / "ganeti-noded"),
)
ROUNDS = 3
Disk = dict[str, object]


def disk_size_mib(disks: int) -> int:
    """Room for two volumes of one MiB a disk, and for LVM's own data."""
    return 2 * disks + 64


def main(disks: int) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory(prefix="bench") as directory:
        site.lay_out(Path(directory))
        make_volumes(disks)
        count_commands()
        site.shell("modprobe drbd minor_count=255 usermode_helper=/bin/true")
        asked = questions(disks)
        print(json.dumps({daemon.label: measure(daemon, asked) for daemon in DAEMONS if daemon.program.exists()}))


def measure(daemon: Daemon, asked: dict[str, site.Question]) -> dict[str, dict[str, float]]:
    """Ask each question several times, after once that does not count: the median time, the most commands."""
    daemon.start()
    found = {}
    for label, question in asked.items():
        ask(question)
        rounds = [ask(question) for _ in range(ROUNDS)]
        commands, seconds = max(count for count, _ in rounds), statistics.median(took for _, took in rounds)
        found[label] = {"commands": commands, "seconds": round(seconds, 3)}
        print(f"{daemon.label}: {label}: {found[label]}", file=sys.stderr, flush=True)
    daemon.stop()
    return found


def ask(question: site.Question) -> tuple[int, float]:
    """Ask once: how many LVM commands that took, and how many seconds."""
    name, body = question
    COUNTED.write_text("")
    begun = time.perf_counter()
    run(site.TARGET, Load(name=name, body=body, seconds=0))
    return len(COUNTED.read_text().splitlines()), time.perf_counter() - begun


def questions(disks: int) -> dict[str, site.Question]:
    """The disks are mirrored ones that nobody has assembled, as after a start of the node."""
    mirrored = [mirror(number) for number in range(disks)]
    data = [volume(f"d{number}.data") for number in range(disks)]
    return {
        "blockdev_getmirrorstatus_multi": ("blockdev_getmirrorstatus_multi", json.dumps([data]).encode()),
        "drbd_needs_activation": ("drbd_needs_activation", json.dumps([mirrored]).encode()),
        "lv_list": ("lv_list", json.dumps([[GROUP]]).encode()),
    }


def mirror(number: int) -> Disk:
    """A DRBD disk as the master sends it."""
    addresses = {"local-ip": "127.0.0.1", "remote-ip": "127.0.0.2", "local-minor": number, "remote-minor": number}
    return {
        **describe("drbd", [*NODES, 11000 + number, number, number, "0" * 40], f"disk/{number}"),
        "children": [volume(f"d{number}.data"), volume(f"d{number}.meta")],
        "params": {**master_defaults.DRBD, "default-metavg": GROUP},
        "dynamic_params": addresses,
    }


def volume(name: str) -> Disk:
    """A logical volume as the master sends it."""
    return {**describe("plain", [GROUP, name], "disk/0"), "params": {"stripes": 1}, "dynamic_params": {}}


def describe(kind: str, identity: list[object], name: str) -> Disk:
    """What all disks have."""
    return {
        "dev_type": kind,
        "logical_id": identity,
        "children": [],
        "nodes": list(NODES),
        "iv_name": name,
        "size": 1,
        "mode": "rw",
        "serial_no": 1,
        "uuid": str(uuid.uuid5(uuid.NAMESPACE_OID, str(identity))),
    }


def make_volumes(disks: int) -> None:
    """Write all volumes into the group's metadata at once: a command for each would take minutes."""
    site.shell(f"vgcreate --quiet --physicalextentsize=1m {GROUP} {DEVICE}")
    with tempfile.TemporaryDirectory() as directory:
        backup = Path(directory, "backup")
        site.shell(f"vgcfgbackup --quiet --file={backup} {GROUP}")
        names = [f"d{number}.{part}" for number in range(disks) for part in ("data", "meta")]
        head, end, rest = backup.read_text().rpartition("\n}")
        backup.write_text(f"{head}\n{_section(names)}{end}{rest}")
        site.shell(f"vgcfgrestore --quiet --file={backup} {GROUP}; vgchange --quiet --activate=y {GROUP}")


def _section(names: list[str]) -> str:
    volumes = "".join(_volume(index, name) for index, name in enumerate(names))
    return f"logical_volumes {{\n{volumes}}}\n"


def _volume(index: int, name: str) -> str:
    letters = string.digits + string.ascii_lowercase
    serial = f"{letters[index // 36 % 36]}{letters[index % 36]}{index // 1296:04}"
    return f"""{name} {{
        id = "aaaaaa-aaaa-aaaa-aaaa-aaaa-aaaa-{serial}"
        status = ["READ", "WRITE", "VISIBLE"]
        segment_count = 1
        segment1 {{
            start_extent = 0
            extent_count = 1
            type = "striped"
            stripe_count = 1
            stripes = ["pv0", {index}]
        }}
    }}
"""


def count_commands() -> None:
    """Put a script in the place of LVM that notes down every command; lvs, vgs and all others are links to it."""
    real = LVM.with_name("lvm.real")
    LVM.rename(real)
    LVM.write_text(f'#!/bin/bash\necho "${{0##*/}}" >>{COUNTED}\nexec -a "$0" {real} "$@"\n')
    LVM.chmod(0o755)


if __name__ == "__main__":
    main(int(sys.argv[1]))
