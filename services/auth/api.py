"""HTTP ↔ auth."""

from datetime import UTC, datetime
from typing import Any

from litestar import Response, Router, get, post
from litestar.datastructures import Cookie
from litestar.params import RequestBody
from litestar.types import ControllerRouterHandler

from contracts.api import CurrentUser, SignIn, SignUp, User
from contracts.identity import SESSION_COOKIE
from services.auth.actions import Auth, SignedIn
from services.kit.http import ApiRequest, token_of
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


@get("/currentuser", summary="Who am I?")
async def current_user(request: ApiRequest) -> CurrentUser:
    identity = await _auth(request).current_user(token_of(request))
    return CurrentUser(current_user=User(id=identity.id, email=identity.email) if identity else None)


@get("/.well-known/jwks.json", summary="Public keys of session tokens (RFC 7517)", cache_control=None)
async def jwks(request: ApiRequest) -> dict[str, Any]:
    return _auth(request).signer.jwks


users = Router("/api/users", route_handlers=[sign_up, sign_in, sign_out, current_user], tags=["users"])
API: list[ControllerRouterHandler] = [users, jwks]


def _auth(request: ApiRequest) -> Auth:
    auth: Auth = request.app.state.auth
    return auth


def _signed_in(signed_in: SignedIn, settings: Settings, *, status: int) -> Response[User]:
    lifetime = int((signed_in.expires_at - datetime.now(UTC)).total_seconds())
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
