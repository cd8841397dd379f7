"""Guards that admit signed-in users or operators. They run before the body is read."""

import hmac

from litestar.handlers import BaseRouteHandler

from kit.errors import NotAnOperator, NotSignedIn, Unavailable
from kit.http.authentication import bearer_token
from kit.http.state import AnyConnection, state_of
from kit.secrets import operator_token


async def signed_in(connection: AnyConnection, _: BaseRouteHandler) -> None:
    """Reject anonymous callers, and all callers while tokens can't be verified.

    Raises:
        NotSignedIn, Unavailable
    """
    if isinstance(connection.user, Unavailable):
        raise connection.user
    if connection.user is None:
        raise NotSignedIn


async def operators_only(connection: AnyConnection, _: BaseRouteHandler) -> None:
    """Reject callers without the operator token.

    Raises:
        NotAnOperator
    """
    expected = operator_token(state_of(connection).settings)
    given = bearer_token(connection) or ""
    if not hmac.compare_digest(given.encode(), expected.encode()):
        raise NotAnOperator
