"""User ids of the cluster's pool: taken, held, given back."""

from __future__ import annotations

import pwd
from collections.abc import Callable

import pytest

from ganeti.errors import CommandError, HypervisorError
from ganeti.host.paths import Paths
from ganeti.host.system import System
from ganeti.host.transcript import ReplayRunner
from ganeti.hypervisor.drivers.kvm.uid_pool import UidPool

Replay = Callable[..., ReplayRunner]


def pool(paths: Paths, runner: ReplayRunner, content: str) -> UidPool:
    paths.ssconf("uid_pool").write_text(content)
    return UidPool(System(paths=paths, runner=runner))


def free(number: int) -> str:
    return f"$ pgrep -u {number}\n= 1\n"


def taken(paths: Paths) -> list[str]:
    return sorted(path.name for path in (paths.run_dir / "uid-pool").iterdir())


def test_a_free_id_is_taken_with_its_users_name_and_given_back(paths: Paths, replay: Replay) -> None:
    with pool(paths, replay(free(0)), "0\n").take() as uid:
        assert (uid.number, uid.user) == (0, pwd.getpwuid(0).pw_name)
        assert taken(paths) == ["0"]
    assert taken(paths) == []


def test_an_id_kept_for_a_guest_stays_marked_until_it_is_released(paths: Paths, replay: Replay) -> None:
    ids = pool(paths, replay(free(0)), "0-0\n")
    with ids.take() as uid:
        uid.keep()
    assert taken(paths) == ["0"]
    ids.release(0)
    assert taken(paths) == []


def test_an_id_that_is_held_or_has_processes_is_passed_over(paths: Paths, replay: Replay) -> None:
    ids = pool(paths, replay(free(0) + "$ pgrep -u 0\n> 4711\n= 0\n"), "0\n")
    with ids.take(), pytest.raises(HypervisorError, match="no user id"):
        ids.take()
    with pytest.raises(HypervisorError, match="no user id"):
        ids.take()


def test_an_id_without_user_is_refused_and_free_again(paths: Paths, replay: Replay) -> None:
    nobodys = next(number for number in range(60000, 61000) if number not in {entry.pw_uid for entry in pwd.getpwall()})
    with pytest.raises(HypervisorError, match=f"user id {nobodys} .* has no user"):
        pool(paths, replay(free(nobodys)), f"{nobodys}\n").take()
    assert taken(paths) == []


def test_an_id_that_was_not_used_before_comes_first(paths: Paths, replay: Replay) -> None:
    known = sorted({entry.pw_uid for entry in pwd.getpwall() if entry.pw_uid < 10})[:2]
    ids = pool(paths, replay(free(known[1])), f"{known[0]}-{known[1]}\n")
    (paths.run_dir / "uid-pool").mkdir()
    (paths.run_dir / "uid-pool" / str(known[0])).touch()
    with ids.take() as uid:
        assert uid.number == known[1]


@pytest.mark.parametrize("content", ["", "# none\n"])
def test_an_empty_pool_has_no_free_id(paths: Paths, replay: Replay, content: str) -> None:
    with pytest.raises(HypervisorError, match="no user id"):
        pool(paths, replay(""), content).take()


def test_no_pool_has_no_free_id(system: System) -> None:
    with pytest.raises(HypervisorError, match="no user id"):
        UidPool(system).take()


def test_a_line_that_is_no_range_is_told(paths: Paths, replay: Replay) -> None:
    with pytest.raises(HypervisorError, match="no range of user ids: 'a-b'"):
        pool(paths, replay(""), "a-b\n").take()


def test_a_failing_pgrep_is_an_error_not_a_free_id(paths: Paths, replay: Replay) -> None:
    with pytest.raises(CommandError):
        pool(paths, replay("$ pgrep -u 0\n! no /proc\n= 3\n"), "0\n").take()
