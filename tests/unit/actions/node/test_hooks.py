"""Running hook scripts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ganeti.actions import hooks, master_ip
from ganeti.actions.hooks import Status
from ganeti.actions.node import Node
from ganeti.errors import CommandError, HooksFailed, InvalidParameter, ProgramNotFound, UnsafePath
from ganeti.host.runner import Result
from ganeti.model.network import MasterNetworkParameters

PARAMETERS = MasterNetworkParameters(ip="192.0.2.10", netmask=32, netdev="eth0", ip_family=2, uuid="u")
SCRIPT_ENV = {
    "MASTER_NETDEV": "eth0",
    "MASTER_IP": "192.0.2.10",
    "MASTER_NETMASK": "32",
    "CLUSTER_IP_VERSION": "4",
}


def hook(node: Node, name: str, directory: str = "cluster-init-post.d") -> Path:
    script = node.paths.hooks_dir / directory / name
    script.parent.mkdir(parents=True, exist_ok=True)
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    return script


def in_cluster(node: Node) -> None:
    (node.paths.data_dir / "ssconf_cluster_name").write_text("cluster.example.com\n")
    (node.paths.data_dir / "ssconf_master_node").write_text("node1.example.com\n")


def test_all_scripts_run_in_order_with_exactly_the_environment(node: Node, runner: Any) -> None:
    scripts = [hook(node, name) for name in ("30-c", "10-a", "20-b")]
    runner.answer = lambda call: Result(
        argv=call.argv, stdout=" out\té\n", stderr="err\n", exit_code=3 if call.argv[0].endswith("/10-a") else 0
    )

    outcomes = hooks.run(node, "cluster-init", "post", {"PATH": "/bin", "GANETI_X": "1"})

    assert [tuple(outcome) for outcome in outcomes] == [
        ("cluster-init-post.d/10-a", Status.FAILED, "out\\t\\xe9\\nerr"),
        ("cluster-init-post.d/20-b", Status.SUCCEEDED, "out\\t\\xe9\\nerr"),
        ("cluster-init-post.d/30-c", Status.SUCCEEDED, "out\\t\\xe9\\nerr"),
    ]
    assert [call.argv for call in runner.ran] == [(str(script),) for script in sorted(scripts)]
    assert all(call.reset_env and call.env == {"PATH": "/bin", "GANETI_X": "1"} for call in runner.ran)


def test_what_is_no_acceptable_program_is_told_as_skipped(node: Node, runner: Any) -> None:
    good = hook(node, "good")
    hook(node, "with.dot")
    hook(node, ".hidden")
    hook(node, "not-executable").chmod(0o644)
    (good.parent / "directory").mkdir()
    (good.parent / "link").symlink_to("good")
    (good.parent / "dangling").symlink_to("nowhere")

    outcomes = hooks.run(node, "cluster-init", "post", {})

    assert {outcome.script.rpartition("/")[2]: (outcome.status, outcome.output) for outcome in outcomes} == {
        "dangling": (Status.SKIPPED, ""),
        "directory": (Status.SKIPPED, ""),
        "good": (Status.SUCCEEDED, ""),
        "link": (Status.SUCCEEDED, ""),
        "not-executable": (Status.SKIPPED, ""),
        "with.dot": (Status.SKIPPED, ""),
    }


def test_a_script_that_cannot_be_started_is_a_failure_and_the_next_one_runs(node: Node, runner: Any) -> None:
    hook(node, "a")
    hook(node, "b")

    def answer(call: Any) -> Result | None:
        if call.argv[0].endswith("/a"):
            raise ProgramNotFound(call.argv[0])
        return None

    runner.answer = answer
    first, second = hooks.run(node, "cluster-init", "post", {})

    assert (first.status, second.status) == (Status.FAILED, Status.SUCCEEDED)
    assert "program not found" in first.output


def test_a_missing_directory_has_no_scripts_and_names_cannot_leave_the_hooks(node: Node) -> None:
    assert hooks.run(node, "nothing", "pre", {}) == []
    with pytest.raises(UnsafePath):
        hooks.run(node, "../hooks/cluster-init", "post", {})


# Around the master's address -----------------------------------------------------------------------------------------


def test_the_address_script_gets_four_variables_and_runs_between_the_hooks(node: Node, runner: Any) -> None:
    in_cluster(node)
    before = hook(node, "a", "master-ip-turnup-pre.d")
    after = hook(node, "b", "master-ip-turnup-post.d")

    master_ip.activate(node, PARAMETERS, False)

    first, script, last = runner.ran
    assert first.argv == (str(before),)
    assert script.argv == (str(node.paths.tools_dir / "master-ip-setup"), "start")
    assert (script.env, script.reset_env) == (SCRIPT_ENV, True)
    assert last.argv == (str(after),)
    assert first.env == {
        "PATH": "/sbin:/bin:/usr/sbin:/usr/bin",
        "GANETI_HOOKS_VERSION": "2",
        "GANETI_OP_CODE": "OP_CLUSTER_IP_TURNUP",
        "GANETI_DATA_DIR": str(node.paths.data_dir),
        "GANETI_HOOKS_PHASE": "pre",
        "GANETI_HOOKS_PATH": "master-ip-turnup",
        "GANETI_CLUSTER": "cluster.example.com",
        "GANETI_MASTER": "node1.example.com",
        **{f"GANETI_{key}": value for key, value in SCRIPT_ENV.items()},
    }
    assert last.env["GANETI_POST_MASTER_IP"] == "192.0.2.10"
    assert last.env["GANETI_HOOKS_PHASE"] == "post"


def test_a_failing_hook_before_forbids_the_change(node: Node, runner: Any) -> None:
    in_cluster(node)
    hook(node, "a", "master-ip-turndown-pre.d")
    runner.answer = lambda call: Result(argv=call.argv, stderr="not now", exit_code=1)

    with pytest.raises(HooksFailed, match="not now"):
        master_ip.deactivate(node, PARAMETERS, False)
    assert len(runner.ran) == 1


def test_the_administrators_own_script_is_used_when_asked_for_and_its_failure_told(node: Node, runner: Any) -> None:
    in_cluster(node)
    runner.answer = lambda call: Result(argv=call.argv, stderr="address in use", exit_code=1)

    with pytest.raises(CommandError, match="address in use"):
        master_ip.deactivate(node, PARAMETERS, True)
    assert runner.ran[0].argv == (str(node.paths.conf_dir / "scripts" / "master-ip-setup"), "stop")


def test_an_unknown_address_family_is_refused_before_anything_runs(node: Node, runner: Any) -> None:
    bad = MasterNetworkParameters(ip="192.0.2.10", netmask=32, netdev="eth0", ip_family=1)

    with pytest.raises(InvalidParameter, match="ip_family"):
        master_ip.activate(node, bad, False)
    assert runner.ran == []


def test_the_new_netmask_is_there_before_the_old_one_goes(node: Node, runner: Any) -> None:
    master_ip.change_netmask(node, 24, 24, "192.0.2.1", "eth0")
    assert runner.ran == []

    master_ip.change_netmask(node, 24, 32, "127.0.0.1", "eth0")

    assert [call.argv for call in runner.ran] == [
        ("ip", "address", "add", "127.0.0.1/32", "dev", "eth0", "label", "eth0:0"),
        ("ip", "address", "del", "127.0.0.1/24", "dev", "eth0", "label", "eth0:0"),
    ]
