"""Storage providers: what makes one valid, and what is said of one that is not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ganeti.actions import external_storage
from ganeti.actions.node import Node
from ganeti.errors import BlockDeviceError
from ganeti.host.paths import Paths
from ganeti.storage import providers


def make(directory: Path, *, parameters: str = "size how large\n", optional: tuple[str, ...] = ()) -> Path:
    """A provider whose scripts do nothing."""
    directory.mkdir(parents=True)
    for name in (*providers.REQUIRED, *optional):
        (directory / name).write_text("#!/bin/sh\n")
        (directory / name).chmod(0o755)
    (directory / providers.PARAMETERS_FILE).write_text(parameters)
    return directory


@pytest.fixture
def place(paths: Paths) -> Path:
    """The search path."""
    return paths.ext_search_path[0]


def rows(node: Node) -> dict[str, tuple[bool, str]]:
    return {name: (is_valid, message) for name, _, is_valid, message, _ in external_storage.diagnose(node)}


def test_a_provider_has_its_scripts_and_parameters(paths: Paths, place: Path) -> None:
    made = make(place / "nas", optional=("snapshot",))
    found = providers.find(paths, "nas")
    assert (found.name, found.path, found.parameters) == ("nas", made, (("size", "how large"),))
    assert found.script(providers.SNAPSHOT) == made / "snapshot"
    assert found.script(providers.OPEN) is None


def test_the_first_directory_of_the_search_path_wins(system_paths: Paths) -> None:
    for directory in system_paths.ext_search_path:
        make(directory / "nas")
    assert providers.find(system_paths, "nas").path == system_paths.ext_search_path[0] / "nas"


@pytest.fixture
def system_paths(paths: Paths, tmp_path: Path) -> Paths:
    """A search path of two directories."""
    return replace(paths, ext_search_path=(tmp_path / "first", tmp_path / "second"))


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../nas", "nas\n", "n as", "ü", "x" * 5000])
def test_a_name_that_is_none_finds_nothing(paths: Paths, place: Path, name: str) -> None:
    make(place / "nas")
    with pytest.raises(BlockDeviceError, match="there is no storage provider"):
        providers.find(paths, name)


@pytest.mark.parametrize("name", [*providers.REQUIRED, providers.PARAMETERS_FILE])
def test_a_missing_file_makes_it_invalid(node: Node, place: Path, name: str) -> None:
    (make(place / "nas") / name).unlink()
    is_valid, message = rows(node)["nas"]
    assert not is_valid
    assert f"nas: {name} is missing (ENOENT)" in message


@pytest.mark.parametrize("name", [*providers.REQUIRED, *providers.OPTIONAL])
def test_a_script_that_is_not_executable_makes_it_invalid(node: Node, place: Path, name: str) -> None:
    (make(place / "nas", optional=providers.OPTIONAL) / name).chmod(0o644)
    assert rows(node)["nas"] == (False, f"storage provider {place}/nas: {name} is not executable")


@pytest.mark.parametrize("name", [*providers.REQUIRED, *providers.OPTIONAL, providers.PARAMETERS_FILE])
def test_a_directory_in_a_files_place_makes_it_invalid(node: Node, place: Path, name: str) -> None:
    made = make(place / "nas")
    (made / name).unlink(missing_ok=True)
    (made / name).mkdir()
    assert rows(node)["nas"] == (False, f"storage provider {place}/nas: {name} is not a regular file")


def test_an_optional_script_that_is_a_link_to_nothing_makes_it_invalid(node: Node, place: Path) -> None:
    (make(place / "nas") / "open").symlink_to("/nowhere/at/all")
    assert rows(node)["nas"] == (False, f"storage provider {place}/nas: open is missing (ENOENT)")


def test_links_to_good_files_are_followed(node: Node, place: Path, tmp_path: Path) -> None:
    (place / "nas").symlink_to(make(tmp_path / "real"))
    assert rows(node)["nas"] == (True, "")


def test_blank_lines_and_comments_are_no_parameters_and_a_description_may_be_missing(paths: Paths, place: Path) -> None:
    make(place / "nas", parameters="\n  \nalone\n# a comment\n\tsize \t how large it is \n\n")
    assert providers.find(paths, "nas").parameters == (("alone", ""), ("size", "how large it is"))


@pytest.mark.parametrize("content", [b"\xff\xfe\n", b"x" * (providers.LONGEST_LIST + 1)])
def test_a_list_that_cannot_be_read_makes_it_invalid(node: Node, place: Path, content: bytes) -> None:
    (make(place / "nas") / providers.PARAMETERS_FILE).write_bytes(content)
    is_valid, message = rows(node)["nas"]
    assert not is_valid
    assert "cannot read parameters.list" in message


def test_every_visible_entry_is_judged(node: Node, place: Path) -> None:
    make(place / "nas")
    make(place / "bad name")
    make(place / ".hidden")
    (place / "file").write_text("")
    found = rows(node)
    assert {name: is_valid for name, (is_valid, _) in found.items()} == {"nas": True, "bad name": False, "file": False}
    assert found["file"][1].endswith("file: create is missing (ENOTDIR)")
    assert "letters, digits" in found["bad name"][1]


def test_a_row_has_the_parameters_of_a_valid_provider_alone(node: Node, place: Path) -> None:
    make(place / "nas")
    (make(place / "sick") / "create").unlink()
    parameters = {name: last for name, *_, last in external_storage.diagnose(node)}
    assert parameters == {"nas": [("size", "how large")], "sick": []}


def test_a_name_that_is_no_text_is_shown_with_escapes(node: Node, place: Path) -> None:
    (place / "n\udcffas").mkdir()
    ((name, path, is_valid, _, _),) = external_storage.diagnose(node)
    assert (name, path, is_valid) == ("n\\udcffas", f"{place}/n\\udcffas", False)


def test_no_directory_of_the_search_path_means_no_provider(node: Node, place: Path) -> None:
    place.rmdir()
    assert external_storage.diagnose(node) == []
