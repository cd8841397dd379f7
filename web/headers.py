"""What every answer of a page says to the browser, and the cookies that services set."""

from litestar.datastructures import MutableScopeHeaders
from litestar.types import BeforeMessageSendHookHandler, Message, Scope

from settings import Settings
from web import checkout

SECURITY = {
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
    "Cross-Origin-Opener-Policy": "same-origin",
}


def before_send(settings: Settings) -> BeforeMessageSendHookHandler:
    security = {**SECURITY, "Content-Security-Policy": content_security_policy(settings)}
    if settings.cookie_secure:
        security["Strict-Transport-Security"] = "max-age=31536000"

    async def add_headers(message: Message, scope: Scope) -> None:
        """Answers of services pass through the proxy as they are."""
        if message["type"] != "http.response.start" or f"{scope['path']}/".startswith("/api/"):
            return
        headers = MutableScopeHeaders.from_message(message)
        for name, value in security.items():
            headers[name] = value
        services = scope["state"].get("services") if "state" in scope else None
        for cookie in services.set_cookies if services else ():
            headers.add("Set-Cookie", cookie)

    return add_headers


def content_security_policy(settings: Settings) -> str:
    # Chromium asks it also of the address that a form's answer leads on to.
    forms = f"'self' {checkout.origin(settings)}" if settings.pays_at_checkout else "'self'"
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
