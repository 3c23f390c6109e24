"""Files are whole or old, whenever the writer dies; and what reading refuses."""

from __future__ import annotations

import os
import resource
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ganeti.errors import NodeError
from ganeti.host import files


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_text("old")
    return path


@pytest.fixture(params=[0o000, 0o022, 0o077])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def names_in(directory: Path) -> list[str]:
    return sorted(item.name for item in directory.iterdir())


# Writing -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("data", ["", "text: grüße\n", b"\0\xff bytes"])
def test_what_is_written_is_what_is_read(path: Path, data: str | bytes) -> None:
    files.write_atomic(path, data)
    assert path.read_bytes() == (data.encode() if isinstance(data, str) else data)
    assert names_in(path.parent) == ["file"]


@pytest.mark.parametrize("mode", [0o400, 0o600, 0o644, 0o666, 0o777, 0o2755])
def test_the_mode_holds_whatever_the_umask(path: Path, umask: int, mode: int) -> None:
    files.write_atomic(path, "new", mode=mode)
    assert mode_of(path) == mode


def test_a_mode_with_a_file_type_in_it_is_taken_for_its_permissions(path: Path) -> None:
    files.write_atomic(path, "new", mode=0o100640)
    assert mode_of(path) == 0o640


def test_owner_and_times_are_set(path: Path) -> None:
    files.write_atomic(path, "new", uid=os.getuid(), gid=os.getgid(), times=(1.5, 2.5))
    status = path.stat()
    assert (status.st_uid, status.st_gid, status.st_atime, status.st_mtime) == (os.getuid(), os.getgid(), 1.5, 2.5)


def test_a_link_is_replaced_and_its_target_left_alone(path: Path) -> None:
    link = path.with_name("link")
    link.symlink_to(path)
    files.write_atomic(link, "new")
    assert not link.is_symlink()
    assert (link.read_text(), path.read_text()) == ("new", "old")


@pytest.mark.parametrize("name", ["n" * 255, "ü" * 127])
def test_the_longest_names_can_be_written(tmp_path: Path, name: str) -> None:
    files.write_atomic(tmp_path / name, "new")
    assert names_in(tmp_path) == [name]


def test_a_missing_directory_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        files.write_atomic(tmp_path / "missing" / "file", "new")


def test_an_owner_that_cannot_be_given_leaves_all_as_it_was(path: Path) -> None:
    with pytest.raises((OSError, OverflowError)):
        files.write_atomic(path, "new", uid=-2)
    assert path.read_text() == "old"
    assert names_in(path.parent) == ["file"]


def test_a_directory_in_its_place_leaves_no_other_name(tmp_path: Path) -> None:
    (tmp_path / "file").mkdir()
    with pytest.raises(IsADirectoryError):
        files.write_atomic(tmp_path / "file", "new")
    assert names_in(tmp_path) == ["file"]


def test_a_full_disk_leaves_all_as_it_was(path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            files.write_atomic(path, "n" * 6000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_text() == "old"
    assert names_in(path.parent) == ["file"]


DIE_AT_EACH_LINE = """\
import os, sys
from pathlib import Path
from ganeti.host import files

path = Path(sys.argv[1])

def die_at(step):
    left = step
    def trace(frame, event, argument):
        nonlocal left
        if not frame.f_code.co_filename.endswith("ganeti/host/files.py"):
            return None
        left -= event == "line"
        if left < 0:
            os._exit(9)
        return trace
    return trace

for step in range(1000):
    path.write_text("old")
    child = os.fork()
    if child == 0:
        sys.settrace(die_at(step))
        files.write_atomic(path, "new" * 1000)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    content = path.read_text()
    print("old" if content == "old" else "new" if content == "new" * 1000 else "mixture")
    if status == 0:
        break
"""


def test_a_writer_killed_at_any_step_leaves_the_old_content_or_the_new(path: Path, real_processes: None) -> None:
    output = subprocess.check_output([sys.executable, "-c", DIE_AT_EACH_LINE, path], text=True).split()
    assert set(output) == {"old", "new"}
    assert output == sorted(output, reverse=True)  # first the old, then the new
    assert output.count("old") > 10


# Directories and links -----------------------------------------------------------------------------------------------


def test_a_directory_gets_exactly_its_mode(tmp_path: Path, umask: int) -> None:
    files.ensure_directory(tmp_path / "new", 0o775)
    assert mode_of(tmp_path / "new") == 0o775
    files.ensure_directory(tmp_path / "new", 0o750)
    assert mode_of(tmp_path / "new") == 0o750


def test_something_else_in_a_directorys_place_is_an_error(path: Path) -> None:
    with pytest.raises(NodeError, match="file exists and is not a directory"):
        files.ensure_directory(path, 0o750)


def test_removing_says_whether_it_was_there(path: Path) -> None:
    assert files.remove(path)
    assert not files.remove(path)


def test_a_link_is_made_changed_and_left_alone_when_right(tmp_path: Path) -> None:
    link = tmp_path / "link"
    files.replace_link(link, Path("/dev/a"))
    made = link.lstat().st_ino
    files.replace_link(link, Path("/dev/a"))
    assert link.lstat().st_ino == made
    files.replace_link(link, Path("/dev/b"))
    assert link.readlink() == Path("/dev/b")
    assert names_in(tmp_path) == ["link"]


def test_a_link_that_cannot_be_put_in_place_leaves_no_other_name(tmp_path: Path) -> None:
    (tmp_path / "link").mkdir()
    with pytest.raises(IsADirectoryError):
        files.replace_link(tmp_path / "link", Path("/dev/a"))
    assert names_in(tmp_path) == ["link"]


# Reading -------------------------------------------------------------------------------------------------------------


def test_a_file_up_to_the_limit_is_read_and_a_larger_one_refused(path: Path) -> None:
    assert files.read_text(path, limit=3) == "old"
    with pytest.raises(NodeError, match="larger than 2 bytes"):
        files.read_text(path, limit=2)


def test_what_is_no_text_is_refused_with_the_place(path: Path) -> None:
    path.write_bytes(b"ab\xff")
    with pytest.raises(NodeError, match=r"not UTF-8 text: .* at byte 2"):
        files.read_text(path)


def test_the_tail_is_the_last_lines_within_the_window(path: Path) -> None:
    path.write_text("".join(f"line {number}\n" for number in range(1000)))
    assert files.tail(path, 2) == ["line 998", "line 999"]
    assert files.tail(path, 100, window=13) == ["998", "line 999"]


def test_the_tail_of_a_short_file_is_all_of_it(path: Path) -> None:
    path.write_bytes(b"\xff one\ntwo")
    assert files.tail(path) == ["\\xff one", "two"]


def test_comments_and_empty_lines_are_not_significant() -> None:
    assert files.significant_lines("# a\n\n  b \n   # c\nd # e\n") == ["b", "d # e"]


def test_hidden_names_are_left_out_and_lost_files_only_of_a_mount_point(tmp_path: Path) -> None:
    for name in (".hidden", "b", "a", "lost+found"):
        (tmp_path / name).mkdir()
    assert files.visible_names(tmp_path) == ["a", "b", "lost+found"]
