"""Notes the use of sessions by requests that come through web."""

from contextlib import suppress

from litestar.connection import ASGIConnection
from litestar.enums import ScopeType
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Receive, Scope, Send

from kit.errors import Unavailable
from kit.http.authentication import session_token
from kit.session_use import SessionUse, counts_as_use
from kit.tokens import Sessions


class NoteSessionUse(ASGIMiddleware):
    """Notes the sessions of requests for pages and of requests that are passed on to a service."""

    scopes = (ScopeType.HTTP,)

    def __init__(self, sessions: Sessions, use: SessionUse) -> None:
        self._sessions = sessions
        self._use = use

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        if counts_as_use(scope) and (token := session_token(ASGIConnection(scope))) is not None:
            with suppress(Unavailable):
                identity = await self._sessions.identify(token)
                if identity is not None:
                    self._use.note(identity.session_id, token)
        await next_app(scope, receive, send)
