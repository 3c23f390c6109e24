"""The parameters of a DRBD disk, and the words of a command they become. The names are those on the wire.

Rates are KiB/s. Source of the words: drbdsetup-8.4(8), drbdsetup-9.0(8).
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from ganeti.errors import InvalidParameter

Figure = Annotated[int, Meta(ge=0)]

NO_BARRIERS_DISABLED: Final = "n"
_BARRIERS: Final = {"f": "--disk-flushes=no", "d": "--disk-drain=no", "b": "--disk-barrier=no"}
"""In the order they are given."""


class DrbdParameters(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """What the master says of a DRBD disk; other keys (`default-metavg`) mean nothing to a node."""

    resync_rate: Annotated[int, Meta(ge=1)]
    disabled_barriers: str
    """`n`, or letters of what DRBD shall not use: barriers, drain, flush."""
    disable_meta_flush: bool
    disk_custom: str
    net_custom: str
    protocol: Literal["A", "B", "C"]
    dynamic_resync: bool
    c_plan_ahead: Figure
    c_fill_target: Figure
    c_delay_target: Figure
    c_max_rate: Figure
    c_min_rate: Figure

    @classmethod
    def of(cls, params: Mapping[str, object] | None) -> DrbdParameters:
        """Read them. Raises: InvalidParameter naming what is missing or wrong."""
        given = dict(params or {})
        missing = sorted(field.encode_name for field in msgspec.structs.fields(cls) if field.encode_name not in given)
        if missing:
            raise InvalidParameter("disk.params", f"a DRBD disk also needs {', '.join(missing)}")
        try:
            parameters = msgspec.convert(given, cls)
        except (msgspec.ValidationError, UnicodeEncodeError) as err:  # the latter for half of a surrogate pair
            raise InvalidParameter("disk.params", str(err)) from err
        parameters.barrier_options()
        parameters.sync_options()
        parameters.disk_words()
        parameters.net_words()
        return parameters

    def barrier_options(self) -> list[str]:
        """What DRBD shall not use to order its writes. Raises: InvalidParameter."""
        letters = self.disabled_barriers
        if letters != NO_BARRIERS_DISABLED and not (letters and set(letters) <= set(_BARRIERS)):
            raise InvalidParameter("disk.params.disabled-barriers", f"{letters!r} is neither 'n' nor some of 'bdf'")
        options = ["--md-flushes=no"] if self.disable_meta_flush else []
        return [*options, *(option for letter, option in _BARRIERS.items() if letter in letters)]

    def sync_options(self) -> list[str]:
        """How fast a copy is brought up to date. Raises: InvalidParameter.

        A fixed rate only is fixed when DRBD's own regulation is off, which is what a plan of 0 means.
        """
        if not self.dynamic_resync:
            return [f"--resync-rate={self.resync_rate}", "--c-plan-ahead=0"]
        if self.c_plan_ahead == 0:
            raise InvalidParameter("disk.params.c-plan-ahead", "0 turns the dynamic resync off that is asked for")
        return [
            f"--c-plan-ahead={self.c_plan_ahead}",
            f"--c-fill-target={self.c_fill_target}",
            f"--c-delay-target={self.c_delay_target}",
            f"--c-max-rate={self.c_max_rate}",
            f"--c-min-rate={self.c_min_rate}",
        ]

    def disk_words(self) -> list[str]:
        """The administrator's own words for attaching a disk. Raises: InvalidParameter."""
        return _words("disk-custom", self.disk_custom)

    def net_words(self) -> list[str]:
        """The administrator's own words for connecting. Raises: InvalidParameter."""
        return _words("net-custom", self.net_custom)


def _words(name: str, text: str) -> list[str]:
    try:
        words = shlex.split(text)
    except ValueError as err:
        raise InvalidParameter(f"disk.params.{name}", str(err)) from err
    if any("\x00" in word for word in words):
        raise InvalidParameter(f"disk.params.{name}", "a word has a NUL in it")
    return words
