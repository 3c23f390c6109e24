"""Images of a real Ceph cluster, mapped by the kernel of a machine; the daemon there is called as a master calls it."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast

import pytest
from lab import machines
from lab.machine_nodes import MachineNode, Refused, nodes
from lab.machines import Lab

OWNER = "guest1.example.com"
SIZE = 8
GROWTH = 4
INSTANCE = {
    "name": OWNER,
    "hypervisor": "kvm",
    "hvparams": {},
    "beparams": {},
    "nics": [],
    "disks": [],
    "disks_info": [],
}

LIMIT_S = 1200
"""Every command of the cluster's client takes seconds under emulation, as do those of the kernel for it."""

CONTRACT_LIMIT_S = 3600

pytestmark = [pytest.mark.slow, pytest.mark.timeout(LIMIT_S)]


@dataclass(frozen=True)
class Image:
    """A disk by the name of its image, on the node whose guest uses it."""

    node: MachineNode
    name: str
    access: str = "kernelspace"
    size: int = SIZE

    @property
    def wire(self) -> dict[str, object]:
        """The disk as a master sends it."""
        return {
            "dev_type": "rbd",
            "logical_id": ["rbd", self.name],
            "children": [],
            "nodes": [self.node.uuid],
            "iv_name": "disk/0",
            "size": self.size,
            "mode": "rw",
            "params": {"pool": "rbd", "access": self.access},
            "dynamic_params": {},
            "serial_no": 1,
            "uuid": f"disk-{self.name}",
            "ctime": 1.5,
            "mtime": 1.5,
        }

    def create(self) -> None:
        self.node.call("blockdev_create", self.wire, self.size, OWNER, True, f"originstname+{OWNER}", False)

    def assemble(self) -> tuple[str, str, str | None]:
        """Path, link and URI."""
        path, link, uri = cast("list[str]", self.node.call("blockdev_assemble", self.wire, INSTANCE, True, 0))
        return path, link, uri

    def path(self) -> str | None:
        """Where it is, which maps it; None when there is no such image."""
        found = cast("dict[str, str] | None", self.node.call("blockdev_find", self.wire))
        return None if found is None else found["dev_path"]

    def size_bytes(self) -> int:
        answers = cast("list[list[int]]", self.node.call("blockdev_getdimensions", [self.wire]))
        return answers[0][0]

    def write(self, text: str) -> None:
        """Write at the beginning, as a guest does."""
        script = 'printf %s "$0" | dd of="$1" conv=notrunc,fsync status=none'
        self.node.machine.check(["sh", "-c", script, text, str(self.path())])

    def read(self, count: int) -> str:
        return self.node.machine.check(["head", "-c", str(count), str(self.path())]).stdout

    def remove(self) -> None:
        self.node.call("blockdev_remove", self.wire)


@dataclass(frozen=True)
class Place:
    """The machine and its cluster."""

    lab: Lab
    node: MachineNode

    def images(self) -> list[str]:
        return self.node.machine.check(["rbd", "ls", "--pool=rbd"]).stdout.split()

    def mapped(self) -> str:
        return self.node.machine.check(["rbd", "showmapped"]).stdout


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    """A machine with udevd, for which `rbd map` waits, and our daemon."""
    with machines.lab("rbd") as lab:
        lab.ceph()
        with nodes(lab, lab.up("n1", udev=True, memory_mib=768, cpus=2)) as (node,):
            node.start()
            yield Place(lab, node)


@pytest.fixture
def image(place: Place) -> Iterator[functools.partial[Image]]:
    """Call it with a name to get a disk that is not made yet; afterwards nothing may be left."""
    yield functools.partial(Image, place.node)
    assert place.images() == []
    assert place.mapped() == ""


@contextmanager
def held_open(disk: Image, path: str) -> Iterator[None]:
    """Have a program that has the device open."""
    machine = disk.node.machine
    user = machine.start(["sh", "-c", 'exec <"$0"; echo >/run/held; exec sleep infinity', path])
    try:
        machine.check(["sh", "-c", "until test -e /run/held; do sleep 0.1; done; rm /run/held"])
        yield
    finally:
        user.kill()


