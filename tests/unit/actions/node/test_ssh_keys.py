"""Spreading and withdrawing ssh keys."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ganeti.actions import ssh_keys
from ganeti.actions.node import Node
from ganeti.config import ssh_key_files
from ganeti.errors import CommandError, ConfigurationError, InvalidParameter
from ganeti.host.runner import Result

CERTIFICATE = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----"
KEYS = "u1 ssh-rsa K1 root@n1\nu2 ssh-rsa K2 root@n2\nn4.lab ssh-rsa K4 root@n4\n"
CANDIDATES = ("n1.lab", "n2.lab", "n4.lab")


@pytest.fixture
def master(node: Node) -> Node:
    """Node n1 of four; n3 is no potential candidate, n5 is off line."""
    texts = {
        "cluster_name": "cluster.lab",
        "master_node": "n1.lab",
        "node_list": "n1.lab\nn2.lab\nn3.lab\nn4.lab\nn5.lab",
        "offline_nodes": "n5.lab",
        "ssh_ports": "n1.lab=22\nn2.lab=2222\nn3.lab=22\nn4.lab=22",
    }
    for key, text in texts.items():
        node.paths.ssconf(key).write_text(f"{text}\n")
    node.paths.server_pem.write_text(f"-----BEGIN PRIVATE KEY-----\nsecret\n-----END PRIVATE KEY-----\n{CERTIFICATE}\n")
    node.paths.root_ssh_dir.mkdir(parents=True)
    node.paths.public_keys_file.write_text(KEYS)
    node.paths.authorized_keys_file.write_text("ssh-rsa K1 a comment\nssh-ed25519 ADMIN admin@desk")
    return node


@pytest.fixture
def told(runner: Any) -> Callable[[], list[tuple[str, dict[str, Any]]]]:
    """What each node was told, the fixed part of the message checked and left out."""

    def messages() -> list[tuple[str, dict[str, Any]]]:
        found = []
        for call in runner.ran:
            message = json.loads(call.stdin)
            assert message.pop("cluster_name") == "cluster.lab"
            assert message.pop("node_daemon_certificate") == f"{CERTIFICATE}\n"
            assert call.argv[-1].endswith("/ssh-update")
            found.append((call.argv[-2], message))
        return found

    return messages


Told = Callable[[], list[tuple[str, dict[str, Any]]]]


def add(
    node: Node, to_authorized: bool, to_public: bool, get_public: bool, *, uuid: str = "u4", name: str = "n4.lab"
) -> list[ssh_keys.Failure]:
    return ssh_keys.add(
        node,
        uuid,
        name,
        CANDIDATES,
        to_authorized_keys=to_authorized,
        to_public_keys=to_public,
        get_public_keys=get_public,
    )


def test_a_new_candidate_is_made_known_everywhere(master: Node, told: Told) -> None:
    assert add(master, True, True, True) == []

    own = {"u4": ["ssh-rsa K4 root@n4"]}
    everything = {"u1": ["ssh-rsa K1 root@n1"], "u2": ["ssh-rsa K2 root@n2"], **own}
    to_candidates = {"authorized_keys": ["add", own], "public_keys": ["replace_or_add", own]}
    assert told() == [
        ("root@n4.lab", {"public_keys": ["override", everything]}),
        ("root@n2.lab", to_candidates),
        ("root@n3.lab", {"authorized_keys": ["add", own]}),
        ("root@n4.lab", to_candidates),
    ]
    assert master.paths.public_keys_file.read_text() == KEYS.replace("n4.lab ", "u4 ")
    assert master.paths.authorized_keys_file.read_text() == (
        "ssh-rsa K1 a comment\nssh-ed25519 ADMIN admin@desk\nssh-rsa K4 root@n4\n"
    )


def test_a_node_that_may_not_log_in_elsewhere_is_told_to_candidates_alone(master: Node, told: Told) -> None:
    add(master, False, True, False)

    assert [name for name, _ in told()] == ["root@n2.lab", "root@n4.lab"]
    assert "K4" not in master.paths.authorized_keys_file.read_text()


def test_the_calls_use_each_nodes_port_and_accept_its_present_key(master: Node, runner: Any) -> None:
    add(master, True, True, False)

    assert "-oPort=2222" in runner.ran[0].argv
    assert "-oStrictHostKeyChecking=no" in runner.ran[0].argv
    assert not any("HostKeyAlias" in word for word in runner.ran[0].argv)


def test_candidates_are_tried_three_times_and_then_named(master: Node, runner: Any) -> None:
    runner.answer = lambda call: Result(argv=call.argv, stderr="down", exit_code=255) if "n2" in call.argv[-2] else None

    [failure] = add(master, True, True, True)

    assert failure.node == "n2.lab"
    assert "down" in failure.text
    assert sum("n2.lab" in call.argv[-2] for call in runner.ran) == 3


def test_a_node_that_is_no_candidate_must_be_told(master: Node, runner: Any) -> None:
    runner.answer = lambda call: Result(argv=call.argv, exit_code=255) if "n3" in call.argv[-2] else None

    with pytest.raises(CommandError):
        add(master, True, True, True)


def test_a_new_node_that_cannot_be_told_is_forgotten_again(master: Node, runner: Any) -> None:
    runner.answer = lambda call: Result(argv=call.argv, exit_code=255)

    with pytest.raises(CommandError):
        add(master, True, True, True)
    assert "K4" not in master.paths.public_keys_file.read_text()
    assert len(runner.ran) == 3


def test_a_node_whose_key_is_not_filed_is_refused(master: Node, runner: Any) -> None:
    with pytest.raises(ConfigurationError, match="no public key"):
        add(master, True, True, True, uuid="u9", name="n9.lab")
    assert runner.ran == []


# Removal -------------------------------------------------------------------------------------------------------------


def remove(
    node: Node,
    from_authorized: bool,
    from_public: bool,
    clear_authorized: bool,
    clear_public: bool,
    *,
    uuid: str = "u2",
    name: str = "n2.lab",
    readd: bool = False,
) -> list[ssh_keys.Failure]:
    return ssh_keys.remove(
        node,
        uuid,
        name,
        ("u1", "u2"),
        CANDIDATES,
        from_authorized_keys=from_authorized,
        from_public_keys=from_public,
        clear_authorized_keys=clear_authorized,
        clear_public_keys=clear_public,
        readd=readd,
    )


def test_a_leaving_node_is_forgotten_and_forgets(master: Node, told: Told) -> None:
    master.paths.authorized_keys_file.write_text("ssh-rsa K2 root@n2\nssh-rsa K1\n")

    assert remove(master, True, True, True, True) == []

    own = {"u2": ["ssh-rsa K2 root@n2"]}
    assert told() == [
        ("root@n3.lab", {"authorized_keys": ["remove", own]}),
        ("root@n4.lab", {"authorized_keys": ["remove", own], "public_keys": ["remove", own]}),
        (
            "root@n2.lab",
            {"authorized_keys": ["remove", {"u1": ["ssh-rsa K1 root@n1"]}], "public_keys": ["clear", {}]},
        ),
    ]
    assert master.paths.authorized_keys_file.read_text() == "ssh-rsa K1\n"
    assert "K2" not in master.paths.public_keys_file.read_text()


def test_a_demoted_candidate_keeps_its_public_keys(master: Node, told: Told) -> None:
    assert remove(master, True, False, False, False) == []

    assert [name for name, _ in told()] == ["root@n3.lab", "root@n4.lab"]
    assert "K2" in master.paths.public_keys_file.read_text()


def test_impossible_removals_are_refused(master: Node, runner: Any) -> None:
    with pytest.raises(InvalidParameter):
        remove(master, False, False, False, False)
    with pytest.raises(InvalidParameter, match="master"):
        remove(master, True, True, True, True, uuid="u1", name="n1.lab")
    with pytest.raises(ConfigurationError, match="no public key"):
        remove(master, True, True, True, True, uuid="u9", name="n3.lab")
    assert runner.ran == []


def test_a_node_that_joins_again_need_not_be_known(master: Node, told: Told) -> None:
    assert remove(master, True, True, True, True, uuid="u9", name="n3.lab", readd=True) == []

    assert [name for name, _ in told()] == ["root@n3.lab"]


def test_an_unreachable_leaving_node_is_told_of_not_fatal(master: Node, runner: Any) -> None:
    runner.answer = lambda call: Result(argv=call.argv, exit_code=255) if "n2" in call.argv[-2] else None

    assert [failure.node for failure in remove(master, True, True, True, True)] == ["n2.lab"]
    assert "K2" not in master.paths.public_keys_file.read_text()


# Files ---------------------------------------------------------------------------------------------------------------


def test_a_key_is_authorized_once_whatever_its_comment(tmp_path: Path) -> None:
    path = tmp_path / "authorized_keys"

    ssh_key_files.authorize(path, ["ssh-rsa K1 a", "ssh-rsa K1 b", "ecdsa K1 a"])
    ssh_key_files.authorize(path, ["ssh-rsa K1 c", "ecdsa K1 b"])

    assert path.read_text() == "ssh-rsa K1 b\necdsa K1 a\necdsa K1 b\n"
    assert path.stat().st_mode & 0o777 == 0o600


def test_withdrawing_leaves_other_lines_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "authorized_keys"
    ssh_key_files.withdraw(path, ["ssh-rsa K1"])
    assert not path.exists()
    path.write_text("# comment\n\nssh-rsa K1 x\n  ssh-rsa K2\n")

    ssh_key_files.withdraw(path, ["ssh-rsa K1 y"])

    assert path.read_text() == "# comment\n\n  ssh-rsa K2\n"


def test_a_public_key_line_without_key_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="u1"):
        ssh_key_files.parse_public_keys("\nu1\n")
