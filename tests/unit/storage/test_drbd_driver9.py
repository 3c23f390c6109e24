"""The DRBD driver over the module 9: the same situations, other words.

UNVERIFIED ON A REAL KERNEL: the answers are put together from what drbd-utils 9.22 prints and drbdsetup-9.0(8).
"""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from tests.unit.storage.mirrors import DATA, LOCAL, META, REMOTE, Bench, metadata_size, proc, ran, zero

from ganeti.errors import BlockDeviceError
from ganeti.host.clock import FakeClock
from ganeti.host.paths import Paths
from ganeti.host.transcript import Exchange, ReplayRunner
from ganeti.tools.drbd import status9

VERSION = proc(version="9.1.7 (api:2/proto:110-121)")


@pytest.fixture
def bench(paths: Paths, replay: Callable[..., ReplayRunner], clock: FakeClock) -> Bench:
    """A mirror on a machine whose answers are given."""
    return Bench(paths, replay, clock)


def status(connection: str | None = None, *, disk: str = "UpToDate", role: str = "Secondary") -> tuple[Exchange, ...]:
    """What a look at the module tells when minor 3 is in this state; no connection: there is no such object."""
    peer = {"volume": 0, "replication-state": "Established", "peer-disk-state": "UpToDate"}
    connections = [{"connection-state": connection, "peer-role": "Primary", "peer_devices": [peer]}]
    resource = {
        "name": "resource3",
        "role": role,
        "devices": [{"volume": 0, "minor": 3, "disk-state": disk}],
        "connections": connections if connection else [],
    }
    return VERSION, ran(*status9.STATUS, stdout=json.dumps([resource]))


NOTHING = (VERSION, ran(*status9.STATUS, stdout="[]\n"))


def shown(*, disk: bool = True, path: bool = True, standalone: bool = False) -> Exchange:
    """`drbdsetup show --json` with our disks and addresses, or without."""
    volume: dict[str, object] = {"volume_nr": 0, "device_minor": 3}
    volume |= {"backing-disk": str(DATA), "meta-disk": str(META)} if disk else {"disk": "none"}
    connection: dict[str, object] = {"_peer_node_id": 1}
    connection |= {"path": {"_this_host": LOCAL, "_remote_host": REMOTE}} if path else {}
    connection |= {"_is_standalone": True} if standalone else {}
    resource = {"resource": "resource3", "_this_host": {"node-id": 0, "volumes": [volume]}, "connections": [connection]}
    return ran(*status9.SHOW, stdout=json.dumps([resource]))


def setup(*words: str, code: int = 0) -> Exchange:
    return ran("drbdsetup", *words, code=code)


ADD = (setup("new-resource", "resource3", "0", "--auto-promote=no"), setup("new-minor", "resource3", "3", "0"))
ATTACH = (
    ran("drbdmeta", "/dev/drbd3", "v09", META, "flex-external", "apply-al"),
    setup("attach", "3", str(DATA), str(META), "flexible", "--on-io-error=detach", "--size=64m"),
)


def connect(*, dual: bool = False) -> tuple[Exchange, ...]:
    options = ["--protocol=C", "--after-sb-0pri=discard-zero-changes", "--after-sb-1pri=consensus"]
    options += ["--allow-two-primaries=yes"] if dual else []
    return (
        setup("new-peer", "resource3", "1", *options, "--cram-hmac-alg=md5", "--shared-secret", "***"),
        setup("new-path", "resource3", "1", LOCAL, REMOTE),
        setup("peer-device-options", "resource3", "1", "0", "--resync-rate=61440", "--c-plan-ahead=0"),
        setup("connect", "resource3", "1"),
    )


DISCONNECT = setup("disconnect", "resource3", "1")
DEL_PEER = setup("del-peer", "resource3", "1")


def test_create_makes_metadata_of_the_newer_format(bench: Bench) -> None:
    create_md = ran("drbdmeta", "/dev/drbd3", "v09", META, "flex-external", "create-md", "1")
    bench.mirror(*NOTHING, *metadata_size(), zero(), create_md).create(exclusive_storage=False)


def test_from_nothing_it_gets_disks_and_then_addresses(bench: Bench) -> None:
    bench.mirror(*NOTHING, *ADD, *ATTACH, *status(), *connect(), shown()).assemble()


def test_what_is_complete_is_left_alone(bench: Bench) -> None:
    bench.mirror(*status("Connected"), shown()).assemble()
    bench.mirror(*status("Connecting"), shown()).assemble()


@pytest.mark.parametrize("left", [{"path": False}, {"standalone": True}])
def test_a_connection_that_talks_to_nobody_is_made_anew(bench: Bench, left: dict[str, bool]) -> None:
    bench.mirror(*status("StandAlone"), shown(**left), DISCONNECT, DEL_PEER, *connect(), shown()).assemble()


def test_a_left_connection_without_our_disk_may_be_somebody_elses(bench: Bench) -> None:
    with pytest.raises(BlockDeviceError, match="with other addresses"):
        bench.mirror(*status("StandAlone", disk="Diskless"), shown(disk=False, standalone=True)).assemble()


def test_disconnecting_removes_the_connection_too(bench: Bench) -> None:
    seen = status("Connected")
    bench.mirror(*seen, *seen, DISCONNECT, DEL_PEER, *status()).disconnect_network()


def test_a_connection_that_ended_by_itself_is_removed(bench: Bench) -> None:
    refused = setup("disconnect", "resource3", "1", code=10)
    seen = status("StandAlone")
    bench.mirror(*seen, *seen, refused, DEL_PEER, *status()).disconnect_network()


@pytest.mark.parametrize("dual", [False, True])
def test_connecting_begins_without_what_is_left(bench: Bench, dual: bool) -> None:
    bench.mirror(*status(), *connect(dual=dual), shown()).attach_network(both_primary=dual)
    bench.mirror(*status("StandAlone"), DISCONNECT, DEL_PEER, *connect(dual=dual), shown()).attach_network(
        both_primary=dual
    )


def test_roles_and_the_end_belong_to_the_resource(bench: Bench) -> None:
    bench.mirror(*status("Connected"), setup("primary", "resource3")).open()
    bench.mirror(*status("Connected", role="Primary"), setup("secondary", "resource3")).close()
    bench.mirror(*status("Connected"), shown(), setup("down", "resource3")).shutdown()


def test_a_resync_is_paused_by_connection(bench: Bench) -> None:
    assert bench.mirror(*status("Connected"), setup("pause-sync", "resource3", "1", "0")).pause_resume_sync(pause=True)


def test_the_state_is_told_in_the_same_words(bench: Bench) -> None:
    status = bench.mirror(*status_of_a_resync()).status()
    assert (status.sync_percent, status.estimated_time, status.is_degraded) == (43.5, 7, True)


def status_of_a_resync() -> tuple[Exchange, ...]:
    version, answer = status("Connected", disk="Inconsistent")
    resources = json.loads(answer.stdout)
    resources[0]["connections"][0]["peer_devices"][0] |= {
        "replication-state": "SyncTarget",
        "percent-resync-done": 43.5,
        "estimated-seconds-to-finish": 7.2,
    }
    return version, ran(*answer.argv, stdout=json.dumps(resources))
