"""What DRBD 9 tells in JSON.

UNVERIFIED ON A REAL KERNEL: the texts are put together from the keys drbd-utils 9.22 prints and drbdsetup-9.0(8).
"""

from __future__ import annotations

import json
import traceback
from pathlib import Path

import pytest

from ganeti.errors import BlockDeviceError
from ganeti.host.transcript import Exchange, ReplayRunner
from ganeti.tools.drbd import commands9, module, status9
from ganeti.tools.drbd.devices import Configuration, Device, Endpoint
from ganeti.tools.drbd.states import DeviceState

SECRET = "0123456789abcdef0123456789abcdef01234567"
VERSION = "version: 9.1.7 (api:2/proto:110-121)\nGIT-hash: 1234\nTransports (api:17): tcp (9.1.7)\n"

Json = dict[str, object]


def peer_device(replication: str, disk: str, **more: object) -> Json:
    return {
        "volume": 0,
        "replication-state": replication,
        "peer-disk-state": disk,
        "peer-client": False,
        "resync-suspended": "no",
        "received": 0,
        "sent": 0,
        "out-of-sync": 0,
        "pending": 0,
        "unacked": 0,
        "has-sync-details": False,
        "has-online-verify-details": False,
        "percent-in-sync": 100.0,
        **more,
    }


def connection(state: str, *peer_devices: Json, role: str = "Secondary") -> Json:
    return {
        "peer-node-id": 1,
        "name": "peer",
        "connection-state": state,
        "congested": False,
        "peer-role": role,
        "ap-in-flight": 0,
        "rs-in-flight": 0,
        "peer_devices": list(peer_devices),
    }


def resource(minor: int, disk: str, *connections: Json, role: str = "Primary") -> Json:
    return {
        "name": f"resource{minor}",
        "node-id": 0,
        "role": role,
        "suspended": False,
        "write-ordering": "flush",
        "devices": [
            {"volume": 0, "minor": minor, "disk-state": disk, "client": False, "quorum": True, "size": 65536, "read": 0}
        ],
        "connections": list(connections),
    }


def state_of(one: Json) -> DeviceState:
    return status9.parse_status(json.dumps([one]))[0]


def test_connected_and_established_is_connected() -> None:
    found = state_of(resource(0, "UpToDate", connection("Connected", peer_device("Established", "UpToDate"))))
    assert found == DeviceState(
        connection="Connected",
        role="Primary",
        peer_role="Secondary",
        disk="UpToDate",
        peer_disk="UpToDate",
        has_peer=True,
    )
    assert found.is_connected


def test_a_resync_tells_how_far_it_is() -> None:
    details = {"percent-in-sync": 10.0, "percent-resync-done": 43.52, "estimated-seconds-to-finish": 7}
    peer = peer_device("SyncSource", "Inconsistent", **details)
    found = state_of(resource(0, "UpToDate", connection("Connected", peer)))
    assert found.is_in_resync
    assert (found.sync_percent, found.seconds_left) == (43.52, 7)


def test_a_resync_without_details_tells_what_is_in_sync() -> None:
    peer = peer_device("SyncTarget", "UpToDate", **{"percent-in-sync": 12.5})
    found = state_of(resource(0, "Inconsistent", connection("Connected", peer)))
    assert (found.sync_percent, found.seconds_left) == (12.5, None)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("Connecting", "Off"), "WFConnection"),
        (("StandAlone", "Off"), "StandAlone"),
        (("Connected", "Off"), "WFReportParams"),
        (("Connected", "PausedSyncS"), "PausedSyncS"),
        (("Connected", "VerifyS"), "VerifyS"),
        (("NetworkFailure", "Off"), "NetworkFailure"),
    ],
)
def test_words_are_those_of_84(words: tuple[str, str], expected: str) -> None:
    found = state_of(resource(0, "UpToDate", connection(words[0], peer_device(words[1], "DUnknown"))))
    assert found.connection == expected
    assert found.has_peer


