"""The two files of ssh keys on a node: root's authorized keys, and the public keys of all nodes.

`authorized_keys` is shared with the administrator: lines that are not ours stay as they are. `ganeti_pub_keys`, on
potential master candidates, has the UUID of a node (its name, until the UUID is known) and a key on each line.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from ganeti.errors import ConfigurationError
from ganeti.host import files

BARE_TYPES: Final = frozenset({"ssh-rsa", "ssh-dss"})
"""Key types whose lines begin with the type: their comment does not count."""

FILE_MODE: Final = 0o600

Keys = dict[str, list[str]]
"""Keys by the UUID of their node."""


def significant(key: str) -> tuple[str, ...]:
    """What makes two lines the same key."""
    words = tuple(key.split())
    return words[:2] if words and words[0] in BARE_TYPES else words


# Public keys of the nodes --------------------------------------------------------------------------------------------


def parse_public_keys(text: str) -> Keys:
    """Raises: ConfigurationError for a line without a key."""
    keys: Keys = {}
    for line in text.splitlines():
        uuid, _, key = line.strip().partition(" ")
        if not uuid:
            continue
        if not key.strip():
            raise ConfigurationError(f"a line of the public key file has no key: {line!r}")
        keys.setdefault(uuid, []).append(key.strip())
    return keys


def read_public_keys(path: Path) -> Keys:
    """Raises: ConfigurationError when a line has no key; OSError when the file is missing."""
    return parse_public_keys(files.read_text(path))


def write_public_keys(path: Path, keys: Mapping[str, Iterable[str]]) -> None:
    """Replace the file. Raises: OSError."""
    lines = [f"{uuid} {key}\n" for uuid, several in keys.items() for key in several]
    files.write_atomic(path, "".join(lines), mode=FILE_MODE)


def name_to_uuid(keys: Keys, name: str, uuid: str) -> Keys:
    """The keys with those of `name` belonging to `uuid`."""
    renamed: Keys = {}
    for owner, several in keys.items():
        renamed.setdefault(uuid if owner == name else owner, []).extend(several)
    return renamed


# Authorized keys -----------------------------------------------------------------------------------------------------


def authorize(path: Path, keys: Iterable[str]) -> None:
    """Add the keys that are not there yet. Raises: OSError."""
    text = files.read_text(path) if path.exists() else ""
    known = {significant(line) for line in text.splitlines()}
    new = [key for key in {significant(key): key for key in keys}.values() if significant(key) not in known]
    if not new:
        return
    if text and not text.endswith("\n"):
        text += "\n"
    files.write_atomic(path, text + "".join(f"{key}\n" for key in new), mode=FILE_MODE)


def withdraw(path: Path, keys: Iterable[str]) -> None:
    """Remove the keys, whatever their comment. Raises: OSError."""
    unwanted = {significant(key) for key in keys}
    text = files.read_text(path) if path.exists() else ""
    kept = [line for line in text.splitlines(keepends=True) if significant(line) not in unwanted]
    if "".join(kept) != text:
        files.write_atomic(path, "".join(kept), mode=FILE_MODE)
