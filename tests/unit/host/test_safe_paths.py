"""Nothing below an allowed directory leads out of it, whoever walks the way: the kernel or we."""

from __future__ import annotations

import os
import socket
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from ganeti.errors import UnsafePath
from ganeti.host import files, safe_paths
from ganeti.host.safe_paths import SafeDirectory

READ = os.O_RDONLY


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A file outside of the root."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("secret")
    return outside / "secret"


@pytest.fixture(params=[safe_paths.open_beneath, safe_paths.open_walking], ids=["openat2", "walking"])
def opener(request: pytest.FixtureRequest) -> safe_paths.Opener:
    opener: safe_paths.Opener = request.param
    return opener


@pytest.fixture
def root(tmp_path: Path, opener: safe_paths.Opener) -> Iterator[SafeDirectory]:
    """The allowed directory, with `dir/file` in it."""
    (tmp_path / "root" / "dir").mkdir(parents=True)
    (tmp_path / "root" / "dir" / "file").write_text("inside")
    with SafeDirectory(tmp_path / "root", opener=opener) as directory:
        yield directory


@pytest.fixture
def following(tmp_path: Path) -> Iterator[SafeDirectory]:
    (tmp_path / "root" / "dir").mkdir(parents=True)
    (tmp_path / "root" / "dir" / "file").write_text("inside")
    with SafeDirectory(tmp_path / "root", inner_links=True) as directory:
        yield directory


def open_descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def content(root: SafeDirectory, path: str | Path) -> str:
    with os.fdopen(root.open(path, READ)) as file:
        return file.read()


# Attacks: each makes something below the root and gives the path to try ---------------------------------------------


def link_out(root: Path, secret: Path) -> str:
    (root / "out").symlink_to(secret)
    return "out"


def relative_link_out(root: Path, secret: Path) -> str:
    (root / "out").symlink_to(f"../outside/{secret.name}")
    return "out"


def directory_link_out(root: Path, secret: Path) -> str:
    (root / "away").symlink_to(secret.parent)
    return "away/secret"


def chain_of_links(root: Path, secret: Path) -> str:
    (root / "a").symlink_to("b")
    (root / "b").symlink_to("dir/c")
    (root / "dir" / "c").symlink_to(secret.parent)
    return "a/secret"


def link_to_the_root_directory(root: Path, secret: Path) -> str:
    (root / "slash").symlink_to("/")
    return f"slash/{secret.relative_to('/')}"


def loop(root: Path, secret: Path) -> str:
    (root / "loop").symlink_to("loop")
    return "loop/secret"


def magic_link(root: Path, secret: Path) -> str:
    (root / "magic").symlink_to(f"/proc/self/cwd/{secret}")
    return "magic"


def parent_directory(root: Path, secret: Path) -> str:
    return "../outside/secret"


def hidden_parent_directory(root: Path, secret: Path) -> str:
    return "dir/../../outside/secret"


def absolute_path_elsewhere(root: Path, secret: Path) -> str:
    return str(secret)


def absolute_path_with_parent(root: Path, secret: Path) -> str:
    return f"{root}/../outside/secret"


def neighbour_with_the_same_beginning(root: Path, secret: Path) -> str:
    Path(f"{root}-other").mkdir()
    Path(f"{root}-other", "secret").write_text("secret")
    return f"{root}-other/secret"


ATTACKS = [
    link_out,
    relative_link_out,
    directory_link_out,
    chain_of_links,
    link_to_the_root_directory,
    loop,
    magic_link,
    parent_directory,
    hidden_parent_directory,
    absolute_path_elsewhere,
    absolute_path_with_parent,
    neighbour_with_the_same_beginning,
]
Attack = Callable[[Path, Path], str]
WAYS = [attack for attack in ATTACKS if attack not in (link_out, relative_link_out, magic_link)]
"""Attacks by the way to a name. Links at the end of one are no attack on what works on the link itself."""


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("flags", [READ, os.O_WRONLY | os.O_TRUNC, os.O_RDWR | os.O_CREAT])
def test_no_way_out_by_opening(root: SafeDirectory, secret: Path, attack: Attack, flags: int) -> None:
    path = attack(root.root, secret)
    with pytest.raises(UnsafePath):
        root.open(path, flags)
    assert secret.read_text() == "secret"


