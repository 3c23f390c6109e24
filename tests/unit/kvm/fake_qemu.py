"""A QMP server like QEMU's, one client at a time, whose answers a test scripts; served from a thread of its own."""

from __future__ import annotations

import json
import queue
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from ganeti.constants import MIB

GREETING = {"QMP": {"version": {"qemu": {"major": 7, "minor": 2, "micro": 0}, "package": ""}, "capabilities": ["oob"]}}
HANG = object()
"""An answer that never comes."""
CLOSE = object()
"""The connection is closed instead of an answer."""

Answer = Callable[[Mapping[str, object]], object]


class FakeQemu:
    """Listens on a path. `answers` maps commands to values, errors, HANG, CLOSE, bytes, or functions giving those."""

    def __init__(self, path: Path, *, memory_mib: int = 128, vcpus: int = 1, chunk: int = 65536) -> None:
        self.path = path
        self.answers: dict[str, object] = {
            "qmp_capabilities": {},
            "query-cpus-fast": [{"cpu-index": index, "thread-id": 1000 + index} for index in range(vcpus)],
            "query-balloon": {"actual": memory_mib * MIB},
            "query-status": {"status": "running", "running": True, "singlestep": False},
        }
        self.greeting: bytes = json.dumps(GREETING).encode() + b"\r\n"
        self.events_before_answers: list[dict[str, object]] = []
        self.received: list[str] = []
        self.connections = 0
        self.left: queue.Queue[int] = queue.Queue()
        """Gets the number of each connection that has ended."""
        self._chunk = chunk
        self._client: socket.socket | None = None
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self._thread = threading.Thread(target=self._serve, name="fake-qemu")
        self._thread.start()

    def close(self) -> None:
        """Be gone, as a QEMU that was killed."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self.disconnect()
        self._thread.join()
        self._listener.close()

    def disconnect(self) -> None:
        """Close the connection there is."""
        client = self._client
        if client is not None:
            try:
                client.shutdown(socket.SHUT_RDWR)
            except OSError:
                return  # it is closed already

    def event(self, name: str, **data: object) -> None:
        """Tell the client of an event."""
        assert self._client is not None
        self._send(self._client, {"event": name, "data": data, "timestamp": {"seconds": 0, "microseconds": 0}})

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._client = client
            with client:
                try:
                    self._raw(client, self.greeting)
                    self._talk(client)
                except OSError:
                    pass  # the client went in the middle of an answer
                finally:
                    self._client = None
                    self.left.put(self.connections)

    @staticmethod
    def _messages(client: socket.socket) -> Iterator[dict[str, object]]:
        """Objects as they come: QEMU needs no line ends between them."""
        text = ""
        while data := client.recv(65536):
            text += data.decode()
            while text.strip():
                try:
                    message, end = json.JSONDecoder().raw_decode(text.lstrip())
                except ValueError:
                    break  # the rest of it comes later
                text = text.lstrip()[end:]
                yield message

    def _talk(self, client: socket.socket) -> None:
        for message in self._messages(client):
            command = str(message.get("execute") or message["exec-oob"])
            self.received.append(command)
            for event in self.events_before_answers:
                self._send(client, event)
            answer = self.answers.get(command, {"error": {"class": "CommandNotFound", "desc": f"no {command}"}})
            if callable(answer):
                answer = answer(message.get("arguments", {}))
            if answer is CLOSE:
                return
            if answer is HANG:
                continue
            if isinstance(answer, bytes):
                self._raw(client, answer)
                continue
            body = answer if isinstance(answer, dict) and "error" in answer else {"return": answer}
            self._send(client, body | ({"id": message["id"]} if "id" in message else {}))

    def _send(self, client: socket.socket, message: Mapping[str, object]) -> None:
        self._raw(client, json.dumps(message).encode() + b"\r\n")

    def _raw(self, client: socket.socket, data: bytes) -> None:
        for start in range(0, len(data), self._chunk):
            client.sendall(data[start : start + self._chunk])
