"""Running the scripts of a storage provider for one volume: what they see, where their output goes, how they fail.

Must not know what an action is for; that is the driver's (`storage.drivers.external`). A script sees the daemon's
environment, `LC_ALL=C`, `VOL_NAME`, every parameter of the disk as `EXTP_<NAME>`, `VOL_CNAME` and `VOL_UUID` (name and
UUID of the disk where it has them; not for a snapshot, which is another volume), and what its caller adds. What it
prints is added to a log of its own, but for `attach`, whose output is its answer.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Final

from ganeti.errors import BlockDeviceError, CommandError, NodeError, NotSupported, UnsafePath
from ganeti.host import files, printable
from ganeti.host.paths import component
from ganeti.host.system import System
from ganeti.model.disk import Disk
from ganeti.storage import providers
from ganeti.storage.providers import Provider

TAIL_LINES: Final = 20
LOG_DIRECTORY_MODE: Final = 0o750
PARAMETER_PATTERN: Final = r"[A-Za-z0-9_-]+"


class VolumeScripts:
    """The scripts of a provider, for one of its volumes."""

    def __init__(self, system: System, disk: Disk) -> None:
        """Judge names and parameters; look at nothing yet. Raises: BlockDeviceError for what no script should see."""
        identity = disk.logical_id
        if len(identity) != 2 or not all(isinstance(part, str) and part for part in identity):
            raise BlockDeviceError(f"{disk.describe()}: the identity of such a disk is its provider and its volume")
        self.provider_name = str(identity[0])
        self.volume = volume_name(str(identity[1]))
        self._system = system
        self._parameters = _parameter_variables(disk)
        self._names = {key: text for key, text in (("VOL_CNAME", disk.name), ("VOL_UUID", disk.uuid)) if text}

    def __str__(self) -> str:
        """The volume, for messages."""
        return f"volume {self.volume} of storage provider {printable.safe(self.provider_name)}"

    def has(self, action: str) -> bool:
        """Whether the provider has a script for an action. Raises: BlockDeviceError when the provider is not valid."""
        return self._provider.script(action) is not None

    def run(self, action: str, variables: Mapping[str, str], *arguments: str) -> str:
        """Run the script of an action and return what `attach` printed, of others nothing.

        Raises: BlockDeviceError with the last lines of its output; NotSupported when there is no such script.
        """
        script = self._provider.script(action)
        if script is None:
            raise NotSupported(f"storage provider {self.provider_name}", action)
        log_file = None if action == providers.ATTACH else self._log_file(action)
        names = {} if action == providers.SNAPSHOT else self._names
        env = {**self._parameters, "VOL_NAME": self.volume, **names, **variables}
        try:
            result = self._system.runner.run([script, *arguments], env=env, cwd=self._provider.path, output=log_file)
        except CommandError as err:  # no executable format, no interpreter, a value no variable can have
            raise BlockDeviceError(f"{self}: script {action} cannot be run: {err.reason}") from err
        except OSError as err:
            raise BlockDeviceError(f"{self}: cannot write the log {log_file}: {err.strerror}") from err
        if result.failed:
            lines = result.output.splitlines() if log_file is None else files.tail(log_file, TAIL_LINES)
            shown = "\n".join(printable.safe(line) for line in lines[-TAIL_LINES:])
            raise BlockDeviceError(f"{self}: script {action} {result.reason}, last lines of its output:\n{shown}")
        return result.stdout

    @cached_property
    def _provider(self) -> Provider:
        return providers.find(self._system.paths, self.provider_name)

    def _log_file(self, action: str) -> Path:
        """Where a script's output goes; two runs within a second append to one file. Raises: BlockDeviceError."""
        stamp = time.strftime("%Y-%m-%d_%H_%M_%S", time.localtime(self._system.clock.time()))
        directory = self._system.paths.ext_log_dir
        try:
            name = component(f"{action}-{self.provider_name}-{self.volume}-{stamp}.log")
            if not directory.is_dir():
                directory.parent.mkdir(parents=True, exist_ok=True)
                files.ensure_directory(directory, LOG_DIRECTORY_MODE)
        except (OSError, NodeError) as err:
            raise BlockDeviceError(f"{self}: cannot make the log of script {action}: {err}") from err
        return directory / name


def volume_name(name: str) -> str:
    """Return a name that scripts may safely use as a word of a command or a file's name. Raises: BlockDeviceError."""
    try:
        component(name)
    except UnsafePath as err:
        raise BlockDeviceError(f"volume {printable.safe(name)!r}: {err.reason}") from err
    if name.startswith("-"):
        raise BlockDeviceError(f"volume {printable.safe(name)!r} could be taken for an option")
    return name


def _parameter_variables(disk: Disk) -> dict[str, str]:
    """The disk's parameters as variables; one that is null is left out. Raises: BlockDeviceError naming a wrong one."""
    variables: dict[str, str] = {}
    for key, value in (disk.params or {}).items():
        if re.fullmatch(PARAMETER_PATTERN, key) is None:
            shown = printable.safe(key)
            raise BlockDeviceError(
                f"{disk.describe()}: parameter {shown!r} makes no variable, its name may have letters, digits, _ and -"
            )
        variable = f"EXTP_{key.upper()}"
        if variable in variables:
            raise BlockDeviceError(f"{disk.describe()}: parameter {key!r} is given twice, both as {variable}")
        if value is not None:
            variables[variable] = str(value)
    return variables
