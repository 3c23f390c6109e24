"""Storage providers: directories of scripts by which an administrator's own storage holds disks of type `ext`.

Finds and judges them; runs nothing (`storage.drivers.external` does) and knows no disk. Source: the provider format of
3.0 and the answers of 3.0.2.

Different from the packaged 3.0 on purpose: in `parameters.list` blank lines and comments are no parameters (there a
blank line makes a row that the master cannot read), a parameter without description has an empty one, and a directory
of the search path that cannot be listed does not hide those behind it.
"""

from __future__ import annotations

import errno
import logging
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ganeti.errors import BlockDeviceError, NodeError
from ganeti.host import files, plugins, printable
from ganeti.host.paths import Paths

log = logging.getLogger(__name__)

CREATE: Final = "create"
REMOVE: Final = "remove"
GROW: Final = "grow"
ATTACH: Final = "attach"
DETACH: Final = "detach"
SET_INFO: Final = "setinfo"
VERIFY: Final = "verify"
SNAPSHOT: Final = "snapshot"
OPEN: Final = "open"
CLOSE: Final = "close"

REQUIRED: Final = (CREATE, REMOVE, GROW, ATTACH, DETACH, SET_INFO, VERIFY)
OPTIONAL: Final = (SNAPSHOT, OPEN, CLOSE)
PARAMETERS_FILE: Final = "parameters.list"

LONGEST_LIST: Final = 65536
"""Bytes of `parameters.list` that are read; a longer one is an error."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """A valid provider. `parameters` are (name, description)."""

    name: str
    path: Path
    scripts: frozenset[str]
    parameters: tuple[tuple[str, str], ...]

    def script(self, action: str) -> Path | None:
        """The script of an action; None when it is an optional one that is not there."""
        return self.path / action if action in self.scripts else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """What is to be said of an entry of the search path; `message` is empty when it is a valid provider."""

    name: str
    path: str
    message: str
    parameters: tuple[tuple[str, str], ...] = ()


def find(paths: Paths, name: str) -> Provider:
    """The provider called `name`, the first of the search path. Raises: BlockDeviceError."""
    directory = plugins.find(name, paths.ext_search_path, os.path.isdir)
    if directory is None:
        where = ", ".join(str(place) for place in paths.ext_search_path)
        raise BlockDeviceError(f"there is no storage provider {printable.safe(name)!r} in {where}")
    return read(directory)


def read(directory: Path) -> Provider:
    """The provider in `directory`. Raises: BlockDeviceError with the first thing that is wrong."""
    if not plugins.is_plugin_name(directory.name):
        raise BlockDeviceError(
            f"storage provider {printable.safe(directory.name)!r}: a name has letters, digits, '_' and '-' only"
        )
    scripts = {*REQUIRED, *(name for name in OPTIONAL if _exists(directory, name))}
    for name in (*REQUIRED, *OPTIONAL):
        if name in scripts:
            _check_file(directory, name, executable=True)
    return Provider(
        name=directory.name, path=directory, scripts=frozenset(scripts), parameters=_read_parameters(directory)
    )


def diagnose(paths: Paths) -> list[Diagnosis]:
    """Say of every visible entry of the search path whether it is a valid provider, and why not.

    A name may appear once for each directory; the first is the one that is used.
    """
    found: list[Diagnosis] = []
    for directory in paths.ext_search_path:
        try:
            names = files.visible_names(directory)
        except FileNotFoundError:
            continue
        except OSError as err:
            log.warning("Storage providers in %s are not known, it cannot be listed: %s", directory, err)
            continue
        found.extend(_diagnose_entry(directory / name) for name in names)
    return found


def _diagnose_entry(directory: Path) -> Diagnosis:
    try:
        provider = read(directory)
    except BlockDeviceError as err:
        # a name that is no text cannot travel as it is
        return Diagnosis(name=printable.safe(directory.name), path=printable.safe(str(directory)), message=str(err))
    return Diagnosis(name=provider.name, path=str(directory), message="", parameters=provider.parameters)


def _read_parameters(directory: Path) -> tuple[tuple[str, str], ...]:
    _check_file(directory, PARAMETERS_FILE)
    try:
        text = files.read_text(directory / PARAMETERS_FILE, limit=LONGEST_LIST)
    except (OSError, NodeError) as err:
        raise BlockDeviceError(f"storage provider {directory}: cannot read {PARAMETERS_FILE}: {err}") from err
    words = (line.split(None, 1) for line in files.significant_lines(text))
    return tuple((parts[0], "".join(parts[1:])) for parts in words)


def _exists(directory: Path, name: str) -> bool:
    try:
        (directory / name).stat()
    except FileNotFoundError:
        # a link that leads nowhere is a mistake, not a script that was left out
        return (directory / name).is_symlink()
    except OSError:
        return True  # _check_file meets the same error and says it
    return True


def _check_file(directory: Path, name: str, *, executable: bool = False) -> None:
    where = f"storage provider {printable.safe(str(directory))}: {name}"
    try:
        mode = (directory / name).stat().st_mode
    except OSError as err:
        # the error's symbol is what administrators search for
        raise BlockDeviceError(f"{where} is missing ({errno.errorcode.get(err.errno or 0, str(err))})") from err
    if not stat.S_ISREG(mode):
        raise BlockDeviceError(f"{where} is not a regular file")
    if executable and not mode & stat.S_IXUSR:
        raise BlockDeviceError(f"{where} is not executable")
