"""Running the scripts of operating system definitions: create, rename, verify.

A script may run for a day. What create and rename print goes to a log file each, which is kept.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from ganeti.actions import os_definitions, os_environment
from ganeti.actions.node import Node
from ganeti.errors import CommandError, InvalidParameter, OsDefinitionError, OsScriptError
from ganeti.host import files, printable
from ganeti.host.paths import component
from ganeti.host.runner import Result
from ganeti.model.base import Name
from ganeti.model.instance import Instance
from ganeti.model.os import OperatingSystem

log = logging.getLogger(__name__)

TAIL_LINES: Final = 20
CHECKS: Final = frozenset({"parameters"})
LOG_DIRECTORY_MODE: Final = 0o750


def create(node: Node, instance: Instance, *, reinstall: bool, debug: int) -> None:
    """Put the guest's operating system into its disks, which must be active.

    Raises: OsDefinitionError, OsScriptError with the end of the log, BlockDeviceError.
    """
    definition = os_definitions.read(node, instance.os)
    if definition.create_script is None:
        raise OsDefinitionError(f"OS {definition.name} has no {os_definitions.CREATE} script to run on a node")
    env = os_environment.of_instance(node, instance, definition, debug)
    if reinstall:
        env["INSTANCE_REINSTALL"] = "1"
    log_file = _log_file(node, "add", instance.os, instance.name)
    _run_logged(node, os_definitions.CREATE, definition.create_script, definition, env, log_file)


def rename(node: Node, instance: Instance, old_name: Name, *, debug: int) -> None:
    """Tell the guest's operating system its new name, which `instance` carries already.

    Raises: OsDefinitionError, OsScriptError with the end of the log, BlockDeviceError.
    """
    definition = os_definitions.read(node, instance.os)
    env = os_environment.of_instance(node, instance, definition, debug)
    env["OLD_INSTANCE_NAME"] = old_name
    log_file = _log_file(node, "rename", instance.os, f"{old_name}-{instance.name}")
    _run_logged(node, "rename", str(definition.rename_script), definition, env, log_file)


def validate(
    node: Node,
    required: bool,
    os_name: str,
    checks: tuple[str, ...],
    osparams: dict[str, str],
    *,
    force_variant: bool = False,
) -> bool:
    """Judge parameters by the definition's own verify script; false when it is missing or broken but not `required`.

    Definitions below API version 20 have no such script: nothing is judged then but, unless `force_variant`, the
    variant. Raises: InvalidParameter for an unknown check, OsDefinitionError, OsScriptError with all the output.
    """
    unknown = sorted(set(checks) - CHECKS)
    if unknown:
        raise InvalidParameter("checks", f"unknown checks for OS {os_name}: {', '.join(unknown)}")
    try:
        definition = os_definitions.read(node, os_name)
    except OsDefinitionError:
        if required:
            raise
        return False
    if not force_variant:
        os_definitions.check_variant(definition, os_name)
    if max(definition.api_versions) < os_definitions.PARAMETERS_SINCE:
        return True
    if "parameters" in checks:
        os_definitions.check_parameters(definition, set(osparams))
    env = os_environment.core(definition, os_name, osparams)
    result = _run(node, [str(definition.verify_script), *checks], definition, env)
    if result.failed:
        log.error("The verify script of OS %s %s: %s", os_name, result.reason, printable.safe(result.output))
        raise OsScriptError(f"OS validation failed ({result.reason}), output: {result.output}")
    return True


def _run_logged(
    node: Node,
    what: str,
    script: str,
    definition: OperatingSystem,
    env: os_environment.Environment,
    log_file: Path,
) -> None:
    result = _run(node, [script], definition, env, log_file)
    if result.failed:
        log.error("OS script %s %s, see %s", script, result.reason, log_file)
        tail = "\n".join(printable.safe(line) for line in files.tail(log_file, TAIL_LINES))
        raise OsScriptError(f"OS {what} script failed ({result.reason}), last lines in the log file:\n{tail}")


def _run(
    node: Node,
    argv: Sequence[str],
    definition: OperatingSystem,
    env: os_environment.Environment,
    log_file: Path | None = None,
) -> Result:
    try:
        return node.runner.run(argv, env=env, reset_env=True, cwd=definition.path, output=log_file)
    except CommandError as err:  # no executable format, no interpreter, a file system without programs
        raise OsScriptError(f"OS script {argv[0]} cannot be run: {err.reason}") from err


def _log_file(node: Node, kind: str, os_name: str, instance: str) -> Path:
    """Where a script's output goes: two runs within a second append to one file. Raises: UnsafePath."""
    stamp = time.strftime("%Y-%m-%d_%H_%M_%S", time.localtime(node.clock.time()))
    name = component(f"{kind}-{os_name}-{instance}-{stamp}.log")
    directory = node.paths.os_log_dir
    if not directory.is_dir():
        directory.parent.mkdir(parents=True, exist_ok=True)
        files.ensure_directory(directory, LOG_DIRECTORY_MODE)
    return directory / name
