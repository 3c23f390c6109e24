"""What operating system scripts get and what becomes of their output."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ganeti.actions import os_definitions, os_environment, os_export, os_scripts
from ganeti.actions.node import Node
from ganeti.errors import BlockDeviceError, CommandError, InvalidParameter, OsDefinitionError, OsScriptError, UnsafePath
from ganeti.host.clock import FakeClock
from ganeti.host.runner import Result
from ganeti.model.instance import Instance

Make = Callable[..., Path]


@pytest.fixture
def disk_file(node: Node) -> Path:
    """A file disk as a file below an allowed directory."""
    directory = node.paths.root / "disks"
    path = directory / "guest1" / "disk0"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"")
    node.paths.file_storage_paths_file.write_text(f"{directory}\n")
    return path


@pytest.fixture
def instance(disk_file: Path) -> Instance:
    return msgspec.convert(
        {
            "name": "guest1",
            "primary_node": "node-uuid-1",
            "secondary_nodes": ["node-uuid-2", "node-uuid-3"],
            "os": "demo+large",
            "hypervisor": "fake",
            "hvparams": {"migration_mode": "live", "disk_type": "paravirtual", "acpi": True, "root_path": None},
            "beparams": {"maxmem": 128, "auto_balance": True},
            "osparams": {"root-size": "public", "key": "public"},
            "osparams_private": {"key": "private"},
            "nics": [
                {"mac": "aa:00:00:00:00:01", "nicparams": {"mode": "bridged", "link": "br0"}, "uuid": "nic-1"},
                {
                    "mac": "aa:00:00:00:00:02",
                    "ip": "192.0.2.7",
                    "name": "second",
                    "uuid": "nic-2",
                    "nicparams": {"mode": "routed", "link": ""},
                    "netinfo": {"name": "net", "uuid": "net-1", "tags": [], "network": "192.0.2.0/24"},
                },
            ],
            "disks_info": [
                {
                    "dev_type": "file",
                    "logical_id": ["loop", str(disk_file)],
                    "size": 64,
                    "mode": "rw",
                    "uuid": "disk-1",
                    "name": "system",
                }
            ],
            "uuid": "guest-uuid",
            "ctime": 1369000000.5,
        },
        Instance,
    )


def test_scripts_get_exactly_the_documented_environment(
    node: Node, make_os: Make, instance: Instance, disk_file: Path, runner: Any
) -> None:
    directory = make_os()

    os_scripts.create(node, instance, reinstall=False, debug=2)

    [call] = runner.ran
    assert call.argv == (str(directory / "create"),)
    assert (call.reset_env, call.cwd, call.timeout_s) == (True, str(directory), None)
    assert call.env == {
        "OS_API_VERSION": "20",
        "OS_NAME": "demo",
        "OS_VARIANT": "large",
        "DEBUG_LEVEL": "2",
        "OSP_ROOT_SIZE": "public",
        "OSP_KEY": "private",
        "PATH": "/sbin:/bin:/usr/sbin:/usr/bin",
        "INSTANCE_NAME": "guest1",
        "INSTANCE_OS": "demo+large",
        "INSTANCE_UUID": "guest-uuid",
        "INSTANCE_CTIME": "1369000000.5",
        "INSTANCE_MTIME": "None",
        "INSTANCE_PRIMARY_NODE": "node-uuid-1",
        "INSTANCE_SECONDARY_NODES": "node-uuid-2 node-uuid-3",
        "INSTANCE_BE_maxmem": "128",
        "INSTANCE_BE_auto_balance": "True",
        "INSTANCE_HV_migration_mode": "live",
        "INSTANCE_HV_disk_type": "paravirtual",
        "INSTANCE_HV_acpi": "True",
        "INSTANCE_HV_root_path": "None",
        "HYPERVISOR": "fake",
        "DISK_COUNT": "1",
        "DISK_0_PATH": str(disk_file),
        "DISK_0_ACCESS": "rw",
        "DISK_0_UUID": "disk-1",
        "DISK_0_SIZE": "64",
        "DISK_0_NAME": "system",
        "DISK_0_FRONTEND_TYPE": "paravirtual",
        "DISK_0_BACKEND_TYPE": "file:loop",
        "NIC_COUNT": "2",
        "NIC_0_MAC": "aa:00:00:00:00:01",
        "NIC_0_UUID": "nic-1",
        "NIC_0_MODE": "bridged",
        "NIC_0_BRIDGE": "br0",
        "NIC_0_LINK": "br0",
        "NIC_1_MAC": "aa:00:00:00:00:02",
        "NIC_1_UUID": "nic-2",
        "NIC_1_NAME": "second",
        "NIC_1_IP": "192.0.2.7",
        "NIC_1_MODE": "routed",
        "NIC_1_NETWORK_NAME": "net",
        "NIC_1_NETWORK_UUID": "net-1",
        "NIC_1_NETWORK_TAGS": "",
        "NIC_1_NETWORK_SUBNET": "192.0.2.0/24",
    }


def test_what_a_disk_or_interface_has_not_is_not_in_the_environment(
    node: Node, make_os: Make, instance: Instance, runner: Any
) -> None:
    make_os()
    (disk,), nic = instance.attached_disks, instance.nics[0]
    bare_disk = msgspec.structs.replace(disk, uuid=None, name=None, mode=None)
    bare = msgspec.structs.replace(
        instance, disks_info=(bare_disk,), nics=(msgspec.structs.replace(nic, uuid=None, nicparams=None),), hvparams={}
    )

    os_scripts.create(node, bare, reinstall=False, debug=0)

    [call] = runner.ran
    assert {name: value for name, value in call.env.items() if name.startswith(("DISK_0", "NIC_0"))} == {
        "DISK_0_PATH": call.env["DISK_0_PATH"],
        "DISK_0_ACCESS": "rw",
        "DISK_0_SIZE": "64",
        "DISK_0_BACKEND_TYPE": "file:loop",
        "NIC_0_MAC": "aa:00:00:00:00:01",
        "NIC_0_MODE": "bridged",
    }


def test_a_reinstallation_and_a_rename_are_told_to_the_script(
    node: Node, make_os: Make, instance: Instance, runner: Any
) -> None:
    make_os()

    os_scripts.create(node, instance, reinstall=True, debug=0)
    os_scripts.rename(node, instance, "old", debug=0)

    created, renamed = runner.ran
    assert created.env["INSTANCE_REINSTALL"] == "1"
    assert renamed.env["OLD_INSTANCE_NAME"] == "old"
    assert "INSTANCE_REINSTALL" not in renamed.env
    assert Path(renamed.argv[0]).name == "rename"


@pytest.mark.parametrize(
    ("versions", "variants", "name", "variant", "version"),
    [
        ("20\n99\n", "a\nb\n", "demo", "a", "20"),
        ("15\n", "a\n", "demo+undeclared", "undeclared", "15"),
        ("20\n", "", "demo+b", "", "20"),
        ("10\n99\n", "a\n", "demo+a", "", "10"),
    ],
)
def test_the_variant_follows_the_version_spoken_by_both(
    node: Node, make_os: Make, versions: str, variants: str, name: str, variant: str, version: str
) -> None:
    make_os(ganeti_api_version=versions, variants__list=variants)

    env = os_environment.core(os_definitions.read(node, name), name, {})

    assert (env["OS_VARIANT"], env["OS_API_VERSION"]) == (variant, version)


def test_no_script_runs_while_a_disk_is_not_there(
    node: Node, make_os: Make, instance: Instance, disk_file: Path, runner: Any
) -> None:
    make_os()
    disk_file.unlink()

    with pytest.raises(BlockDeviceError):
        os_scripts.create(node, instance, reinstall=False, debug=0)
    assert runner.ran == []


def test_the_log_is_named_for_the_run_and_appended_to(
    node: Node, make_os: Make, instance: Instance, runner: Any, clock: FakeClock
) -> None:
    make_os()
    runner.answer = lambda call: Result(argv=call.argv, stdout="hello\n")

    os_scripts.create(node, instance, reinstall=False, debug=0)
    os_scripts.create(node, instance, reinstall=False, debug=0)

    stamp = time.strftime("%Y-%m-%d_%H_%M_%S", time.localtime(clock.now))
    [log_file] = node.paths.os_log_dir.iterdir()
    assert log_file.name == f"add-demo+large-guest1-{stamp}.log"
    assert log_file.read_text() == "hello\nhello\n"
    assert node.paths.os_log_dir.stat().st_mode & 0o777 == 0o750


def test_a_failed_script_is_reported_with_the_end_of_its_log(
    node: Node, make_os: Make, instance: Instance, runner: Any
) -> None:
    make_os()
    lines = "".join(f"line {number}\té\x1b\n" for number in range(30))
    runner.answer = lambda call: Result(argv=call.argv, stdout=lines, exit_code=7)

    with pytest.raises(OsScriptError) as failure:
        os_scripts.create(node, instance, reinstall=False, debug=0)

    head, *tail = str(failure.value).splitlines()
    assert head == "OS create script failed (exited with status 7), last lines in the log file:"
    assert tail == [f"line {number}\\t\\xe9\\x1b" for number in range(10, 30)]


def test_a_script_without_a_program_format_is_a_failure_with_its_name(
    node: Node, make_os: Make, instance: Instance, runner: Any
) -> None:
    make_os()

    def refuse(call: Any) -> Result | None:
        raise CommandError(call.argv, "it cannot be started: Exec format error")

    runner.answer = refuse
    with pytest.raises(OsScriptError, match=r"create.*Exec format error"):
        os_scripts.create(node, instance, reinstall=False, debug=0)


@pytest.mark.parametrize("old_name", ["../x", "a/b", "a\nb", "x" * 300])
def test_names_that_would_leave_the_log_directory_are_refused(
    node: Node, make_os: Make, instance: Instance, runner: Any, old_name: str
) -> None:
    make_os()

    with pytest.raises(UnsafePath):
        os_scripts.rename(node, instance, old_name, debug=0)
    assert runner.ran == []


def test_an_untrusted_definition_is_not_run_on_the_node(
    node: Node, make_os: Make, instance: Instance, runner: Any
) -> None:
    make_os(create=None, create_untrusted="#!/bin/sh\n")

    with pytest.raises(OsDefinitionError, match="no create script"):
        os_scripts.create(node, instance, reinstall=False, debug=0)
    assert runner.ran == []


# Validation ----------------------------------------------------------------------------------------------------------


def test_the_verify_script_gets_the_core_environment_and_the_checks(node: Node, make_os: Make, runner: Any) -> None:
    directory = make_os()

    assert os_scripts.validate(node, True, "demo+small", ("parameters",), {"size": "3"}) is True

    [call] = runner.ran
    assert call.argv == (str(directory / "verify"), "parameters")
    assert (call.reset_env, call.cwd, call.output) == (True, str(directory), None)
    assert call.env == {
        "OS_API_VERSION": "20",
        "OS_NAME": "demo",
        "OS_VARIANT": "small",
        "DEBUG_LEVEL": "0",
        "OSP_SIZE": "3",
        "PATH": "/sbin:/bin:/usr/sbin:/usr/bin",
    }


def test_the_verify_script_runs_without_checks_too_and_its_whole_output_is_told(
    node: Node, make_os: Make, runner: Any
) -> None:
    make_os()
    runner.answer = lambda call: Result(argv=call.argv, stdout="out\n", stderr="err\n", exit_code=None, signal=9)

    with pytest.raises(OsScriptError) as failure:
        os_scripts.validate(node, False, "demo+small", (), {"undeclared": "x"})

    assert str(failure.value) == "OS validation failed (ended by signal SIGKILL), output: out\nerr\n"


def test_a_missing_or_broken_definition_is_false_unless_required(node: Node, make_os: Make) -> None:
    make_os("broken", rename=None)

    for name in ("broken", "absent", "no such name"):
        assert os_scripts.validate(node, False, name, (), {}) is False
        with pytest.raises(OsDefinitionError):
            os_scripts.validate(node, True, name, (), {})


def test_older_definitions_are_judged_by_their_variant_alone(node: Node, make_os: Make, runner: Any) -> None:
    make_os(ganeti_api_version="15\n")

    assert os_scripts.validate(node, True, "demo+small", ("parameters",), {"undeclared": "x"}) is True
    with pytest.raises(OsDefinitionError, match="variant"):
        os_scripts.validate(node, False, "demo+other", (), {})
    assert os_scripts.validate(node, False, "demo+other", (), {}, force_variant=True) is True
    assert runner.ran == []


def test_unknown_checks_are_refused_before_the_definition_is_looked_at(node: Node) -> None:
    with pytest.raises(InvalidParameter, match="colour"):
        os_scripts.validate(node, False, "absent", ("parameters", "colour"), {})


def test_unsupported_parameters_are_refused_before_the_script_runs(node: Node, make_os: Make, runner: Any) -> None:
    make_os()

    with pytest.raises(OsDefinitionError, match="colour"):
        os_scripts.validate(node, True, "demo+small", ("parameters",), {"colour": "red"})
    assert runner.ran == []


# Export --------------------------------------------------------------------------------------------------------------


def test_an_export_packs_the_definition_and_the_overridden_environment(
    node: Node, make_os: Make, instance: Instance, runner: Any
) -> None:
    directory = make_os()
    seen: dict[str, str] = {}

    def answer(call: Any) -> None:
        source = Path(call.argv[call.argv.index("-C") + 1])
        seen["os"] = str((source / "os").readlink())
        seen["environment"] = (source / "environment").read_text()
        seen["source"] = str(source)

    runner.answer = answer

    archive = os_export.export(node, instance, {"DISK_0_PATH": "/dev/vdb", "OS_SCRIPT": "create_untrusted"})

    assert seen["os"] == str(directory)
    lines = seen["environment"].splitlines()
    assert "DISK_0_PATH=/dev/vdb" in lines
    assert "OS_SCRIPT=create_untrusted" in lines
    assert "OSP_KEY=private" in lines
    assert archive.suffix == ".tgz"
    assert archive.stat().st_mode & 0o777 == 0o600
    assert list(node.paths.temporary_dir.iterdir()) == [archive]


def test_a_failed_export_leaves_nothing_behind(node: Node, make_os: Make, instance: Instance, runner: Any) -> None:
    make_os()
    runner.answer = lambda call: Result(argv=call.argv, stderr="no space", exit_code=2)

    with pytest.raises(CommandError, match="no space"):
        os_export.export(node, instance, {})
    with pytest.raises(OsDefinitionError):
        os_export.export(node, msgspec.structs.replace(instance, os="absent"), {})
    with pytest.raises(InvalidParameter):
        os_export.export(node, msgspec.structs.replace(instance, os=""), {})

    assert list(node.paths.temporary_dir.iterdir()) == []
