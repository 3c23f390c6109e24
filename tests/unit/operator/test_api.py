"""The operator's HTTP interface over a node with fake guests on real file disks."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from litestar import Litestar
from litestar.testing import TestClient

from ganeti.actions.node import Node
from ganeti.host.clock import FakeClock
from ganeti.host.fake_runner import Asked, FakeRunner
from ganeti.host.paths import Paths
from ganeti.host.runner import Result
from ganeti.host.system import System
from ganeti.operator.api import application
from ganeti.operator.guests import Guests
from ganeti.operator.inventory import Inventory
from ganeti.operator.overview import Overview
from ganeti.operator.setup import SetupOptions, initialise

OS_FILES = ("create", "import", "export", "rename", "verify")


class ScriptRunner(FakeRunner):
    """Stands for operating system scripts: remembers what ran, and fails when told to."""

    def __init__(self) -> None:
        self.ran: list[str] = []
        self.failing = ""

    def respond(self, asked: Asked) -> Result:
        name = Path(asked.argv[0]).name
        assert name in OS_FILES, f"nobody needs {asked.argv} here"
        self.ran.append(name)
        last_words = "" if asked.output is None else "the script's last words\n"
        return Result(argv=asked.argv, stdout=last_words, exit_code=1 if self.failing == name else 0)


@pytest.fixture
def scripts() -> ScriptRunner:
    return ScriptRunner()


@pytest.fixture
def node(tmp_path: Path, scripts: ScriptRunner) -> Node:
    root = tmp_path / "alpha"
    (root / "etc").mkdir(parents=True)
    definition = tmp_path / "os" / "tiny"
    definition.mkdir(parents=True)
    for name in OS_FILES:
        (definition / name).write_text("#!/bin/sh\n")
        (definition / name).chmod(0o755)
    (definition / "ganeti_api_version").write_text("20\n")
    (definition / "parameters.list").write_text("")
    paths = Paths(root=root, virtual_hostname="alpha", os_search_path=(tmp_path / "os",))
    initialise(
        paths, "alpha", SetupOptions(storage_dir=root / "disks", shared_storage_dir=root / "shared", hvparams={})
    )
    composed = Node.compose(System(paths=paths, runner=scripts, clock=FakeClock(), hostname="alpha"))
    return dataclasses.replace(composed, records=Inventory(paths.inventory, composed.clock))


@pytest.fixture
def client(node: Node) -> Iterator[TestClient[Litestar]]:
    assert isinstance(node.records, Inventory)
    with TestClient(application(Guests(node, node.records), Overview(node))) as test_client:
        yield test_client


def spec(**changes: object) -> dict[str, object]:
    return {"name": "one.example", "os": "tiny", "hypervisor": "fake", "disks": [{"size_mib": 8}], **changes}


def test_a_guest_is_made_installed_and_started(client: TestClient[Litestar], node: Node, scripts: ScriptRunner) -> None:
    answer = client.post("/guests", json=spec())

    assert answer.status_code == 201, answer.text
    assert answer.json()["status"] == "running"
    assert scripts.ran == ["verify", "create"]
    assert (node.paths.root / "disks/one.example/disk0").stat().st_size == 8 * 1024 * 1024


def test_a_failed_installation_leaves_nothing(client: TestClient[Litestar], node: Node, scripts: ScriptRunner) -> None:
    scripts.failing = "create"

    answer = client.post("/guests", json=spec())

    assert answer.status_code == 500
    assert "the script's last words" in answer.json()["detail"]
    assert list((node.paths.root / "disks").iterdir()) == []
    assert list(node.paths.disk_links_dir.iterdir()) == []
    assert client.get("/guests").json() == []


def test_a_second_guest_of_the_same_name_costs_the_first_nothing(client: TestClient[Litestar], node: Node) -> None:
    client.post("/guests", json=spec())

    answer = client.post("/guests", json=spec())

    assert answer.status_code == 409
    assert (node.paths.root / "disks/one.example/disk0").exists()
    assert client.get("/guests/one.example").json()["status"] == "running"


def test_a_guest_stops_and_starts(client: TestClient[Litestar]) -> None:
    client.post("/guests", json=spec())

    stopped = client.post("/guests/one.example/stop", json={"timeout_s": 5})
    started = client.post("/guests/one.example/start", json={})

    assert (stopped.json()["status"], started.json()["status"]) == ("stopped", "running")


def test_a_disk_grows(client: TestClient[Litestar], node: Node) -> None:
    client.post("/guests", json=spec(start=False))

    answer = client.post("/guests/one.example/grow", json={"amount_mib": 4})

    assert answer.json()["disks_mib"] == [12]
    assert (node.paths.root / "disks/one.example/disk0").stat().st_size == 12 * 1024 * 1024


def test_removing_a_guest_removes_its_disks(client: TestClient[Litestar], node: Node) -> None:
    client.post("/guests", json=spec())

    assert client.delete("/guests/one.example").status_code == 204

    assert list((node.paths.root / "disks").iterdir()) == []
    assert client.get("/guests/one.example").status_code == 404


def test_a_master_owns_the_guests(client: TestClient[Litestar], node: Node) -> None:
    node.paths.ssconf("master_node").write_text("master.example\n")

    answer = client.post("/guests", json=spec())

    assert answer.status_code == 409
    assert "master.example" in answer.json()["detail"]


def test_a_guest_on_a_local_disk_cannot_move(client: TestClient[Litestar]) -> None:
    client.post("/guests", json=spec())

    answer = client.post("/guests/one.example/migrate", json={"address": "127.0.0.1"})

    assert answer.status_code == 409
    assert "sharedfile" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"name": "../evil"}, "name"),
        ({"name": "UPPER"}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"name": "one.example\n"}, "name"),
        ({"nics": [{"mac": "aa:00:00:00:00:01\n"}]}, "nics"),
        ({"memory_mib": 0}, "memory_mib"),
        ({"vcpus": "two"}, "vcpus"),
        ({"disks": [{"size_mib": -1}]}, "disks"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_bad_input_is_refused_by_name_and_nothing_is_made(
    client: TestClient[Litestar], node: Node, changes: dict[str, object], named: str
) -> None:
    answer = client.post("/guests", json=spec(**changes))

    assert answer.status_code == 400
    assert named in answer.text
    assert list((node.paths.root / "disks").iterdir()) == []


@pytest.mark.parametrize("changes", [{"hypervisor": "nothing"}, {"hvparams": {"colour": "red"}}])
def test_what_the_hypervisor_does_not_know_is_refused(client: TestClient[Litestar], changes: dict[str, object]) -> None:
    assert client.post("/guests", json=spec(**changes)).status_code == 409


def test_an_unknown_operating_system_leaves_nothing(client: TestClient[Litestar], node: Node) -> None:
    answer = client.post("/guests", json=spec(os="nothing"))

    assert answer.status_code == 400
    assert "nothing" in answer.json()["detail"]
    assert list((node.paths.root / "disks").iterdir()) == []


@pytest.mark.parametrize("changes", [{"os": "tiny+nothing"}, {"osparams": {"colour": "red"}}])
def test_what_the_operating_system_does_not_know_is_refused_before_anything_is_made(
    client: TestClient[Litestar], node: Node, scripts: ScriptRunner, changes: dict[str, object]
) -> None:
    answer = client.post("/guests", json=spec(**changes))

    assert answer.status_code == 400
    assert scripts.ran == []
    assert list((node.paths.root / "disks").iterdir()) == []


def test_what_the_verify_script_refuses_is_not_made(
    client: TestClient[Litestar], node: Node, scripts: ScriptRunner
) -> None:
    scripts.failing = "verify"

    assert client.post("/guests", json=spec()).status_code == 400

    assert list((node.paths.root / "disks").iterdir()) == []


def test_the_interface_describes_itself(client: TestClient[Litestar]) -> None:
    description = client.get("/schema/openapi.json")

    paths = msgspec.json.decode(description.content)["paths"]
    assert "/guests/{name}/migrate" in paths
