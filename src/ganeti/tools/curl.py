"""Command lines of curl."""

from __future__ import annotations

SCHEMES = ("http", "https", "ftp", "ftps")
"""What is fetched; `file:` and the like would read this node's own files under another name."""


def fetch_argv(url: str) -> list[str]:
    """Write what `url` names to standard output; an HTTP error is a failure, redirections stay within the schemes."""
    allowed = "=" + ",".join(SCHEMES)  # the "=" is curl's own: these schemes and no others
    argv = ["curl", "--fail", "--silent", "--show-error", "--location", "--globoff"]
    return [*argv, "--proto", allowed, "--proto-redir", allowed, "--url", url]
