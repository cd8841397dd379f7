"""The cookies of a session and of a device, and who sends a request."""

from litestar.datastructures import Cookie

from contracts.wire import now
from kit.http.request import ApiRequest
from services.auth.actions import Auth, SignedIn
from services.auth.attempts import Client
from settings import Settings


def client_of(request: ApiRequest, auth: Auth) -> Client:
    cookie = request.cookies.get(auth.devices.name)
    return Client(request.client_address, cookie, request.headers.get("User-Agent"))


def cookies_of(signed_in: SignedIn, settings: Settings, auth: Auth, client: Client) -> list[Cookie]:
    lifetime = int((signed_in.expires_at - now()).total_seconds())
    return [
        session_cookie(settings, signed_in.token, max_age=lifetime),
        auth.devices.cookie(signed_in.identity.id, client.device_cookie),
    ]


def session_cookie(settings: Settings, value: str, *, max_age: int) -> Cookie:
    return Cookie(
        key=settings.session_cookie,
        value=value,
        path="/",
        httponly=True,
        samesite="lax",
        secure=settings.cookie_secure,
        max_age=max_age,
    )
