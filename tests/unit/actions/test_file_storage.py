"""Directories of file disks."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from ganeti.actions import file_storage
from ganeti.actions.node import Node
from ganeti.errors import FileStoragePathError


@pytest.fixture
def store(node: Node, tmp_path: Path) -> Path:
    """The allowed directory."""
    directory = tmp_path / "srv/store"
    directory.mkdir(parents=True)
    node.paths.file_storage_paths_file.write_text(f"{directory}\n")
    return directory


def test_a_directory_is_made_with_its_parents_and_again_without_harm(node: Node, store: Path) -> None:
    for _ in range(2):
        file_storage.create_directory(node, str(store / "a/b"))
    assert [stat.S_IMODE(path.stat().st_mode) for path in (store / "a", store / "a/b")] == [0o700, 0o700]


@pytest.mark.parametrize("directory", ["/etc/x", "/srv/other", "x", "", "/"])
def test_a_directory_that_is_not_allowed_is_never_touched(node: Node, store: Path, directory: str) -> None:
    for act in (file_storage.create_directory, file_storage.remove_directory):
        with pytest.raises(FileStoragePathError):
            act(node, directory)
    for old, new in ((directory, str(store / "x")), (str(store / "x"), directory)):
        with pytest.raises(FileStoragePathError):
            file_storage.rename_directory(node, old, new)
    assert list(store.iterdir()) == []


def test_an_empty_directory_is_removed_and_again_without_harm(node: Node, store: Path) -> None:
    (store / "a").mkdir()
    for _ in range(2):
        file_storage.remove_directory(node, str(store / "a"))
    file_storage.remove_directory(node, str(store / "no/where"))
    assert list(store.iterdir()) == []


def test_a_directory_with_disks_stays(node: Node, store: Path) -> None:
    (store / "a").mkdir()
    (store / "a/disk").write_text("x")
    with pytest.raises(FileStoragePathError, match="not empty"):
        file_storage.remove_directory(node, str(store / "a"))
    assert (store / "a/disk").exists()


def test_a_file_is_no_directory(node: Node, store: Path) -> None:
    (store / "a").write_text("x")
    with pytest.raises(FileStoragePathError):
        file_storage.create_directory(node, str(store / "a"))
    with pytest.raises(FileStoragePathError, match="Not a directory"):
        file_storage.remove_directory(node, str(store / "a"))
    with pytest.raises(FileStoragePathError, match="not a directory"):
        file_storage.rename_directory(node, str(store / "a"), str(store / "b"))


def test_a_directory_is_renamed_and_again_without_harm(node: Node, store: Path) -> None:
    (store / "a").mkdir()
    (store / "a/disk").write_text("x")
    for _ in range(2):
        file_storage.rename_directory(node, str(store / "a"), str(store / "b"))
    assert (store / "b/disk").exists()
    assert not (store / "a").exists()


@pytest.mark.parametrize("existing", [("a", "b"), ()])
def test_a_rename_needs_the_old_directory_alone(node: Node, store: Path, existing: tuple[str, ...]) -> None:
    for name in existing:
        (store / name).mkdir()
    with pytest.raises(FileStoragePathError, match="cannot rename"):
        file_storage.rename_directory(node, str(store / "a"), str(store / "b"))
    assert sorted(path.name for path in store.iterdir()) == sorted(existing)


def test_the_directory_of_gluster_disks_lies_in_a_volume_and_is_left_alone(
    node: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    file_storage.create_directory(node, "ganeti")
    file_storage.remove_directory(node, "ganeti")
    assert sorted(tmp_path.rglob("*")) == before
    for path in ("other", "ganeti/", "ganeti/x", "./ganeti"):
        with pytest.raises(FileStoragePathError):
            file_storage.create_directory(node, path)
