"""What every test gets: a node below a temporary root, a clock that never sleeps, and no real programs by accident."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from ganeti.actions.node import Node
from ganeti.host.clock import FakeClock
from ganeti.host.paths import Paths
from ganeti.host.runner import SystemRunner
from ganeti.host.system import System
from ganeti.host.transcript import Exchange, ReplayRunner
from ganeti.host.users import Accounts, accounts_of_this_machine

TESTS = Path(__file__).parent

# Tests in a machine of the lab use no made-up examples; importing what makes them takes 5 s and more there.
if not Path("/run/lab-machine").exists():
    import hypothesis

    # The same examples on every run: a failure in one run is a failure in the next.
    hypothesis.settings.register_profile("project", deadline=None, derandomize=True, database=None)
    hypothesis.settings.load_profile("project")


# Where a test may run ------------------------------------------------------------------------------------------------

MARKER_OF_DIRECTORY = {"hosts": "host", "system": "lab", "machines": "machine"}


def pytest_collection_modifyitems(items: Sequence[pytest.Item]) -> None:
    """Mark tests by their directory, and skip what cannot run here, saying why."""
    for item in items:
        marker = MARKER_OF_DIRECTORY.get(kind_of(item))
        if marker is not None and item.get_closest_marker(marker) is None:
            item.add_marker(marker)
        if item.get_closest_marker("lab") is not None and os.environ.get("LAB") != "1":
            item.add_marker(pytest.mark.skip(reason="needs the packaged master: set LAB=1"))
        elif item.get_closest_marker("host") is not None and os.geteuid() != 0:
            item.add_marker(pytest.mark.skip(reason="needs root on this machine"))


def kind_of(item: pytest.Item) -> str:
    """The directory below `tests` an item lies in; empty when in none."""
    parts = item.path.relative_to(TESTS).parts if item.path.is_relative_to(TESTS) else ()
    return parts[0] if len(parts) > 1 else ""


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what was left out, so that a green run hides nothing."""
    reasons = Counter(
        report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        for report in terminalreporter.stats.get("skipped", [])
    )
    for reason, count in sorted(reasons.items()):
        terminalreporter.write_line(f"left out: {count} tests: {reason.removeprefix('Skipped: ')}")


# Programs ------------------------------------------------------------------------------------------------------------

STARTS_A_PROCESS = frozenset({"subprocess.Popen", "os.system", "os.exec", "os.fork", "os.forkpty", "os.posix_spawn"})


class RealProcess(AssertionError):
    """A test that is to use a fake one started a real program."""


class _Gate:
    """Whether real programs may be started; an audit hook asks, since that sees every way to start one."""

    def __init__(self) -> None:
        self.closed = False
        sys.addaudithook(self.watch)

    def watch(self, event: str, arguments: tuple[object, ...]) -> None:
        if self.closed and event in STARTS_A_PROCESS:
            raise RealProcess(f"{event} {arguments[:2]} in a test without the fixture real_runner or real_processes")


GATE = _Gate()


@pytest.fixture(autouse=True)
def _no_real_processes(request: pytest.FixtureRequest) -> Iterator[None]:
    is_allowed = (
        kind_of(request.node) in MARKER_OF_DIRECTORY
        or any(request.node.get_closest_marker(marker) for marker in MARKER_OF_DIRECTORY.values())
        or "real_processes" in request.fixturenames
    )
    GATE.closed = not is_allowed
    yield
    GATE.closed = False


@pytest.fixture
def real_processes() -> None:
    """Ask for it to be allowed to start real programs in a fast test."""


@pytest.fixture
def real_runner(real_processes: None) -> SystemRunner:
    """What starts real programs."""
    return SystemRunner()


@pytest.fixture
def replay() -> Iterator[Callable[..., ReplayRunner]]:
    """Call it with a transcript to get a runner that plays it; at the end nothing may be left over."""
    runners: list[ReplayRunner] = []

    def make(transcript: str | Sequence[Exchange], *, any_order: bool = False) -> ReplayRunner:
        runners.append(ReplayRunner(transcript, any_order=any_order))
        return runners[-1]

    yield make
    for runner in runners:
        runner.done()


# The node ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    """A node's file system below a temporary root, with the directories the packages make."""
    result = Paths(
        root=tmp_path,
        package_dir=tmp_path / "usr/lib/ganeti",
        os_search_path=(tmp_path / "srv/ganeti/os",),
        ext_search_path=(tmp_path / "srv/ganeti/extstorage",),
    )
    for directory in (
        result.queue_dir,
        result.disk_links_dir,
        result.bdev_cache_dir,
        result.reason_dir,
        result.os_log_dir,
        result.lock_dir,
        result.hooks_dir,
        result.temporary_dir,
        result.package_dir,
        *result.os_search_path,
        *result.ext_search_path,
    ):
        directory.mkdir(parents=True)
    result.etc_hosts.write_text("127.0.0.1 localhost\n")
    return result


@pytest.fixture
def clock() -> FakeClock:
    """A clock that moves only when the code under test sleeps."""
    return FakeClock()


@pytest.fixture
def accounts() -> Accounts:
    """The packaged users and groups, all of them whoever runs the tests, who may hence give files to them."""
    return accounts_of_this_machine(user=lambda _: os.getuid(), group=lambda _: os.getgid())


@pytest.fixture
def system(paths: Paths, clock: FakeClock, accounts: Accounts) -> Iterator[System]:
    """A machine on which no program is expected to run."""
    runner = ReplayRunner(())
    yield System(paths=paths, runner=runner, clock=clock, hostname="node1.example.com", accounts=lambda: accounts)
    runner.done()


@pytest.fixture
def node(system: System) -> Node:
    """The node on that machine."""
    return Node.compose(system)
