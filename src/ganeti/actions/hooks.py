"""Hook scripts: run for the master before and after its operations, and by this node around its own.

Source: the hooks interface of version 2 as 3.0.2 runs it. One script's failure never keeps the others from running.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from enum import IntEnum
from pathlib import Path
from typing import Final, Literal, NamedTuple

from ganeti.actions.node import Node
from ganeti.constants import SCRIPT_PATH
from ganeti.errors import HooksFailed, NodeError
from ganeti.host import files, plugins, printable
from ganeti.host.paths import component

log = logging.getLogger(__name__)

VERSION: Final = 2

Phase = Literal["pre", "post"]


class Status(IntEnum):
    """What became of one script."""

    SKIPPED = 0
    FAILED = 1
    SUCCEEDED = 2


class Outcome(NamedTuple):
    """A script by `<directory>/<name>`, what became of it, and what it printed as one printable line."""

    script: str
    status: Status
    output: str


def run(node: Node, hooks_path: str, phase: Phase, env: dict[str, str]) -> list[Outcome]:
    """Run the scripts of one phase in the order of their names, with exactly `env`; all of them, come what may.

    What is no executable file with an acceptable name is reported as skipped. A directory that is missing or cannot be
    listed has no scripts. Raises: UnsafePath.
    """
    directory_name = component(f"{hooks_path}-{phase}.d")
    directory = node.paths.hooks_dir / directory_name
    if not directory.is_dir():
        return []
    try:
        names = files.visible_names(directory)
    except OSError as err:
        log.warning("Cannot list the hooks in %s: %s", directory, err)
        return []
    return [
        Outcome(f"{directory_name}/{printable.safe(name)}", *_run_script(node, directory / name, env)) for name in names
    ]


def around(
    node: Node, opcode: str, hooks_path: str, build_env: Callable[[], Mapping[str, str]], action: Callable[[], None]
) -> None:
    """Do `action` between this node's own hooks; `build_env` gives their variables, without prefix.

    Scripts get the cluster's and the master's name as the documentation says; those of 3.0.2 get the two shifted by one
    place and no master. Raises: HooksFailed from the first phase, and then `action` is not done.
    """
    env = {f"GANETI_{key}": value for key, value in build_env().items()}
    failed = _run_own(node, opcode, hooks_path, "pre", env)
    if failed:
        raise HooksFailed(hooks_path, [f"{outcome.script}: {outcome.output}" for outcome in failed])
    action()
    env |= {f"GANETI_POST_{key}": value for key, value in build_env().items()}
    for outcome in _run_own(node, opcode, hooks_path, "post", env):
        log.warning("Hook %s failed: %s", outcome.script, outcome.output)


def _run_own(node: Node, opcode: str, hooks_path: str, phase: Phase, env: Mapping[str, str]) -> list[Outcome]:
    fixed = {
        "PATH": SCRIPT_PATH,
        "GANETI_HOOKS_VERSION": str(VERSION),
        "GANETI_OP_CODE": opcode,
        "GANETI_DATA_DIR": str(node.paths.data_dir),
        "GANETI_HOOKS_PHASE": phase,
        "GANETI_HOOKS_PATH": hooks_path,
        "GANETI_CLUSTER": node.ssconf.cluster_name(),
        "GANETI_MASTER": node.ssconf.master_node(),
    }
    outcomes = run(node, hooks_path, phase, {**env, **fixed})
    return [outcome for outcome in outcomes if outcome.status is Status.FAILED]


def _run_script(node: Node, script: Path, env: dict[str, str]) -> tuple[Status, str]:
    if not plugins.is_plugin_name(script.name) or not script.is_file() or not os.access(script, os.X_OK):
        return Status.SKIPPED, ""
    try:
        result = node.runner.run([script], env=env, reset_env=True)
    except (NodeError, OSError) as err:
        return Status.FAILED, printable.safe(f"the script could not be run: {err}")
    status = Status.FAILED if result.failed else Status.SUCCEEDED
    return status, printable.safe(result.output.strip())
