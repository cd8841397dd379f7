"""The maximum size of the body of each request."""

import re

from litestar.types import HTTPScope

from contracts.tickets import MAX_FILE_BYTES, MAX_PICTURE_BYTES
from kit.errors import Unavailable
from kit.http.cross_site import RejectCrossSite
from kit.tokens import Sessions
from settings import Settings
from web.admission.cookies import Cookie
from web.admission.request_body import (
    MAX_BODY_BYTES,
    MAX_FILE_FORM_BYTES,
    MAX_LISTING_FORM_BYTES,
    BodyRejected,
)

WEBHOOKS = "/api/payments/webhook"
_LISTING_FORM = "/sell"
_PICTURE_FORMS = re.compile(r"/tickets/[^/]+/picture")
_PICTURES = re.compile(r"/api/tickets/[^/]+/picture")
_FILE_FORMS = re.compile(r"/tickets/[^/]+/files|/orders/[^/]+/problem(/answer)?")
_FILES = re.compile(r"/api/tickets/[^/]+/files|/api/orders/[^/]+/problem/photos")


class BodyLimits:
    """Only signed-in users on pages of this site may send pictures and files. All other bodies are small."""

    def __init__(self, settings: Settings, sessions: Sessions, cross_site: RejectCrossSite) -> None:
        self._small = settings.max_body_bytes or MAX_BODY_BYTES
        self._webhook = settings.max_webhook_bytes or MAX_BODY_BYTES
        self._sessions = sessions
        self._cookie = Cookie(settings.session_cookie)
        self._cross_site = cross_site

    async def of(self, scope: HTTPScope) -> int | None:
        """The limit in bytes. None if the app refuses the request without reading its body.

        Raises:
            BodyRejected: it isn't known yet who is signed in.
        """
        if scope["path"] == WEBHOOKS:
            return self._webhook
        limit = _upload_limit(scope)
        if limit is None:
            return self._small
        try:
            may_upload = self._cross_site.comes_from_here(scope) and await self._is_signed_in(scope)
        except Unavailable:
            raise BodyRejected(503) from None
        return limit if may_upload else None

    async def _is_signed_in(self, scope: HTTPScope) -> bool:
        headers: dict[bytes, bytes] = dict(scope["headers"])
        scheme, _, bearer = headers.get(b"authorization", b"").partition(b" ")
        is_bearer = scheme.lower() == b"bearer"
        token = bearer.decode("latin-1").strip() if is_bearer else self._cookie.of(scope)
        return bool(token) and await self._sessions.identify(token) is not None


def _upload_limit(scope: HTTPScope) -> int | None:
    """The limit of a route for pictures or files; None for other routes."""
    headers: dict[bytes, bytes] = dict(scope["headers"])
    is_multipart = headers.get(b"content-type", b"").lower().startswith(b"multipart/form-data")
    if scope["method"] == "POST" and is_multipart and scope["path"] == _LISTING_FORM:
        return MAX_LISTING_FORM_BYTES
    if scope["method"] == "POST" and is_multipart and _PICTURE_FORMS.fullmatch(scope["path"]):
        return MAX_BODY_BYTES
    if scope["method"] == "PUT" and _PICTURES.fullmatch(scope["path"]):
        return MAX_PICTURE_BYTES
    if scope["method"] == "POST" and is_multipart and _FILE_FORMS.fullmatch(scope["path"]):
        return MAX_FILE_FORM_BYTES
    if scope["method"] == "POST" and _FILES.fullmatch(scope["path"]):
        return MAX_FILE_BYTES
    return None
