"""QMP sessions with the running guests, in a thread of their own with one event loop.

This is the loop's side of the monitor hub: everything below `Monitors.submit` runs in its thread. Imported when the
first guest is spoken to: asyncio and qemu.qmp take 60 ms.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from concurrent.futures import Future
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final, TypeVar

import msgspec
from qemu.qmp import ConnectError, EventListener, ExecuteError, Message, QMPClient, QMPError, Runstate
from qemu.qmp.error import ProtocolError

from ganeti.constants import MIB
from ganeti.hypervisor.drivers.kvm.monitor_types import GuestStatus, MonitorError, Timing

log = logging.getLogger(__name__)

T = TypeVar("T")

_CONNECTION_ERRORS: Final = (QMPError, OSError, EOFError, ValueError)
"""What a broken session raises: the library's own, the socket's, end of file, and a line over the library's limit."""
_CLOSING_S: Final = 1.0
_EVENTS: Final = ("BALLOON_CHANGE", "STOP", "RESUME", "SHUTDOWN")
_RUN_STATES: Final = {"STOP": "paused", "RESUME": "running", "SHUTDOWN": "shutdown"}


class _Actual(msgspec.Struct):
    actual: int


class _Status(msgspec.Struct):
    status: str


class Monitors:
    """The thread, its loop, and one session a guest."""

    def __init__(self, socket_of: Callable[[str], Path], timing: Timing) -> None:
        """Start the thread."""
        self.socket_of = socket_of
        self.timing = timing
        self._sessions: dict[str, Session] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="kvm-monitors", daemon=True)
        self._thread.start()

    def submit(self, work: Coroutine[object, object, T]) -> Future[T]:
        """Have something done in the loop. For other threads."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def close(self) -> None:
        """End all sessions and the thread. For other threads; the monitors cannot be used afterwards."""
        if self._loop.is_closed():
            return
        self.submit(self._end_sessions()).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    async def execute(self, name: str, command: str, arguments: Mapping[str, object], timeout_s: float) -> object:
        """Have a guest execute a command. Raises: MonitorError."""
        return await self._session(name).execute(command, arguments, timeout_s)

    async def refresh(self, guests: Mapping[str, int], wait_s: float) -> None:
        """Ask all guests whose figures are old, at the same time, and wait at most `wait_s` for those known to answer.

        The questions go on behind the caller's back; who had to be given up is not waited for until it answers again.
        """
        asked: dict[asyncio.Task[None], Session] = {}
        for name, pid in guests.items():
            session = self._session(name)
            session.belongs_to(pid)
            if not session.is_fresh():
                asked[session.refreshing()] = session
        awaited = [task for task, session in asked.items() if session.answers]
        if awaited:
            _, late = await asyncio.wait(awaited, timeout=wait_s)
            for task in late:
                asked[task].gave_no_answer(f"none within {wait_s:g} s")

    def known(self, name: str) -> GuestStatus | None:
        """The last figures of a guest. For every thread: one look-up in a dictionary, one read of an attribute."""
        session = self._sessions.get(name)
        return None if session is None else session.status

    async def forget(self, name: str) -> None:
        """End a guest's session and forget its figures."""
        session = self._sessions.pop(name, None)
        if session is not None:
            await session.end()

    def drop(self, session: Session) -> None:
        """Forget a session that has ended by itself."""
        if self._sessions.get(session.name) is session:
            del self._sessions[session.name]

    def _session(self, name: str) -> Session:
        if name not in self._sessions:
            self._sessions[name] = Session(name, self)
        return self._sessions[name]

    async def _end_sessions(self) -> None:
        # all at once: each one may take a second when its guest hangs
        await asyncio.gather(*(session.end() for session in self._sessions.values()))
        self._sessions.clear()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        if others:
            await asyncio.wait(others)

    def _run(self) -> None:
        # every failure is raised to us as well and is logged here, once, with the guest's name
        logging.getLogger("qemu.qmp").setLevel(logging.CRITICAL)
        try:
            self._loop.run_forever()
        finally:
            self._loop.close()


