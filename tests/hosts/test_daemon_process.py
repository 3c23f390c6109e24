"""`ganeti-noded` as a process: its command line, files, signals, and what becomes of running calls."""

from __future__ import annotations

import os
import re
import signal
import socket
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.hosts.daemon_process import HOSTNAME, PROGRAM, Daemon, status_field, wait_until
from tests.unit.noded.harness import is_ended, read_reply, request

from ganeti.constants import PROTOCOL_VERSION, RELEASE_VERSION
from ganeti.host import procfs

PYCURL_CLIENT = """
import io, sys, pycurl
url, client, authority = sys.argv[1:]
answer = io.BytesIO()
curl = pycurl.Curl()
for option, value in [
    (pycurl.URL, url), (pycurl.POSTFIELDS, "[]"), (pycurl.WRITEDATA, answer), (pycurl.CAINFO, authority),
    (pycurl.SSLCERT, client), (pycurl.SSLKEY, client), (pycurl.SSLCERTTYPE, "PEM"), (pycurl.SSL_VERIFYPEER, True),
    (pycurl.SSL_VERIFYHOST, False), (pycurl.HTTPHEADER, ["Content-type: application/json", "Expect:"]),
]:
    curl.setopt(option, value)
curl.perform()
print(curl.getinfo(pycurl.RESPONSE_CODE), answer.getvalue().decode(), end="")
"""


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    """A node whose daemon does not run yet; nothing of it is left afterwards."""
    result = Daemon.make(tmp_path)
    yield result
    result.end()


# The command line ----------------------------------------------------------------------------------------------------


def test_version(daemon: Daemon) -> None:
    result = daemon.run("--version")
    assert (result.returncode, result.stdout) == (0, f"ganeti-noded (ganeti) {RELEASE_VERSION}\n")


def test_help(daemon: Daemon) -> None:
    result = daemon.run("--help")
    assert result.returncode == 0
    for option in ("-f", "-d", "-p", "-b", "-i", "-K", "-C", "--no-ssl", "--no-mlock", "--max-clients", "--syslog"):
        assert option in result.stdout


def test_calls_are_listed_with_their_state(daemon: Daemon) -> None:
    result = daemon.run("--calls")
    lines = result.stdout.splitlines()
    assert re.fullmatch(r"version +available", next(line for line in lines if line.startswith("version ")))
    assert len([line for line in lines if re.fullmatch(r"[a-z0-9_]+ +(available|not yet)", line)]) == 108
    assert re.fullmatch(r"\d+ of 108 calls are available", lines[-1])


@pytest.mark.parametrize(
    ("options", "status", "text"),
    [
        (["--no-such-option"], 2, "no such option: --no-such-option"),
        (["-p", "x"], 2, "invalid"),
        (["-p", "70000"], 2, "not a TCP port"),
        (["--syslog", "perhaps"], 2, "invalid choice"),
        (["surplus"], 1, "no arguments are expected, not 'surplus'"),
        (["--max-clients", "0"], 1, "--max-clients must be at least 1"),
        (["-b", "127.0.0.1", "-i", "lo"], 1, "only one of --bind and --interface"),
        (["-C", "/nowhere.pem"], 1, "/nowhere.pem"),
        (["-K", "/tmp"], 1, "/tmp"),
        (["-b", "192.0.2.1"], 1, "cannot listen on address 192.0.2.1"),
        (["-i", "nosuchif0"], 1, "nosuchif0"),
    ],
)
def test_a_wrong_command_line_is_told_on_standard_error(
    daemon: Daemon, options: list[str], status: int, text: str
) -> None:
    result = daemon.run(*options)
    assert (result.returncode, result.stdout) == (status, "")
    assert text in result.stderr
    assert not daemon.paths.noded_pid_file.exists()


def test_without_the_clusters_certificate_it_does_not_start(daemon: Daemon) -> None:
    daemon.paths.server_pem.unlink()
    result = daemon.run()
    assert result.returncode == 1
    assert str(daemon.paths.server_pem) in result.stderr


def test_a_certificate_that_is_none_is_told_by_the_start_command(daemon: Daemon) -> None:
    daemon.paths.server_pem.write_text("not a certificate\n")
    result = daemon.run()
    assert result.returncode == 1
    assert "for TLS" in result.stderr
    wait_until(lambda: daemon.processes() == [])  # it may still be ending when the command has told


def test_a_port_in_use_is_told_by_the_start_command(daemon: Daemon) -> None:
    with socket.create_server(("127.0.0.1", daemon.port)):
        result = daemon.run("-p", str(daemon.port), "-b", "127.0.0.1")
    assert result.returncode == 1
    assert f"port {daemon.port} is in use" in result.stderr
    assert not daemon.paths.noded_pid_file.exists()


def test_a_queue_of_another_version_stops_the_start(daemon: Daemon) -> None:
    (daemon.paths.queue_dir / "version").write_text("2\n")
    result = daemon.run("-p", str(daemon.port))
    assert result.returncode == 1
    assert "version '2'" in result.stderr