def grow(disk: Image, *, dry_run: bool, below: bool) -> None:
    disk.node.call("blockdev_grow", disk.wire, GROWTH, dry_run, below, False)


def test_a_life_with_growth_a_snapshot_and_a_new_name(image: functools.partial[Image]) -> None:
    disk, snapshot, renamed = image("a.disk0"), image("a.disk0.snap"), image("b.disk0")
    assert disk.path() is None
    disk.create()
    path, link, uri = disk.assemble()
    assert (path, uri) == ("/dev/rbd0", None)
    assert disk.node.machine.check(["readlink", "-f", link]).stdout.strip() == path
    disk.write("before")

    with held_open(disk, link):
        for dry_run, below in ((True, True), (False, True), (False, False)):
            grow(disk, dry_run=dry_run, below=below)
    assert disk.size_bytes() == (SIZE + GROWTH) << 20

    assert disk.node.call("blockdev_snapshot", disk.wire, None, None) == ["rbd", snapshot.name]
    disk.write("after.")
    assert (snapshot.read(6), disk.read(6)) == ("before", "after.")
    with pytest.raises(Refused, match=r"removed first: rbd/a\.disk0\.snap"):
        disk.remove()
    snapshot.remove()

    disk.node.call("blockdev_rename", [[disk.wire, ["rbd", renamed.name]]])
    assert disk.path() is None
    assert renamed.read(6) == "after."
    for _ in range(2):
        disk.node.call("blockdev_shutdown", renamed.wire)
    for _ in range(2):
        renamed.remove()


def test_a_device_that_is_in_use_is_kept(image: functools.partial[Image]) -> None:
    disk = image("busy")
    disk.create()
    path = disk.path()
    assert path is not None
    with held_open(disk, path):
        with pytest.raises(Refused, match="busy"):
            disk.node.call("blockdev_shutdown", disk.wire)
        assert disk.path() == path
    disk.remove()


def test_qemu_opens_the_image_by_its_uri_and_reads_what_the_kernel_wrote(image: functools.partial[Image]) -> None:
    disk = image("0a.B-c_d+e=f~g", access="userspace")
    disk.create()
    path, _, uri = disk.assemble()
    assert (path, uri) == ("/dev/rbd0", f"rbd:rbd/{disk.name}")
    assert uri is not None
    disk.write("QQQQ")
    machine = disk.node.machine
    io = ["qemu-io", "-f", "raw", "-c", "read -P 0x51 0 4", "-c", "write -P 0x5a 1M 1M", "-c", "flush", uri]
    done = machine.check(io)
    assert "failed" not in done.stdout + done.stderr
    assert "wrote 1048576/1048576 bytes at offset 1048576" in done.stdout
    count = machine.check(["sh", "-c", f"dd if={path} bs=1M skip=1 count=1 iflag=direct status=none | tr -d Z | wc -c"])
    assert count.stdout.strip() == "0"

    # as the guest's own QEMU is told of it
    drive = ["-drive", f"file={uri},format=raw,if=virtio"]
    qemu = ["qemu-system-x86_64", "-nodefaults", "-display", "none", "-S", "-monitor", "stdio", *drive]
    told = machine.check(qemu, stdin=b"info block\nquit\n").stdout
    assert f"rbd/{disk.name}" in told or f'"image": "{disk.name}"' in told
    disk.remove()


@pytest.mark.parametrize("name", ["-x", "--pool=other", "a/b", "a@b", "a b", "a:conf=x", "a\nb", "é"])
def test_a_name_that_could_be_read_otherwise_is_refused(image: functools.partial[Image], name: str) -> None:
    with pytest.raises(Refused, match="cannot be the name"):
        image(name).create()


@pytest.mark.timeout(CONTRACT_LIMIT_S)
def test_images_keep_the_contract(place: Place) -> None:
    assert place.node.machine.pytest("tests/machines/test_rbd_contract.py", timeout_s=CONTRACT_LIMIT_S) > 30
