"""HTTP API of auth."""

from typing import Annotated, Any

from litestar import Response, Router, delete, get, post, put
from litestar.di import NamedDependency
from litestar.params import QueryParameter, RequestBody
from litestar.types import ControllerRouterHandler

from contracts.api import (
    Account,
    CurrentUserResult,
    PasswordBody,
    Profile,
    SignedInUser,
    SignIn,
    SignUp,
    SuspensionBody,
    User,
)
from kit.errors import AccountClosed
from kit.http.authentication import identity_in_cookie
from kit.http.guards import operators_only, signed_in
from kit.http.limits import Limited, network, user_or_network
from kit.http.openapi import CREATED_ID, OPERATORS, SIGNED_IN, ApiOperation, PathId, refusals
from kit.http.request import ApiRequest
from kit.http.responses import ModelResponse
from kit.security_log import OPERATOR, record, recorded
from services.auth.accounts import Accounts
from services.auth.actions import Auth, SignedIn
from services.auth.cookies import client_of, cookies_of, session_cookie
from services.auth.documents import User as StoredUser
from services.auth.rules import (
    AccountSuspended,
    EmailInUse,
    InvalidCredentials,
    TooManyFailures,
    WeakPassword,
    WrongPassword,
)
from settings import Settings

InjectedAuth = NamedDependency[Auth]
InjectedSettings = NamedDependency[Settings]


WithToken = Annotated[
    bool,
    QueryParameter(
        name="token",
        description="Whether the response contains the session token, for programs that don't keep cookies",
    ),
]


class SignUpOperation(ApiOperation):
    links = {"show_profile": {"user_id": CREATED_ID}}


@post(
    "/signup",
    exclude_from_auth=True,
    guards=[Limited("sign-up", "rate_sign_up", by=network)],
    operation_class=SignUpOperation,
    summary="Sign up",
    responses=refusals(WeakPassword, EmailInUse, AccountSuspended),
)
async def sign_up(
    request: ApiRequest,
    data: RequestBody[SignUp],
    auth: InjectedAuth,
    settings: InjectedSettings,
    with_token: WithToken = False,
) -> Response[SignedInUser]:
    client = client_of(request, auth)
    with recorded("sign-up", account=auth.pseudonym(data.email)) as attempt:
        signed_in = await auth.sign_up(data.email, data.password, client, data.language)
        attempt.actor = signed_in.identity.id
    await auth.sign_out(await identity_in_cookie(request))  # the browser's previous session
    return ModelResponse(
        shown(signed_in, with_token=with_token),
        status_code=201,
        cookies=cookies_of(signed_in, settings, auth, client),
    )


@post(
    "/signin",
    status_code=200,
    exclude_from_auth=True,
    guards=[Limited("sign-in", "rate_sign_in", by=network)],
    summary="Sign in",
    responses=refusals(InvalidCredentials, AccountSuspended, AccountClosed, TooManyFailures),
)
async def sign_in(
    request: ApiRequest,
    data: RequestBody[SignIn],
    auth: InjectedAuth,
    settings: InjectedSettings,
    with_token: WithToken = False,
) -> Response[SignedInUser]:
    client = client_of(request, auth)
    with recorded("sign-in", account=auth.pseudonym(data.email)) as attempt:
        signed_in = await auth.sign_in(data.email, data.password, client)
        attempt.actor = signed_in.identity.id
    await auth.sign_out(await identity_in_cookie(request))  # the browser's previous session
    return ModelResponse(
        shown(signed_in, with_token=with_token), cookies=cookies_of(signed_in, settings, auth, client)
    )


@post(
    "/signout",
    status_code=200,
    guards=[Limited("sign-out", "rate_change", by=user_or_network)],
    summary="Sign out, on every service",
)
async def sign_out(
    request: ApiRequest, auth: InjectedAuth, settings: InjectedSettings
) -> Response[dict[str, Any]]:
    await auth.sign_out(request.user)
    if request.user is not None:
        record("sign-out", "success", actor=request.user.id)
    return _signed_out(settings)


@post(
    "/signout-everywhere",
    status_code=200,
    guards=[signed_in, Limited("sign-out-everywhere", "rate_change")],
    security=SIGNED_IN,
    summary="End all my sessions",
)
async def sign_out_everywhere(
    request: ApiRequest, auth: InjectedAuth, settings: InjectedSettings
) -> Response[dict[str, Any]]:
    with recorded("sign-out-everywhere", actor=request.user.id):
        await auth.sign_out_everywhere(request.user)
    return _signed_out(settings)