def test_without_a_connection_it_is_standalone_or_unconfigured() -> None:
    assert state_of(resource(0, "UpToDate")).is_standalone
    assert not state_of(resource(0, "UpToDate")).has_peer
    assert state_of(resource(0, "Diskless")) == DeviceState(connection="Unconfigured")


@pytest.mark.parametrize("text", ["", "[\n]\n"])
def test_no_resources_are_no_devices(text: str) -> None:
    assert status9.parse_status(text) == {}
    assert status9.parse_show(text, 0) == Configuration()


def test_nonsense_is_an_error() -> None:
    with pytest.raises(BlockDeviceError, match="DRBD's state cannot be understood"):
        status9.parse_status('[{"role": 1}]')


def test_one_look_reads_the_version_and_then_asks_once() -> None:
    devices = [resource(0, "UpToDate"), resource(4, "Diskless")]
    answers = [
        Exchange(argv=("cat", "/proc/drbd"), stdout=VERSION),
        Exchange(argv=status9.STATUS, stdout=json.dumps(devices)),
    ]
    with ReplayRunner(answers) as runner:
        found = module.look(runner)
    assert str(found.version) == "9.1.7"
    assert (list(found.minors), list(found.used)) == ([0, 4], [0])
    assert found.unused_minor() == 4
    assert found.state(1) is None
    assert found.commands is commands9


# Configuration -------------------------------------------------------------------------------------------------------


def shown(**connection: object) -> Json:
    return {
        "resource": "resource3",
        "options": {"auto-promote": False},
        "_this_host": {
            "node-id": 0,
            "volumes": [
                {
                    "volume_nr": 0,
                    "device_minor": 3,
                    "backing-disk": "/dev/xenvg/d_data",
                    "meta-disk": "/dev/xenvg/d_meta",
                    "disk": {"size": "131072s"},
                }
            ],
        },
        "connections": [{"_peer_node_id": 1, "net": {"shared-secret": SECRET}, **connection}],
    }


PATH = {"_this_host": "ipv4:10.98.0.1:11003", "_remote_host": "ipv4:10.98.0.2:11003"}


def test_the_configuration_of_one_minor_is_found_among_all() -> None:
    others = [{"resource": "other", "_this_host": {"node-id": 0, "volumes": []}}]
    answer = Exchange(argv=status9.SHOW, stdout=json.dumps([*others, shown(path=PATH)]))
    with ReplayRunner([answer]) as runner:
        found = commands9.configuration(runner, Device(minor=3))
    assert found == Configuration(
        resource="resource3",
        data=Path("/dev/xenvg/d_data"),
        metadata=Path("/dev/xenvg/d_meta"),
        local=Endpoint.of("10.98.0.1", 11003),
        remote=Endpoint.of("10.98.0.2", 11003),
    )


def test_ipv6_addresses_are_read() -> None:
    path = {"_this_host": "ipv6:[fd98::1]:11003", "_remote_host": "ipv6:[fd98::2]:11003"}
    assert status9.parse_show(json.dumps([shown(path=path)]), 3).local == Endpoint.of("fd98::1", 11003)


def test_a_connection_that_was_given_up_has_no_addresses() -> None:
    found = status9.parse_show(json.dumps([shown(path=PATH, _is_standalone=True)]), 3)
    assert (found.local, found.remote) == (None, None)


def test_a_device_without_a_disk_says_none() -> None:
    text = '[{"resource": "r", "_this_host": {"volumes": [{"volume_nr": 0, "device_minor": 3, "disk": "none"}]}}]'
    assert status9.parse_show(text, 3) == Configuration(resource="r")


@pytest.mark.parametrize("path", [{"_this_host": SECRET, "_remote_host": SECRET}, {"_this_host": 1}, SECRET])
def test_a_configuration_not_understood_tells_none_of_it(path: object) -> None:
    with pytest.raises(BlockDeviceError, match="configuration cannot be understood") as info:
        status9.parse_show(json.dumps([shown(path=path)]), 3)
    assert SECRET not in "".join(traceback.format_exception(info.value))
