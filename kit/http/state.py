"""The objects that a process creates at its start and that its handlers share."""

from typing import Any, cast

from litestar.connection import ASGIConnection
from litestar.datastructures import State
from litestar.di import Provide

from kit.client_address import Vouching
from kit.session_use import SessionUse
from kit.tokens import Sessions
from settings import ServiceName, Settings

AnyConnection = ASGIConnection[Any, Any, Any, Any]


class ProcessState(State):
    """The state of a service's app.

    Its parts are injected into handlers. Middleware and guards use `state_of`.
    """

    name: ServiceName
    settings: Settings
    sessions: Sessions
    vouching: Vouching
    use: SessionUse


def state_of(connection: AnyConnection) -> ProcessState:
    return cast("ProcessState", connection.app.state)


def from_state(name: str) -> Provide:
    """Inject the object that is stored as `name` in the app's state."""

    def value(state: State) -> Any:
        return state[name]

    return Provide(value, sync_to_thread=False)
