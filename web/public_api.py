"""The routes of the services that the web tier serves to everyone.

All other routes of the services, such as those for operators, health checks, metrics and documentation, don't
exist for clients of the web tier. `docs/api.md` describes each route of this table.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote

from settings import ServiceName

ROUTES: Mapping[ServiceName, Mapping[str, str]] = {
    "auth": {
        "/api/users/signup": "POST",
        "/api/users/signin": "POST",
        "/api/users/signout": "POST",
        "/api/users/signout-everywhere": "POST",
        "/api/users/password": "POST",
        "/api/users/currentuser": "GET",
        "/api/users/session-use": "POST",
        "/api/users/me": "GET PATCH",
        "/api/users/me/open-matters": "GET",
        "/api/users/me/deletion": "POST",
        "/api/users/me/export": "GET",
        "/api/users/sessions": "GET",
        "/api/users/sessions/:id": "DELETE",
        "/api/users/password-reset": "POST",
        "/api/users/password-reset/complete": "POST",
        "/api/users/confirmation": "POST",
        "/api/users/confirmation/complete": "POST",
        "/api/users/email-change": "POST",
        "/api/users/email-change/complete": "POST",
        "/api/users/email-change/undo": "POST",
        "/api/users/passkeys": "GET POST",
        "/api/users/passkeys/begin": "POST",
        "/api/users/passkeys/:id": "PATCH",
        "/api/users/passkeys/:id/remove": "POST",
        "/api/users/passkey-signin": "POST",
        "/api/users/passkey-signin/begin": "POST",
        "/api/users/:id": "GET",
    },
    "tickets": {
        "/api/tickets": "GET POST",
        "/api/tickets/facets": "GET",
        "/api/tickets/mine": "GET",
        "/api/tickets/mine/summary": "GET",
        "/api/tickets/sellers/:id": "GET",
        "/api/tickets/pictures/:picture/small": "GET",
        "/api/tickets/pictures/:picture/large": "GET",
        "/api/tickets/:id": "GET PUT DELETE",
        "/api/tickets/:id/similar": "GET",
        "/api/tickets/:id/reports": "POST",
        "/api/tickets/:id/picture": "PUT DELETE",
        "/api/tickets/:id/private-note": "PUT",
        "/api/shows": "GET",
        "/api/shows/search": "GET",
        "/api/shows/highlights": "GET",
        "/api/shows/:id": "GET",
        "/api/alerts": "GET POST",
        "/api/alerts/news": "POST",
        "/api/alerts/:id": "DELETE",
        "/api/tickets/:id/files": "GET POST",
        "/api/tickets/:id/files/:file": "GET DELETE",
    },
    "orders": {
        "/api/orders": "GET POST",
        "/api/orders/sales": "GET",
        "/api/orders/:id": "GET DELETE",
        "/api/orders/:id/extend": "POST",
        "/api/orders/:id/handover": "POST",
        "/api/orders/:id/confirmation": "POST",
        "/api/orders/:id/problem": "POST",
        "/api/orders/:id/problem/answer": "POST",
        "/api/orders/:id/problem/photos": "POST",
        "/api/orders/:id/problem/photos/:file": "GET DELETE",
    },
    "payments": {
        "/api/payments": "GET POST",
        "/api/payments/webhook": "POST",
    },
    "payouts": {
        "/api/payouts": "GET",
        "/api/payouts/account": "GET POST",
        "/api/payouts/webhook": "POST",
    },
}
"""The methods of each path. A path with GET also has HEAD, and every path has OPTIONS."""

_PARAMETERS = {":id": "[0-9a-fA-F]{24}", ":picture": "[0-9A-Za-z_-]{1,100}", ":file": "[0-9a-f]{32}"}
_ENCODED_SLASH = re.compile("%2f", re.IGNORECASE)


@dataclass(frozen=True)
class PublicRoute:
    service: ServiceName
    path: str
    """The requested path, decoded and without additional slashes."""
    template: str
    """The path in `ROUTES`."""
    methods: frozenset[str]

    @property
    def allow(self) -> str:
        """The value of the header Allow."""
        return ", ".join(sorted(self.methods))


def public_route(raw_path: bytes) -> PublicRoute | None:
    """The public route with this path, or None if there is none.

    The path is decoded once, as the services would do. Encoded slashes, backslashes, dots and percent signs
    match no route, so that no server in between can read another path than this one.

    Args:
        raw_path: as the client sent it, without the query.
    """
    encoded = raw_path.decode("latin-1")
    if _ENCODED_SLASH.search(encoded):
        return None
    path = "/" + "/".join(filter(None, unquote(encoded).split("/")))
    for pattern, service, template, methods in _PATTERNS:
        if pattern.fullmatch(path):
            return PublicRoute(service, path, template, methods)
    return None


def _pattern(path: str) -> re.Pattern[str]:
    return re.compile("/".join(_PARAMETERS.get(part, part) for part in path.split("/")), re.ASCII)


def _methods(given: str) -> frozenset[str]:
    return frozenset({*given.split(), "OPTIONS", *(["HEAD"] if "GET" in given.split() else [])})


_PATTERNS = [
    (_pattern(path), service, path, _methods(given))
    for service, routes in ROUTES.items()
    for path, given in routes.items()
]
