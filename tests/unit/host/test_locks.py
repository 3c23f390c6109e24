"""Locks between programs, and between threads of one."""

from __future__ import annotations

import fcntl
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from ganeti.errors import LockTimeout
from ganeti.host import locks
from ganeti.host.clock import FakeClock, SystemClock

HOLD = """\
import fcntl, sys
file = open(sys.argv[1], "a")
fcntl.{call}(file, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "lock"


def test_a_free_lock_is_taken_at_once(path: Path, clock: FakeClock) -> None:
    with locks.exclusive(path, clock, timeout_s=10):
        assert clock.sleeps == []


def test_a_held_lock_times_out_naming_the_file(path: Path, clock: FakeClock) -> None:
    with locks.exclusive(path, clock, timeout_s=0), pytest.raises(LockTimeout, match=r"/lock .* for 10 s"):
        locks.exclusive(path, clock, timeout_s=10)
    assert 10 <= sum(clock.sleeps) < 11


def test_a_held_lock_is_tried_once_when_there_is_no_time(path: Path, clock: FakeClock) -> None:
    with locks.exclusive(path, clock, timeout_s=0), pytest.raises(LockTimeout):
        locks.exclusive(path, clock, timeout_s=0)
    assert clock.sleeps == []


def test_a_lock_is_free_again_after_its_block_and_after_an_error(path: Path, clock: FakeClock) -> None:
    with pytest.raises(ZeroDivisionError), locks.exclusive(path, clock, timeout_s=0):
        _ = 1 / 0
    with locks.exclusive(path, clock, timeout_s=0):
        pass


def test_trying_says_whether_it_is_held(path: Path) -> None:
    lock = locks.try_exclusive(path)
    assert lock is not None
    assert locks.try_exclusive(path) is None
    lock.release()
    again = locks.try_exclusive(path)
    assert again is not None
    again.release()


def test_two_threads_are_never_inside_together(path: Path, tmp_path: Path) -> None:
    counter, clock = tmp_path / "counter", SystemClock()
    counter.write_text("0")

    def work() -> None:
        for _ in range(25):
            with locks.exclusive(path, clock, timeout_s=60):
                counter.write_text(str(int(counter.read_text()) + 1))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counter.read_text() == "100"


def test_another_program_holds_it_as_well(path: Path, clock: FakeClock, real_processes: None) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD.format(call="flock"), path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        assert locks.try_exclusive(path) is None
        other.communicate()
    with locks.exclusive(path, clock, timeout_s=0):
        pass


def test_the_record_lock_of_the_masters_daemon_does_not_hinder(
    path: Path, clock: FakeClock, real_processes: None
) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD.format(call="lockf"), path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        with locks.exclusive(path, clock, timeout_s=0):
            pass
        other.communicate()


def test_a_lock_handed_over_ends_with_the_program_that_got_it(path: Path, real_processes: None) -> None:
    lock = locks.try_exclusive(path)
    assert lock is not None
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, pass_fds=[lock.descriptor]) as heir:
        lock.hand_over()
        assert locks.try_exclusive(path) is None
        heir.communicate()
    again = locks.try_exclusive(path)
    assert again is not None
    again.release()


def test_a_released_lock_is_free_though_a_program_inherited_it(path: Path, real_processes: None) -> None:
    lock = locks.try_exclusive(path)
    assert lock is not None
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, pass_fds=[lock.descriptor]) as heir:
        lock.release()
        again = locks.try_exclusive(path)
        assert again is not None
        again.release()
        heir.communicate()


def test_a_file_removed_while_held_is_not_the_lock_any_more(path: Path, clock: FakeClock) -> None:
    with locks.exclusive(path, clock, timeout_s=0):
        path.unlink()
        with locks.exclusive(path, clock, timeout_s=0):
            assert locks.try_exclusive(path) is None


def test_a_file_locked_just_when_it_is_replaced_is_tried_again(path: Path) -> None:
    # the state between the two steps: what was opened and locked is no longer what the path names
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    path.rename(path.with_name("old"))
    lock = locks.try_exclusive(path)
    assert lock is not None
    assert os.path.samestat(os.fstat(lock.descriptor), path.stat())
    lock.release()
    os.close(descriptor)


def test_the_content_of_a_lock_file_is_left_alone(path: Path, clock: FakeClock) -> None:
    path.write_text("1234\n")
    with locks.exclusive(path, clock, timeout_s=0):
        pass
    assert path.read_text() == "1234\n"


def test_a_new_lock_file_is_not_for_everybody(path: Path, clock: FakeClock) -> None:
    with locks.exclusive(path, clock, timeout_s=0):
        assert stat.S_IMODE(path.stat().st_mode) & 0o027 == 0


def test_a_link_somebody_laid_in_the_lock_directory_is_not_followed(path: Path, tmp_path: Path) -> None:
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic links"):
        locks.try_exclusive(path)
    assert not (tmp_path / "elsewhere").exists()
