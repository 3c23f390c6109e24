"""The steps of a migration without a master, and what is taken back when each of them fails."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

from ganeti.actions.node import Node
from ganeti.errors import NodeError, NotSupported
from ganeti.host.paths import Paths
from ganeti.hypervisor.parameters import defaults
from ganeti.model.disk import Disk, DiskType
from ganeti.model.instance import Instance
from ganeti.operator.models import MigrateRequest
from ganeti.operator.moving import move
from ganeti.operator.peer import Peer, PeerError, PeerRefusal

REQUEST = MigrateRequest(address="192.0.2.2")


class OtherNode(Peer):
    """Stands for the other node: notes what it was asked, and fails where it is told to."""

    def __init__(self, failures: dict[str, NodeError]) -> None:
        self.address = REQUEST.address
        self.asked: list[str] = []
        self.failures = failures

    def connect(self, paths: Paths, address: str, port: int) -> Peer:
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        return

    def require_same_protocol(self) -> None:
        self._note("version")

    def open_disks(self, instance_name: str, disks: tuple[Disk, ...]) -> None:
        self._note("open")

    def close_disks(self, instance_name: str, disks: tuple[Disk, ...]) -> None:
        self._note("close")

    def accept(self, instance: Instance, info: str, target: str) -> None:
        self._note("accept")

    def finalize(self, instance: Instance, info: str, *, success: bool) -> None:
        self._note("keep" if success else "forget")

    def _note(self, step: str) -> None:
        self.asked.append(step)
        if step in self.failures:
            raise self.failures[step]


@pytest.fixture
def instance(node: Node) -> Instance:
    driver = node.hypervisors.get("fake")
    guest = Instance(
        name="one.example",
        hypervisor="fake",
        hvparams=defaults(driver.parameters),
        beparams={"minmem": 64, "maxmem": 64, "vcpus": 1},
        disks_info=(),
    )
    driver.start(guest, [], startup_paused=False)
    return guest


def is_here(node: Node, instance: Instance) -> bool:
    return instance.name in node.hypervisors.get("fake").list_instances()


def test_the_guest_leaves_after_the_other_node_accepted_it(node: Node, instance: Instance) -> None:
    other = OtherNode({})

    report = move(node, instance, REQUEST, other.connect)

    assert other.asked == ["version", "open", "accept", "keep"]
    assert not is_here(node, instance)
    assert report.warning is None


@pytest.mark.parametrize(
    ("failures", "asked"),
    [
        ({"version": PeerError("unreachable")}, ["version"]),
        ({"open": PeerRefusal("no such disk")}, ["version", "open"]),
        ({"accept": PeerRefusal("a guest of that name runs")}, ["version", "open", "accept", "close"]),
        ({"accept": PeerError("connection lost")}, ["version", "open", "accept", "forget", "close"]),
    ],
)
def test_a_failure_leaves_the_guest_here(
    node: Node, instance: Instance, failures: dict[str, NodeError], asked: list[str]
) -> None:
    other = OtherNode(failures)

    with pytest.raises(PeerError, match=str(*failures.values())):
        move(node, instance, REQUEST, other.connect)

    assert other.asked == asked
    assert is_here(node, instance)


def test_a_guest_that_could_not_be_handed_over_is_not_kept_twice(node: Node, instance: Instance) -> None:
    other = OtherNode({"keep": PeerError("connection lost")})

    report = move(node, instance, REQUEST, other.connect)

    assert not is_here(node, instance)
    assert report.warning is not None
    assert "one.example" in report.warning


def test_a_local_disk_is_refused_before_the_other_node_is_asked(node: Node, instance: Instance, tmp_path: Path) -> None:
    disk = Disk(dev_type=DiskType.FILE, logical_id=("loop", str(tmp_path / "disk0")), size=8)
    with_disk = Instance(name=instance.name, hypervisor="fake", disks_info=(disk,))
    other = OtherNode({})

    with pytest.raises(NotSupported, match="sharedfile"):
        move(node, with_disk, REQUEST, other.connect)

    assert other.asked == []
