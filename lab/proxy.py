"""A recording TLS proxy between the master and a node daemon, run on the node as a program of its own.

It listens where the daemon would, as long as that daemon lives, shows the node's `server.pem`, checks nobody, passes
each request on to the daemon on another port, showing a client certificate which that daemon accepts. Every pair is
appended to a file as one line of JSON (docs/lab.md), secrets included: `recordings.py` takes them out. It must not
know any call.
Standard library alone and no import of the lab: it runs under the system's Python, in isolated mode.
"""

import argparse
import contextlib
import itertools
import json
import os
import select
import socket
import ssl
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

CONNECT_TIMEOUT_S = 10.0
_HEAD_END = b"\r\n\r\n"
_PIECE = 65536


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Where to listen, where to pass on to, whose certificates to show, and where to write."""

    node: str
    listen_port: int
    daemon_port: int
    server_pem: Path
    client_pem: Path
    record: Path


class Proxy:
    """Serves each connection in a thread; the daemon behind closes after one request, and so does the proxy."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._numbers = itertools.count(1)
        self._writing = threading.Lock()
        self._listener = socket.create_server(("", settings.listen_port), backlog=1024)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(settings.server_pem)

    def serve(self, daemon_pid: int) -> None:
        """Accept connections until the daemon ends; those already there are served to their end."""
        pidfd = os.pidfd_open(daemon_pid)
        while True:
            ready, _, _ = select.select([self._listener.fileno(), pidfd], [], [])
            if pidfd in ready:
                self._listener.close()
                return
            connection, _ = self._listener.accept()
            threading.Thread(target=self._serve_one, args=(connection,)).start()

    def _serve_one(self, connection: socket.socket) -> None:
        number = next(self._numbers)
        began = time.time()
        connection.settimeout(CONNECT_TIMEOUT_S)
        with connection:
            try:
                with self._context.wrap_socket(connection, server_side=True) as client:
                    request = _read_request(client)
                    if not request:
                        return
                    reply = self._pass_on(request)
                    self._note(number, began, request, reply)
                    client.sendall(reply)
                    # says goodbye in TLS; whether the client answers is its own affair
                    client.settimeout(1.0)
                    with contextlib.suppress(OSError):
                        client.unwrap()
            except OSError as err:
                # bare connects are the master's way to ask whether a node lives: nothing was lost
                print(f"connection {number} ended: {err}", file=sys.stderr, flush=True)

    def _pass_on(self, request: bytes) -> bytes:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        # read each time: the certificate changes while the cluster is made
        context.load_cert_chain(self._settings.client_pem)
        address = ("127.0.0.1", self._settings.daemon_port)
        with socket.create_connection(address, CONNECT_TIMEOUT_S) as raw, context.wrap_socket(raw) as daemon:
            # calls may take any time
            daemon.settimeout(None)
            daemon.sendall(request)
            return b"".join(iter(lambda: daemon.recv(_PIECE), b""))

    def _note(self, number: int, began: float, request: bytes, reply: bytes) -> None:
        start_line, request_headers, request_body = _split(request)
        status_line, reply_headers, reply_body = _split(reply)
        entry = {
            "node": self._settings.node,
            "number": number,
            "began": began,
            "duration_s": round(time.time() - began, 4),
            "start_line": start_line,
            "call": start_line.split(" ")[1].removeprefix("/") if " " in start_line else "",
            "request_headers": request_headers,
            "request_body": request_body,
            "status_line": status_line,
            "reply_headers": reply_headers,
            "reply_body": reply_body,
        }
        line = json.dumps(entry) + "\n"
        with self._writing, self._settings.record.open("a") as record:
            record.write(line)


def _read_request(client: ssl.SSLSocket) -> bytes:
    data = b""
    while _HEAD_END not in data:
        piece = client.recv(_PIECE)
        if not piece:
            return b""
        data += piece
    head, _, body = data.partition(_HEAD_END)
    length = 0
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length":
            length = int(value)
    while len(body) < length:
        piece = client.recv(_PIECE)
        if not piece:
            return b""
        body += piece
    return head + _HEAD_END + body


def _split(message: bytes) -> tuple[str, dict[str, str], str]:
    head, _, body = message.partition(_HEAD_END)
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return first, headers, body.decode("utf-8", "backslashreplace")


def _go_to_background(log: Path) -> None:
    """Let the starter return: what follows runs in a child that is nobody's."""
    if os.fork():
        os._exit(0)
    os.setsid()
    null = os.open(os.devnull, os.O_RDONLY)
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for source, target in ((null, 0), (output, 1), (output, 2)):
        os.dup2(source, target)


def main() -> None:
    """Take the port, go to the background, serve as long as the daemon lives."""
    parser = argparse.ArgumentParser(description="Recording TLS proxy in front of a node daemon.")
    parser.add_argument("--node", required=True)
    parser.add_argument("--listen-port", type=int, default=1811)
    parser.add_argument("--daemon-port", type=int, default=1812)
    for name in ("--server-pem", "--client-pem", "--record", "--log", "--daemon-pid-file"):
        parser.add_argument(name, type=Path, required=True)
    options = parser.parse_args()
    daemon_pid = int(options.daemon_pid_file.read_text())
    proxy = Proxy(
        Settings(
            node=options.node,
            listen_port=options.listen_port,
            daemon_port=options.daemon_port,
            server_pem=options.server_pem,
            client_pem=options.client_pem,
            record=options.record,
        )
    )
    _go_to_background(options.log)
    proxy.serve(daemon_pid)


if __name__ == "__main__":
    main()
