"""Which language a reader gets: that of the address (/de/events/…), of the cookie, or of the browser.

An address with a language shows the same page as the address without it. Search engines know the page in each
language by it, and a link with it switches the language: the answer stores the choice in a cookie.
"""

import re
from collections.abc import Iterable, Mapping
from typing import cast

from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send

from contracts.languages import LANGUAGES, Language
from kit.texts import using
from web.rendering.locales import locale_of

COOKIE = "language"
NAMES: Mapping[Language, str] = {"en": "English", "de": "Deutsch"}
"""How each language calls itself."""
SECONDS = 365 * 24 * 3600
"""How long a browser keeps the choice."""

_PREFIX = re.compile(rf"/({'|'.join(LANGUAGES)})(?=/|$)(?!/(?:api|static|live|cards|health)(?:/|$))")
"""The language at the beginning of a page's path. What isn't a page has no language in its address."""
_COOKIE = re.compile(rf"(?:^|;\s*){COOKIE}=({'|'.join(LANGUAGES)})(?=;|$)".encode())


def cookie(language: Language, *, is_secure: bool) -> str:
    """The value of the Set-Cookie header that stores a choice."""
    secure = "; Secure" if is_secure else ""
    return f"{COOKIE}={language}; Path=/; Max-Age={SECONDS}; HttpOnly; SameSite=Lax{secure}"


class ChooseLanguage:
    """An ASGI app that answers in the reader's language with another app, which doesn't see the prefix.

    The page cache uses it first of all, because it keeps a rendering for each locale.
    """

    def __init__(self, app: ASGIApp, *, is_secure: bool) -> None:
        self.app = app
        self._is_secure = is_secure

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await self.app(scope, receive, send)
            return
        stored, accepted = _given(scope["headers"])
        prefixed = _PREFIX.match(scope["path"])
        if prefixed is None:
            with using(locale_of(accepted, stored)):
                await self.app(scope, receive, send)
            return
        language = cast("Language", prefixed[1])
        value = cookie(language, is_secure=self._is_secure).encode()

        async def remember(message: Message) -> None:
            if message["type"] == "http.response.start" and language != stored:
                message["headers"] = [*message["headers"], (b"set-cookie", value)]
            await send(message)

        with using(locale_of(accepted, language)):
            await self.app(_without_prefix(scope, len(prefixed[0])), receive, remember)


def _given(headers: Iterable[tuple[bytes, bytes]]) -> tuple[Language | None, str]:
    """The language of the cookie, and the Accept-Language header."""
    stored, accepted = None, ""
    for name, value in headers:
        if name == b"accept-language":
            accepted = value.decode("latin-1")
        elif name == b"cookie" and (match := _COOKIE.search(value)):
            stored = cast("Language", match[1].decode())
    return stored, accepted


def _without_prefix(scope: HTTPScope, length: int) -> HTTPScope:
    raw = scope["raw_path"]
    return {
        **scope,
        "path": scope["path"][length:] or "/",
        "raw_path": raw[length:] if raw[length : length + 1] == b"/" else b"/" + raw[length:],
    }
