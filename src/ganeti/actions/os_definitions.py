"""Operating system definitions: directories of scripts with which a guest's disks get an operating system.

Reads and judges them; runs nothing (`os_scripts` does). Source: the definition format of API versions 10, 15 and 20
and the answers of 3.0.2.
"""

from __future__ import annotations

import errno
import logging
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from ganeti.actions.node import Node
from ganeti.errors import NodeError, OsDefinitionError
from ganeti.host import files, plugins
from ganeti.model.os import OperatingSystem, OsDiagnosis, split_variant

log = logging.getLogger(__name__)

API_VERSIONS: Final = frozenset({10, 15, 20})
VARIANTS_SINCE: Final = 15
PARAMETERS_SINCE: Final = 20

API_FILE: Final = "ganeti_api_version"
VARIANTS_FILE: Final = "variants.list"
PARAMETERS_FILE: Final = "parameters.list"
CREATE: Final = "create"
CREATE_UNTRUSTED: Final = "create_untrusted"
VERIFY: Final = "verify"
REQUIRED_SCRIPTS: Final = ("export", "import", "rename")


def read(node: Node, name: str) -> OperatingSystem:
    """Read the definition `name`; a variant in the name is not looked at. Raises: OsDefinitionError."""
    base, _ = split_variant(name)
    return _read_from(node.paths.os_search_path, base)


def read_directory(directory: Path) -> OperatingSystem:
    """Read the definition in `directory`. Raises: OsDefinitionError with the first thing that is wrong."""
    versions = _api_versions(directory)
    if not API_VERSIONS & set(versions):
        raise OsDefinitionError(
            f"OS API version mismatch for {directory}: found {versions}, want {sorted(API_VERSIONS)}"
        )
    # The files that must be there follow from the highest number in the file, known to us or not.
    highest = max(versions)
    present = _scripts(directory, with_verify=highest >= PARAMETERS_SINCE)

    def script(name: str) -> str | None:
        return str(directory / name) if name in present else None

    return OperatingSystem(
        name=directory.name,
        path=str(directory),
        api_versions=versions,
        create_script=script(CREATE),
        create_script_untrusted=script(CREATE_UNTRUSTED),
        import_script=script("import"),
        export_script=script("export"),
        rename_script=script("rename"),
        verify_script=script(VERIFY),
        supported_variants=_variants(directory) if highest >= VARIANTS_SINCE else (),
        supported_parameters=_parameters(directory) if highest >= PARAMETERS_SINCE else (),
    )


def diagnose(node: Node) -> list[OsDiagnosis]:
    """Say of every visible entry of the search path whether it is a valid definition, and why not.

    A name may appear once for each directory; the first is the effective one. A directory that cannot be listed is
    left out with a warning (3.0.2 gives up the directories behind it too).
    """
    found: list[OsDiagnosis] = []
    for directory in node.paths.os_search_path:
        if not directory.is_dir():
            continue
        try:
            names = files.visible_names(directory)
        except OSError as err:
            log.warning("Cannot list the OS directory %s: %s", directory, err)
            continue
        found.extend(_diagnose_entry(directory, name) for name in names)
    return found


def effective_api_version(definition: OperatingSystem) -> int:
    """The highest version that both the definition and we speak."""
    return max(API_VERSIONS & set(definition.api_versions))


def check_variant(definition: OperatingSystem, name: str) -> None:
    """Judge the variant in `name` (of an instance). Raises: OsDefinitionError."""
    _, variant = split_variant(name)
    if not definition.supported_variants:
        if variant:
            raise OsDefinitionError(f"OS {definition.name} does not support variants ({_shown(variant)} passed)")
    elif not variant:
        raise OsDefinitionError(f"OS {definition.name} needs a variant in its name")
    elif variant not in definition.supported_variants:
        raise OsDefinitionError(f"OS {definition.name} does not support variant {_shown(variant)}")


def check_parameters(definition: OperatingSystem, names: set[str]) -> None:
    """Judge the names of parameters, case and all. Raises: OsDefinitionError naming the unsupported ones."""
    supported = {parameter for parameter, _ in definition.supported_parameters}
    unknown = sorted(names - supported)
    if unknown:
        listed = ", ".join(_shown(name) for name in unknown)
        raise OsDefinitionError(f"OS {definition.name} does not support the parameters {listed}")


