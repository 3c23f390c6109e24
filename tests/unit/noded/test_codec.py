"""JSON to arguments, results to JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta

from ganeti.actions.node import Node
from ganeti.errors import InvalidParameter
from ganeti.model.base import Model
from ganeti.noded.codec import InvalidBody, Signature, encode

JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner),
    max_leaves=20,
)


class Wanted(Model, frozen=True, kw_only=True):
    """A struct of the test."""

    size: Annotated[int, Meta(ge=0)]
    name: str | None = None


class Other(Model, frozen=True, kw_only=True):
    """Another one, which cannot be told apart from the first on the wire."""


def action(node: Node, disk: Wanted, size: Annotated[int, Meta(ge=0)], *, label: str = "none") -> None:
    """The action whose parameters are the schema."""


SIGNATURE = Signature(action)


def test_arguments_are_bound_in_order_also_to_keyword_parameters() -> None:
    assert SIGNATURE.decode(b'[{"size": 1}, 2, "x"]') == {"disk": Wanted(size=1), "size": 2, "label": "x"}


def test_a_parameter_with_a_default_may_be_left_out() -> None:
    assert SIGNATURE.decode(b'[{"size": 1}, 2]') == {"disk": Wanted(size=1), "size": 2}


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"[]", "invalid argument 'disk': missing"),
        (b'[{"size": 1}]', "invalid argument 'size': missing"),
        (b'[{"size": 1}, -1]', "invalid argument 'size': Expected int >= 0"),
        (b'[{"size": 1}, "1"]', "invalid argument 'size': Expected int, got str"),
        (b'[{"size": 1}, 1, 5]', "invalid argument 'label': Expected str, got int"),
        (b'[{"size": -1}, 1]', "invalid argument 'disk.size': Expected int >= 0"),
        (b'[{"size": 1, "colour": 1}, 1]', "invalid argument 'disk': Object contains unknown field colour"),
        (b'[{"name": "x"}, 1]', "invalid argument 'disk': Object missing required field size"),
        (b"[null, 1]", "invalid argument 'disk': Expected object, got null"),
    ],
)
def test_a_wrong_argument_is_named(body: bytes, text: str) -> None:
    with pytest.raises(InvalidParameter) as refused:
        SIGNATURE.decode(body)
    assert str(refused.value).startswith(text)


@pytest.mark.parametrize("body", [b"", b"{", b"[1", b"{}", b"null", b'"x"', b"[NaN]", b"\xff", b'["\xff"]', b"[1] 2"])
def test_a_body_that_is_no_array_of_arguments_is_refused(body: bytes) -> None:
    with pytest.raises((InvalidBody, InvalidParameter)):
        SIGNATURE.decode(body)


def test_surplus_arguments_are_refused() -> None:
    with pytest.raises(InvalidBody, match=r"4 arguments where 3 \(disk, size, label\) are expected"):
        SIGNATURE.decode(b'[{"size": 1}, 2, "x", 3]')


def test_the_whole_body_can_be_the_argument() -> None:
    def console(node: Node, questions: dict[str, int]) -> None:
        """Take an object."""

    assert Signature(console, body_is_argument=True).decode(b'{"a": 1}') == {"questions": {"a": 1}}
    with pytest.raises(InvalidParameter, match="questions"):
        Signature(console, body_is_argument=True).decode(b"[]")


@given(JSON_VALUES)
def test_without_parameters_any_json_will_do(value: object) -> None:
    def version(node: Node) -> None:
        """Take nothing."""

    assert Signature(version).decode(json.dumps(value).encode()) == {}


def test_without_parameters_it_must_still_be_json() -> None:
    def version(node: Node) -> None:
        """Take nothing."""

    with pytest.raises(InvalidBody):
        Signature(version).decode(b"{")


@given(JSON_VALUES)
def test_what_is_encoded_is_ascii_and_means_the_same(value: object) -> None:
    data = encode(True, value)
    assert data.isascii()
    assert data.endswith(b"\n")
    assert json.loads(data) == [True, value]


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_text_survives_both_directions(text: str) -> None:
    def wipe(node: Node, text: str) -> None:
        """Take a text."""

    (_, payload) = json.loads(encode(True, text))
    assert Signature(wipe).decode(json.dumps([payload]).encode()) == {"text": text}


def test_a_character_beyond_the_basic_plane_becomes_a_pair() -> None:
    assert encode(False, "a😀é") == b'[false,"a\\ud83d\\ude00\\u00e9"]\n'


def test_structs_leave_out_what_is_none_and_paths_are_texts() -> None:
    assert encode(True, [Wanted(size=3), Path("/x")]) == b'[true,[{"size":3},"/x"]]\n'


def test_what_has_no_json_form_is_an_error() -> None:
    with pytest.raises(TypeError, match="object has no JSON form"):
        encode(True, object())


def test_an_annotation_that_cannot_be_decoded_is_found_when_the_table_is_made() -> None:
    def broken(node: Node, value: Wanted | Other) -> None:
        """Have an impossible parameter."""

    with pytest.raises(TypeError):
        Signature(broken)
