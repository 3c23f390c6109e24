"""A DRBD disk over two nodes, and what a master does to it, call by call."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from lab import master_defaults
from lab.machine_nodes import MachineNode, on_all

GROUP = "xenvg"
META_MIB = 128
OWNER = "guest1.example.com"
PATIENCE_S = 120.0

PARAMETERS: dict[str, object] = {**master_defaults.DRBD, "default-metavg": GROUP}
"""What a master sends when nobody asked for anything else."""

_FILLED = ".<15"
"""With its line end a word has 16 bytes, so that every MiB begins with one."""

INSTANCE = {
    "name": OWNER,
    "hypervisor": "fake",
    "hvparams": {},
    "beparams": {},
    "nics": [],
    "disks": [],
    "disks_info": [],
}


@dataclass
class MirroredDisk:
    """One disk; `primary` is the node whose guest uses it. It does not exist before `create`."""

    primary: MachineNode
    secondary: MachineNode
    minor: int
    secret: str
    size: int = 16
    parameters: Mapping[str, object] = field(default_factory=dict)

    @property
    def path(self) -> str:
        """Its device node, the same on both nodes."""
        return f"/dev/drbd{self.minor}"

    @property
    def uuid(self) -> str:
        """Its name in answers."""
        return f"disk-{self.minor}"

    @property
    def nodes(self) -> tuple[MachineNode, MachineNode]:
        """Primary, secondary."""
        return self.primary, self.secondary

    def volume(self, part: str, size: int) -> dict[str, object]:
        """One of its volumes, as a master sends it."""
        return {
            "dev_type": "plain",
            "logical_id": [GROUP, f"d{self.minor}_{part}"],
            "children": [],
            "nodes": [self.primary.uuid, self.secondary.uuid],
            "size": size,
            "params": {"stripes": 1},
            "serial_no": 1,
            "uuid": f"volume-{self.minor}-{part}",
            "ctime": 1.5,
            "mtime": 1.5,
        }

    @property
    def volumes(self) -> list[dict[str, object]]:
        """Data and metadata."""
        return [self.volume("data", self.size), self.volume("meta", META_MIB)]

    def seen_by(self, node: MachineNode, *, secret: str | None = None) -> dict[str, object]:
        """The disk as a master sends it to a node."""
        other = self.secondary if node is self.primary else self.primary
        # the first node of the identity is the same for both, whoever is primary now
        first, second = sorted(self.nodes, key=lambda one: one.machine.name)
        return {
            "dev_type": "drbd",
            "logical_id": [
                first.uuid,
                second.uuid,
                11000 + self.minor,
                self.minor,
                self.minor,
                self.secret if secret is None else secret,
            ],
            "children": self.volumes,
            "nodes": [first.uuid, second.uuid],
            "iv_name": "disk/0",
            "size": self.size,
            "mode": "rw",
            "params": {**PARAMETERS, **self.parameters},
            "dynamic_params": {
                "local-ip": node.machine.lan,
                "remote-ip": other.machine.lan,
                "local-minor": self.minor,
                "remote-minor": self.minor,
            },
            "serial_no": 1,
            "uuid": self.uuid,
            "ctime": 1.5,
            "mtime": 1.5,
        }

    # Life -------------------------------------------------------------------------------------------------------

    def create_volumes(self, node: MachineNode) -> None:
        """Make what lies below the disk on a node."""
        for volume in self.volumes:
            node.call("blockdev_create", top(volume), volume["size"], OWNER, node is self.primary, info(), False)

    def create_all_volumes(self) -> None:
        """Make what lies below the disk on both nodes at once."""
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(self.create_volumes, self.nodes))

    def create_device(self, node: MachineNode) -> object:
        """Make the disk itself on a node, over its volumes."""
        return node.call("blockdev_create", self.seen_by(node), self.size, OWNER, node is self.primary, info(), False)

    def create(self) -> None:
        """Make it on both nodes, the secondary first; the first synchronisation begins with the primary's part."""
        self.create_all_volumes()
        for node in (self.secondary, self.primary):
            self.create_device(node)

    def assemble(self, *, secret_of_secondary: str | None = None) -> None:
        """Make it active, the secondary first."""
        for node, secret in ((self.secondary, secret_of_secondary), (self.primary, None)):
            disk = self.seen_by(node, secret=secret)
            node.call("blockdev_assemble", disk, INSTANCE, node is self.primary, 0)

    def open(self, node: MachineNode, *, exclusive: bool = True) -> None:
        """Let a node use it."""
        node.call("blockdev_open", OWNER, [self.seen_by(node)], exclusive)

    def close(self, node: MachineNode) -> None:
        """Let a node use it no more."""
        node.call("blockdev_close", OWNER, [self.seen_by(node)])

    def swap(self) -> None:
        """Change the roles in our own mind."""
        self.primary, self.secondary = self.secondary, self.primary

    def shutdown(self) -> None:
        """Make it inactive on both nodes."""
        self.to_both("blockdev_shutdown")

    def remove(self) -> None:
        """Remove it and what lies below it from both nodes."""
        self.to_both("blockdev_remove")

    def connect(self, *, both_primary: bool = False) -> None:
        """Let the nodes talk to each other; both must be told at once, for each waits for the other."""
        on_all(self.nodes, "drbd_attach_net", {n.machine.name: [[self.seen_by(n)], both_primary] for n in self.nodes})

    def disconnect(self) -> None:
        """Let the nodes not talk to each other."""
        on_all(self.nodes, "drbd_disconnect_net", {n.machine.name: [[self.seen_by(n)]] for n in self.nodes})

    def grow(self, amount: int) -> None:
        """Make it larger, layer by layer."""
        for dry_run in (True, False):
            for node in self.nodes:
                node.call("blockdev_grow", self.seen_by(node), amount, dry_run, True, False)
        self.primary.call("blockdev_grow", self.seen_by(self.primary), amount, False, False, False)
        self.size += amount

    def to_both(self, name: str) -> None:
        """Make a call about the disk to both nodes at once."""
        on_all(self.nodes, name, {node.machine.name: [self.seen_by(node)] for node in self.nodes})

    # State ------------------------------------------------------------------------------------------------------

    def status(self, node: MachineNode) -> dict[str, object]:
        """What a node says of it, with its volumes folded in."""
        [status] = as_list(node.call("blockdev_getmirrorstatus", [self.seen_by(node)]))
        assert isinstance(status, dict)
        return status

    def progress(self, node: MachineNode) -> tuple[bool, float]:
        """Whether nothing is copied any more, and the percentage."""
        done, percent = as_list(node.call("drbd_wait_sync", [self.seen_by(node)]))
        assert isinstance(done, bool)
        assert isinstance(percent, int | float)
        return done, percent

    def wait_in_sync(self) -> list[float]:
        """Wait until both copies are the same; the percentages that were read on the way."""
        percentages: list[float] = []
        deadline = time.monotonic() + PATIENCE_S
        done = False
        while not done:
            assert time.monotonic() < deadline, f"not in sync: {percentages}"
            done, percent = self.progress(self.secondary)
            percentages.append(percent)
        return percentages

    # Contents ---------------------------------------------------------------------------------------------------

    def write(self, node: MachineNode, word: str, *, offset_mib: int = 0, size_mib: int = 8) -> None:
        """Write a word of up to 15 letters again and again, past the page cache."""
        script = (
            f"yes '{word:{_FILLED}}' | head -c {size_mib}M"
            f" | dd of={self.path} bs=1M iflag=fullblock oflag=direct seek={offset_mib} status=none"
        )
        node.machine.check(["sh", "-e", "-c", script])

    def read_word(self, node: MachineNode, *, offset_mib: int = 0) -> str:
        """The first word at an offset, read through the device."""
        script = f"dd if={self.path} bs=1M iflag=direct skip={offset_mib} count=1 status=none | head -n 1"
        return str(node.machine.check(["sh", "-c", script]).stdout).strip(".\n")

    def digests(self) -> list[str]:
        """SHA-256 of both copies, past the page cache: what is below a mirror is not written through it."""
        source = f"if=/dev/{GROUP}/d{self.minor}_data bs=1M count={self.size}"
        script = f"dd {source} iflag=direct,fullblock status=none | sha256sum"

        def digest(node: MachineNode) -> str:
            return str(node.machine.check(["sh", "-c", script]).stdout).split()[0]

        with ThreadPoolExecutor(2) as pool:
            return list(pool.map(digest, self.nodes))

    def is_equal(self) -> bool:
        """Whether both copies are the same."""
        first, second = self.digests()
        return first == second


def top(disk: dict[str, object]) -> dict[str, object]:
    """A volume as it is sent on its own: only what is below another disk has no parameters of the node."""
    return {**disk, "dynamic_params": {}}


def info() -> str:
    """What is noted with a new volume."""
    return f"originstname+{OWNER}"


def as_list(payload: object) -> Sequence[object]:
    """An answer that must be an array."""
    assert isinstance(payload, list), payload
    return payload
