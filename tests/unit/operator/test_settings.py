"""Parameters written as text are read by the type of their default."""

from __future__ import annotations

import pytest

from ganeti.errors import ConfigurationError
from ganeti.model.base import Scalar
from ganeti.operator.settings import parse


@pytest.mark.parametrize(
    ("default", "text", "value"),
    [(True, "false", False), (False, "Yes", True), (32, "-1", -1), ("", "486", "486"), (None, "/dev/vda", "/dev/vda")],
)
def test_text_becomes_what_the_default_is(default: Scalar, text: str, value: Scalar) -> None:
    assert parse(default, text) == value
    assert type(parse(default, text)) is type(value)


@pytest.mark.parametrize(("default", "text"), [(True, "1"), (False, ""), (32, "many"), (0, "1.5")])
def test_text_of_another_kind_is_refused(default: Scalar, text: str) -> None:
    with pytest.raises(ConfigurationError):
        parse(default, text)