@post(
    "/password",
    status_code=200,
    guards=[signed_in, Limited("password", "rate_sign_in")],
    security=SIGNED_IN,
    summary="Change my password, and end all my other sessions",
    responses=refusals(WeakPassword, WrongPassword, AccountSuspended, TooManyFailures),
)
async def change_password(
    request: ApiRequest,
    data: RequestBody[PasswordBody],
    auth: InjectedAuth,
    settings: InjectedSettings,
) -> Response[User]:
    client = client_of(request, auth)
    with recorded("password-change", actor=request.user.id):
        changed = await auth.change_password(request.user, data.current_password, data.new_password, client)
    user = User(id=changed.identity.id, email=changed.identity.email)
    return ModelResponse(user, cookies=cookies_of(changed, settings, auth, client))


@post(
    "/session-use",
    status_code=204,
    guards=[signed_in, Limited("session-use", "rate_change")],
    security=SIGNED_IN,
    summary="Report that my session is in use",
)
async def report_session_use(request: ApiRequest, auth: InjectedAuth) -> None:
    await auth.report_use(request.user)


@put(
    "/{user_id:str}/suspension",
    exclude_from_auth=True,
    guards=[operators_only],
    security=OPERATORS,
    summary="Suspend a user, and end all sessions",
)
async def suspend(user_id: PathId, data: RequestBody[SuspensionBody], auth: InjectedAuth) -> Account:
    """Orders and listings of the user stay as they are."""
    await auth.suspend(user_id, data.reason)
    record("suspension", "success", actor=OPERATOR, user=user_id)  # even if sessions can't be ended now
    user, ended = await auth.end_sessions(user_id)
    return _account(user, ended)


@delete(
    "/{user_id:str}/suspension",
    status_code=200,
    exclude_from_auth=True,
    guards=[operators_only],
    security=OPERATORS,
    summary="Let a suspended user sign in again",
)
async def lift_suspension(user_id: PathId, auth: InjectedAuth) -> Account:
    user = await auth.lift_suspension(user_id)
    record("suspension-lift", "success", actor=OPERATOR, user=user_id)
    return _account(user, 0)


@delete(
    "/{user_id:str}/sessions",
    status_code=200,
    exclude_from_auth=True,
    guards=[operators_only],
    security=OPERATORS,
    summary="End all sessions of a user",
)
async def end_sessions(user_id: PathId, auth: InjectedAuth) -> Account:
    user, ended = await auth.end_sessions(user_id)
    record("sessions-end", "success", actor=OPERATOR, user=user_id)
    return _account(user, ended)


@get("/{user_id:str}", exclude_from_auth=True, summary="The public profile of a user")
async def show_profile(user_id: PathId, auth: InjectedAuth) -> Profile:
    user = await auth.profile(user_id)
    return Profile(
        id=str(user.id),
        since=user.created_at,
        name=user.name,
        deleted=user.deleted_at is not None,
        trader=user.trader,
        trader_details=user.trader_details,
    )


@get("/currentuser", summary="Who am I?")
async def current_user(
    request: ApiRequest, accounts: NamedDependency[Accounts], settings: InjectedSettings
) -> Response[CurrentUserResult]:
    """If the address was confirmed in another browser, or a trader has said there who they are, this one gets
    a cookie with a token that says so."""
    identity = await accounts.current_user(request.user)
    renewed = await accounts.renewed(identity) if identity else None
    user = User(id=identity.id, email=identity.email) if identity else None
    cookies = cookies_of(renewed, settings, accounts, client_of(request, accounts)) if renewed else []
    return ModelResponse(CurrentUserResult(current_user=user), cookies=cookies)


@get("/.well-known/jwks.json", exclude_from_auth=True, summary="Public keys of session tokens (RFC 7517)")
async def jwks(auth: InjectedAuth) -> dict[str, Any]:
    return auth.signer.jwks


users = Router(
    "/api/users",
    route_handlers=[
        *(sign_up, sign_in, sign_out, sign_out_everywhere),
        *(change_password, current_user, report_session_use, show_profile),
        *(suspend, lift_suspension, end_sessions),
    ],
    tags=["users"],
)
API: list[ControllerRouterHandler] = [users, jwks]


def shown(signed_in: SignedIn, *, with_token: bool) -> SignedInUser:
    """The response to a sign-in."""
    return SignedInUser(
        id=signed_in.identity.id,
        email=signed_in.identity.email,
        token=signed_in.token if with_token else None,
    )


def _account(user: StoredUser, ended: int) -> Account:
    return Account(
        id=str(user.id),
        suspended_at=user.suspended_at,
        suspension_reason=user.suspension_reason,
        ended_sessions=ended,
    )


def _signed_out(settings: Settings) -> Response[dict[str, Any]]:
    return Response({}, cookies=[session_cookie(settings, "", max_age=0)])
