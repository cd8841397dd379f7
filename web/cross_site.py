"""Rejects requests that another site makes a browser send, without tokens in forms.

Browsers say where a request comes from: in Sec-Fetch-Site on secure connections and on localhost, and in
Origin with every request that may change something.
"""

from litestar.enums import ScopeType
from litestar.exceptions import PermissionDeniedException
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Receive, Scope, Send

from kit.security_log import record
from settings import Settings
from web.security import is_api, requested_path

SAFE_METHODS = {"GET", "HEAD", "OPTIONS"}
OWN = {b"same-origin", b"none"}
"""Values of Sec-Fetch-Site for requests of this site's pages, and of the user alone (W3C Fetch Metadata)."""


class CrossSiteRequest(PermissionDeniedException):
    """Another site may have caused the request."""


class RejectCrossSite(ASGIMiddleware):
    """Raises CrossSiteRequest for a request that may change something and doesn't come from this site.

    A client that sends neither header is no current browser. It may use the API, whose JSON requests another
    site can't send without a preflight, and forms as long as it sends no cookies.
    """

    scopes = (ScopeType.HTTP,)

    def __init__(self, settings: Settings) -> None:
        self._site = settings.site.encode().lower()
        self._schemes = (b"https://",) if settings.cookie_secure else (b"http://", b"https://")

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        if scope["method"] not in SAFE_METHODS and not self._comes_from_here(scope):  # type: ignore[typeddict-item]
            record("cross-site", "refused", route=f"{scope['method']} {requested_path(scope)[:200]}")  # type: ignore[typeddict-item]
            raise CrossSiteRequest
        await next_app(scope, receive, send)

    def _comes_from_here(self, scope: Scope) -> bool:
        headers = dict(scope["headers"])
        if (fetch_site := headers.get(b"sec-fetch-site")) is not None:
            return fetch_site in OWN
        if (origin := headers.get(b"origin")) is not None:
            return self._is_own(origin.lower(), headers.get(b"host", b"").lower())
        return is_api(requested_path(scope)) or b"cookie" not in headers

    def _is_own(self, origin: bytes, host: bytes) -> bool:
        """Whether the origin is this site's address, or the address at which the browser reached it."""
        return origin in {self._site, *(scheme + host for scheme in self._schemes)}
