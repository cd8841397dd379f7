"""Rejects requests that another site makes a browser send, without tokens in forms.

Browsers say where a request comes from: in Sec-Fetch-Site on secure connections and on localhost, and in
Origin with every request that may change something.
"""

from litestar.enums import ScopeType
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Receive, Scope, Send

from kit.client_address import CLIENT, Vouching
from kit.errors import CrossSite
from kit.security_log import record
from settings import Settings

SAFE_METHODS = {"GET", "HEAD", "OPTIONS"}
OWN = {b"same-origin", b"none"}
"""Values of Sec-Fetch-Site for requests of this site's pages, and of the user alone (W3C Fetch Metadata)."""

PERSONAL = "/api/users/me/export"
"""The path of a GET request that only this site may make: another one could let a visitor's browser download
the file, and use up the visitor's limit."""

FORM_TYPES = {b"application/x-www-form-urlencoded", b"multipart/form-data", b"text/plain"}
"""The media types of forms, also of those without a field. A page of another site can send them without a
preflight request."""


class RejectCrossSite(ASGIMiddleware):
    """Raises CrossSite for a request that may change something and doesn't come from this site.

    A client that sends neither header is no current browser. It may use the API, but may send what a form can
    send only without cookies. Web has already checked the requests that it vouches for.
    """

    scopes = (ScopeType.HTTP,)

    def __init__(self, settings: Settings) -> None:
        self._site = settings.site.encode().lower()
        self._schemes = (b"https://",) if settings.cookie_secure else (b"http://", b"https://")
        self._vouching = Vouching(settings)

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        may_come_from_anywhere = scope["method"] in SAFE_METHODS and scope["path"] != PERSONAL  # type: ignore[typeddict-item]
        if not may_come_from_anywhere and not self.comes_from_here(scope):
            route = f"{scope['method']} {scope['raw_path'][:200].decode('latin-1')}"  # type: ignore[typeddict-item]
            record("cross-site", "refused", route=route)
            raise CrossSite
        await next_app(scope, receive, send)

    def comes_from_here(self, scope: Scope) -> bool:
        """Whether the request may change something, as far as its origin is concerned."""
        headers = dict(scope["headers"])
        if self._is_from_web(headers.get(CLIENT.lower().encode())):
            return True
        if (fetch_site := headers.get(b"sec-fetch-site")) is not None:
            return fetch_site in OWN
        if (origin := headers.get(b"origin")) is not None:
            return self._is_own(origin.lower(), headers.get(b"host", b"").lower())
        if b"cookie" not in headers:
            return True
        media_type = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
        return scope["raw_path"].startswith(b"/api/") and media_type not in FORM_TYPES

    def _is_from_web(self, client: bytes | None) -> bool:
        return client is not None and self._vouching.verify(client.decode("latin-1")) is not None

    def _is_own(self, origin: bytes, host: bytes) -> bool:
        """Whether the origin is this site's address, or the address at which the browser reached it."""
        return origin in {self._site, *(scheme + host for scheme in self._schemes)}
