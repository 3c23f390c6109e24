"""Command lines of coreutils' dd, in blocks of one MiB where not said otherwise."""

from __future__ import annotations

from pathlib import Path

BLOCK = "bs=1048576"


def read_argv(source: Path, *, blocks: int, direct: bool = True) -> list[str]:
    """Write the first `blocks` MiB of `source` to standard output."""
    argv = ["dd", f"if={source}", BLOCK, f"count={blocks}"]
    return [*argv, "iflag=direct"] if direct else argv


def write_argv(target: Path, *, blocks: int | None = None, direct: bool = True) -> list[str]:
    """Write standard input, or `blocks` MiB of it, over the beginning of `target`, which must exist.

    `fullblock` because a pipe gives less than a block at a time, and a short one would end direct output and count as
    a whole one. `fsync` because only then a full disk is an error of this command.
    """
    argv = ["dd", f"of={target}", BLOCK, "iflag=fullblock", "conv=nocreat,notrunc,fsync"]
    if blocks is not None:
        argv.append(f"count={blocks}")
    return [*argv, "oflag=direct"] if direct else argv


def copy_argv(source: Path, target: Path, *, blocks: int, seek: int = 0, direct: bool = True) -> list[str]:
    """Write `blocks` MiB of `source` over `target` from block `seek` on; the rest of the target stays."""
    argv = ["dd", f"if={source}", f"of={target}", BLOCK, f"seek={seek}", f"count={blocks}"]
    argv += ["iflag=fullblock", "conv=nocreat,notrunc,fsync"]
    return [*argv, "oflag=direct"] if direct else argv


def receive_argv(target: Path) -> list[str]:
    """Write what comes over a network, 64 KiB at a time and each on the medium before the next, over `target`."""
    return ["dd", f"of={target}", "conv=nocreat,notrunc", "bs=65536", "oflag=dsync"]
