"""What all model structs share: their wire rules and the scalar types they are made of.

Wire rules of the 3.0 protocol: a field that is None is absent from the object; absent and null read alike; an unknown
key is refused. Structs are frozen; a changed copy is made with `msgspec.structs.replace`.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

Scalar = bool | int | float | str | None
"""What a parameter dictionary may hold."""

Parameters = dict[str, Scalar]
"""Hypervisor, backend, disk or NIC parameters, filled by the master before sending."""

Mib = Annotated[int, Meta(ge=0, le=2**43 - 1)]
"""A size in MiB (binary); in bytes it fits into 63 bits, which is what a file can be."""

Seconds = Annotated[float, Meta(ge=0)]

Name = Annotated[str, Meta(pattern=r"^[^/\x00-\x1f\x7f]+$(?!\n)", max_length=255)]
"""A name that may become one component of a path; `host.paths.component` judges it again where that happens.

(`$` alone also matches before a line feed at the end.)
"""


class Model(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """Base of every struct that travels."""


class Tagged(Model, frozen=True, kw_only=True):
    """Bookkeeping of configuration objects; times are seconds since the epoch."""

    uuid: str | None = None
    serial_no: int | None = None
    ctime: float | None = None
    mtime: float | None = None
    tags: tuple[str, ...] | None = None