@pytest.mark.parametrize("attack", ATTACKS)
def test_no_way_out_when_links_inside_are_followed(following: SafeDirectory, secret: Path, attack: Attack) -> None:
    path = attack(following.root, secret)
    with pytest.raises(UnsafePath):
        following.open(path, READ)


OPERATIONS: dict[str, Callable[[SafeDirectory, str], object]] = {
    "write": lambda root, path: root.write(path, "changed"),
    "create": lambda root, path: root.create(path),
    "stat": lambda root, path: root.stat(path),
    "unlink": lambda root, path: root.unlink(path),
    "rename from": lambda root, path: root.rename(path, "stolen"),
    "rename to": lambda root, path: root.rename("dir/file", path),
    "mkdir": lambda root, path: root.mkdir(path),
    "rmdir": lambda root, path: root.rmdir(path),
    "list": lambda root, path: root.list(path),
}


@pytest.mark.parametrize("attack", WAYS)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_no_way_out_by_any_other_operation(root: SafeDirectory, secret: Path, attack: Attack, operation: str) -> None:
    path = attack(root.root, secret)
    with pytest.raises(UnsafePath):
        OPERATIONS[operation](root, path)
    assert secret.read_text() == "secret"
    assert content(root, "dir/file") == "inside"


@pytest.mark.parametrize("name", ["", ".", "..", "dir/", "dir//file", "./dir/file", "a\x00b", "a\nb", "x" * 256])
def test_a_path_not_in_normal_form_is_refused(root: SafeDirectory, name: str) -> None:
    with pytest.raises(UnsafePath):
        root.open(name, READ | os.O_CREAT)


def test_a_link_that_stays_inside_is_refused_unless_asked_for(root: SafeDirectory) -> None:
    (root.root / "inner").symlink_to("dir/file")
    with pytest.raises(UnsafePath, match="symbolic link"):
        root.open("inner", READ)


def test_a_link_that_stays_inside_is_followed_when_asked_for(following: SafeDirectory) -> None:
    (following.root / "inner").symlink_to("dir")
    assert content(following, "inner/file") == "inside"


def test_a_directory_that_others_swap_for_a_link_never_leads_out(root: SafeDirectory, secret: Path) -> None:
    (secret.parent / "file").write_text("secret")
    (root.root / "link").symlink_to(secret.parent)
    swaps, until = root.root / "swap", threading.Event()

    def swap() -> None:
        while not until.is_set():
            (root.root / "dir").rename(swaps)
            (root.root / "link").rename(root.root / "dir")
            (root.root / "dir").rename(root.root / "link")
            swaps.rename(root.root / "dir")

    attacker = threading.Thread(target=swap)
    attacker.start()
    outcomes = {"inside": 0, "refused": 0, "missing": 0}
    try:
        for round_number in range(20000):
            try:
                outcomes[content(root, "dir/file")] += 1
            except (UnsafePath, NotADirectoryError):  # the latter when the link is gone before it was looked at
                outcomes["refused"] += 1
            except (FileNotFoundError, BlockingIOError):
                outcomes["missing"] += 1
            # the machine decides how the threads meet: go on until the attack was met at least once
            if round_number > 500 and outcomes["inside"] and outcomes["refused"]:
                break
    finally:
        until.set()
        attacker.join()
    assert outcomes["inside"]
    assert outcomes["refused"]


# Other things than files ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("flags", [READ, os.O_WRONLY, os.O_RDWR])
def test_a_pipe_is_refused_and_not_waited_for(root: SafeDirectory, flags: int) -> None:
    os.mkfifo(root.root / "pipe")
    with pytest.raises(UnsafePath, match="not a regular file"):
        root.open("pipe", flags)


