"""Real programs, started by the one place that starts them."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from ganeti.errors import CommandError, ProgramNotFound
from ganeti.host import procfs
from ganeti.host.runner import Result, SystemRunner


def script(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o755)
    return path


def number_in(path: Path) -> int:
    return int(path.read_text())


def wait_until_dead(pid: int) -> bool:
    """Whether a process that was told to end does so within seconds."""
    try:
        with procfs.watched(pid) as descriptor:
            return procfs.wait_for_end(descriptor, 5)
    except ProcessLookupError:
        return True


# Ends ----------------------------------------------------------------------------------------------------------------


def test_both_outputs_and_the_status_are_told_apart(real_runner: SystemRunner) -> None:
    result = real_runner.run(["sh", "-c", "echo out; echo err >&2; exit 3"])
    assert (result.stdout, result.stderr, result.output) == ("out\n", "err\n", "out\nerr\n")
    assert (result.exit_code, result.signal, result.failed) == (3, None, True)
    assert result.reason == "exited with status 3"


def test_a_signal_is_told_from_a_status(real_runner: SystemRunner) -> None:
    result = real_runner.run(["sh", "-c", "kill -9 $$"])
    assert (result.exit_code, result.signal, result.failed) == (None, signal.SIGKILL, True)
    assert result.reason == "ended by signal SIGKILL"


def test_success_has_no_reason(real_runner: SystemRunner) -> None:
    result = real_runner.run(["true"])
    assert (result.failed, result.reason) == (False, "")
    assert result.raise_if_failed() is result


def test_check_raises_with_the_command_the_reason_and_the_output(real_runner: SystemRunner) -> None:
    with pytest.raises(CommandError) as caught:
        real_runner.check(["sh", "-c", "echo 'no space' >&2; exit 5"])
    assert caught.value.reason == "exited with status 5"
    assert str(caught.value) == "sh -c 'echo '\"'\"'no space'\"'\"' >&2; exit 5' failed: exited with status 5: no space"


def test_a_shell_text_is_run_by_the_shell(real_runner: SystemRunner) -> None:
    assert real_runner.shell("echo a | tr a b").stdout == "b\n"


def test_output_that_is_not_text_is_kept_readable(real_runner: SystemRunner) -> None:
    assert real_runner.run(["printf", r"a\377b\303\251"]).stdout == r"a\xffb" + "é"


def test_much_output_on_both_streams_does_not_block(real_runner: SystemRunner) -> None:
    text = "import sys; sys.stderr.write('e' * 300000); sys.stdout.write('o' * 300000)"
    result = real_runner.run([sys.executable, "-c", text])
    assert (len(result.stdout), len(result.stderr)) == (300000, 300000)


# What it gets --------------------------------------------------------------------------------------------------------


def test_standard_input_is_given_or_at_its_end(real_runner: SystemRunner) -> None:
    assert real_runner.run(["cat"], stdin="grüße").stdout == "grüße"
    assert real_runner.run(["cat"], stdin=b"bytes").stdout == "bytes"
    assert real_runner.run(["cat"]).stdout == ""


def test_a_program_that_does_not_read_its_input_is_no_error(real_runner: SystemRunner) -> None:
    assert not real_runner.run(["true"], stdin="x" * 1_000_000).failed


def test_the_environment_is_the_daemons_in_plain_language_with_additions(
    real_runner: SystemRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INHERITED", "yes")
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    lines = real_runner.run(["env"], env={"ADDED": "1"}).stdout.splitlines()
    assert {"INHERITED=yes", "LC_ALL=C", "ADDED=1"} <= set(lines)


def test_a_reset_environment_is_exactly_the_one_given(real_runner: SystemRunner) -> None:
    assert real_runner.run(["/usr/bin/env"], env={"ONLY": "this"}, reset_env=True).stdout == "ONLY=this\n"
    assert real_runner.run(["/usr/bin/env"], reset_env=True).stdout == ""


def test_the_working_directory_is_the_root_unless_given(real_runner: SystemRunner, tmp_path: Path) -> None:
    assert real_runner.run(["pwd"]).stdout == "/\n"
    assert real_runner.run(["pwd"], cwd=tmp_path).stdout == f"{tmp_path}\n"


def test_an_output_file_gets_both_streams_at_its_end(real_runner: SystemRunner, tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("before\n")
    result = real_runner.run(["sh", "-c", "echo out; echo err >&2"], output=log)
    assert log.read_text() == "before\nout\nerr\n"
    assert (result.stdout, result.stderr) == ("", "")


def test_descriptors_are_closed_unless_passed_on(real_runner: SystemRunner) -> None:
    passed, closed = os.open("/", os.O_PATH), os.open("/", os.O_PATH)
    try:
        text = f"test -e /proc/self/fd/{passed} && ! test -e /proc/self/fd/{closed}"
        assert not real_runner.run(["sh", "-c", text], pass_fds=[passed]).failed
    finally:
        os.close(passed)
        os.close(closed)


def test_paths_are_taken_as_words(real_runner: SystemRunner, tmp_path: Path) -> None:
    assert real_runner.run(["echo", tmp_path]).argv == ("echo", str(tmp_path))


# What cannot be started ----------------------------------------------------------------------------------------------


def test_a_missing_program_is_named(real_runner: SystemRunner) -> None:
    with pytest.raises(ProgramNotFound, match="program not found: no-such-program"):
        real_runner.run(["no-such-program"])
    with pytest.raises(ProgramNotFound, match="/no/such/program"):
        real_runner.run(["/no/such/program"])


def test_a_missing_working_directory_is_not_a_missing_program(real_runner: SystemRunner, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"its working directory .*/missing does not exist"):
        real_runner.run(["true"], cwd=tmp_path / "missing")


def test_a_missing_interpreter_is_not_a_missing_program(real_runner: SystemRunner, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="its interpreter does not exist"):
        real_runner.run([script(tmp_path / "script", "#!/no/such/interpreter\n")])


def test_a_file_that_may_not_be_run_is_told_with_its_reason(real_runner: SystemRunner, tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("text")
    with pytest.raises(CommandError, match=r"cannot be started: .*Permission denied"):
        real_runner.run([tmp_path / "plain"])


def test_a_script_without_interpreter_line_is_told_with_its_reason(real_runner: SystemRunner, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"cannot be started: .*Exec format error"):
        real_runner.run([script(tmp_path / "script", "echo\n")])


def test_a_word_no_program_can_get_is_told_with_its_reason(real_runner: SystemRunner) -> None:
    with pytest.raises(CommandError, match="null byte"):
        real_runner.run(["echo", "a\0b"])


# Time-outs -----------------------------------------------------------------------------------------------------------


def test_a_program_out_of_time_is_ended_and_its_output_kept(real_runner: SystemRunner) -> None:
    result = real_runner.run(["sh", "-c", "echo begun; exec sleep 60"], timeout_s=0.1)
    assert (result.stdout, result.signal, result.timed_out) == ("begun\n", signal.SIGTERM, True)
    assert result.reason == "ended by signal SIGTERM, time-out"


def test_a_program_that_ends_well_when_told_to_has_not_failed(real_runner: SystemRunner) -> None:
    text = "trap 'echo ending; exit 0' TERM; echo begun; sleep 60 & wait"
    result = real_runner.run(["sh", "-c", text], timeout_s=0.1)
    assert (result.stdout, result.failed, result.timed_out) == ("begun\nending\n", False, True)


@pytest.fixture
def impatient(real_processes: None) -> SystemRunner:
    """Programs out of time get less than the usual 5 s to end."""
    return SystemRunner(linger_s=0.1)


def test_a_program_deaf_to_the_first_signal_is_killed(impatient: SystemRunner) -> None:
    result = impatient.run(["sh", "-c", "trap '' TERM; sleep 60; sleep 60"], timeout_s=0.1)
    assert (result.signal, result.timed_out) == (signal.SIGKILL, True)


def test_children_of_a_program_out_of_time_are_ended_too(real_runner: SystemRunner, tmp_path: Path) -> None:
    child = tmp_path / "child"
    real_runner.run(["sh", "-c", f"(trap '' TERM; sleep 60; sleep 60) & echo $! > {child}; wait"], timeout_s=0.2)
    assert wait_until_dead(number_in(child))


def test_children_that_write_to_a_file_are_ended_too(real_runner: SystemRunner, tmp_path: Path) -> None:
    child = tmp_path / "child"
    text = f"(trap '' TERM; sleep 60; sleep 60) & echo $! > {child}; wait"
    real_runner.run(["sh", "-c", text], timeout_s=0.2, output=tmp_path / "log")
    assert wait_until_dead(number_in(child))


def test_a_child_left_behind_that_holds_the_output_ends_with_the_time(
    real_runner: SystemRunner, tmp_path: Path
) -> None:
    child = tmp_path / "child"
    result = real_runner.run(["sh", "-c", f"sleep 60 & echo $! > {child}; echo done"], timeout_s=0.2)
    assert (result.stdout, result.exit_code, result.timed_out) == ("done\n", 0, True)
    assert wait_until_dead(number_in(child))


def test_a_daemon_that_keeps_the_output_open_does_not_hold_us(impatient: SystemRunner, tmp_path: Path) -> None:
    child = tmp_path / "child"
    # a session of its own: no signal to the program's session reaches it
    text = f"setsid sh -c 'echo $$ > {child}; exec sleep 60' & sleep 60"
    began = time.monotonic()
    result = impatient.run(["sh", "-c", text], timeout_s=0.3)
    try:
        assert result.timed_out
        assert time.monotonic() - began < 20
    finally:
        os.kill(number_in(child), signal.SIGKILL)


# Results -------------------------------------------------------------------------------------------------------------


def test_a_result_says_with_one_of_two_numbers_how_it_ended() -> None:
    assert not Result(argv=("a",)).failed
    assert Result(argv=("a",), exit_code=None, signal=15).failed
    assert Result(argv=("a",), exit_code=1, timed_out=True).reason == "exited with status 1, time-out"
