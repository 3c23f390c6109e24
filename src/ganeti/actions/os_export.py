"""Packing an operating system definition and a guest's environment for a helper guest that installs it."""

from __future__ import annotations

import os
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from ganeti.actions import os_definitions, os_environment
from ganeti.actions.node import Node
from ganeti.errors import InvalidParameter
from ganeti.host import files
from ganeti.model.instance import Instance

ENVIRONMENT_FILE: Final = "environment"


def export(node: Node, instance: Instance, override_env: dict[str, str]) -> Path:
    """Make an archive of the definition (`os/`) and the variables of its scripts, one `NAME=value` a line.

    `override_env` is laid over the variables. The archive is the caller's to remove; nothing is left on failure.
    Raises: OsDefinitionError, BlockDeviceError, CommandError.
    """
    if not instance.os:
        raise InvalidParameter("instance.os", "the instance has no operating system")
    temporary = node.paths.temporary_dir
    with tempfile.TemporaryDirectory(prefix="ganeti-os-export.", dir=temporary) as name, ExitStack() as undo:
        directory = Path(name)
        definition = os_definitions.read(node, instance.os)
        (directory / "os").symlink_to(definition.path)
        env = os_environment.of_instance(node, instance, definition) | override_env
        lines = "".join(f"{key}={value}\n" for key, value in env.items())
        files.write_atomic(directory / ENVIRONMENT_FILE, lines)
        descriptor, archive_name = tempfile.mkstemp(prefix="ganeti-os-export.", suffix=".tgz", dir=temporary)
        os.close(descriptor)
        archive = Path(archive_name)
        undo.callback(archive.unlink, missing_ok=True)
        node.runner.check(["tar", "--dereference", "-cz", "-f", archive, "-C", directory, "."])
        undo.pop_all()
    return archive
