"""A volume group on the machine's data disks, for as long as a test needs it, and disks in it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

from ganeti.host.runner import Runner
from ganeti.model.disk import Disk, DiskMode, DiskType

GROUP = "xenvg"


@contextmanager
def volume_group(runner: Runner, *devices: str, name: str = GROUP) -> Iterator[str]:
    """Make a group on whole disks; at the end it is gone, and what was in it."""
    runner.check(["vgcreate", "--quiet", "--yes", name, *devices])
    try:
        yield name
    finally:
        runner.run(["vgreduce", "--removemissing", "--force", name])
        runner.check(["vgremove", "--quiet", "--force", "--yes", name])
        for device in devices:
            runner.run(["pvremove", "--quiet", "--force", "--force", "--yes", device])


def empty(runner: Runner, name: str = GROUP) -> None:
    """Remove all volumes of a group."""
    runner.check(["lvremove", "--quiet", "--force", "--yes", name])


def disk(name: str, size: int, *, stripes: int = 1, spindles: int | None = None) -> Disk:
    """A disk that is a volume of the group, by a short name."""
    return Disk(
        dev_type=DiskType.PLAIN,
        logical_id=(GROUP, f"{name}.disk0"),
        size=size,
        iv_name="disk/0",
        mode=DiskMode.READ_WRITE,
        params={"stripes": stripes},
        spindles=spindles,
    )


def report(runner: Runner, name: str, *fields: str) -> dict[str, str]:
    """What LVM says of the volume of a disk by its short name (of its last segment)."""
    argv = ["lvs", "--reportformat=json", "--units=m", "--nosuffix", f"--options={','.join(fields)}"]
    rows = json.loads(runner.check([*argv, f"{GROUP}/{name}"]).stdout)["report"][0]["lv"]
    answer: dict[str, str] = rows[-1]
    return answer


def names(runner: Runner) -> list[str]:
    """Names of the volumes of the group."""
    return sorted(runner.check(["lvs", "--noheadings", "--options=lv_name", GROUP]).stdout.split())
