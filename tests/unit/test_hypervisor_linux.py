"""Facts of a Linux node and its restart."""

from __future__ import annotations

from pathlib import Path

import pytest

from ganeti.errors import HypervisorError
from ganeti.host.fake_runner import Asked, FakeRunner
from ganeti.host.runner import Result
from ganeti.hypervisor import linux

MEMINFO = """\
MemTotal:        8140640 kB
MemFree:         1047551 kB
MemAvailable:    6000000 kB
Buffers:          102399 kB
Cached:          2048000 kB
SwapCached:            0 kB
Active:          3000000 kB
Active(anon):    1000000 kB
HugePages_Total:       0
"""
CPUINFO = "processor\t: 0\nmodel name\t: An processor: 9\n\nprocessor\t: 1\nmodel name\t: The same\n"


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    """A process file system of a machine with two processors."""
    (tmp_path / "meminfo").write_text(MEMINFO)
    (tmp_path / "cpuinfo").write_text(CPUINFO)
    return tmp_path


def test_each_figure_is_rounded_down_before_it_is_added(proc: Path) -> None:
    facts = linux.node_facts(proc)
    assert facts.memory_total == 7949
    assert facts.memory_free == 1022 + 99 + 2000
    assert facts.memory_dom0 == 2929


def test_processors_are_counted_by_their_lines(proc: Path) -> None:
    facts = linux.node_facts(proc)
    assert (facts.cpu_total, facts.cpu_dom0, facts.cpu_nodes, facts.cpu_sockets) == (2, 2, 1, 1)


def test_the_real_machine_can_be_read() -> None:
    facts = linux.node_facts()
    assert facts.memory_total > 0
    assert facts.cpu_total > 0


def test_lines_that_free_memory_lacks_count_nothing(proc: Path) -> None:
    (proc / "meminfo").write_text("MemTotal: 2048 kB\nActive: 1024 kB\n")
    assert linux.node_facts(proc).memory_free == 0


@pytest.mark.parametrize("name", ["MemTotal", "Active"])
def test_a_missing_figure_is_named(proc: Path, name: str) -> None:
    lines = [line for line in MEMINFO.splitlines(keepends=True) if not line.startswith(f"{name}:")]
    (proc / "meminfo").write_text("".join(lines))
    with pytest.raises(HypervisorError, match=name):
        linux.node_facts(proc)


def test_a_figure_that_is_no_number_is_refused(proc: Path) -> None:
    (proc / "meminfo").write_text("MemTotal: many kB\n")
    with pytest.raises(HypervisorError, match="many"):
        linux.node_facts(proc)


@pytest.mark.parametrize("name", ["meminfo", "cpuinfo"])
def test_an_unreadable_file_is_named(proc: Path, name: str) -> None:
    (proc / name).unlink()
    with pytest.raises(HypervisorError, match=name):
        linux.node_facts(proc)


class Programs(FakeRunner):
    """Answers every program alike and notes it."""

    def __init__(self, exit_code: int = 0) -> None:
        self.exit_code = exit_code
        self.started: list[tuple[str, ...]] = []

    def respond(self, asked: Asked) -> Result:
        self.started.append(asked.argv)
        return Result(argv=asked.argv, exit_code=self.exit_code)


def test_the_kernel_is_asked_first(proc: Path) -> None:
    (proc / "sysrq-trigger").touch()
    programs = Programs()
    linux.powercycle(programs, proc)
    assert (proc / "sysrq-trigger").read_text() == "b"
    assert programs.started == []


def test_the_program_follows_when_the_kernel_cannot_be_asked(proc: Path) -> None:
    programs = Programs()
    linux.powercycle(programs, proc)
    assert programs.started == [("reboot", "-n", "-f")]


def test_the_program_follows_when_the_write_fails(proc: Path) -> None:
    (proc / "sysrq-trigger").symlink_to("/dev/full")
    programs = Programs()
    linux.powercycle(programs, proc)
    assert programs.started == [("reboot", "-n", "-f")]


def test_two_failures_are_an_error(proc: Path) -> None:
    with pytest.raises(HypervisorError, match="status 1"):
        linux.powercycle(Programs(exit_code=1), proc)
