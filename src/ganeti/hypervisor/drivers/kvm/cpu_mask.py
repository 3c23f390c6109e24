"""CPU masks: which processors of the node a guest, or each of its processors, may run on. Pure text."""

from __future__ import annotations

from typing import Final

from ganeti.errors import HypervisorError

ALL_CPUS: Final = frozenset({-1})
"""Stands for every processor of the node."""


def parse_cpu_mask(mask: str) -> list[int]:
    """Numbers in `0-3,5`, in order, duplicates kept; none for empty text. Raises: HypervisorError."""
    cpus: list[int] = []
    for part in mask.split(",") if mask else []:
        low_text, dash, high_text = part.partition("-")
        try:
            low = int(low_text)
            high = int(high_text) if dash else low
        except ValueError:
            raise HypervisorError(f"CPU mask {mask!r} has {part!r}, which is no number or range") from None
        if low > high:
            raise HypervisorError(f"CPU mask {mask!r} has a range that ends before it begins: {part!r}")
        cpus.extend(range(low, high + 1))
    return cpus


def parse_cpu_masks(masks: str) -> list[frozenset[int]]:
    """The sets in `0-1:2-3:all`, one a virtual processor, or one for the whole guest. Raises: HypervisorError."""
    if not masks:
        return []
    return [ALL_CPUS if part == "all" else frozenset(parse_cpu_mask(part)) for part in masks.split(":")]
