"""The embedded list of guests of a node without a master, and the log of what was done to them.

One SQLite database (WAL) below the data directory. It is used by many threads; each operation has a connection of its
own and one transaction. A guest is stored as the same object that travels on the wire.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from ganeti.errors import NodeError
from ganeti.host.clock import Clock
from ganeti.model.instance import Instance

SCHEMA = """
CREATE TABLE IF NOT EXISTS guest (
    name TEXT PRIMARY KEY,
    definition TEXT NOT NULL,
    changed REAL NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS job (
    id INTEGER PRIMARY KEY,
    what TEXT NOT NULL,
    guest TEXT NOT NULL,
    started REAL NOT NULL,
    ended REAL,
    error TEXT
) STRICT;
"""
SCHEMA_VERSION = 1


class GuestNotFound(NodeError):
    """No guest of that name is in the inventory."""


class GuestExists(NodeError):
    """A guest of that name is in the inventory already."""


class Inventory:
    """Guests and jobs of this node."""

    def __init__(self, path: Path, clock: Clock) -> None:
        """Open or make the database. Raises: NodeError when it is of a newer version than this program."""
        self._path = path
        self._clock = clock
        with self._transaction() as db:
            (version,) = db.execute("PRAGMA user_version").fetchone()
            if version > SCHEMA_VERSION:
                raise NodeError(f"{path} was written by a newer version of this program")
        self._create()

    def _create(self) -> None:
        db = sqlite3.connect(self._path)
        try:
            db.execute("PRAGMA journal_mode = WAL")
            db.executescript(f"BEGIN IMMEDIATE; {SCHEMA} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;")
        finally:
            db.close()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        db = sqlite3.connect(self._path, timeout=30)
        try:
            db.execute("PRAGMA synchronous = FULL")
            with db:
                yield db
        finally:
            db.close()

    def guests(self) -> list[Instance]:
        """All guests, by name."""
        with self._transaction() as db:
            rows = db.execute("SELECT definition FROM guest ORDER BY name").fetchall()
        return [msgspec.json.decode(row[0], type=Instance) for row in rows]

    def guest(self, name: str) -> Instance:
        """One guest. Raises: GuestNotFound."""
        with self._transaction() as db:
            row = db.execute("SELECT definition FROM guest WHERE name = ?", (name,)).fetchone()
        if row is None:
            raise GuestNotFound(f"there is no guest {name!r} on this node")
        return msgspec.json.decode(row[0], type=Instance)

    def add(self, instance: Instance) -> None:
        """Take a new guest in. Raises: GuestExists."""
        try:
            with self._transaction() as db:
                db.execute("INSERT INTO guest VALUES (?, ?, ?)", self._row(instance))
        except sqlite3.IntegrityError as err:
            raise GuestExists(f"there is a guest {instance.name!r} on this node already") from err

    def change(self, instance: Instance) -> None:
        """Store a guest's new definition, whether it was known or not."""
        with self._transaction() as db:
            db.execute("INSERT OR REPLACE INTO guest VALUES (?, ?, ?)", self._row(instance))

    def remove(self, name: str) -> None:
        """Forget a guest; one that is unknown is fine."""
        with self._transaction() as db:
            db.execute("DELETE FROM guest WHERE name = ?", (name,))

    def arrived(self, instance: Instance) -> None:
        """A guest came by migration (see `actions.records`)."""
        self.change(instance)

    def left(self, instance_name: str) -> None:
        """A guest went by migration (see `actions.records`)."""
        self.remove(instance_name)

    @contextmanager
    def job(self, what: str, guest: str) -> Iterator[int]:
        """Log what is being done to a guest, and how it ended."""
        with self._transaction() as db:
            cursor = db.execute(
                "INSERT INTO job (what, guest, started) VALUES (?, ?, ?)", (what, guest, self._clock.time())
            )
            number = cursor.lastrowid or 0
        error: str | None = "interrupted"
        try:
            yield number
            error = None
        except NodeError as err:
            error = str(err)
            raise
        finally:
            with self._transaction() as db:
                db.execute("UPDATE job SET ended = ?, error = ? WHERE id = ?", (self._clock.time(), error, number))

    def _row(self, instance: Instance) -> tuple[str, str, float]:
        return instance.name, msgspec.json.encode(instance).decode(), self._clock.time()
