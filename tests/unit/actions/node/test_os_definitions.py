"""Reading operating system definitions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ganeti.actions import os_definitions
from ganeti.actions.node import Node
from ganeti.errors import OsDefinitionError
from ganeti.noded.calls import os as os_calls

Make = Callable[..., Path]


def test_a_definition_is_read_whole(node: Node, make_os: Make) -> None:
    directory = make_os(
        variants__list="# a comment\n\n small \nlarge\n", parameters__list="size how big \nflag\n\n# x\n"
    )

    definition = os_definitions.read(node, "demo+large")

    assert (definition.name, definition.path) == ("demo", str(directory))
    assert definition.api_versions == (20,)
    assert definition.create_script == str(directory / "create")
    assert definition.verify_script == str(directory / "verify")
    assert definition.supported_variants == ("small", "large")
    assert definition.supported_parameters == (("size", "how big "), ("flag", ""), ("", ""), ("#", "x"))
    assert definition.is_trusted


def test_the_first_directory_of_the_search_path_wins(node: Node, make_os: Make) -> None:
    make_os(where=1)
    first = make_os(where=0)

    assert os_definitions.read(node, "demo").path == str(first)


@pytest.mark.parametrize("name", ["", "demo\n", "de mo", "../os/demo", "debian.7", ".", "démo", "+small", "demo/"])
def test_names_outside_of_the_plain_characters_are_never_found(node: Node, make_os: Make, name: str) -> None:
    make_os()

    with pytest.raises(OsDefinitionError, match="not found in search path"):
        os_definitions.read(node, name)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "version mismatch"),
        ("20\n\n", "not integers"),
        ("# 20\n", "not integers"),
        ("twenty\n", "'twenty'"),
        ("5\n99\n", r"found \(5, 99\), want \[10, 15, 20\]"),
        ("2" * 5000, "not integers"),
        (None, r"required file 'ganeti_api_version' in .* is missing \(ENOENT\)"),
    ],
)
def test_a_bad_api_version_file_is_told(node: Node, make_os: Make, text: str | None, message: str) -> None:
    make_os(ganeti_api_version=text)

    with pytest.raises(OsDefinitionError, match=message):
        os_definitions.read(node, "demo")


@pytest.mark.parametrize(
    ("versions", "left_out", "is_valid"),
    [
        ("10", {"verify", "variants.list", "parameters.list"}, True),
        ("15", {"verify", "variants.list", "parameters.list"}, True),
        ("20", {"variants.list"}, True),
        ("20", {"verify"}, False),
        ("20", {"parameters.list"}, False),
        ("10\n99", {"verify"}, False),
        ("10\n20\n15", {"parameters.list"}, False),
        ("10", {"rename"}, False),
        ("10", {"create"}, False),
    ],
)
def test_the_highest_version_decides_which_files_must_be_there(
    node: Node, make_os: Make, versions: str, left_out: set[str], is_valid: bool
) -> None:
    directory = make_os(ganeti_api_version=versions)
    for name in left_out:
        (directory / name).unlink()

    assert [row.is_valid for row in os_definitions.diagnose(node)] == [is_valid]


def test_files_of_later_versions_are_not_looked_at(node: Node, make_os: Make) -> None:
    make_os(ganeti_api_version="10\n")

    definition = os_definitions.read(node, "demo")

    assert definition.verify_script is None
    assert definition.supported_variants == ()
    assert definition.supported_parameters == ()


def test_a_script_must_be_a_file_its_owner_may_execute(node: Node, make_os: Make) -> None:
    directory = make_os()
    (directory / "import").chmod(0o655)
    with pytest.raises(OsDefinitionError, match=r"'import' in .* is not executable"):
        os_definitions.read(node, "demo")

    (directory / "import").unlink()
    (directory / "import").mkdir()
    with pytest.raises(OsDefinitionError, match=r"'import' in .* is not a regular file"):
        os_definitions.read(node, "demo")


def test_links_to_scripts_are_followed_and_a_dangling_optional_file_is_none(node: Node, make_os: Make) -> None:
    directory = make_os(variants__list=None)
    (directory / "create").rename(directory / "really-create")
    (directory / "create").symlink_to("really-create")
    (directory / "variants.list").symlink_to("nowhere")

    definition = os_definitions.read(node, "demo")

    assert definition.create_script == str(directory / "create")
    assert definition.supported_variants == ()


def test_an_untrusted_create_script_makes_the_definition_untrusted(node: Node, make_os: Make) -> None:
    directory = make_os(create=None)
    with pytest.raises(OsDefinitionError, match="one of create and create_untrusted"):
        os_definitions.read(node, "demo")

    (directory / "create_untrusted").write_text("#!/bin/sh\n")
    (directory / "create_untrusted").chmod(0o755)
    definition = os_definitions.read(node, "demo")

    assert definition.create_script is None
    assert definition.create_script_untrusted == str(directory / "create_untrusted")
    assert os_calls.diagnose(node)[0][7] is False


def test_lists_that_are_not_text_are_told(node: Node, make_os: Make) -> None:
    directory = make_os()
    (directory / "variants.list").write_bytes(b"\xff\n")

    assert "not UTF-8" in os_definitions.diagnose(node)[0].message


def test_diagnosis_covers_every_visible_entry_of_every_directory(node: Node, make_os: Make) -> None:
    make_os("good", parameters__list="size how big\nflag\n\n")
    make_os("good", where=1)
    make_os("bad", export=None)
    (node.paths.os_search_path[0] / "file").write_text("")
    (node.paths.os_search_path[0] / ".hidden").mkdir()

    rows = os_calls.diagnose(node)

    first, second = node.paths.os_search_path
    assert [row[:3] for row in rows] == [
        ["bad", f"{first}/bad", False],
        ["file", f"{first}/file", False],
        ["good", f"{first}/good", True],
        ["good", f"{second}/good", True],
    ]
    assert "'export'" in str(rows[0][3])
    assert rows[0][4:] == [(), [], (), True]
    assert rows[2][3:] == ["", ("small", "large"), [["size", "how big"], ["flag"], []], (20,), True]


def test_names_that_are_not_text_do_not_break_the_answer(node: Node, make_os: Make) -> None:
    make_os()
    directory = node.paths.os_search_path[0]
    (directory / "bad\udcff\n").mkdir()

    names = [row.name for row in os_definitions.diagnose(node)]

    assert names == [r"bad\\udcff\n".replace("\\\\", "\\"), "demo"]


def test_a_search_path_without_directories_has_no_definitions(node: Node) -> None:
    assert os_definitions.diagnose(node) == []


@pytest.mark.parametrize(
    ("variants", "name", "message"),
    [
        ("", "demo", None),
        ("", "demo+small", "does not support variants"),
        ("small\n", "demo+small", None),
        ("small\n", "demo", "needs a variant"),
        ("small\n", "demo+", "needs a variant"),
        ("small\n", "demo+a+b", "'?a\\+b"),
    ],
)
def test_variants_are_judged(node: Node, make_os: Make, variants: str, name: str, message: str | None) -> None:
    make_os(variants__list=variants)
    definition = os_definitions.read(node, name)

    if message is None:
        os_definitions.check_variant(definition, name)
    else:
        with pytest.raises(OsDefinitionError, match=message):
            os_definitions.check_variant(definition, name)


def test_unsupported_parameters_are_named_case_and_all(node: Node, make_os: Make) -> None:
    make_os(parameters__list="size\n\n")
    definition = os_definitions.read(node, "demo")

    os_definitions.check_parameters(definition, {"size"})
    with pytest.raises(OsDefinitionError, match=r"Size, other$"):
        os_definitions.check_parameters(definition, {"size", "other", "Size"})
