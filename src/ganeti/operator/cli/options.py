"""Options that hold more than one value in one text."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TypeVar

import click
import msgspec

from ganeti.operator.models import DiskSpec, NicSpec

SIZE = re.compile(r"(?P<number>\d+)(?P<unit>[mMgGtT]?)")
UNITS = {"": 1, "m": 1, "g": 1024, "t": 1024 * 1024}

SpecT = TypeVar("SpecT", DiskSpec, NicSpec)


def parse_disk(text: str) -> DiskSpec:
    """Read `SIZE[:TEMPLATE]`; a size without unit is MiB."""
    size, _, template = text.partition(":")
    match = SIZE.fullmatch(size)
    if match is None:
        raise click.BadParameter(f"{size!r} is not a size like 512M or 2G", param_hint="--disk")
    mib = int(match["number"]) * UNITS[match["unit"].lower()]
    return _convert({"size_mib": mib, **({"template": template} if template else {})}, DiskSpec, "--disk")


def parse_nic(text: str) -> NicSpec:
    """Read `KEY=VALUE,...`; an empty text is an interface with all defaults."""
    pairs = key_values([item for item in text.split(",") if item], hint="--nic")
    return _convert(pairs, NicSpec, "--nic")


def key_values(items: Sequence[str], *, hint: str = "NAME=VALUE") -> dict[str, str]:
    """Read `NAME=VALUE` texts."""
    found: dict[str, str] = {}
    for item in items:
        name, separator, value = item.partition("=")
        if not separator or not name:
            raise click.BadParameter(f"{item!r} is not NAME=VALUE", param_hint=hint)
        found[name] = value
    return found


def _convert(values: Mapping[str, str | int], kind: type[SpecT], hint: str) -> SpecT:
    try:
        return msgspec.convert(values, kind)
    except msgspec.ValidationError as err:
        raise click.BadParameter(str(err), param_hint=hint) from err
