"""Puts the recording proxy in front of node daemons, and reads back what it recorded, by operator's action."""

import json
import shlex
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lab.cluster import DATA_DIR, Cluster, packaged_daemon

_PROXY = Path(__file__).with_name("proxy.py")


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """One request and its reply, as recorded; bodies are text and may hold secrets."""

    node: str
    call: str
    began: float
    request_headers: dict[str, str]
    request_body: str
    status_line: str
    reply_headers: dict[str, str]
    reply_body: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """What the operator did, and the exchanges that began meanwhile, in order."""

    note: str
    exchanges: tuple[Exchange, ...]


class Recorder:
    """Records the requests of one cluster's master to its nodes; files lie beside the cluster's."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._directory = cluster.directory / "record"
        self._spans: list[tuple[str, float, float]] = []

    def launchers(self, count: int, daemons: Path | Mapping[str, Path] | None = None) -> dict[str, Path]:
        """Return, by node name, executables that start a daemon and the proxy in front of it.

        The daemon is the packaged one where `daemons` names no other, for all nodes or by name.
        """
        self._directory.mkdir(parents=True, exist_ok=True)
        names = [f"node{number}" for number in range(1, count + 1)]
        chosen = dict.fromkeys(names, daemons) if isinstance(daemons, Path) else (daemons or {})
        return {name: self._launcher(name, chosen.get(name)) for name in names}

    @contextmanager
    def action(self, note: str) -> Iterator[None]:
        """Note down that what happens inside is the action `note`."""
        began = time.time()
        try:
            yield
        finally:
            self._spans.append((note, began, time.time()))

    def actions(self) -> list[Action]:
        """Return all actions so far with their exchanges; an exchange between two actions belongs to the first."""
        exchanges = self._exchanges()
        found: list[Action] = []
        for index, (note, began, _) in enumerate(self._spans):
            end = self._spans[index + 1][1] if index + 1 < len(self._spans) else float("inf")
            during = tuple(exchange for exchange in exchanges if began <= exchange.began < end)
            found.append(Action(note=note, exchanges=during))
        return found

    def _launcher(self, name: str, daemon: Path | None) -> Path:
        folder = self._directory / name
        folder.mkdir(exist_ok=True)
        environment = ""
        if daemon is None:
            # the packaged file itself is covered on the node, so it runs from a copy, under its own name
            daemon = folder / "packaged" / "ganeti-noded"
            daemon.parent.mkdir(exist_ok=True)
            shutil.copy(packaged_daemon(), daemon)
            environment = f"PYTHONPATH={packaged_daemon().parent} "
        proxy = [
            "/usr/bin/python3",
            "-I",
            str(_PROXY),
            f"--node={name}",
            f"--server-pem={DATA_DIR}/server.pem",
            # accepted by all nodes at all times, and every host sees the machine's files
            f"--client-pem={self._cluster.master.path(DATA_DIR / 'client.pem')}",
            f"--record={folder / 'exchanges.jsonl'}",
            f"--log={folder / 'log'}",
            "--daemon-pid-file=/run/ganeti/ganeti-noded.pid",
        ]
        launcher = folder / "ganeti-noded"
        # the daemon goes to the background and the command ends when it is ready to be asked
        daemon_command = f'{environment}{shlex.quote(str(daemon))} -p 1812 "$@"'
        launcher.write_text(f"#!/bin/sh\n{daemon_command} || exit\nexec {shlex.join(proxy)}\n")
        launcher.chmod(0o755)
        return launcher

    def _exchanges(self) -> list[Exchange]:
        found: list[Exchange] = []
        for file in sorted(self._directory.glob("node*/exchanges.jsonl")):
            for line in file.read_text().splitlines():
                entry = json.loads(line)
                found.append(Exchange(**{name: entry[name] for name in Exchange.__slots__}))
        return sorted(found, key=lambda exchange: exchange.began)
