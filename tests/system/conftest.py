"""Fixtures for tests under the packaged master: a cluster on throw-away hosts, and our daemon to put into it.

They need root, the packages of lab/packages.txt and LAB=1; without LAB=1 tests marked `lab` are skipped.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from lab.cluster import Cluster

REPOSITORY = Path(__file__).resolve().parents[2]


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("lab") and os.environ.get("LAB") != "1":
        pytest.skip("needs the packaged master: set LAB=1")


@pytest.fixture(scope="session")
def our_daemon() -> Path:
    """The executable under test: GANETI_NODED, else the one of this repository's environment."""
    daemon = Path(os.environ.get("GANETI_NODED", REPOSITORY / ".venv" / "bin" / "ganeti-noded"))
    if not os.access(daemon, os.X_OK):
        pytest.fail(f"{daemon} is not there: `make setup` makes it, GANETI_NODED names another")
    return daemon


@pytest.fixture
def empty_lab(tmp_path: Path) -> Iterator[Cluster]:
    """A lab of which nothing exists yet, removed after the test."""
    # the process number keeps parallel runs, and a lab somebody left running, out of each other's way
    cluster = Cluster(f"e{os.getpid()}", tmp_path)
    try:
        yield cluster
    finally:
        cluster.down()


@pytest.fixture(scope="session")
def packaged_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Three nodes under the packaged master with the packaged daemon everywhere; tests put back what they change."""
    cluster = Cluster(f"s{os.getpid()}", tmp_path_factory.mktemp("lab"))
    try:
        cluster.up(3)
        yield cluster
    finally:
        cluster.down()


@pytest.fixture
def use_our_daemon(packaged_cluster: Cluster, our_daemon: Path) -> Iterator[Callable[..., None]]:
    """Call it with node names to have our daemon run there; the packaged one comes back after the test."""
    swapped: list[str] = []

    def use(*names: str) -> None:
        swapped.extend(names)
        packaged_cluster.swap(our_daemon, names)

    yield use
    if swapped:
        packaged_cluster.swap(None, sorted(set(swapped)))
