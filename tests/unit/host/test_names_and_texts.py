"""Names of what administrators drop in, and foreign text in messages."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ganeti.host import plugins
from ganeti.host.printable import safe


@pytest.mark.parametrize("name", ["debootstrap", "a-b_C9", "-"])
def test_plugin_names_are_letters_digits_and_two_signs(name: str) -> None:
    assert plugins.is_plugin_name(name)


@pytest.mark.parametrize("name", ["", ".", "..", "a.b", "a/b", "a b", "a\n", "é", "a\x00"])
def test_other_names_are_no_plugins(name: str, tmp_path: Path) -> None:
    assert not plugins.is_plugin_name(name)
    assert plugins.find(name, [tmp_path], lambda _: True) is None


def test_the_first_that_is_wanted_is_found(tmp_path: Path) -> None:
    places = [tmp_path / "missing", tmp_path / "one", tmp_path / "two"]
    for place in places[1:]:
        (place / "plugin").mkdir(parents=True)
    assert plugins.find("plugin", places, Path.is_dir) == places[1] / "plugin"
    assert plugins.find("plugin", places, Path.is_file) is None


@given(st.text())
def test_foreign_text_becomes_one_line_of_printable_ascii(text: str) -> None:
    assert all(" " <= char <= "~" for char in safe(text))


def test_foreign_text_stays_readable() -> None:
    assert safe('a "b" \\ c') == 'a "b" \\ c'
    assert safe("a\tb\nc\x1bé☃") == r"a\tb\nc\x1b\xe9\u2603"
