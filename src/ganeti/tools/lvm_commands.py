"""LVM's commands that change something: one function a command, named after it. Reports are in `tools.lvm`.

Names are checked by the caller (`lvm.is_valid_name`), so none can be an option. Every function raises CommandError with
what LVM said, and ProgramNotFound without lvm2. Commands never ask: there is nobody to answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ganeti.host.runner import Result, Runner

UNFINISHED: Final = "ganeti:unfinished"
"""Tag of a volume that is being made. A colon cannot come from outside: it is no letter of a sanitised text."""

SNAPSHOT: Final = "ganeti:snapshot"
"""Tag of our snapshots. With it and without an origin a volume is one whose making was interrupted."""


def lvcreate(
    runner: Runner, group: str, name: str, *, size_mib: int, stripes: int, physical: Sequence[str], tag: str
) -> None:
    """Make a volume with a tag on the physical volumes given. Old signatures are neither looked for nor asked about."""
    where = ["--", group, *physical]
    how = ["--yes", "--wipesignatures=n", f"--addtag={tag}", f"--stripes={stripes}"]
    runner.check(["lvcreate", *how, f"--size={size_mib}m", f"--name={name}", *where])


def lvcreate_snapshot(runner: Runner, group: str, origin: str, name: str, *, size_mib: int, tag: str) -> None:
    """Make a snapshot with a tag, with room for `size_mib` of changes."""
    how = ["--yes", "--snapshot", f"--addtag={tag}"]
    runner.check(["lvcreate", *how, f"--size={size_mib}m", f"--name={name}", "--", f"{group}/{origin}"])


def lvremove(runner: Runner, group: str, name: str) -> None:
    """Destroy a volume and its snapshots; fails while it is in use."""
    runner.check(["lvremove", "--force", "--yes", "--", f"{group}/{name}"])


def lvrename(runner: Runner, group: str, old: str, new: str) -> None:
    """Give a volume another name in its group; fails when that name is taken."""
    runner.check(["lvrename", "--", group, old, new])


def lvextend(
    runner: Runner, group: str, name: str, *, size_kib: int, policy: str, physical: Sequence[str], dry_run: bool
) -> None:
    """Make a volume as large as `size_kib`, on the physical volumes given or anywhere."""
    how = [*(["--test"] if dry_run else []), f"--alloc={policy}", f"--size={size_kib}k"]
    runner.check(["lvextend", *how, "--", f"{group}/{name}", *physical])


def lvchange_activate(runner: Runner, group: str, name: str) -> None:
    """Make a volume active; a suspended one goes on."""
    runner.check(["lvchange", "--activate=y", "--", f"{group}/{name}"])


def lvchange_refresh(runner: Runner, group: str, name: str) -> None:
    """Give the kernel the volume as LVM has it noted; a suspended one goes on."""
    runner.check(["lvchange", "--refresh", "--", f"{group}/{name}"])


def lvchange_tags(runner: Runner, group: str, name: str, *, remove: Sequence[str], add: Sequence[str]) -> None:
    """Take tags from a volume and give it others, in one step."""
    changes = [*(f"--deltag={tag}" for tag in remove), *(f"--addtag={tag}" for tag in add)]
    runner.check(["lvchange", *changes, "--", f"{group}/{name}"])


def pvchange_allocatable(runner: Runner, name: str, *, allocatable: bool) -> None:
    """Let new volumes use a physical volume, or not; fine when that is so already."""
    runner.check(["pvchange", f"--allocatable={'y' if allocatable else 'n'}", "--", name])


def vgreduce_missing(runner: Runner, group: str, *, force: bool) -> Result:
    """Take missing physical volumes out of a group; with `force` also what lay on them is given up. Never raises."""
    return runner.run(["vgreduce", "--removemissing", *(["--force"] if force else []), "--", group])
