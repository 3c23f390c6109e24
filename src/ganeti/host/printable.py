"""Text of unknown origin made fit for a message: printable ASCII on one line."""

from __future__ import annotations

_NAMED = {"\t": "\\t", "\n": "\\n", "\r": "\\r"}


def safe(text: str) -> str:
    """`text` with control and non-ASCII characters as backslash escapes; backslashes and quotes are left alone."""
    ascii_text = text.encode("ascii", "backslashreplace").decode("ascii")
    return "".join(_NAMED.get(char) or (char if " " <= char <= "~" else f"\\x{ord(char):02x}") for char in ascii_text)
