"""Commands in a machine of the lab, asked for over its agent (`lab/machine/agent.py`, where the protocol is written).

It gets connections made by somebody else and must not know how a machine is started or reached.
"""

from __future__ import annotations

import contextlib
import json
import shlex
import socket
import struct
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lab.processes import LabError

_CHUNK = 65536
_HEAD = 5


class Failure(LabError):
    """A machine or a command in it did not do what it has to; the text has the output."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Completed:
    """How a command ended; `returncode` is 128 + N after signal N, 127 for a program that is not there."""

    argv: tuple[str, ...]
    returncode: int
    stdout: str
    stderr: str

    def raise_if_failed(self, where: str) -> Completed:
        """Return this result. Raises: Failure when the status is not 0."""
        if self.returncode != 0:
            raise Failure(f"{where}: {shlex.join(self.argv)} ended with {self.returncode}:\n{self.stdout}{self.stderr}")
        return self


class Command:
    """A command that runs in a machine; it and its children end when it is killed, or this process ends."""

    def __init__(self, where: str, connection: socket.socket, argv: Sequence[str]) -> None:
        self._where = where
        self._connection = connection
        self._argv = tuple(argv)
        self._outputs = {b"o": bytearray(), b"e": bytearray()}
        self._status: int | None = None
        self._reader = threading.Thread(target=self._read, daemon=True)

    @classmethod
    def begin(
        cls,
        where: str,
        connection: socket.socket,
        argv: Sequence[str],
        *,
        stdin: bytes = b"",
        env: Mapping[str, str] | None = None,
        cwd: str = "/",
    ) -> Command:
        """Start a command over a connection to an agent, which is its own from then on."""
        command = cls(where, connection, argv)
        request = json.dumps({"argv": command._argv, "env": dict(env or {}), "cwd": cwd})
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(request.encode() + b"\n")
        command._reader.start()
        if stdin:
            threading.Thread(target=command._feed, args=(stdin,), daemon=True).start()
        else:
            connection.sendall(_frame(b""))
        return command

    @property
    def stdout(self) -> str:
        """What it has printed so far."""
        return _text(self._outputs[b"o"])

    def is_running(self) -> bool:
        return self._reader.is_alive()

    def wait(self, timeout_s: float = 120.0) -> Completed:
        """Wait for its end. Raises: Failure when it did not come in time (it is killed), or the machine is gone."""
        self._reader.join(timeout_s)
        output = f"\n{self.stdout}{_text(self._outputs[b'e'])}"
        if self._reader.is_alive():
            self.kill()
            raise Failure(f"{self._where}: {shlex.join(self._argv)} did not end in {timeout_s} s:{output}")
        if self._status is None:
            raise Failure(f"{self._where}: was gone before {shlex.join(self._argv)} had ended:{output}")
        return Completed(
            argv=self._argv, returncode=self._status, stdout=self.stdout, stderr=_text(self._outputs[b"e"])
        )

    def kill(self) -> None:
        """End it and what it started, at once; nothing happens when it has ended."""
        with contextlib.suppress(OSError):  # the machine has closed the connection already
            self._connection.shutdown(socket.SHUT_RDWR)
        self._reader.join()

    def _feed(self, stdin: bytes) -> None:
        with contextlib.suppress(OSError):  # a command may end without reading its input
            for start in range(0, len(stdin), _CHUNK):
                self._connection.sendall(_frame(stdin[start : start + _CHUNK]))
            self._connection.sendall(_frame(b""))

    def _read(self) -> None:
        with self._connection, self._connection.makefile("rb") as stream, contextlib.suppress(OSError):
            while len(head := stream.read(_HEAD)) == _HEAD:
                data = stream.read(struct.unpack(">I", head[1:])[0])
                if head[:1] == b"x":
                    self._status = int(data)
                    return
                self._outputs[head[:1]] += data


def _frame(data: bytes) -> bytes:
    return b"i" + struct.pack(">I", len(data)) + data


def _text(data: bytearray) -> str:
    return data.decode(errors="backslashreplace")
