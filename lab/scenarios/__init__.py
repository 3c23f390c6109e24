"""Scenarios: lives of disks that are recorded on real programs and run again by the fast tests on what was recorded.

A scenario is a module of this package, NAME.py, with

    MACHINES = {"n1": Hardware(disks=2)}    # what is booted; it runs in the first, or on the host when there is none

    def prepare(lab: Lab) -> None:          # may be left out: what has to be there before, done from the host
        lab.machines()[0].check(["vgcreate", "xenvg", "/dev/vda"])

    def scenario(node: Node) -> None:       # the life, by actions, with an assertion on every answer

`scripts/lab record NAME` boots the machines, lets it run over a RecordingRunner and writes
tests/unit/storage/transcripts/NAME.txt; tests/unit/storage/test_transcripts.py plays that back to the same function. So
every command must be the same on another run: names, sizes and addresses are fixed (the N-th machine of MACHINES is at
10.98.0.N, the host at 10.98.0.254), and what a program answers may be compared with what must be, not with what was.
What a scenario looks at without the node's runner is not there in the second run, but for files below the node's root.
On the host it runs in the lab's network and in a mount namespace of its own, so what it mounts goes with it.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol, cast

from ganeti.actions.node import Node
from ganeti.host.clock import Clock
from ganeti.host.paths import Paths
from ganeti.host.runner import Runner
from ganeti.host.system import System
from ganeti.host.users import accounts_of_this_machine
from lab.machine_qemu import Hardware

ROOT = Path(__file__).resolve().parent.parent.parent
TRANSCRIPTS = ROOT / "tests" / "unit" / "storage" / "transcripts"
HOSTNAME = "node1.example.com"

SECRET = "5ad1c2e3f40516273849506a7b8c9daebf001122"  # noqa: S105 - it guards nothing
"""The secret of mirrors: both machines have to know it, and no transcript."""


class Scenario(Protocol):
    """What a module of this package is."""

    MACHINES: Mapping[str, Hardware]

    def scenario(self, node: Node) -> None:
        """Live through it. Raises: AssertionError."""
        ...


def names() -> list[str]:
    """All scenarios there are."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def load(name: str) -> Scenario:
    """Return a scenario. Raises: ModuleNotFoundError."""
    return cast("Scenario", importlib.import_module(f"{__name__}.{name}"))


def transcript_of(name: str) -> Path:
    """Where what the programs answered is kept."""
    return TRANSCRIPTS / f"{name}.txt"


def values(root: Path) -> dict[str, str]:
    """What a transcript has names for: the node's root and the checkout, which differ from run to run, and a secret."""
    return {"ROOT": str(root), "CHECKOUT": str(ROOT), "SECRET": SECRET}


def node(root: Path, runner: Runner, clock: Clock) -> Node:
    """Compose the node of a scenario: its files are below `root`, everything belongs to whoever runs it."""
    paths = Paths(
        root=root,
        package_dir=root / "usr/lib/ganeti",
        os_search_path=(root / "srv/ganeti/os",),
        ext_search_path=(root / "srv/ganeti/extstorage",),
    )
    for directory in (
        paths.conf_dir,
        paths.data_dir,
        paths.disk_links_dir,
        paths.bdev_cache_dir,
        paths.lock_dir,
        paths.log_dir,
        paths.os_log_dir,
        paths.temporary_dir,
        *paths.ext_search_path,
    ):
        directory.mkdir(parents=True, exist_ok=True)
    accounts = accounts_of_this_machine(user=lambda _: os.getuid(), group=lambda _: os.getgid())
    return Node.compose(System(paths=paths, runner=runner, clock=clock, hostname=HOSTNAME, accounts=lambda: accounts))
