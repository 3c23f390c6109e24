"""The contract of hypervisors against real guests under software emulation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest
from tests.contract.hypervisor_contract import HypervisorContract
from tests.hosts.kvm_node import KvmNode, changed, guest, kvm_nodes

from ganeti.hypervisor.base import Hypervisor
from ganeti.hypervisor.drivers.kvm import Kvm
from ganeti.model.instance import AttachedDisk, Instance


class TestKvm(HypervisorContract):
    """Guests that are QEMU processes; each node has a root of its own."""

    @pytest.fixture
    def nodes(self) -> Iterator[list[KvmNode]]:
        """Two nodes on this machine."""
        with kvm_nodes(2) as nodes:
            yield nodes

    @pytest.fixture
    def driver(self, nodes: list[KvmNode]) -> Hypervisor:
        """The driver of the first."""
        return nodes[0].driver

    @pytest.fixture
    def restarted(self, nodes: list[KvmNode]) -> Iterator[Hypervisor]:
        """Another driver object of the first."""
        driver = Kvm(nodes[0].system)
        yield driver
        driver.close()

    @pytest.fixture
    def other(self, nodes: list[KvmNode]) -> Hypervisor:
        """The driver of the second."""
        return nodes[1].driver

    @pytest.fixture
    def instance(self) -> Instance:
        """A guest that boots in seconds."""
        return guest()

    @pytest.fixture
    def disks(self, nodes: list[KvmNode], instance: Instance) -> Sequence[AttachedDisk]:
        """A small disk of the first node, which the second sees too."""
        return [nodes[0].disk(instance.name)]

    @pytest.fixture
    def unstartable(self, instance: Instance) -> Instance:
        """QEMU knows no such option."""
        return changed(instance, kvm_extra="-no-such-option")
