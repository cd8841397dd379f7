"""Authentication by session token, which is sent as a bearer token or in a cookie."""

from litestar.middleware.authentication import AbstractAuthenticationMiddleware, AuthenticationResult

from contracts.identity import SESSION_COOKIE
from kit.errors import Unavailable
from kit.http.state import AnyConnection, state_of
from kit.security_log import record


class SessionAuthentication(AbstractAuthenticationMiddleware):
    """Sets `user` to the caller's Identity, or to None if the request has no valid session token.

    While auth's public keys aren't known yet, no token can be checked, and `user` is an Unavailable error.
    Public handlers declare `exclude_from_auth=True`: they have no `user` and need no keys. The guard
    `signed_in` rejects all callers without an Identity.
    """

    async def authenticate_request(self, connection: AnyConnection) -> AuthenticationResult:
        """Identify the caller before the body is read."""
        token = _session_token(connection)
        try:
            identity = await state_of(connection).sessions.identify(token) if token else None
        except Unavailable as error:
            # The guard `signed_in` raises this error. Raised in a middleware, it would bypass the metrics.
            return AuthenticationResult(user=error, auth=token)
        if token and identity is None:
            record("token", "refused")
        return AuthenticationResult(user=identity, auth=token)


def bearer_token(connection: AnyConnection) -> str | None:
    scheme, _, credentials = connection.headers.get("authorization", "").partition(" ")
    return credentials.strip() if scheme.lower() == "bearer" else None


def _session_token(connection: AnyConnection) -> str | None:
    bearer = bearer_token(connection)
    return bearer if bearer is not None else connection.cookies.get(SESSION_COOKIE)