def test_a_socket_is_refused(root: SafeDirectory) -> None:
    with socket.socket(socket.AF_UNIX) as listener, files.opened_directory(root.root) as directory:
        listener.bind(f"/proc/self/fd/{directory}/socket")  # the whole path can be too long for an address
        with pytest.raises(UnsafePath, match="not a regular file"):
            root.open("socket", READ)


def test_a_directory_is_refused_as_a_file(root: SafeDirectory) -> None:
    with pytest.raises(UnsafePath, match="not a regular file"):
        root.open("dir", READ)


def test_a_file_with_another_name_is_refused_when_asked_and_not_emptied(root: SafeDirectory, secret: Path) -> None:
    (root.root / "hard").hardlink_to(secret)
    with pytest.raises(UnsafePath, match="another name"):
        root.open("hard", os.O_WRONLY | os.O_TRUNC, single_link=True)
    assert secret.read_text() == "secret"


def test_no_descriptor_is_left_after_refusals(root: SafeDirectory, secret: Path) -> None:
    path = directory_link_out(root.root, secret)
    os.mkfifo(root.root / "pipe")
    before = open_descriptors()
    for tried in (path, "pipe", "dir", "missing/file", "dir/missing"):
        with suppress(UnsafePath, FileNotFoundError):
            root.open(tried, READ)
    assert open_descriptors() == before


# Honest use ----------------------------------------------------------------------------------------------------------


def test_absolute_paths_below_the_root_are_taken(root: SafeDirectory) -> None:
    assert content(root, root.root / "dir" / "file") == "inside"


def test_a_written_file_has_the_asked_mode_and_leaves_no_other_name(root: SafeDirectory) -> None:
    root.write("dir/new", "text", mode=0o666)
    assert content(root, "dir/new") == "text"
    assert stat.S_IMODE(root.stat("dir/new").st_mode) == 0o666
    assert root.list("dir") == ["file", "new"]


def test_writing_replaces_a_link_and_leaves_its_target(root: SafeDirectory, secret: Path) -> None:
    (root.root / "out").symlink_to(secret)
    root.write("out", "mine")
    assert (content(root, "out"), secret.read_text()) == ("mine", "secret")


def test_create_makes_a_new_file_alone(root: SafeDirectory) -> None:
    os.close(root.create("dir/new", 0o646))
    assert stat.S_IMODE(root.stat("dir/new").st_mode) == 0o646
    with pytest.raises(FileExistsError):
        root.create("dir/new")


def test_opening_with_truncation_empties_the_file(root: SafeDirectory) -> None:
    os.close(root.open("dir/file", os.O_WRONLY | os.O_TRUNC))
    assert content(root, "dir/file") == ""


def test_directories_come_and_go(root: SafeDirectory) -> None:
    root.mkdir("dir/sub", 0o777)
    assert stat.S_IMODE(root.stat("dir/sub").st_mode) == 0o777
    root.rename("dir/sub", "moved")
    assert root.list() == ["dir", "moved"]
    root.rmdir("moved")
    assert not root.exists("moved")


def test_links_themselves_can_be_looked_at_moved_and_removed(root: SafeDirectory, secret: Path) -> None:
    (root.root / "out").symlink_to(secret)
    root.rename("out", "dir/out")
    assert stat.S_ISLNK(root.stat("dir/out").st_mode)
    root.unlink("dir/out")
    assert not root.exists("dir/out")
    assert secret.exists()


def test_what_is_missing_is_missing_not_unsafe(root: SafeDirectory) -> None:
    with pytest.raises(FileNotFoundError):
        root.open("dir/missing", READ)
    with pytest.raises(NotADirectoryError):
        root.open("dir/file/below", READ)


def test_a_root_that_is_a_link_is_followed(root: SafeDirectory, tmp_path: Path, opener: safe_paths.Opener) -> None:
    (tmp_path / "name").symlink_to(root.root)
    with SafeDirectory(tmp_path / "name", opener=opener) as named:
        assert content(named, "dir/file") == "inside"
