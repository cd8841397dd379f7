"""HTTP ↔ auth."""

from typing import Any

from litestar import Response, Router, get, post
from litestar.datastructures import Cookie
from litestar.params import FromPath, RequestBody
from litestar.types import ControllerRouterHandler

from contracts.api import CurrentUser, PasswordBody, Profile, SignIn, SignUp, User
from contracts.identity import SESSION_COOKIE
from contracts.wire import now
from services.auth.actions import Auth, SignedIn
from services.kit.http import SIGNED_IN, ApiRequest, signed_in, token_of
from services.kit.limits import limit
from settings import Settings


@post("/signup", summary="Sign up")
async def sign_up(request: ApiRequest, data: RequestBody[SignUp]) -> Response[User]:
    settings: Settings = request.app.state.settings
    await limit("sign-up", request.client_address, settings.rate_sign_up)
    return _signed_in(await _auth(request).sign_up(data.email, data.password), settings, status=201)


@post("/signin", status_code=200, summary="Sign in")
async def sign_in(request: ApiRequest, data: RequestBody[SignIn]) -> Response[User]:
    settings: Settings = request.app.state.settings
    await limit("sign-in", request.client_address, settings.rate_sign_in)
    return _signed_in(await _auth(request).sign_in(data.email, data.password), settings, status=200)


@post("/signout", status_code=200, summary="Sign out, on every service")
async def sign_out(request: ApiRequest) -> Response[dict[str, Any]]:
    await _auth(request).sign_out(token_of(request))
    return Response({}, cookies=[_cookie(request.app.state.settings, "", max_age=0)])


@post("/signout-everywhere", status_code=200, security=SIGNED_IN, summary="End all my sessions")
async def sign_out_everywhere(request: ApiRequest) -> Response[dict[str, Any]]:
    await _auth(request).sign_out_everywhere(token_of(request))
    return Response({}, cookies=[_cookie(request.app.state.settings, "", max_age=0)])


@post(
    "/password",
    status_code=200,
    guards=[signed_in],
    security=SIGNED_IN,
    summary="Change my password, and end all my other sessions",
)
async def change_password(request: ApiRequest, data: RequestBody[PasswordBody]) -> Response[User]:
    settings: Settings = request.app.state.settings
    await limit("password", request.user.id, settings.rate_sign_in)
    changed = await _auth(request).change_password(
        token_of(request), data.current_password, data.new_password
    )
    return _signed_in(changed, settings, status=200)


@get("/{user_id:str}", summary="What anybody may know of a user")
async def show_profile(request: ApiRequest, user_id: FromPath[str]) -> Profile:
    user = await _auth(request).profile(user_id)
    return Profile(id=str(user.id), since=user.created_at)


@get("/currentuser", summary="Who am I?")
async def current_user(request: ApiRequest) -> CurrentUser:
    identity = await _auth(request).current_user(token_of(request))
    return CurrentUser(current_user=User(id=identity.id, email=identity.email) if identity else None)


@get("/.well-known/jwks.json", summary="Public keys of session tokens (RFC 7517)", cache_control=None)
async def jwks(request: ApiRequest) -> dict[str, Any]:
    return _auth(request).signer.jwks


users = Router(
    "/api/users",
    route_handlers=[
        *(sign_up, sign_in, sign_out, sign_out_everywhere),
        *(change_password, current_user, show_profile),
    ],
    tags=["users"],
)
API: list[ControllerRouterHandler] = [users, jwks]


def _auth(request: ApiRequest) -> Auth:
    auth: Auth = request.app.state.auth
    return auth


def _signed_in(signed_in: SignedIn, settings: Settings, *, status: int) -> Response[User]:
    lifetime = int((signed_in.expires_at - now()).total_seconds())
    user = User(id=signed_in.identity.id, email=signed_in.identity.email)
    return Response(user, status_code=status, cookies=[_cookie(settings, signed_in.token, max_age=lifetime)])


def _cookie(settings: Settings, value: str, *, max_age: int) -> Cookie:
    return Cookie(
        key=SESSION_COOKIE,
        value=value,
        path="/",
        httponly=True,
        samesite="lax",
        secure=settings.cookie_secure,
        max_age=max_age,
    )