def test_a_second_start_is_refused_and_the_first_goes_on(daemon: Daemon) -> None:
    daemon.start()
    result = daemon.run("-p", str(daemon.port))
    assert result.returncode == 1
    assert f"already running (process {daemon.pid} " in result.stderr
    assert daemon.call("version").payload == PROTOCOL_VERSION


# What it is once started ---------------------------------------------------------------------------------------------


def test_it_answers_when_the_start_command_returns(daemon: Daemon) -> None:
    daemon.start()
    assert daemon.call("version").payload == PROTOCOL_VERSION


def test_the_pid_file_is_as_the_clusters_scripts_want_it(daemon: Daemon) -> None:
    daemon.start()
    path = daemon.paths.noded_pid_file
    assert path.read_text() == f"{daemon.pid}\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert procfs.comm(daemon.pid) == "ganeti-noded"


def test_its_processes_have_left_the_terminal(daemon: Daemon) -> None:
    daemon.start()
    processes = daemon.processes()
    assert len(processes) == 2
    for pid in processes:
        assert procfs.comm(pid) == "ganeti-noded"
        assert os.getsid(pid) not in {pid, os.getsid(0)}
        assert Path(f"/proc/{pid}/cwd").readlink() == Path("/")
        assert status_field(pid, "Umask") == "0077"
        assert Path(f"/proc/{pid}/fd/0").readlink() == Path("/dev/null")
        assert Path(f"/proc/{pid}/fd/1").readlink() == daemon.paths.noded_log
        assert Path(f"/proc/{pid}/fd/2").readlink() == daemon.paths.noded_log
        assert status_field(pid, "SigBlk") in {"0000000000000000", "0000000000014003"}


def test_whoever_started_it_need_not_wait_for_its_end(daemon: Daemon) -> None:
    reading, writing = os.pipe()
    argv = [str(PROGRAM), "-p", str(daemon.port), "-b", "127.0.0.1"]
    with os.fdopen(reading, "rb") as pipe:
        subprocess.run(argv, env=daemon.environment, pass_fds=[writing], check=True)
        os.close(writing)
        assert pipe.read() == b""


def test_the_log_has_the_packaged_form_and_is_private(daemon: Daemon) -> None:
    daemon.start()
    line = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}: ganeti-noded pid=\d+ (DEBUG|INFO|WARNING) .+")
    assert all(line.fullmatch(text) for text in daemon.log.splitlines())
    assert stat.S_IMODE(daemon.paths.noded_log.stat().st_mode) == 0o600


@pytest.mark.parametrize(("options", "is_locked"), [([], True), (["--no-mlock"], False)])
def test_memory_is_locked_unless_told_otherwise_and_stays_small(
    daemon: Daemon, options: list[str], is_locked: bool
) -> None:
    daemon.start(*options)
    serving = max(daemon.processes())
    assert (int(status_field(serving, "VmLck").split()[0]) > 0) == is_locked
    assert int(status_field(serving, "VmRSS").split()[0]) < 60 * 1024


def test_the_queue_is_prepared(daemon: Daemon) -> None:
    daemon.start()
    assert (daemon.paths.queue_dir / "version").read_text() == "1\n"
    assert (daemon.paths.queue_dir / "serial").read_text() == "0\n"


def test_without_a_queue_it_starts_all_the_same(daemon: Daemon) -> None:
    daemon.paths.queue_dir.rmdir()
    daemon.start()
    assert "CRITICAL The job queue cannot be used" in daemon.log


def test_an_interface_gives_its_address(daemon: Daemon) -> None:
    result = daemon.run("-p", str(daemon.port), "-i", "lo")
    assert result.returncode == 0, result.stderr
    assert f"Listening on 127.0.0.1 port {daemon.port}" in daemon.log


def test_without_tls_everybody_may_call(daemon: Daemon) -> None:
    daemon.start("--no-ssl")
    with socket.create_connection(("127.0.0.1", daemon.port)) as connection:
        connection.sendall(request("version", "[]"))
        assert read_reply(connection).payload == PROTOCOL_VERSION


def test_requests_are_logged_in_debug_mode_alone_and_that_is_said(daemon: Daemon) -> None:
    result = daemon.run("-d", "-p", str(daemon.port), "-b", "127.0.0.1")
    assert result.returncode == 0
    assert "confidential" in result.stderr
    daemon.call("test_delay", 0)
    assert "Call test_delay: b'[0]'" in daemon.log


def test_a_larger_body_than_allowed_is_refused(daemon: Daemon) -> None:
    daemon.start("--max-body-mib", "1")
    with daemon.connect() as connection:
        connection.sendall(b"POST /version HTTP/1.1\r\nHost: n\r\nContent-Length: 1048577\r\n\r\n")
        assert read_reply(connection).status == 413


# Clients -------------------------------------------------------------------------------------------------------------


