"""The HTTP interface of the operator's door: routes, their models, and which status an error gives.

Handlers are synchronous and run in threads: an installation of minutes does not hold up a list.
"""

from __future__ import annotations

import logging

from litestar import Litestar, Request, Response, delete, get, post
from litestar.datastructures import State
from litestar.exceptions import HTTPException
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.params import FromPath, JSONBody
from litestar.types import Scope

from ganeti.constants import RELEASE_VERSION
from ganeti.errors import HypervisorError, InvalidParameter, NodeError, NotSupported, OsDefinitionError, UnsafePath
from ganeti.operator.guests import GuestBusy, Guests, MasterOwnsGuests
from ganeti.operator.inventory import GuestExists, GuestNotFound
from ganeti.operator.models import (
    ConsoleReport,
    GrowRequest,
    Guest,
    GuestSpec,
    MigrateReport,
    MigrateRequest,
    NodeReport,
    Problem,
    StartRequest,
    StopRequest,
)
from ganeti.operator.overview import Overview

log = logging.getLogger(__name__)

STATUS: dict[type[NodeError], int] = {
    GuestNotFound: 404,
    GuestExists: 409,
    GuestBusy: 409,
    MasterOwnsGuests: 409,
    NotSupported: 409,
    InvalidParameter: 400,
    UnsafePath: 400,
    OsDefinitionError: 400,
    HypervisorError: 409,
}


@get("/node", sync_to_thread=True)
def show_node(state: State) -> NodeReport:
    """This node in short."""
    overview: Overview = state.overview
    return overview.report()


@get("/operating-systems", sync_to_thread=True)
def list_operating_systems(state: State) -> dict[str, str]:
    """Each operating system definition and what is wrong with it (empty when nothing is)."""
    overview: Overview = state.overview
    return overview.operating_systems()


@get("/guests", sync_to_thread=True)
def list_guests(state: State) -> list[Guest]:
    """All guests of this node."""
    return _guests(state).list()


@post("/guests", sync_to_thread=True)
def create_guest(state: State, data: JSONBody[GuestSpec]) -> Guest:
    """Make a guest: its disks, its operating system, and start it."""
    return _guests(state).create(data)


@get("/guests/{name:str}", sync_to_thread=True)
def show_guest(state: State, name: FromPath[str]) -> Guest:
    """One guest."""
    return _guests(state).show(name)


@delete("/guests/{name:str}", sync_to_thread=True)
def remove_guest(state: State, name: FromPath[str]) -> None:
    """Stop a guest by force and destroy its disks."""
    _guests(state).remove(name)


@post("/guests/{name:str}/start", sync_to_thread=True, status_code=200)
def start_guest(state: State, name: FromPath[str], data: JSONBody[StartRequest]) -> Guest:
    """Start a guest."""
    return _guests(state).start(name, paused=data.paused)


@post("/guests/{name:str}/stop", sync_to_thread=True, status_code=200)
def stop_guest(state: State, name: FromPath[str], data: JSONBody[StopRequest]) -> Guest:
    """Press the power button, and after the time-out end the guest by force."""
    return _guests(state).stop(name, timeout_s=data.timeout_s)


@post("/guests/{name:str}/reboot", sync_to_thread=True, status_code=200)
def reboot_guest(state: State, name: FromPath[str]) -> Guest:
    """Stop and start a guest."""
    return _guests(state).reboot(name)


@post("/guests/{name:str}/grow", sync_to_thread=True, status_code=200)
def grow_disk(state: State, name: FromPath[str], data: JSONBody[GrowRequest]) -> Guest:
    """Enlarge a disk; a running guest sees it at once."""
    return _guests(state).grow(name, data.disk, data.amount_mib)


@post("/guests/{name:str}/migrate", sync_to_thread=True, status_code=200)
def migrate_guest(state: State, name: FromPath[str], data: JSONBody[MigrateRequest]) -> MigrateReport:
    """Move a running guest to another node."""
    return _guests(state).migrate(name, data)


@get("/guests/{name:str}/console", sync_to_thread=True)
def show_console(state: State, name: FromPath[str]) -> ConsoleReport:
    """Command that joins a terminal of this machine to the guest's serial console."""
    return ConsoleReport(command=_guests(state).console(name))


def application(guests: Guests, overview: Overview) -> Litestar:
    """The door's application, ready for a server."""
    return Litestar(
        route_handlers=[
            show_node,
            list_operating_systems,
            list_guests,
            create_guest,
            show_guest,
            remove_guest,
            start_guest,
            stop_guest,
            reboot_guest,
            grow_disk,
            migrate_guest,
            show_console,
        ],
        state=State({"guests": guests, "overview": overview}),
        exception_handlers={NodeError: _refuse},
        after_exception=[_note_fault],
        openapi_config=OpenAPIConfig(
            title="ganeti-node", version=RELEASE_VERSION, path="/schema", render_plugins=[JsonRenderPlugin()]
        ),
        logging_config=None,
    )


def _guests(state: State) -> Guests:
    guests: Guests = state.guests
    return guests


def _refuse(request: Request[object, object, State], error: NodeError) -> Response[Problem]:
    status = next((code for kind, code in STATUS.items() if isinstance(error, kind)), 500)
    level = logging.ERROR if status == 500 else logging.INFO
    log.log(level, "%s %s failed: %s", request.method, request.url.path, error)
    return Response(Problem(error=type(error).__name__, detail=str(error)), status_code=status)


async def _note_fault(error: Exception, scope: Scope) -> None:
    """Log what no handler expects: a fault of this program. Refusals are logged where they are made."""
    if not isinstance(error, NodeError | HTTPException):
        log.error("%s failed by a fault of this program", scope["path"], exc_info=error)