def _read_from(search_path: Sequence[Path], name: str) -> OperatingSystem:
    directory = plugins.find(name, search_path, Path.is_dir)
    if directory is None:
        raise OsDefinitionError(f"directory for OS {_shown(name)} not found in search path")
    return read_directory(directory)


# Reading ---------------------------------------------------------------------------------------------------------


def _diagnose_entry(directory: Path, name: str) -> OsDiagnosis:
    shown = _shown(name)
    path = f"{directory}/{shown}"
    try:
        definition = _read_from((directory,), name)
    except OsDefinitionError as err:
        return OsDiagnosis(name=shown, path=path, is_valid=False, message=str(err))
    return OsDiagnosis(
        name=name,
        path=path,
        is_valid=True,
        variants=definition.supported_variants,
        parameters=definition.supported_parameters,
        api_versions=definition.api_versions,
        is_trusted=definition.is_trusted,
    )


def _api_versions(directory: Path) -> tuple[int, ...]:
    _check_file(directory, API_FILE)
    lines = _read(directory / API_FILE, "API version").splitlines()
    try:
        return tuple(int(line) for line in lines)
    except ValueError as err:
        raise OsDefinitionError(f"API version(s) of {directory} are not integers: {err}") from err


def _scripts(directory: Path, *, with_verify: bool) -> set[str]:
    required = [*REQUIRED_SCRIPTS, *([VERIFY] if with_verify else [])]
    for name in required:
        _check_file(directory, name, executable=True)
    creators = {name for name in (CREATE, CREATE_UNTRUSTED) if _check_optional(directory, name, executable=True)}
    if not creators:
        raise OsDefinitionError(f"one of {CREATE} and {CREATE_UNTRUSTED} must be present in {directory}")
    return {*required, *creators}


def _variants(directory: Path) -> tuple[str, ...]:
    if not _check_optional(directory, VARIANTS_FILE):
        return ()
    return tuple(files.significant_lines(_read(directory / VARIANTS_FILE, "variants")))


def _parameters(directory: Path) -> tuple[tuple[str, str], ...]:
    """Every line counts: `#` begins no comment here, and a blank line is a parameter without a name."""
    _check_file(directory, PARAMETERS_FILE)
    words = (line.split(None, 1) for line in _read(directory / PARAMETERS_FILE, "parameters").splitlines())
    return tuple(("".join(parts[:1]), "".join(parts[1:])) for parts in words)


def _check_optional(directory: Path, name: str, *, executable: bool = False) -> bool:
    """Judge a file that may be missing; say whether it is there. Raises: OsDefinitionError."""
    try:
        (directory / name).stat()
    except FileNotFoundError:
        return False
    except OSError:
        pass  # said by _check_file, which meets the same error
    _check_file(directory, name, executable=executable)
    return True


def _check_file(directory: Path, name: str, *, executable: bool = False) -> None:
    """Judge one file of a definition, links followed. Raises: OsDefinitionError."""
    where = f"file {name!r} in {directory}"
    try:
        mode = (directory / name).stat().st_mode
    except OSError as err:
        raise OsDefinitionError(f"required {where} is missing ({_word(err)})") from err
    if not stat.S_ISREG(mode):
        raise OsDefinitionError(f"{where} is not a regular file")
    if executable and not mode & stat.S_IXUSR:
        raise OsDefinitionError(f"{where} is not executable")


def _read(path: Path, what: str) -> str:
    try:
        return files.read_text(path)
    except OSError as err:
        raise OsDefinitionError(f"cannot read the {what} file {path}: {_word(err)}") from err
    except NodeError as err:
        raise OsDefinitionError(f"cannot read the {what} file: {err}") from err


def _word(err: OSError) -> str:
    """The error's symbol (`ENOENT`), which administrators search for."""
    return errno.errorcode.get(err.errno or 0, str(err))


def _shown(name: str) -> str:
    """A name from a directory or a caller as text: bytes that are not UTF-8 and control characters are escaped."""
    text = name.encode("utf-8", "backslashreplace").decode()
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
