"""Text that says whose disk it is, in the form in which logical volumes and storage providers keep it."""

from __future__ import annotations

import re
from typing import Final

LONGEST: Final = 128
"""Characters of a tag (lvm(8))."""


def sanitised(text: str) -> str:
    """`text` with what cannot stand in a tag as `_`: all but ASCII letters, digits, `_+.`, and `-` not in front."""
    return re.sub(r"^-|[^A-Za-z0-9_+.\-]", "_", text)[:LONGEST]
