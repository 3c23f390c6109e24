"""The contract of hypervisors against every driver that can run without a machine of its own."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.contract.hypervisor_contract import HypervisorContract

from ganeti.errors import HypervisorError
from ganeti.host.clock import FakeClock
from ganeti.host.paths import Paths
from ganeti.host.system import System
from ganeti.hypervisor.base import Hypervisor
from ganeti.hypervisor.drivers.fake import Fake
from ganeti.hypervisor.parameters import check_syntax, defaults
from ganeti.hypervisor.registry import Hypervisors
from ganeti.model.instance import Instance


def node(directory: Path) -> System:
    """A machine below a directory of its own."""
    paths = Paths(root=directory)
    paths.run_dir.mkdir(parents=True)
    return System(paths=paths, clock=FakeClock(), hostname=directory.name)


class TestFake(HypervisorContract):
    """Guests that are files."""

    @pytest.fixture
    def system(self, tmp_path: Path) -> System:
        """The node under test."""
        return node(tmp_path / "node1")

    @pytest.fixture
    def driver(self, system: System) -> Hypervisor:
        """The driver of that node."""
        return Fake(system)

    @pytest.fixture
    def restarted(self, system: System) -> Hypervisor:
        """The same, made anew."""
        return Fake(system)

    @pytest.fixture
    def other(self, tmp_path: Path) -> Hypervisor:
        """Another node."""
        return Fake(node(tmp_path / "node2"))

    @pytest.fixture
    def instance(self) -> Instance:
        """A small guest."""
        return Instance(
            name="guest1.example.com",
            hypervisor="fake",
            hvparams=defaults(Fake.parameters),
            beparams={"minmem": 64, "maxmem": 128, "vcpus": 2},
        )

    @pytest.fixture
    def unstartable(self, instance: Instance) -> Instance:
        """A name that is no file name."""
        return Instance(name="a/b", hypervisor="fake", hvparams=instance.hvparams, beparams=instance.beparams)


@pytest.mark.parametrize("kind", Hypervisors.kinds())
class TestParameters:
    """What holds for the table of every registered hypervisor."""

    def test_an_unknown_parameter_is_refused(self, kind: str) -> None:
        table = Hypervisor.registered[kind].parameters
        with pytest.raises(HypervisorError, match="no-such-parameter"):
            check_syntax(table, {**defaults(table), "no-such-parameter": 1})

    def test_a_missing_parameter_is_refused(self, kind: str) -> None:
        table = Hypervisor.registered[kind].parameters
        for name in table:
            rest = {key: value for key, value in defaults(table).items() if key != name}
            with pytest.raises(HypervisorError, match=name):
                check_syntax(table, rest)

    def test_the_defaults_are_valid(self, kind: str) -> None:
        table = Hypervisor.registered[kind].parameters
        check_syntax(table, defaults(table))


def test_an_unknown_hypervisor_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(HypervisorError, match="qnx"):
        Hypervisors(node(tmp_path / "node1")).get("qnx")
