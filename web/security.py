"""Protection of the pages: security headers and the content security policy."""

from collections.abc import Mapping

from litestar.datastructures import MutableScopeHeaders
from litestar.types import BeforeMessageSendHookHandler, Message, Scope

from settings import Settings
from web import stripe_checkout

_POLICY = "Content-Security-Policy"

_OF_API = {"Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'"}
"""Headers of the API's responses with other values than on pages: a browser that shows such a response loads
nothing for it."""


HTTP_API = "/developers/http-api"
"""The page of Swagger UI, whose styles contain pictures."""


def security_headers(settings: Settings) -> Mapping[str, str]:
    """Security headers of all responses, with the values for pages."""
    headers = {
        "Content-Security-Policy": content_security_policy(settings),
        "Referrer-Policy": "same-origin",
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
        "Cross-Origin-Opener-Policy": "same-origin",
    }
    if settings.cookie_secure:
        headers["Strict-Transport-Security"] = "max-age=31536000; includeSubDomains"
    return headers


def api_security_headers(settings: Settings) -> Mapping[str, str]:
    """Security headers of all responses of the API."""
    return {**security_headers(settings), **_OF_API}


def add_security_headers(settings: Settings) -> BeforeMessageSendHookHandler:
    security, for_api = security_headers(settings), api_security_headers(settings)
    policy = security["Content-Security-Policy"].replace("img-src 'self'", "img-src 'self' data:")
    of_swagger = {**security, "Content-Security-Policy": policy}

    async def add(message: Message, scope: Scope) -> None:
        if message["type"] == "http.response.start":
            headers = MutableScopeHeaders.from_message(message)
            path = requested_path(scope)
            given = headers.get(_POLICY, "")
            headers.update(for_api if is_api(path) else of_swagger if path == HTTP_API else security)
            if is_api(path) and "sandbox" in given:  # a download, for which the service is stricter
                headers[_POLICY] = given
            headers.setdefault("Cache-Control", "no-store")

    return add


def is_api(path: str) -> bool:
    """Whether the path belongs to a service, whose responses are passed on unchanged."""
    return f"{path}/".startswith("/api/")


def requested_path(scope: Scope) -> str:
    """The full path of a request. In a mounted app, `scope["path"]` lacks the path of the mount."""
    return scope["raw_path"].partition(b"?")[0].decode("latin-1")


def content_security_policy(settings: Settings) -> str:
    # Chromium also applies form-action to the redirect that a form leads to, which may be Stripe's page.
    forms = f"'self' {stripe_checkout.origin(settings)}" if settings.pays_at_checkout else "'self'"
    return "; ".join(
        (
            "default-src 'self'",
            "script-src 'self'",
            "style-src 'self'",
            "img-src 'self'",
            "connect-src 'self'",
            "font-src 'none'",
            "frame-src 'none'",
            "object-src 'none'",
            "base-uri 'none'",
            f"form-action {forms}",
            "frame-ancestors 'none'",
        )
    )
