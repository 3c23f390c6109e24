"""Facts about the node and small services to the master."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ganeti.actions import (
    allocator,
    crypto_tokens,
    ensure_daemon,
    etc_hosts,
    exports,
    membership,
    node_info,
    watcher,
)
from ganeti.actions.node import Node
from ganeti.constants import MIB
from ganeti.errors import (
    CommandError,
    ConfigurationError,
    InvalidParameter,
    NodeError,
    NotSupported,
    ProgramNotFound,
    StorageError,
)
from ganeti.host import net
from ganeti.host.clock import FakeClock
from ganeti.host.runner import Result
from ganeti.noded import table
from ganeti.noded.dispatch import Dispatcher

# A self-signed certificate and its SHA-1 as `openssl x509 -fingerprint` prints it.
CERTIFICATE = """\
-----BEGIN CERTIFICATE-----
MIIBjzCCATWgAwIBAgIUaKXv0CmiW7Siu/BndDw5/f+M918wCgYIKoZIzj0EAwIw
HDEaMBgGA1UEAwwRbm9kZTEuZXhhbXBsZS5jb20wIBcNMjYxMTI0MTE1NzEwWhgP
MjEyNjEwMzExMTU3MTBaMBwxGjAYBgNVBAMMEW5vZGUxLmV4YW1wbGUuY29tMFkw
EwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEXvg52E6eX1cUzOTs9B/knkYEpIwda4Hk
Zz3r3F/AU46cYnAcego8B9sgRBE5Ikpp6pk1hl3doOQvkmSymP4JWKNTMFEwHQYD
VR0OBBYEFKacpWO+v5JEVjZ4g400jOeZmoo9MB8GA1UdIwQYMBaAFKacpWO+v5JE
VjZ4g400jOeZmoo9MA8GA1UdEwEB/wQFMAMBAf8wCgYIKoZIzj0EAwIDSAAwRQIh
AIqWEjh0qBWfum3EBKmgkGoHBhHB1Uca7xhchpwfbinbAiAEIPQ7yTIGbDEIEXfQ
oG2upX0jIHg3JSmaBiiUr+zlwg==
-----END CERTIFICATE-----
"""
DIGEST = "89:2D:C0:97:43:6F:3F:3F:31:CA:86:AD:E9:E8:34:3D:32:FA:B2:51"


@pytest.fixture
def ask(node: Node) -> Callable[[str, str], Any]:
    """Send a body through the whole table; the answer as parsed."""
    dispatcher = Dispatcher(node, table.load())

    def send(name: str, body: str) -> Any:
        return json.loads(asyncio.run(dispatcher.answer(name, body.encode())))

    return send


Ask = Callable[[str, str], Any]

# Facts ---------------------------------------------------------------------------------------------------------------


VOLUME_GROUPS = (
    '{"report":[{"vg":[{"vg_name":"xenvg","vg_free":"1023.60","vg_size":"2044.40","vg_attr":"wz--n-"},'
    '{"vg_name":"locked","vg_free":"1","vg_size":"2","vg_attr":"rz--n-"}]}]}'
)


def _physical(name: str, group: str, free: float, attributes: str, volume: str = "") -> dict[str, str]:
    sizes = {"pv_size": "1000.00", "pv_free": f"{free}", "pv_used": f"{1000 - free}"}
    return {"pv_uuid": name, "pv_name": name, "vg_name": group, **sizes, "pv_attr": attributes, "lv_name": volume}


PHYSICAL_VOLUMES = json.dumps(
    {
        "report": [
            {
                "pv": [
                    _physical("/dev/sda", "xenvg", 1000, "a--"),
                    _physical("/dev/sdb", "xenvg", 999.5, "a--"),
                    _physical("/dev/sdc", "xenvg", 500, "a--", "a"),
                    _physical("/dev/sdd", "xenvg", 1000, "u--"),
                    _physical("[unknown]", "xenvg", 1000, "a-m"),
                    _physical("/dev/sde", "othervg", 1000, "a--"),
                ]
            }
        ]
    }
)


def test_node_info_answers_three_elements_in_the_order_of_the_question(ask: Ask, tmp_path: Path, runner: Any) -> None:
    runner.answer = lambda call: Result(argv=call.argv, stdout=VOLUME_GROUPS)
    units = [["file", str(tmp_path), []], ["lvm-vg", "xenvg", [False]], ["lvm-vg", "locked", [False]]]
    units += [["lvm-vg", "none", [False]], ["lvm-pv", "xenvg", [False]]]

    ok, (boot_id, answers, facts) = ask("node_info", json.dumps([units, [["fake", {"migration_mode": "live"}]]]))

    assert ok
    assert len(boot_id) == 36
    assert [set(unit) for unit in answers] == [{"type", "name", "storage_free", "storage_size"}] * 5
    assert 0 < answers[0]["storage_free"] <= answers[0]["storage_size"]
    assert [(unit["storage_free"], unit["storage_size"]) for unit in answers[1:]] == [
        (1024, 2044),
        (None, None),
        (None, None),
        (0, 0),
    ]
    required = {"memory_total", "memory_free", "memory_dom0", "cpu_total", "cpu_nodes", "cpu_sockets", "cpu_dom0"}
    assert set(facts[0]) == required


def test_node_info_keeps_apart_what_was_not_asked_and_what_is_empty(ask: Ask) -> None:
    assert ask("node_info", "[null, null]")[1][1:] == [None, None]
    assert ask("node_info", "[[], []]")[1][1:] == [[], []]


@pytest.mark.parametrize(
    ("unit", "error"),
    [
        (("file", "/", (False,)), InvalidParameter),
        (("lvm-vg", "xenvg", ()), InvalidParameter),
        (("lvm-vg", "xenvg", ("no",)), InvalidParameter),
        (("rados", "pool", ()), NotSupported),
        (("tape", "x", ()), InvalidParameter),
        (("file", "/nowhere/at/all", ()), StorageError),
        (("file", "/\x00", ()), StorageError),
    ],
)
def test_units_that_cannot_be_measured_are_told(node: Node, runner: Any, unit: Any, error: type[NodeError]) -> None:
    runner.answer = lambda call: Result(argv=call.argv, stdout=VOLUME_GROUPS)

    with pytest.raises(error):
        node_info.get(node, [unit], None)


def test_exclusive_storage_counts_empty_physical_volumes_with_a_reserve(node: Node, runner: Any) -> None:
    def answer(call: Any) -> Result:
        return Result(argv=call.argv, stdout=VOLUME_GROUPS if call.argv[0] == "vgs" else PHYSICAL_VOLUMES)

    runner.answer = answer
    kinds = ("lvm-vg", "lvm-pv")
    asked = [(kind, name, (True,)) for name in ("xenvg", "locked", "none") for kind in kinds]

    info = node_info.get(node, asked, None)

    assert info.units is not None
    # Two of the three that can be used are empty, which would be 1940 MiB; but no more than is free is told.
    assert [(unit.storage_free, unit.storage_size) for unit in info.units] == [
        (1024, 2044),
        (2, 3),
        (None, None),
        (0, 0),
        (None, None),
        (0, 0),
    ]
    assert [call.argv[0] for call in runner.ran] == ["vgs", "pvs"]


def test_lvm_that_is_not_installed_gives_no_figures(node: Node, runner: Any) -> None:
    def answer(call: Any) -> Result | None:
        raise ProgramNotFound(call.argv[0])

    runner.answer = answer
    info = node_info.get(node, [("lvm-vg", "xenvg", (False,)), ("lvm-vg", "xenvg", (True,))], None)

    assert info.units is not None
    assert [(unit.storage_free, unit.storage_size) for unit in info.units] == [(None, None)] * 2


def test_an_unknown_hypervisor_fails_the_question(ask: Ask) -> None:
    ok, text = ask("node_info", '[null, [["qemu", {}]]]')

    assert not ok
    assert "qemu" in text


def test_the_masters_name_is_that_of_the_cluster_data(ask: Ask, node: Node) -> None:
    assert ask("master_node_name", "[]")[0] is False
    node.paths.ssconf("master_node").write_text("node7.example.com\n")
    assert ask("master_node_name", "[]") == [True, "node7.example.com"]


def test_own_addresses_are_known(ask: Ask) -> None:
    assert ask("node_has_ip_address", '["127.0.0.1"]') == [True, True]
    assert ask("node_has_ip_address", '["192.0.2.1"]') == [True, False]
    assert ask("node_has_ip_address", '["no address"]') == [True, False]


@pytest.mark.parametrize("body", ["[-1]", '["1"]', "[1e10]", "[]", "[1, 2]", "{}", "nonsense", "[null]", "[true]"])
def test_impossible_delays_are_refused(ask: Ask, clock: FakeClock, body: str) -> None:
    assert ask("test_delay", body)[0] is False
    assert clock.sleeps == []


def test_a_delay_is_waited_for(ask: Ask, clock: FakeClock) -> None:
    assert ask("test_delay", "[1.5]") == [True, None]
    assert clock.sleeps == [1.5]


def test_file_sizes_are_told_of_any_path(ask: Ask, tmp_path: Path) -> None:
    (tmp_path / "image").write_bytes(bytes(MIB))

    assert ask("get_file_info", json.dumps([str(tmp_path / "image")])) == [True, [True, {"size": MIB}]]
    assert ask("get_file_info", '["/nowhere"]') == [True, [False, {}]]
    assert ask("get_file_info", r'["/\u0000"]') == [True, [False, {}]]


# The watcher ---------------------------------------------------------------------------------------------------------


def test_a_pause_is_a_whole_second_in_a_readable_file(ask: Ask, node: Node, clock: FakeClock) -> None:
    until = clock.now + 60.9
    assert ask("set_watcher_pause", json.dumps([until])) == [True, None]

    path = node.paths.watcher_pause_file
    assert path.read_text() == f"{int(until)}\n"
    assert path.stat().st_mode & 0o777 == 0o644
    assert ask("get_watcher_pause", "[]") == [True, int(until)]
    assert ask("set_watcher_pause", "[null]") == [True, None]
    assert ask("set_watcher_pause", "[null]") == [True, None]
    assert ask("get_watcher_pause", "[]") == [True, None]


@pytest.mark.parametrize("body", ['["1"]', "[true]", "[[]]", "[1e999]", "[NaN]"])
def test_a_pause_until_no_time_is_refused(ask: Ask, node: Node, body: str) -> None:
    assert ask("set_watcher_pause", body)[0] is False
    assert not node.paths.watcher_pause_file.exists()


@pytest.mark.parametrize(("age", "is_kept"), [(0, True), (1, True), (3600, True), (3601, False), (None, False)])
def test_a_pause_that_is_over_is_forgotten_after_an_hour(
    node: Node, clock: FakeClock, age: int | None, is_kept: bool
) -> None:
    path = node.paths.watcher_pause_file
    path.write_text("soon\n" if age is None else f"{int(clock.now) - age}\n")

    assert watcher.pause(node) == (int(clock.now) if age == 0 else None)
    assert path.exists() is is_kept


# Identity and membership ---------------------------------------------------------------------------------------------


def test_tokens_are_the_digest_whatever_is_to_be_done(ask: Ask, node: Node) -> None:
    node.paths.client_pem.write_text(f"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n{CERTIFICATE}")

    for action in ("get", "create", "delete"):
        assert ask("node_crypto_tokens", json.dumps([[["ssl", action, None]]])) == [True, [["ssl", DIGEST]]]


@pytest.mark.parametrize("request_", ['["ssh", "get", {}]', '["ssl", "renew", {}]', '["ssl"]', '"ssl"'])
def test_other_tokens_are_refused(ask: Ask, request_: str) -> None:
    ok, text = ask("node_crypto_tokens", f"[[{request_}]]")

    assert not ok
    assert "requests" in text


@pytest.mark.parametrize(
    "text", [None, "", "no certificate", "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----"]
)
def test_a_node_without_certificate_says_so(node: Node, text: str | None) -> None:
    if text is not None:
        node.paths.client_pem.write_text(text)

    with pytest.raises(ConfigurationError, match="client certificate"):
        crypto_tokens.get(node, (("ssl", "get", None),))


def test_demotion_keeps_a_copy_of_the_configuration(node: Node) -> None:
    node.paths.ssconf("master_node").write_text("other\n")
    membership.demote_from_candidate(node)
    node.paths.cluster_conf_file.write_text("{}")

    membership.demote_from_candidate(node)

    [backup] = node.paths.data_dir.glob("config.data*")
    assert backup.name.startswith("config.data.backup-")
    assert backup.read_text() == "{}"
    assert backup.stat().st_mode & 0o777 == 0o600


def test_the_master_is_not_demoted(node: Node) -> None:
    node.paths.ssconf("master_node").write_text(f"{node.hostname}\n")
    node.paths.cluster_conf_file.write_text("{}")

    with pytest.raises(NodeError, match="is the master"):
        membership.demote_from_candidate(node)
    assert node.paths.cluster_conf_file.exists()


def test_leaving_removes_what_is_the_clusters_and_ends_the_daemon_after_the_answer(node: Node, runner: Any) -> None:
    paths = node.paths
    paths.root_ssh_dir.mkdir(parents=True)
    paths.crypto_keys_dir.mkdir(parents=True)
    for path in (paths.server_pem, paths.ssconf("node_list"), paths.queue_dir / "job-1", paths.crypto_keys_dir / "key"):
        path.write_text("")
    kept = [paths.data_dir / ".hidden", paths.data_dir / "rapi" / "users", paths.root_ssh_dir / "id_rsa"]
    for path in kept:
        path.parent.mkdir(exist_ok=True)
        path.write_text("")
    (paths.root_ssh_dir / "id_dsa").write_text("")
    (paths.root_ssh_dir / "id_dsa.pub").write_text("ssh-dss KEY node1\n")
    paths.authorized_keys_file.write_text("ssh-dss KEY other comment\nssh-rsa KEY admin\n")
    ended: list[str] = []
    dispatcher = Dispatcher(node, table.load(), end=lambda: ended.append("end"))

    reply = json.loads(asyncio.run(dispatcher.answer("node_leave_cluster", b"[true]")))

    assert reply[0] is True
    assert ended == ["end"]
    assert all(path.exists() for path in kept)
    files = {path.name for path in (*paths.data_dir.rglob("*"), *paths.crypto_keys_dir.iterdir()) if path.is_file()}
    assert files == {".hidden", "users", "lock"}
    assert {path.name for path in paths.root_ssh_dir.iterdir()} == {"id_rsa", "authorized_keys"}
    assert paths.authorized_keys_file.read_text() == "ssh-rsa KEY admin\n"
    assert [call.argv[1:] for call in runner.ran] == [
        ("stop", "ganeti-confd"),
        ("stop", "ganeti-mond"),
        ("stop", "ganeti-kvmd"),
    ]


def test_a_refused_leave_ends_nothing(node: Node) -> None:
    node.paths.server_pem.write_text("")
    ended: list[str] = []
    dispatcher = Dispatcher(node, table.load(), end=lambda: ended.append("end"))

    reply = json.loads(asyncio.run(dispatcher.answer("node_leave_cluster", b'["yes"]')))

    assert reply[0] is False
    assert ended == []
    assert node.paths.server_pem.exists()


def test_leaving_without_a_dsa_key_leaves_the_other_keys_alone(node: Node) -> None:
    node.paths.root_ssh_dir.mkdir(parents=True)
    node.paths.authorized_keys_file.write_text("ssh-rsa KEY\n")

    membership.leave_cluster(node, True)
    membership.leave_cluster(node, False)

    assert node.paths.authorized_keys_file.read_text() == "ssh-rsa KEY\n"


# Programs ------------------------------------------------------------------------------------------------------------


def test_only_one_daemon_can_be_started_and_stopped_alone(node: Node, runner: Any) -> None:
    assert ensure_daemon.ensure(node, "ganeti-kvmd", True) is True
    assert ensure_daemon.ensure(node, "ganeti-kvmd", False) is True
    assert ensure_daemon.ensure(node, "ganeti-luxid", True) is False
    runner.answer = lambda call: Result(argv=call.argv, exit_code=1)
    assert ensure_daemon.ensure(node, "ganeti-kvmd", True) is False

    script = str(node.paths.daemon_util)
    assert [call.argv for call in runner.ran[:2]] == [
        (script, "check-and-start", "ganeti-kvmd"),
        (script, "stop", "ganeti-kvmd"),
    ]


def test_a_masters_daemons_start_without_votes_when_asked_to(node: Node, runner: Any) -> None:
    ensure_daemon.start_master(node, True)
    ensure_daemon.start_master(node, False)
    runner.answer = lambda call: Result(argv=call.argv, stderr="no votes", exit_code=1)
    with pytest.raises(CommandError, match="no votes"):
        ensure_daemon.start_master(node, False)
    ensure_daemon.stop_master(node)

    forced, normal, _, stopped = runner.ran
    assert forced.env == dict.fromkeys(("EXTRA_LUXID_ARGS", "EXTRA_WCONFD_ARGS"), "--no-voting --yes-do-it")
    assert normal.env == dict.fromkeys(("EXTRA_LUXID_ARGS", "EXTRA_WCONFD_ARGS"), "")
    assert not forced.reset_env
    assert stopped.argv == (str(node.paths.daemon_util), "stop-master")


def test_an_allocator_gets_the_question_in_a_file_that_is_removed(node: Node, runner: Any, tmp_path: Path) -> None:
    directory = tmp_path / "iallocators"
    directory.mkdir()
    (directory / "hail").write_text("")
    other = Node.compose(replace(node.system, paths=replace(node.paths, allocator_search_path=(directory,))))
    asked: list[str] = []

    def answer(call: Any) -> Result:
        asked.append(Path(call.argv[1]).read_text())
        return Result(argv=call.argv, stdout='{"success": true}', stderr="a warning")

    runner.answer = answer
    assert allocator.run(other, "hail", '{"é": 1}', {"verbose": None, "limit": "3"}) == '{"success": true}'

    [call] = runner.ran
    assert call.argv[0] == str(directory / "hail")
    assert call.argv[2:] == ("--verbose", "--limit=3")
    assert asked == ['{"é": 1}']
    assert list(node.paths.temporary_dir.iterdir()) == []
    runner.answer = lambda call: Result(argv=call.argv, stderr="no idea", exit_code=1)
    with pytest.raises(CommandError, match="no idea"):
        allocator.run(other, "hail", "{}", {})
    for name in ("../hail", "hail\n", "absent", ""):
        with pytest.raises(NodeError, match="not found"):
            allocator.run(other, name, "{}", {})
    assert list(node.paths.temporary_dir.iterdir()) == []


def test_exports_are_listed_and_none_without_a_directory(ask: Ask, node: Node) -> None:
    assert ask("export_list", "{}") == [True, []]
    for name in ("b", "a.new", ".hidden"):
        (node.paths.export_dir / name).mkdir(parents=True)
    assert exports.names(node) == ["a.new", "b"]
    assert ask("export_list", "[]") == [True, ["a.new", "b"]]


# The hosts file ------------------------------------------------------------------------------------------------------

HOSTS = "# 192.0.2.1 comment\n127.0.0.1 localhost\n192.0.2.1  old old-alias\n\n192.0.2.1 twin"


def test_an_address_gets_one_line_in_the_place_of_its_first(node: Node) -> None:
    changed = etc_hosts.with_entry(HOSTS, net.parse_address("192.0.2.1"), "node1.example.com", "node1")

    assert changed == "# 192.0.2.1 comment\n127.0.0.1 localhost\n192.0.2.1\tnode1.example.com node1\n\n"


def test_a_new_address_gets_a_line_of_its_own_even_after_an_unfinished_one() -> None:
    changed = etc_hosts.with_entry("127.0.0.1 localhost", net.parse_address("192.0.2.2"), "node2", "node2")

    assert changed == "127.0.0.1 localhost\n192.0.2.2\tnode2\n"


def test_a_name_goes_from_every_line_and_empty_lines_with_it() -> None:
    text = "# node1\n192.0.2.1\tnode1.example.com node1 n1\n192.0.2.2 node1\nnode1\n"

    assert etc_hosts.without_name(text, "node1") == "# node1\n192.0.2.1 node1.example.com n1\nnode1\n"


@pytest.mark.parametrize(
    "body",
    [
        '["add", "node1", null]',
        '["add", "node1", "nonsense"]',
        '["add", "a b", "192.0.2.1"]',
        '["add", "", "192.0.2.1"]',
        '["add", "a\\nb", "192.0.2.1"]',
        '["add", "#x", "192.0.2.1"]',
        '["remove", "node1", "192.0.2.1"]',
        '["change", "node1", "192.0.2.1"]',
    ],
)
def test_hosts_are_not_changed_by_bad_requests(ask: Ask, node: Node, body: str) -> None:
    before = node.paths.etc_hosts.read_bytes()

    assert ask("etc_hosts_modify", body)[0] is False
    assert node.paths.etc_hosts.read_bytes() == before


def test_a_host_is_added_and_removed(ask: Ask, node: Node) -> None:
    before = node.paths.etc_hosts.read_bytes()

    assert ask("etc_hosts_modify", '["add", "node1.example.com", "192.0.2.1"]') == [True, True]
    assert "192.0.2.1\tnode1.example.com node1" in node.paths.etc_hosts.read_text()
    assert ask("etc_hosts_modify", '["remove", "node1.example.com", null]') == [True, True]
    assert node.paths.etc_hosts.read_bytes() == before
