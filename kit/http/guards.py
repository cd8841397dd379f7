"""Guards that admit signed-in users, operators or other processes. They run before the body is read."""

import hmac
from collections.abc import Sequence
from datetime import timedelta

from litestar.handlers import BaseRouteHandler

from contracts.wire import now
from kit.errors import (
    NotAnOperator,
    NotAService,
    NotSignedIn,
    SignInAgain,
    Unavailable,
    Unconfirmed,
    Unidentified,
)
from kit.http.authentication import bearer_token
from kit.http.state import AnyConnection, state_of
from kit.secrets import accepted_internal_tokens, accepted_operator_tokens, mail_token

FRESH = timedelta(minutes=10)
"""How long after signing in a user may do what needs a fresh sign-in."""


async def signed_in(connection: AnyConnection, _: BaseRouteHandler) -> None:
    """Reject anonymous callers, and all callers while tokens can't be verified.

    Raises:
        NotSignedIn, Unavailable
    """
    if isinstance(connection.user, Unavailable):
        raise connection.user
    if connection.user is None:
        raise NotSignedIn


async def confirmed(connection: AnyConnection, _: BaseRouteHandler) -> None:
    """Reject callers who have yet to confirm their address. The guard `signed_in` has to come first.

    Raises:
        Unconfirmed
    """
    if connection.user.unconfirmed:
        raise Unconfirmed


async def identified(connection: AnyConnection, _: BaseRouteHandler) -> None:
    """Reject traders who have yet to say who they are. The guard `signed_in` has to come first.

    Raises:
        Unidentified
    """
    if connection.user.unidentified:
        raise Unidentified


async def just_signed_in(connection: AnyConnection, _: BaseRouteHandler) -> None:
    """Reject callers whose session began earlier than `FRESH` ago. The guard `signed_in` has to come first.

    Whoever finds an open browser, or a copied cookie, knows neither the password nor a passkey.

    Raises:
        SignInAgain
    """
    signed_in_at = connection.user.signed_in_at
    if signed_in_at is None or now() - signed_in_at > FRESH:
        raise SignInAgain


async def operators_only(connection: AnyConnection, _: BaseRouteHandler) -> None:
    """Reject callers without the operator token.

    Raises:
        NotAnOperator
    """
    if not _has_token(connection, accepted_operator_tokens(state_of(connection).settings)):
        raise NotAnOperator


async def services_only(connection: AnyConnection, _: BaseRouteHandler) -> None:
    """Reject callers that don't know the internal secret.

    Raises:
        NotAService
    """
    if not _has_token(connection, accepted_internal_tokens(state_of(connection).settings)):
        raise NotAService


async def mail_only(connection: AnyConnection, _: BaseRouteHandler) -> None:
    """Reject callers other than mail.

    Raises:
        NotAService
    """
    if not _has_token(connection, [mail_token(state_of(connection).settings)]):
        raise NotAService


async def auth_only(connection: AnyConnection, _: BaseRouteHandler) -> None:
    """Reject callers other than auth. What auth has sent to another service isn't accepted here.

    Raises:
        NotAService
        Unavailable: tokens can't be verified now.
    """
    token, state = bearer_token(connection), state_of(connection)
    if token is None or not await state.sessions.is_request_of_auth(token, state.name):
        raise NotAService


def _has_token(connection: AnyConnection, accepted: Sequence[str]) -> bool:
    given = (bearer_token(connection) or "").encode()
    return any(hmac.compare_digest(given, token.encode()) for token in accepted)
