"""What the modules of the console's pages share: who is signed in, rendering, and logged actions."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from litestar import MediaType, Request
from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler
from litestar.response import Template

from contracts.api import MAX_REASON
from ops.action_log import acted
from ops.console.sessions import COOKIE, Session, Sessions
from ops.errors import CommandError
from settings import Settings

AnyRequest = Request[Any, Any, Any]


class NotSignedIn(Exception):
    """The request has no valid cookie."""


async def operators_only(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
    """
    Raises:
        NotSignedIn
    """
    session_of(connection)


def session_of(connection: ASGIConnection[Any, Any, Any, Any]) -> Session:
    sessions: Sessions = connection.app.state.sessions
    session = sessions.find(connection.cookies.get(COOKIE))
    if session is None:
        raise NotSignedIn
    return session


def settings_of(request: AnyRequest) -> Settings:
    settings: Settings = request.app.state.settings
    return settings


def page(request: AnyRequest, name: str, title: str, status: int = 200, **context: Any) -> Template:
    session = session_of(request)
    shared = {"title": title, "operator": session.operator, "notes": session.take_notes()}
    return Template(name, context={**shared, **context}, status_code=status, media_type=MediaType.HTML)


async def reason_of(request: AnyRequest) -> str:
    """The reason in the form, as one line. Empty if there is none."""
    return " ".join(str((await request.form()).get("reason", "")).split())[:MAX_REASON]


async def confirmed_reason(request: AnyRequest) -> str:
    """The reason for an action. Empty, with a note for the operator, if it or the confirmation is missing."""
    reason = await reason_of(request)
    if reason and "confirmed" in await request.form():
        return reason
    session_of(request).notes.append("Nothing was done: enter the reason, and confirm what you do.")
    return ""


async def act_and_note(
    request: AnyRequest, command: str, arguments: Mapping[str, Any], act: Callable[[], Awaitable[str]]
) -> None:
    """Do something, log it, and note the result or the error for the next page."""
    session = session_of(request)
    try:
        async with acted(settings_of(request), session.operator, command, arguments) as action:
            action.result = await act()
    except CommandError as error:
        session.notes.append(str(error))
    else:
        session.notes.append(action.result)


def line_link(line: str) -> str:
    kind, key = line.split()[:2]
    return f"/ops/{kind}s/{key}"
