"""Authentication by session token, which is sent as a bearer token or in a cookie."""

from litestar.middleware.authentication import AbstractAuthenticationMiddleware, AuthenticationResult

from contracts.identity import Identity
from kit.client_address import CLIENT
from kit.errors import Unavailable
from kit.http.state import AnyConnection, ProcessState, state_of
from kit.security_log import record
from kit.session_use import REPORT_PATH


class SessionAuthentication(AbstractAuthenticationMiddleware):
    """Sets `user` to the caller's Identity, or to None if the request has no valid session token.

    While auth's public keys aren't known yet, no token can be checked, and `user` is an Unavailable error.
    Public handlers declare `exclude_from_auth=True`: they have no `user` and need no keys. The guard
    `signed_in` rejects all callers without an Identity.
    """

    async def authenticate_request(self, connection: AnyConnection) -> AuthenticationResult:
        """Identify the caller before the body is read."""
        token = session_token(connection)
        state = state_of(connection)
        try:
            identity = await state.sessions.identify(token) if token else None
        except Unavailable as error:
            # The guard `signed_in` raises this error. Raised in a middleware, it would bypass the metrics.
            return AuthenticationResult(user=error, auth=token)
        if token and identity is None:
            record("token", "refused")
        if identity is not None and token is not None and _is_use(connection, state):
            state.use.note(identity.session_id, token)
        return AuthenticationResult(user=identity, auth=token)


def _is_use(connection: AnyConnection, state: ProcessState) -> bool:
    """Whether to report the use of the session. Web itself reports the requests that come through web."""
    is_report = connection.scope["path"] == REPORT_PATH
    return not is_report and state.vouching.verify(connection.headers.get(CLIENT)) is None


async def identity_in_cookie(connection: AnyConnection) -> Identity | None:
    """The user whose session the browser has, if the session is valid."""
    token = connection.cookies.get(state_of(connection).settings.session_cookie)
    return await state_of(connection).sessions.identify(token) if token else None


def bearer_token(connection: AnyConnection) -> str | None:
    scheme, _, credentials = connection.headers.get("authorization", "").partition(" ")
    return credentials.strip() if scheme.lower() == "bearer" else None


def session_token(connection: AnyConnection) -> str | None:
    bearer = bearer_token(connection)
    cookie = state_of(connection).settings.session_cookie
    return bearer if bearer is not None else connection.cookies.get(cookie)
