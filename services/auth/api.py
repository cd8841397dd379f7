"""HTTP API of auth."""

from typing import Any

from litestar import Response, Router, get, post
from litestar.datastructures import Cookie
from litestar.di import NamedDependency
from litestar.params import RequestBody
from litestar.types import ControllerRouterHandler

from contracts.api import CurrentUser, PasswordBody, Profile, SignIn, SignUp, User
from contracts.wire import now
from kit.http.authentication import identity_in_cookie
from kit.http.guards import signed_in
from kit.http.limits import Limited, network, user_or_network
from kit.http.openapi import CREATED_ID, SIGNED_IN, ApiOperation, PathId
from kit.http.request import ApiRequest
from kit.security_log import record, recorded
from services.auth.actions import Auth, SignedIn
from services.auth.attempts import Client
from settings import Settings

InjectedAuth = NamedDependency[Auth]
InjectedSettings = NamedDependency[Settings]


class SignUpOperation(ApiOperation):
    links = {"show_profile": {"user_id": CREATED_ID}}


@post(
    "/signup",
    exclude_from_auth=True,
    guards=[Limited("sign-up", "rate_sign_up", by=network)],
    operation_class=SignUpOperation,
    summary="Sign up",
)
async def sign_up(
    request: ApiRequest,
    data: RequestBody[SignUp],
    auth: InjectedAuth,
    settings: InjectedSettings,
) -> Response[User]:
    client = _client(request, auth)
    with recorded("sign-up", account=auth.pseudonym(data.email)) as attempt:
        signed_in = await auth.sign_up(data.email, data.password, client)
        attempt.actor = signed_in.identity.id
    await auth.sign_out(await identity_in_cookie(request))  # the browser's previous session
    return _signed_in(signed_in, settings, auth, client, status=201)


@post(
    "/signin",
    status_code=200,
    exclude_from_auth=True,
    guards=[Limited("sign-in", "rate_sign_in", by=network)],
    summary="Sign in",
)
async def sign_in(
    request: ApiRequest,
    data: RequestBody[SignIn],
    auth: InjectedAuth,
    settings: InjectedSettings,
) -> Response[User]:
    client = _client(request, auth)
    with recorded("sign-in", account=auth.pseudonym(data.email)) as attempt:
        signed_in = await auth.sign_in(data.email, data.password, client)
        attempt.actor = signed_in.identity.id
    await auth.sign_out(await identity_in_cookie(request))  # the browser's previous session
    return _signed_in(signed_in, settings, auth, client, status=200)


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
)
async def change_password(
    request: ApiRequest,
    data: RequestBody[PasswordBody],
    auth: InjectedAuth,
    settings: InjectedSettings,
) -> Response[User]:
    client = _client(request, auth)
    with recorded("password-change", actor=request.user.id):
        changed = await auth.change_password(request.user, data.current_password, data.new_password, client)
    return _signed_in(changed, settings, auth, client, status=200)


@post(
    "/session-use",
    status_code=204,
    guards=[signed_in, Limited("session-use", "rate_change")],
    security=SIGNED_IN,
    summary="Report that my session is in use",
)
async def report_session_use(request: ApiRequest, auth: InjectedAuth) -> None:
    await auth.report_use(request.user)


@get("/{user_id:str}", exclude_from_auth=True, summary="The public profile of a user")
async def show_profile(user_id: PathId, auth: InjectedAuth) -> Profile:
    user = await auth.profile(user_id)
    return Profile(id=str(user.id), since=user.created_at)


@get("/currentuser", summary="Who am I?")
async def current_user(request: ApiRequest, auth: InjectedAuth) -> CurrentUser:
    identity = await auth.current_user(request.user)
    return CurrentUser(current_user=User(id=identity.id, email=identity.email) if identity else None)


@get("/.well-known/jwks.json", exclude_from_auth=True, summary="Public keys of session tokens (RFC 7517)")
async def jwks(auth: InjectedAuth) -> dict[str, Any]:
    return auth.signer.jwks


users = Router(
    "/api/users",
    route_handlers=[
        *(sign_up, sign_in, sign_out, sign_out_everywhere),
        *(change_password, current_user, report_session_use, show_profile),
    ],
    tags=["users"],
)
API: list[ControllerRouterHandler] = [users, jwks]


def _client(request: ApiRequest, auth: Auth) -> Client:
    return Client(request.client_address, request.cookies.get(auth.devices.name))


def _signed_in(
    signed_in: SignedIn, settings: Settings, auth: Auth, client: Client, *, status: int
) -> Response[User]:
    lifetime = int((signed_in.expires_at - now()).total_seconds())
    user = User(id=signed_in.identity.id, email=signed_in.identity.email)
    session = _cookie(settings, signed_in.token, max_age=lifetime)
    return Response(
        user, status_code=status, cookies=[session, auth.devices.cookie(user.id, client.device_cookie)]
    )


def _signed_out(settings: Settings) -> Response[dict[str, Any]]:
    return Response({}, cookies=[_cookie(settings, "", max_age=0)])


def _cookie(settings: Settings, value: str, *, max_age: int) -> Cookie:
    return Cookie(
        key=settings.session_cookie,
        value=value,
        path="/",
        httponly=True,
        samesite="lax",
        secure=settings.cookie_secure,
        max_age=max_age,
    )
