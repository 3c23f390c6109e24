"""Process 1 of a machine of the lab: runs commands for the host, one connection a command.

The client sends one line of JSON (argv, env, cwd), then frames; the agent answers with frames. A frame is one letter, a
length of four bytes (big-endian) and so many bytes. Client: i input (empty: its end). Agent: o output, e error output,
x the exit status in decimal (128 + N after signal N). A connection closed early ends the command and its children.

It runs alone: standard library, and few modules of it, since every import is slow on an emulated processor.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import struct
import sys
from typing import NoReturn

PORT = 7007
_CHUNK = 65536
_HEAD = 5
_CANNOT_START = 127


class Command:
    """A command of one connection: its process and our ends of its pipes."""

    def __init__(self, connection: socket.socket, request: dict[str, object], received: bytes) -> None:
        self._connection = connection
        self._received = received
        self._wake, tell = os.pipe()
        os.set_blocking(tell, False)
        signal.set_wakeup_fd(tell)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        pipes = [os.pipe() for _ in range(3)]
        theirs = (pipes[0][0], pipes[1][1], pipes[2][1])
        self._pid = os.fork()
        if self._pid == 0:
            _become(request, theirs)
        for descriptor in theirs:
            os.close(descriptor)
        self._stdin: int | None = pipes[0][1]
        os.set_blocking(pipes[0][1], False)
        self._input = b""
        self._input_ends = False
        self._outputs = {pipes[1][0]: b"o", pipes[2][0]: b"e"}
        self._status: int | None = None
        self._take_frames()

    def run(self) -> None:
        """Carry its input and output until it has ended, and say how; when the client leaves, end it."""
        try:
            self._carry()
        except (BrokenPipeError, ConnectionResetError):
            self._kill()

    def _carry(self) -> None:
        while True:
            # A daemon that it left may hold the pipes open: once it has ended, only what is in them is taken.
            ended = self._status is not None
            readable, writable = self._ready(wait=not ended)
            if ended and not any(output in readable for output in self._outputs):
                break
            for output in [output for output in self._outputs if output in readable]:
                self._pass_on(output)
            if self._connection.fileno() in readable:
                self._receive()
            if writable:
                self._feed()
            if not ended:
                done, code = os.waitpid(self._pid, os.WNOHANG)
                self._status = os.waitstatus_to_exitcode(code) if done else None
        status = self._status or 0
        self._send(b"x", b"%d" % (status if status >= 0 else 128 - status))

    def _kill(self) -> None:
        if self._status is None:
            try:
                os.killpg(self._pid, signal.SIGKILL)
            except ProcessLookupError:  # it has not come to its setsid yet
                os.kill(self._pid, signal.SIGKILL)

    def _ready(self, *, wait: bool) -> tuple[list[int], list[int]]:
        readers = [self._wake, *self._outputs]
        if wait:
            readers.append(self._connection.fileno())
        has_work = self._stdin is not None and (self._input or self._input_ends)
        writers = [self._stdin] if self._stdin is not None and has_work else []
        readable, writable, _ = select.select(readers, writers, [], None if wait else 0)
        if self._wake in readable:
            os.read(self._wake, _CHUNK)
        return readable, writable

    def _pass_on(self, output: int) -> None:
        data = os.read(output, _CHUNK)
        if data:
            self._send(self._outputs[output], data)
        else:
            del self._outputs[output]

    def _send(self, kind: bytes, data: bytes) -> None:
        self._connection.sendall(kind + struct.pack(">I", len(data)) + data)

    def _receive(self) -> None:
        data = self._connection.recv(_CHUNK)
        if not data:
            raise BrokenPipeError
        self._received += data
        self._take_frames()

    def _take_frames(self) -> None:
        while len(self._received) >= _HEAD:
            (length,) = struct.unpack(">I", self._received[1:_HEAD])
            if len(self._received) < _HEAD + length:
                return
            self._input += self._received[_HEAD : _HEAD + length]
            self._input_ends = self._input_ends or length == 0
            self._received = self._received[_HEAD + length :]

    def _feed(self) -> None:
        """Give the command what fits into its input."""
        if self._stdin is None:
            return
        try:
            if self._input:
                self._input = self._input[os.write(self._stdin, self._input) :]
            is_done = self._input_ends and not self._input
        except BrokenPipeError:  # it reads no more
            is_done = True
        if is_done:
            os.close(self._stdin)
            self._stdin = None


def _become(request: dict[str, object], ends: tuple[int, int, int]) -> NoReturn:
    """Be the command, in a session of its own."""
    argv, env, cwd = request["argv"], request["env"], request["cwd"]
    assert isinstance(argv, list)
    assert isinstance(env, dict)
    try:
        signal.set_wakeup_fd(-1)
        for caught in (signal.SIGPIPE, signal.SIGCHLD):
            signal.signal(caught, signal.SIG_DFL)
        os.setsid()
        for number, end in enumerate(ends):
            os.dup2(end, number)
        os.closerange(3, 256)
        os.chdir(str(cwd))
        os.execvpe(argv[0], argv, {**os.environ, **env})  # noqa: S606 - no shell is wanted
    except OSError as err:
        os.write(2, f"{argv[0]}: {err}\n".encode())
    finally:
        os._exit(_CANNOT_START)


def serve(connection: socket.socket) -> None:
    """Run the command of one connection."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    received = b""
    while b"\n" not in received:
        data = connection.recv(_CHUNK)
        if not data:
            return
        received += data
    line, _, rest = received.partition(b"\n")
    Command(connection, json.loads(line), rest).run()


def main(address: str, host: str, port: str) -> NoReturn:
    """Tell the host that this machine is there, then serve."""
    server = socket.create_server((address, PORT), backlog=64)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # also reaps what commands leave behind
    socket.create_connection((host, int(port)), timeout=60).close()
    while True:
        connection = server.accept()[0]
        if os.fork() == 0:
            server.close()
            serve(connection)
            os._exit(0)
        connection.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
