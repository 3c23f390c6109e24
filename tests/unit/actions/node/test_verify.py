"""The node's part of cluster verification."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from ganeti.actions import verify_host, verify_network, verify_ssh
from ganeti.actions.node import Node
from ganeti.errors import ConfigurationError
from ganeti.host.clock import FakeClock
from ganeti.host.runner import Result
from ganeti.model.verify import SshKeyHolder
from ganeti.noded import table
from ganeti.noded.dispatch import Dispatcher

ME = "node1.example.com"
FAKE = {"fake": {"migration_mode": "live"}}


@pytest.fixture
def verify(node: Node) -> Callable[..., Any]:
    """Ask over the whole table; what was answered."""
    dispatcher = Dispatcher(node, table.load())

    def ask(what: dict[str, object], hvparams: dict[str, object] | None = None) -> Any:
        body = json.dumps([what, "cluster.example.com", FAKE if hvparams is None else hvparams])
        ok, payload = json.loads(asyncio.run(dispatcher.answer("node_verify", body.encode())))
        assert ok, payload
        return payload

    return ask


Verify = Callable[..., Any]


def test_only_what_is_asked_is_answered_and_null_asks_too(verify: Verify, clock: FakeClock) -> None:
    clock.now = 1369000000.123456

    assert verify({}) == {}
    assert verify({"version": None, "time": None}) == {
        "version": [3000000, "3.0.2"],
        "time": [1369000000, 123456],
    }


def test_unknown_questions_are_passed_over(verify: Verify) -> None:
    assert verify({"colour": "red", "user-scripts": []}) == {"user-scripts": []}


def test_a_node_without_guests_answers_no_questions_about_them(verify: Verify, runner: Any) -> None:
    what: dict[str, object] = {
        "hypervisor": ["fake"],
        "hvparms": [],
        "lvlist": "xenvg",
        "instancelist": ["fake"],
        "vglist": None,
        "pvlist": ["xenvg"],
        "hvinfo": "fake",
        "drbd-version": None,
        "drbd-list": None,
        "drbd-helper": "/bin/true",
        "oslist": None,
        "bridges": [],
        "nodesetup": None,
        "nonvmnodes": [ME],
    }

    assert set(verify(what)) == {"nodesetup"}
    assert runner.ran == []


# Hypervisors and guests ----------------------------------------------------------------------------------------------


def test_hypervisors_their_parameters_guests_and_facts_are_judged(verify: Verify) -> None:
    answer = verify(
        {
            "hypervisor": ["fake"],
            "hvparms": [["cluster", "fake", {"migration_mode": "live"}], ["instance x", "absent", {}]],
            "instancelist": ["fake"],
            "hvinfo": "fake",
        }
    )

    assert answer["hypervisor"] == {"fake": None}
    [(source, kind, text)] = answer["hvparms"]
    assert (source, kind) == ("instance x", "absent")
    assert "absent" in text
    assert answer["instancelist"] == []
    assert answer["hvinfo"]["cpu_total"] > 0


def test_an_unknown_hypervisor_is_a_text_and_ends_nothing(verify: Verify) -> None:
    answer = verify({"hypervisor": ["absent"], "instancelist": ["absent"]}, {"absent": {}})

    assert "absent" in answer["hypervisor"]["absent"]
    assert "absent" in answer["instancelist"]


def test_definitions_travel_as_rows_of_eight(verify: Verify, make_os: Callable[..., Path]) -> None:
    directory = make_os()

    rows = verify({"oslist": None})["oslist"]

    assert rows == [["demo", str(directory), True, "", ["small", "large"], [["size", "how big"]], [20], True]]


# The machine ---------------------------------------------------------------------------------------------------------


def test_files_are_told_by_their_digest_and_missing_ones_left_out(node: Node, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("content")
    (tmp_path / "link").symlink_to("file")

    names = [str(file), str(tmp_path / "link"), str(tmp_path / "absent"), str(tmp_path)]
    digest = hashlib.sha1(b"content", usedforsecurity=False).hexdigest()
    assert verify_host.file_digests(node, names) == {str(file): digest, str(tmp_path / "link"): digest}


def test_programs_are_judged_by_file_and_executable_bit(tmp_path: Path) -> None:
    good, bad = tmp_path / "good", tmp_path / "bad"
    for path, mode in ((good, 0o700), (bad, 0o644)):
        path.write_text("")
        path.chmod(mode)
    paths = [str(path) for path in (good, bad, tmp_path / "absent", tmp_path)]

    assert verify_host.not_executable(paths) == paths[1:]
    first, second, third, fourth = verify_host.program_problems(paths)
    assert first is None
    assert "not executable" in str(second)
    assert "cannot stat" in str(third)
    assert "not a file" in str(fourth)


def test_missing_kernel_file_systems_are_told(tmp_path: Path) -> None:
    assert len(verify_host.set_up_problems(tmp_path)) == 2
    for directory in ("sys/block", "sys/class/net", "proc/sys"):
        (tmp_path / directory).mkdir(parents=True)
    (tmp_path / "proc/sysrq-trigger").write_text("")
    assert verify_host.set_up_problems(tmp_path) == []


@pytest.fixture(scope="module")
def key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def client_certificate(key: ec.EllipticCurvePrivateKey, now: float, begin: int, end: int, issuer: str) -> bytes:
    when = datetime.fromtimestamp(now, UTC)

    def name(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    builder = x509.CertificateBuilder(issuer_name=name(issuer), subject_name=name(ME), public_key=key.public_key())
    builder = builder.serial_number(1).not_valid_before(when + timedelta(days=begin))
    certificate = builder.not_valid_after(when + timedelta(days=end)).sign(key, hashes.SHA256())
    return certificate.public_bytes(serialization.Encoding.PEM)


@pytest.mark.parametrize(
    ("begin", "end", "issuer", "level"),
    [
        (-1, 100, "ganeti.example.com", None),
        (-1, 31, "ganeti.example.com", None),
        (-1, 29, "ganeti.example.com", "WARNING"),
        (-1, 6, "ganeti.example.com", "ERROR"),
        (-10, -1, "ganeti.example.com", "ERROR"),
        (1, 100, "ganeti.example.com", "WARNING"),
        (-1, 100, ME, "WARNING"),
    ],
)
def test_the_client_certificate_is_judged(
    node: Node, key: ec.EllipticCurvePrivateKey, begin: int, end: int, issuer: str, level: str | None
) -> None:
    node.paths.client_pem.write_bytes(client_certificate(key, node.clock.time(), begin, end, issuer))

    found, text = verify_host.client_certificate(node)

    assert found == level
    assert text
    if level is None:
        assert len(text) == 59


@pytest.mark.parametrize(
    "content", [None, b"", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", b"\xff"]
)
def test_an_unusable_client_certificate_is_a_pair_too(verify: Verify, node: Node, content: bytes | None) -> None:
    if content is not None:
        node.paths.client_pem.write_bytes(content)

    level, text = verify({"client-cert": None})["client-cert"]

    assert level == "ERROR"
    assert str(node.paths.client_pem) in text


# The ways to others --------------------------------------------------------------------------------------------------

SSH = (
    "ssh -oEscapeChar=none -oHashKnownHosts=no -oGlobalKnownHostsFile={} -oUserKnownHostsFile=/dev/null "
    "-oCheckHostIp=no -oConnectTimeout=10 -oBatchMode=yes -4 -oHostKeyAlias=cluster.example.com "
    "-oStrictHostKeyChecking=yes -oPort=22 -- root@node2.example.com"
)


def test_nodes_are_reached_by_ssh_and_must_know_their_name(verify: Verify, node: Node, runner: Any) -> None:
    names = {"node2": "node2.example.com", "node3": "node3", "node4": "other", "node5": None}
    node.paths.ssconf("ssh_ports").write_text("".join(f"{name}.example.com=22\n" for name in names))

    def answer(call: Any) -> Result:
        name = names[call.argv[-2].removeprefix("root@").partition(".")[0]]
        if name is None:
            return Result(argv=call.argv, stderr="no route\n", exit_code=255)
        return Result(argv=call.argv, stdout=f"{name}\n")

    runner.answer = answer
    full = [f"{name}.example.com" for name in names]

    problems = verify({"nodelist": [full[:3], {ME: full[3:], "node9": ["node8"]}, [ME]]})["nodelist"]

    assert set(problems) == set(full[1:])
    assert "fully qualified" in problems[full[1]]
    assert "mismatch" in problems[full[2]]
    assert problems[full[3]] == "ssh problem: no route"
    assert list(runner.ran[0].argv[:-1]) == SSH.format(node.paths.data_dir / "known_hosts").split()


def test_only_candidates_look_at_others(verify: Verify, runner: Any) -> None:
    what = {
        "nodelist": [["node2.example.com"], {}, []],
        "node-net-test": [[["node2.example.com", "192.0.2.2", "192.0.2.2"]], ["node2.example.com"]],
        "master-ip": ["node2.example.com", "192.0.2.10", []],
    }

    assert verify(what) == {"nodelist": {}, "node-net-test": {}, "master-ip": None}
    assert runner.ran == []


def test_a_candidate_without_ssh_ports_fails_the_question(node: Node) -> None:
    with pytest.raises(ConfigurationError, match="ssh_ports"):
        verify_network.reach(node, "cluster", ["node2"], {}, [ME])


def test_both_networks_of_every_node_are_tried_from_the_own_addresses(node: Node) -> None:
    tried: list[tuple[str, int, str | None]] = []

    def ping(target: str, port: int, *, source: str | None = None) -> bool:
        tried.append((target, port, source))
        return target not in {"192.0.2.2", "198.51.100.2", "198.51.100.3"}

    nodes = [(ME, "192.0.2.1", "198.51.100.1"), ("n2", "192.0.2.2", "198.51.100.2")]
    nodes += [("n3", "192.0.2.3", "198.51.100.3"), ("n4", "192.0.2.4", "192.0.2.4")]

    assert verify_network.net_test(node, nodes, [ME], ping) == {
        "n2": "failure using the primary and secondary interface",
        "n3": "failure using the secondary interface",
    }
    assert ("192.0.2.3", 1811, "192.0.2.1") in tried
    assert ("198.51.100.3", 1811, "198.51.100.1") in tried
    assert len(tried) == 7


def test_a_node_that_is_not_in_the_list_says_so(node: Node) -> None:
    def ping(target: str, port: int, *, source: str | None = None) -> bool:
        raise AssertionError

    for nodes in ([("n2", "192.0.2.2", "192.0.2.2")], [(ME, "", "")]):
        assert set(verify_network.net_test(node, nodes, [ME], ping)) == {ME}


@pytest.mark.parametrize(("master", "source"), [(ME, "127.0.0.1"), ("node2.example.com", None)])
def test_the_masters_address_is_tried_over_the_loopback_on_the_master(
    node: Node, master: str, source: str | None
) -> None:
    tried: list[tuple[str, str | None]] = []

    def ping(target: str, port: int, *, source: str | None = None) -> bool:
        tried.append((target, source))
        return False

    assert verify_network.master_answers(node, master, "192.0.2.10", [ME], ping) is False
    assert tried == [("192.0.2.10", source)]


# SSH keys ------------------------------------------------------------------------------------------------------------

CANDIDATE = SshKeyHolder("u1", ME, True, True, True)
OTHER = SshKeyHolder("u2", "node2.example.com", False, True, True)
OFFLINE = SshKeyHolder("u3", "node3.example.com", True, True, False)


@pytest.fixture
def keys(node: Node) -> Node:
    """A node whose keys are all right."""
    node.paths.root_ssh_dir.mkdir(parents=True)
    (node.paths.root_ssh_dir / "id_rsa.pub").write_text("ssh-rsa AAA1 root@node1\n")
    node.paths.authorized_keys_file.write_text("ssh-rsa AAA1 another comment\necdsa-x BBB someone\n")
    node.paths.public_keys_file.write_text("u1 ssh-rsa AAA1 root@node1\nu2 ssh-rsa AAA2 root@node2\nu3 ssh-rsa AAA3\n")
    return node


def test_a_good_set_up_has_no_problems(keys: Node, verify: Verify) -> None:
    assert verify_ssh.setup(keys, [CANDIDATE, OTHER, OFFLINE], "rsa") == []
    holders = [["u1", ME, True, True, True], ["u2", "node2.example.com", False, True, True]]
    assert verify({"ssh-setup": [[*holders, ["u3", "n3", True, True, False]], "rsa"]}) == {"ssh-setup": []}


@pytest.mark.parametrize(
    ("public_keys", "authorized", "words"),
    [
        ("u1 ssh-rsa AAA1 root@node1\n", "ssh-rsa AAA1\n", ["lacks the keys of nodes: u2"]),
        ("u1 ssh-rsa AAA1 root@node1\nu2 k\nu9 k\n", "ssh-rsa AAA1\n", ["unknown nodes: u9"]),
        ("u1 ssh-rsa AAA1 root@node1\nu2 ssh-rsa AAA2\n", "", ["node1.example.com (u1), master candidate, is not in"]),
        ("u1 ssh-rsa AAA1 root@node1\nu2 k2\n", "ssh-rsa AAA1\nk2\n", ["(u2), no master candidate, is in"]),
        ("u1 ssh-rsa OLD root@node1\nu2 k2\n", "ssh-rsa OLD\n", ["id_rsa.pub is not in"]),
        (
            "u1 ssh-rsa AAA1 root@node1\nu1 ssh-rsa OLD\nu2 k2\n",
            "ssh-rsa AAA1\n",
            ["there are 2 keys of this node", "(u1), master candidate, is not in"],
        ),
    ],
)
def test_each_difference_is_told(keys: Node, public_keys: str, authorized: str, words: list[str]) -> None:
    keys.paths.public_keys_file.write_text(public_keys)
    keys.paths.authorized_keys_file.write_text(authorized)

    problems = verify_ssh.setup(keys, [CANDIDATE, OTHER, OFFLINE], "rsa")

    assert len(problems) == len(words)
    assert all(word in problem for word, problem in zip(words, problems, strict=True))


def test_checks_that_cannot_go_on_say_why(keys: Node) -> None:
    assert "no list" in verify_ssh.setup(keys, None, "rsa")[0]
    assert ME in verify_ssh.setup(keys, [OTHER], "rsa")[0]
    assert "id_dsa.pub" in verify_ssh.setup(keys, [CANDIDATE, OTHER], "dsa")[-1]
    ordinary = SshKeyHolder("u1", ME, False, False, True)
    assert "not empty" in verify_ssh.setup(keys, [ordinary], "rsa")[0]
    keys.paths.public_keys_file.write_text("")
    assert verify_ssh.setup(keys, [ordinary], "rsa") == []
    keys.paths.public_keys_file.unlink()
    assert "does not exist" in verify_ssh.setup(keys, [CANDIDATE], "rsa")[0]


def test_several_keys_of_one_host_are_clutter(keys: Node, verify: Verify) -> None:
    keys.paths.authorized_keys_file.write_text(f"k1 root@{ME}\n\nk2 root@{ME}\nk3 root@elsewhere\nk4\n")

    assert "ssh-clutter" not in verify({"ssh-clutter": True})
    [text] = verify({"ssh-clutter": True, "ssh-setup": [[["u1", ME, True, True, True]], "rsa"]})["ssh-clutter"]
    assert f"root@{ME}: lines 1, 3" in text


# Storage -------------------------------------------------------------------------------------------------------------

REPORTS = {
    "lvs": '{"report":[{"lv":[{"vg_name":"xenvg","lv_name":"a","lv_size":"128.00","lv_attr":"-wi-ao----"},'
    '{"vg_name":"xenvg","lv_name":"b","lv_size":"4.00","lv_attr":"-wi-------"},'
    '{"vg_name":"xenvg","lv_name":"v","lv_size":"4.00","lv_attr":"vwi-a-----"}]}]}',
    "vgs": '{"report":[{"vg":[{"vg_name":"xenvg","vg_free":"1.00","vg_size":"20479.99","vg_attr":"wz--n-"}]}]}',
    "pvs": '{"report":[{"pv":[{"pv_uuid":"a","pv_name":"/dev/sda1","vg_name":"xenvg","pv_free":"1.00",'
    '"pv_size":"20480.00","pv_used":"20479.00","pv_attr":"a--","lv_name":"a"},'
    '{"pv_uuid":"a","pv_name":"/dev/sda1","vg_name":"xenvg","pv_free":"1.00",'
    '"pv_size":"20480.00","pv_used":"20479.00","pv_attr":"a--","lv_name":"b"},'
    '{"pv_uuid":"b","pv_name":"/dev/sdb1","vg_name":"","pv_free":"5.00",'
    '"pv_size":"5.00","pv_used":"0","pv_attr":"---","lv_name":""}]}]}',
}
LVM = {"lvlist": "xenvg", "vglist": None, "pvlist": ["xenvg"]}


def test_lvm_is_told_as_it_reports_itself(verify: Verify, runner: Any) -> None:
    runner.answer = lambda call: Result(argv=call.argv, stdout=REPORTS[call.argv[0]])

    assert verify(LVM) == {
        "lvlist": {"xenvg/a": ["128.00", False, True], "xenvg/b": ["4.00", True, False]},
        "vglist": {"xenvg": 20479},
        "pvlist": [
            {
                "name": "/dev/sda1",
                "vg_name": "xenvg",
                "size": 20480.0,
                "free": 1.0,
                "attributes": "a--",
                "lv_list": [],
            }
        ],
    }


def test_shared_physical_volumes_are_told_with_what_lies_on_them_by_one_command(verify: Verify, runner: Any) -> None:
    runner.answer = lambda call: Result(argv=call.argv, stdout=REPORTS[call.argv[0]])

    answers = verify({"pvlist": ["xenvg"], "exclusive-pvs": True})

    assert answers["exclusive-pvs"] == [["/dev/sda1", ["a", "b"]]]
    assert answers["pvlist"][0]["lv_list"] == []
    assert [call.argv[0] for call in runner.ran] == ["pvs"]


def test_broken_lvm_is_a_text_where_one_may_be(verify: Verify, runner: Any) -> None:
    runner.answer = lambda call: Result(argv=call.argv, stderr="locking failed", exit_code=5)
    assert "locking failed" in verify({"lvlist": None})["lvlist"]
    assert verify({"vglist": None}) == {"vglist": {}}
    runner.answer = lambda call: Result(argv=call.argv, stdout='{"report": []}')
    assert "not the report" in verify({"lvlist": None})["lvlist"]


def test_shared_physical_volumes_are_none_where_there_are_none(verify: Verify, runner: Any) -> None:
    runner.answer = lambda call: Result(argv=call.argv, stdout='{"report": [{"pv": []}]}')

    assert verify({"exclusive-pvs": True}) == {}
    assert verify({"exclusive-pvs": True, "pvlist": ["xenvg"]}) == {"pvlist": [], "exclusive-pvs": []}


def test_a_good_storage_path_has_no_key_and_a_bad_one_a_text(verify: Verify, node: Node, tmp_path: Path) -> None:
    good = tmp_path / "good"
    good.mkdir()
    node.paths.file_storage_paths_file.write_text(f"{good}\n{tmp_path}/absent\n/etc/x\n")

    answer = verify({"file-storage-path": str(good), "shared-file-storage-path": f"{tmp_path}/absent"})
    assert set(answer) == {"shared-file-storage-path"}
    assert "does not exist" in answer["shared-file-storage-path"]
    assert "not" in verify({"file-storage-path": "/elsewhere"})["file-storage-path"]


def test_the_list_of_allowed_paths_is_judged_on_the_node_that_is_asked(verify: Verify, node: Node) -> None:
    node.paths.file_storage_paths_file.write_text("/srv/x\n/etc/x\n/usr/lib/y/../z\n")

    assert verify({"allowed-file-storage-paths": "node2"}) == {}
    assert verify({"allowed-file-storage-paths": ME}) == {"allowed-file-storage-paths": ["/etc/x", "/usr/lib/z"]}


def test_missing_bridges_are_named(verify: Verify) -> None:
    assert verify({"bridges": ["lo", "no-such-bridge"]}) == {"bridges": ["lo", "no-such-bridge"]}


@pytest.mark.parametrize(
    ("what", "named"),
    [
        ({"hypervisor": "fake"}, "what.hypervisor"),
        ({"hypervisor": None}, "what.hypervisor"),
        ({"nodelist": [["a"], {}]}, "what.nodelist"),
        ({"ssh-setup": [[["u1", "n1", 1, True, True]], "rsa"]}, "ssh-setup"),
        ({"node-net-test": [[["a", "b"]], []]}, "node-net-test"),
        ({"bridges": [1]}, "what.bridges"),
    ],
)
def test_questions_of_the_wrong_shape_are_refused_by_name(node: Node, what: dict[str, object], named: str) -> None:
    dispatcher = Dispatcher(node, table.load())

    ok, text = json.loads(asyncio.run(dispatcher.answer("node_verify", json.dumps([what, "c", {}]).encode())))

    assert not ok
    assert named in text


def test_a_hypervisor_without_parameters_is_refused_by_name(node: Node) -> None:
    dispatcher = Dispatcher(node, table.load())

    ok, text = json.loads(asyncio.run(dispatcher.answer("node_verify", b'[{"hypervisor": ["fake"]}, "c", {}]')))

    assert not ok
    assert "hvparams" in text
    assert "fake" in text
