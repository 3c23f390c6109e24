"""Ports and Unix sockets a door listens on."""

from __future__ import annotations

import socket
import stat
from pathlib import Path

import pytest

from ganeti.errors import ConfigurationError, NodeError, TimedOut
from ganeti.host import listening, unix_sockets
from ganeti.host.clock import FakeClock


def test_a_service_that_is_not_known_has_its_default_port() -> None:
    assert listening.service_port("no-such-service", 1811) == 1811


def test_a_free_port_is_opened_at_once(clock: FakeClock) -> None:
    with listening.open_listener(clock, "127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port), timeout=5):
            assert clock.sleeps == []


def test_a_port_in_use_is_tried_for_some_seconds(clock: FakeClock) -> None:
    with listening.open_listener(clock, "127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with pytest.raises(TimedOut, match=f"port {port} is in use"):
            listening.open_listener(clock, "127.0.0.1", port)
    assert sum(clock.sleeps) >= listening.TAKE_OVER_S


def test_a_port_that_becomes_free_meanwhile_is_taken(clock: FakeClock) -> None:
    first = listening.open_listener(clock, "127.0.0.1", 0)
    port = first.getsockname()[1]

    class Releasing(FakeClock):
        def sleep(self, seconds: float) -> None:
            super().sleep(seconds)
            first.close()

    with listening.open_listener(Releasing(), "127.0.0.1", port) as second:
        assert second.getsockname()[1] == port


def test_an_address_of_another_machine_is_a_wrong_configuration(clock: FakeClock) -> None:
    with pytest.raises(ConfigurationError, match=r"192\.0\.2\.77"):
        listening.open_listener(clock, "192.0.2.77", 0)


def test_an_interface_that_is_not_there_is_named() -> None:
    with pytest.raises(NodeError, match="nosuch0"):
        listening.interface_address("nosuch0", 2)


# Unix sockets --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [0o600, 0o660])
def test_a_socket_has_exactly_its_mode_and_answers(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "socket"
    with unix_sockets.listen(path, mode=mode), socket.socket(socket.AF_UNIX) as client:
        assert stat.S_IMODE(path.stat().st_mode) == mode
        client.connect(str(path))
    assert [item.name for item in tmp_path.iterdir()] == ["socket"]


def test_a_socket_left_by_a_process_that_is_gone_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    unix_sockets.listen(path).close()
    with unix_sockets.listen(path), socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))


def test_a_socket_somebody_listens_on_is_left_to_them(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with unix_sockets.listen(path), pytest.raises(NodeError, match="another process listens"):
        unix_sockets.listen(path)


def test_a_file_in_its_place_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "socket").write_text("precious")
    with pytest.raises(NodeError, match="is no socket"):
        unix_sockets.listen(tmp_path / "socket")
    assert (tmp_path / "socket").read_text() == "precious"


def test_a_path_longer_than_an_address_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NodeError, match="too long"):
        unix_sockets.listen(tmp_path / ("x" * 100))


def test_a_missing_directory_leaves_no_socket_open(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        unix_sockets.listen(tmp_path / "missing" / "socket")
