"""Finding what administrators drop into search paths (definitions, allocators, hooks) by names that are safe."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from ganeti.constants import PLUGIN_NAME_PATTERN


def is_plugin_name(name: str) -> bool:
    """Whether `name` has nothing but the letters, digits, `_` and `-` that a plugin's name may have."""
    # fullmatch: "$" alone would let a newline at the end pass.
    return re.fullmatch(PLUGIN_NAME_PATTERN, name) is not None


def find(name: str, search_path: Sequence[Path], is_wanted: Callable[[Path], bool]) -> Path | None:
    """The first `name` in `search_path` that `is_wanted`; None when there is none or the name is not acceptable."""
    if not is_plugin_name(name):
        return None
    candidates = (directory / name for directory in search_path)
    return next((candidate for candidate in candidates if is_wanted(candidate)), None)
