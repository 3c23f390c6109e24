"""Where file disks may lie."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ganeti.errors import FileStoragePathError
from ganeti.host.paths import Paths
from ganeti.storage import allowed_paths

NAMES = st.sampled_from(["srv", "usr", "local", "bin", "lib64", "etc", "home", "disks", "..", ".", "", "a\nb", "ä"])
PATHS = st.builds(lambda start, names: start + "/".join(names), st.sampled_from(["/", "//", ""]), st.lists(NAMES))


@pytest.mark.parametrize(
    "path",
    [
        "/etc",
        "/etc/passwd",
        "/srv/../etc/x",
        "/usr/lib/x",
        "/usr/local/sbin",
        "/lib32",
        "/dev/sda",
        "//etc",
        "relative",
        "",
        ".",
    ],
)
def test_forbidden_places(path: str) -> None:
    assert allowed_paths.is_forbidden(path)


@pytest.mark.parametrize(
    "path", ["/", "/srv", "/usr", "/usr/local", "/usr/share/x", "/etcetera", "/srv/etc", "/var/lib"]
)
def test_other_places(path: str) -> None:
    assert not allowed_paths.is_forbidden(path)


def test_the_list_has_comments_blanks_and_empty_lines(paths: Paths) -> None:
    paths.file_storage_paths_file.write_text("# no\n\n /srv/a \n\t/srv/b/\n")
    assert allowed_paths.entries(paths) == ["/srv/a", "/srv/b/"]


@pytest.mark.parametrize("content", [None, b"", b"# nothing\n", b"\xff\xfe/srv"])
def test_no_list_allows_nothing(paths: Paths, content: bytes | None) -> None:
    if content is not None:
        paths.file_storage_paths_file.write_bytes(content)
    with pytest.raises(FileStoragePathError):
        allowed_paths.check(paths, "/srv/a")


def test_wrong_entries_are_normalised_and_sorted(paths: Paths) -> None:
    paths.file_storage_paths_file.write_text("/usr/lib/x\n/srv/ok\nrelative/./x\n/etc//disks\n")
    assert allowed_paths.wrong_entries(paths) == ["/etc/disks", "/usr/lib/x", "relative/x"]


def test_the_directory_itself_holds_no_disk(paths: Paths) -> None:
    paths.file_storage_paths_file.write_text("/srv/a\n")
    with pytest.raises(FileStoragePathError, match="not below"):
        allowed_paths.check(paths, "/srv/a")
    assert allowed_paths.check(paths, "/srv/a", itself=True) == (Path("/srv/a"), Path("/srv/a"))


def test_the_longest_of_several_directories_counts(paths: Paths) -> None:
    paths.file_storage_paths_file.write_text("/srv\n/srv/a/b\n/srv/a\n")
    assert allowed_paths.check(paths, "/srv/a/b/c")[1] == Path("/srv/a/b")


def test_a_relative_entry_allows_nothing(paths: Paths) -> None:
    paths.file_storage_paths_file.write_text("srv\n.\n")
    with pytest.raises(FileStoragePathError):
        allowed_paths.check(paths, "/srv/x")


def test_the_list_is_read_at_every_check(paths: Paths) -> None:
    paths.file_storage_paths_file.write_text("/srv/a\n")
    allowed_paths.check(paths, "/srv/a/x")
    paths.file_storage_paths_file.write_text("/srv/b\n")
    with pytest.raises(FileStoragePathError):
        allowed_paths.check(paths, "/srv/a/x")


@settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(entry=PATHS, path=PATHS)
@example(entry="/", path="/srv/x")
@example(entry="/srv/disks", path="/srv/disks/../etc")
@example(entry="/srv/disks", path="/srv/disks2")
def test_what_is_allowed_lies_below_an_entry_and_in_no_forbidden_place(paths: Paths, entry: str, path: str) -> None:
    paths.file_storage_paths_file.write_text(f"{entry}\n", encoding="utf-8")
    try:
        place, _ = allowed_paths.check(paths, path)
    except FileStoragePathError:
        return
    real = os.path.normpath(path)
    holders = [os.path.normpath(line) for line in allowed_paths.entries(paths)]
    assert str(place) == path == real
    assert any(real.startswith(holder.rstrip("/").replace("//", "/") + "/") for holder in holders)
    assert real.split("/")[1] not in {
        "boot",
        "dev",
        "etc",
        "home",
        "proc",
        "root",
        "sys",
        "bin",
        "lib",
        "lib64",
        "sbin",
    }
    assert not real.startswith(("/usr/bin", "/usr/lib64", "/usr/local/bin", "/usr/local/lib64"))


def test_the_parent_is_reached_through_real_directories(paths: Paths, store: Path) -> None:
    (store / "g").mkdir()
    (store / "g/disk").write_text("x")
    with allowed_paths.open_parent(paths, store / "g/disk") as directory:
        assert os.stat("disk", dir_fd=directory).st_size == 1


@pytest.mark.parametrize("target", ["/etc", "."])
def test_a_link_on_the_way_is_refused(paths: Paths, store: Path, target: str) -> None:
    (store / "g").symlink_to(target)
    with pytest.raises(FileStoragePathError, match="link"), allowed_paths.open_parent(paths, store / "g/disk"):
        pass


def test_the_allowed_directory_may_be_a_link_of_the_administrator(paths: Paths, store: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(store)
    paths.file_storage_paths_file.write_text(f"{link}\n")
    (store / "disk").write_text("x")
    with allowed_paths.open_parent(paths, link / "disk") as directory:
        assert os.stat("disk", dir_fd=directory).st_size == 1


def test_directories_are_made_with_their_mode_whatever_the_umask(paths: Paths, store: Path) -> None:
    before = os.umask(0o077)
    try:
        allowed_paths.make_directories(paths, store / "a/b", 0o750)
    finally:
        os.umask(before)
    assert [stat.S_IMODE(path.stat().st_mode) for path in (store / "a", store / "a/b")] == [0o750, 0o750]


def test_directories_that_are_there_stay_as_they_are(paths: Paths, store: Path) -> None:
    (store / "a").mkdir(mode=0o700)
    allowed_paths.make_directories(paths, store / "a", 0o750)
    assert stat.S_IMODE((store / "a").stat().st_mode) == 0o700


def test_a_failure_takes_back_the_directories_made(paths: Paths, store: Path) -> None:
    with pytest.raises(OSError, match="too long"):
        allowed_paths.make_directories(paths, store / "a" / "b" / ("x" * 300), 0o750)
    assert list(store.iterdir()) == []


def test_a_file_in_the_way_of_a_directory_is_refused(paths: Paths, store: Path) -> None:
    (store / "a").write_text("x")
    with pytest.raises(NotADirectoryError):
        allowed_paths.make_directories(paths, store / "a/b", 0o750)
