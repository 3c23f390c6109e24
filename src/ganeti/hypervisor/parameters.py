"""The table of a hypervisor's parameters and how one is judged.

Source: the parameter tables of Ganeti 3.0.2. "Unspecified" is None or the empty text: 0 and false are values.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ganeti.errors import HypervisorError
from ganeti.model.base import Parameters, Scalar


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One judgement: `test` says whether a value passes, `reason` what a bad one is not."""

    test: Callable[[Scalar], bool]
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One parameter: its default, whether it must be given, what its value must be like anywhere and on the node."""

    default: Scalar = None
    required: bool = False
    syntax: Check | None = None
    on_node: Check | None = None


def is_unspecified(value: Scalar) -> bool:
    """Whether a parameter has no value."""
    return value is None or value == ""


def check_syntax(table: Mapping[str, Parameter], values: Parameters) -> None:
    """Judge what can be judged anywhere. Raises: HypervisorError naming the parameter."""
    for name in values:
        if name not in table:
            raise HypervisorError(f"parameter {name!r} is not supported")
    for name, parameter in table.items():
        if name not in values:
            raise HypervisorError(f"parameter {name!r} is missing")
        _judge(name, parameter, values[name], parameter.syntax)


def validate(table: Mapping[str, Parameter], values: Parameters) -> None:
    """Judge what only the node knows. Raises: HypervisorError naming the parameter."""
    for name, parameter in table.items():
        if name not in values:
            raise HypervisorError(f"parameter {name!r} is missing")
        _judge(name, parameter, values[name], parameter.on_node)


def defaults(table: Mapping[str, Parameter]) -> Parameters:
    """The default of every parameter."""
    return {name: parameter.default for name, parameter in table.items()}


def _judge(name: str, parameter: Parameter, value: Scalar, check: Check | None) -> None:
    if is_unspecified(value):
        if parameter.required:
            raise HypervisorError(f"parameter {name!r} must have a value")
        return
    if check is not None and not check.test(value):
        raise HypervisorError(f"parameter {name!r} {check.reason}: {value!r}")


# Checks used by more than one driver ---------------------------------------------------------------------------------


def _is_normal_path(value: Scalar) -> bool:
    return isinstance(value, str) and value.startswith("/") and os.path.normpath(value) == value


NORMAL_PATH = Check(test=_is_normal_path, reason="must be an absolute, normalised path")
IS_FILE = Check(test=lambda value: Path(str(value)).is_file(), reason="must be a file on the node")
IS_DIRECTORY = Check(test=lambda value: Path(str(value)).is_dir(), reason="must be a directory on the node")
NOT_NEGATIVE = Check(test=lambda value: isinstance(value, int | float) and value >= 0, reason="must not be negative")
PORT = Check(test=lambda value: isinstance(value, int) and 0 < value < 65535, reason="must be a port (1 to 65534)")


def one_of(*values: Scalar) -> Check:
    """A check that the value is one of `values`."""
    listed = ", ".join(str(value) for value in values)
    return Check(test=lambda value: value in values, reason=f"must be one of {listed}")


def between(low: int, high: int) -> Check:
    """A check that the value is a whole number from `low` to `high`."""
    return Check(
        test=lambda value: isinstance(value, int) and low <= value <= high,
        reason=f"must be a whole number from {low} to {high}",
    )


MIGRATION_MODE = one_of("live", "non-live")