class Session:
    """One guest: its connection when there is one, its last figures, and the watch on its process."""

    def __init__(self, name: str, monitors: Monitors) -> None:
        """Connect to nothing yet."""
        self.name = name
        self.status: GuestStatus | None = None
        self.answers = True
        self._monitors = monitors
        self._pid: int | None = None
        self._pidfd: int | None = None
        self._connection: Connection | None = None
        self._connecting = asyncio.Lock()
        self._users = 0
        self._idle: asyncio.TimerHandle | None = None
        self._refreshing: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    # The guest's process ---------------------------------------------------------------------------------------------

    def belongs_to(self, pid: int) -> None:
        """Tell which process the guest is; figures of another one are forgotten."""
        if pid == self._pid:
            return
        self._unwatch()
        self.status, self.answers, self._pid = None, True, pid
        try:
            self._pidfd = os.pidfd_open(pid)
        except OSError as err:
            log.debug("The process of instance %s cannot be watched: %s", self.name, err)
            return
        asyncio.get_running_loop().add_reader(self._pidfd, self._process_ended)

    def _process_ended(self) -> None:
        log.info("The process of instance %s has ended", self.name)
        self._unwatch()
        self.status, self._pid = None, None
        self._monitors.drop(self)
        self._keep(self.end())

    def _unwatch(self) -> None:
        if self._pidfd is not None:
            asyncio.get_running_loop().remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = None

    # Figures ---------------------------------------------------------------------------------------------------------

    def is_fresh(self) -> bool:
        """Whether the figures are young enough to be given without asking."""
        return self.status is not None and self.status.is_fresh(time.monotonic(), self._monitors.timing.fresh_s)

    def refreshing(self) -> asyncio.Task[None]:
        """The task that asks the guest for its figures; the one under way, or a new one."""
        if self._refreshing is None or self._refreshing.done():
            self._refreshing = self._keep(self._refresh())
        return self._refreshing

    async def _refresh(self) -> None:
        pid = self._pid
        try:
            async with asyncio.timeout(self._monitors.timing.timeout_s), self._connected() as client:
                processors = msgspec.convert(await client.execute("query-cpus-fast"), type=list[object])
                memory = await self._memory(client)
                state = msgspec.convert(await client.execute("query-status"), type=_Status).status
        except TimeoutError:
            self.gave_no_answer(f"none within {self._monitors.timing.timeout_s:g} s")
            await self._disconnect()
            return
        except (*_CONNECTION_ERRORS, msgspec.ValidationError) as err:
            self.gave_no_answer(str(err))
            return
        if pid is not None and pid == self._pid:
            self.status = GuestStatus(
                pid=pid, vcpus=len(processors), memory_mib=memory, run_state=state, at=time.monotonic()
            )
            if not self.answers:
                log.info("Instance %s answers on its monitor again", self.name)
            self.answers = True

    def gave_no_answer(self, reason: str) -> None:
        """Note that the guest is not to be waited for; told once until it answers again."""
        if self.answers:
            log.warning("Instance %s does not answer, its last known figures are used: %s", self.name, reason)
        self.answers = False

    @staticmethod
    async def _memory(client: QMPClient) -> int | None:
        try:
            return msgspec.convert(await client.execute("query-balloon"), type=_Actual).actual // MIB
        except ExecuteError:
            return None  # a guest without a balloon has the memory it was started with

    def _event(self, event: Message) -> None:
        if self.status is None:
            return
        kind = str(event["event"])
        if kind in _RUN_STATES:
            self.status = replace(self.status, run_state=_RUN_STATES[kind])
            return
        try:
            actual = msgspec.convert(event.get("data"), type=_Actual).actual
        except msgspec.ValidationError as err:
            log.warning("Instance %s sent a %s event that cannot be understood: %s", self.name, kind, err)
            return
        self.status = replace(self.status, memory_mib=actual // MIB)

    # The connection --------------------------------------------------------------------------------------------------

    async def execute(self, command: str, arguments: Mapping[str, object], timeout_s: float) -> object:
        """Have the guest execute a command. Raises: MonitorError."""
        if self.status is not None and not command.startswith("query-"):
            self.status = replace(self.status, is_current=False)
        try:
            async with asyncio.timeout(timeout_s), self._connected() as client:
                return await client.execute(command, arguments or None)
        except ExecuteError as err:
            raise MonitorError(self.name, command, str(err), error_class=err.error_class) from err
        except TimeoutError as err:
            self.gave_no_answer(f"none within {timeout_s:g} s")
            # the late answer must not meet the next question
            await self._disconnect()
            raise MonitorError(self.name, command, f"no answer within {timeout_s:g} s") from err
        except _CONNECTION_ERRORS as err:
            raise MonitorError(self.name, command, str(err) or "the connection was closed") from err

    async def end(self) -> None:
        """Close the connection, stop watching the process."""
        self._unwatch()
        if self._refreshing is not None:
            self._refreshing.cancel()
        await self._disconnect()

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[QMPClient]:
        """A session with the guest, kept for a while after the last use."""
        self._users += 1
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None
        try:
            async with self._connecting:
                if self._connection is None or not self._connection.is_alive:
                    await self._disconnect()
                    path = self._monitors.socket_of(self.name)
                    self._connection = await Connection.open(self.name, path, self._event)
                client = self._connection.client
            yield client
        finally:
            self._users -= 1
            if self._users == 0:
                loop = asyncio.get_running_loop()
                self._idle = loop.call_later(self._monitors.timing.idle_s, self._release)

    def _release(self) -> None:
        """Give the socket back: QEMU serves one client on it, and packaged tools want it, too."""
        if self._users == 0:
            self._keep(self._disconnect())

    async def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    def _keep(self, work: Coroutine[object, object, None]) -> asyncio.Task[None]:
        """A task that is held until it is done: the loop itself holds them only weakly."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


class Connection:
    """One QMP session. Its task takes in the events and is the only one that ends the library's client."""

    def __init__(
        self, name: str, client: QMPClient, events: EventListener, on_event: Callable[[Message], None]
    ) -> None:
        """Begin to follow a client that is connected."""
        self.client = client
        self._name = name
        self._events = events
        self._on_event = on_event
        self._closing = asyncio.Event()
        self._task = asyncio.create_task(self._follow())

    @classmethod
    async def open(cls, name: str, path: Path, on_event: Callable[[Message], None]) -> Connection:
        """Connect to the socket at `path`. Raises: one of the connection errors."""
        events = EventListener(_EVENTS)
        client = QMPClient(name.replace(".", "_"))
        client.register_listener(events)
        try:
            await client.connect(str(path))
        except ConnectError as err:
            if not isinstance(err.exc, ProtocolError):
                raise
            # what a client that left did not read anymore can reach us before the greeting; it does so only once
            log.debug("Connecting to instance %s again: %s", name, err)
            await client.connect(str(path))
        return cls(name, client, events, on_event)

    @property
    def is_alive(self) -> bool:
        """Whether commands can be sent."""
        return self.client.runstate is Runstate.RUNNING and not self._closing.is_set()

    async def close(self) -> None:
        """End the session and wait until it has ended. Any number of times, by any number of tasks."""
        self._closing.set()
        await asyncio.wait({self._task})

    async def _follow(self) -> None:
        changed = asyncio.create_task(self.client.runstate_changed())
        closing = asyncio.create_task(self._closing.wait())
        event = asyncio.create_task(self._events.get())
        await asyncio.sleep(0)  # now `changed` waits: what happened before shows in `runstate`, what comes wakes it
        try:
            while self.is_alive:
                await asyncio.wait({changed, closing, event}, return_when=asyncio.FIRST_COMPLETED)
                if event.done():
                    self._on_event(event.result())
                    event = asyncio.create_task(self._events.get())
        finally:
            for task in (changed, closing, event):
                task.cancel()
            await self._end()

    async def _end(self) -> None:
        try:
            async with asyncio.timeout(_CLOSING_S):
                await self.client.disconnect()
        except (*_CONNECTION_ERRORS, TimeoutError) as err:
            log.debug("The session with instance %s ended with: %s", self._name, repr(err))
