"""Notes beside the devices in use."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from ganeti.actions import device_cache
from ganeti.actions.node import Node

BAD_PATHS = [Path("/dev/" + "x" * 300), Path("/dev/a\0b"), Path("/dev/\ud800")]


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/dev/xenvg/disk0", "bdev_xenvg_disk0"),
        ("/dev/drbd0", "bdev_drbd0"),
        ("/srv/store/disk0", "bdev__srv_store_disk0"),
        ("/dev/dev/x", "bdev_dev_x"),
    ],
)
def test_a_note_is_named_after_the_path(node: Node, path: str, name: str) -> None:
    assert device_cache.note_path(node, Path(path)) == node.paths.bdev_cache_dir / name


@pytest.mark.parametrize(
    ("on_primary", "iv_name", "text"),
    [(True, "disk/0", "guest1 primary disk/0\n"), (False, None, "guest1 secondary not_visible\n")],
)
def test_a_note_is_one_line_of_three_words(node: Node, on_primary: bool, iv_name: str | None, text: str) -> None:
    path = Path("/dev/xenvg/disk0")
    for _ in range(2):
        device_cache.update(node, path, owner="guest1", on_primary=on_primary, iv_name=iv_name)
    note = device_cache.note_path(node, path)
    assert note.read_text() == text
    assert stat.S_IMODE(note.stat().st_mode) == 0o600
    for _ in range(2):
        device_cache.remove(node, path)
    assert list(node.paths.bdev_cache_dir.iterdir()) == []


@pytest.mark.parametrize("path", BAD_PATHS, ids=["too long", "null", "surrogate"])
def test_no_note_is_a_warning_and_nothing_more(node: Node, path: Path, caplog: pytest.LogCaptureFixture) -> None:
    device_cache.update(node, path, owner="guest1", on_primary=True, iv_name=None)
    device_cache.remove(node, path)
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]


def test_a_file_in_the_way_of_all_notes_makes_nothing_fail(node: Node) -> None:
    node.paths.bdev_cache_dir.rmdir()
    node.paths.bdev_cache_dir.write_text("in the way")
    device_cache.update(node, Path("/dev/vg/disk"), owner="guest1", on_primary=True, iv_name=None)
    device_cache.remove(node, Path("/dev/vg/disk"))


def test_a_device_without_path_is_told_and_nothing_more(node: Node, caplog: pytest.LogCaptureFixture) -> None:
    device_cache.update(node, None, owner="guest1", on_primary=True, iv_name=None)
    device_cache.remove(node, None)
    assert [record.levelname for record in caplog.records] == ["ERROR", "ERROR"]
    assert list(node.paths.bdev_cache_dir.iterdir()) == []