def test_the_packaged_masters_client_library_gets_its_answer(daemon: Daemon) -> None:
    daemon.start()
    url = f"https://127.0.0.1:{daemon.port}/version"
    result = subprocess.run(
        ["/usr/bin/python3", "-I", "-c", PYCURL_CLIENT, url, daemon.paths.client_pem, daemon.paths.server_pem],
        capture_output=True,
        text=True,
        check=False,
    )
    if "No module named 'pycurl'" in result.stderr:
        pytest.skip("needs the package python3-pycurl")
    assert (result.stdout, result.stderr) == (f"200 [true,{PROTOCOL_VERSION}]\n", "")


def test_curl_gets_its_answer(daemon: Daemon) -> None:
    daemon.start()
    argv = ["curl", "-s", "--cacert", str(daemon.paths.server_pem), "-k", "--cert", str(daemon.paths.client_pem)]
    url = f"https://127.0.0.1:{daemon.port}/version"
    result = subprocess.run([*argv, "-d", "[]", url], capture_output=True, text=True, check=False)
    assert result.stdout == f"[true,{PROTOCOL_VERSION}]\n"


# Signals -------------------------------------------------------------------------------------------------------------


def test_sigterm_ends_it_and_removes_the_pid_file(daemon: Daemon) -> None:
    daemon.start()
    daemon.signal(signal.SIGTERM)
    assert not daemon.paths.noded_pid_file.exists()
    with pytest.raises(ConnectionRefusedError):
        daemon.connect()
    wait_until(lambda: daemon.processes() == [])


def test_a_call_that_runs_at_sigterm_is_answered_though_the_daemon_is_gone(daemon: Daemon) -> None:
    daemon.start_debugging()
    with daemon.begin("test_delay", 2) as connection:
        daemon.signal(signal.SIGTERM)
        assert not daemon.paths.noded_pid_file.exists()
        daemon.start()
        assert daemon.call("version").payload == PROTOCOL_VERSION
        assert read_reply(connection).payload is None
    wait_until(lambda: len(daemon.processes()) == 2)


def test_after_kill_9_a_new_daemon_starts_at_once_and_the_running_call_is_answered(daemon: Daemon) -> None:
    daemon.start_debugging()
    with daemon.begin("test_delay", 2) as connection:
        daemon.signal(signal.SIGKILL)
        daemon.start()
        assert daemon.call("version").payload == PROTOCOL_VERSION
        assert read_reply(connection).payload is None
    wait_until(lambda: len(daemon.processes()) == 2)


def test_when_the_serving_process_is_killed_the_daemon_ends_and_can_be_started_again(daemon: Daemon) -> None:
    daemon.start()
    keeper = daemon.pid
    (serving,) = set(daemon.processes()) - {keeper}
    os.kill(serving, signal.SIGKILL)
    wait_until(lambda: not procfs.is_alive(keeper))
    assert not daemon.paths.noded_pid_file.exists()
    assert "CRITICAL The serving process" in daemon.log
    daemon.start()
    assert daemon.call("version").payload == PROTOCOL_VERSION


def test_an_idle_client_does_not_hold_up_the_end(daemon: Daemon) -> None:
    daemon.start()
    with daemon.connect() as connection:
        connection.sendall(request("version", "[]", headers="Connection: keep-alive\r\n"))
        read_reply(connection)
        daemon.signal(signal.SIGTERM)
        assert is_ended(connection)


def test_sighup_reopens_the_log_and_serving_goes_on(daemon: Daemon) -> None:
    daemon.start_debugging()
    rotated = daemon.paths.noded_log.with_suffix(".log.1")
    daemon.paths.noded_log.rename(rotated)
    daemon.signal(signal.SIGHUP)
    wait_until(lambda: daemon.paths.noded_log.exists())
    serving = max(daemon.processes())
    wait_until(lambda: Path(f"/proc/{serving}/fd/2").readlink() == daemon.paths.noded_log)
    daemon.call("test_delay", 0)
    assert "Call test_delay" in daemon.log
    assert "Call test_delay" not in rotated.read_text()


# In the foreground ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_in_the_foreground_it_logs_to_standard_error_too_and_ends_with_0(
    daemon: Daemon, number: signal.Signals
) -> None:
    process = daemon.start_in_foreground()
    assert daemon.pid == process.pid
    assert daemon.call("version").payload == PROTOCOL_VERSION
    process.send_signal(number)
    assert process.wait(30) == 0
    assert f"Listening on 127.0.0.1 port {daemon.port}" in daemon.log


def test_in_the_foreground_a_second_one_ends_with_1(daemon: Daemon) -> None:
    daemon.start()
    assert daemon.run("-f", "-p", str(daemon.port)).returncode == 1


# Virtual clusters ----------------------------------------------------------------------------------------------------


def test_half_a_virtual_cluster_is_refused(daemon: Daemon) -> None:
    environment = {**os.environ, "GANETI_HOSTNAME": HOSTNAME}
    environment.pop("GANETI_ROOTDIR", None)
    result = subprocess.run(
        [PROGRAM, "-p", str(daemon.port)], env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 1
    assert "must be set together" in result.stderr
