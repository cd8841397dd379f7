"""Which language a reader gets: that of the address (/de/events/…), of the cookie, or of the browser.

An address with a language shows the same page as the address without it. Search engines know the German page
by it, and the English one by the address without a language. A link with a language switches to it: the
answer stores the choice in a cookie.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import cast

from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send

from contracts.languages import DEFAULT, LANGUAGES, Language
from kit.texts import language, using
from web.page_cache.renderings import Headers, for_one_browser
from web.rendering.locales import locale_of

COOKIE = "language"
NAMES: Mapping[Language, str] = {"en": "English", "de": "Deutsch"}
"""How each language calls itself."""
SECONDS = 365 * 24 * 3600
"""How long a browser keeps the choice."""

_PREFIX = re.compile(
    rf"/({'|'.join(LANGUAGES)})(?=/(?!/)|$)(?!/(?:api|static|live|cards|health|metrics)(?:/|$))"
)
"""The language at the beginning of a page's path. What isn't a page has no language in its address: proxies
have rules for such paths."""
_COOKIE = re.compile(rf"(?:^|;\s*){COOKIE}=({'|'.join(LANGUAGES)})(?=;|$)".encode())


def cookie(language: Language, *, is_secure: bool) -> str:
    """The value of the Set-Cookie header that stores a choice."""
    secure = "; Secure" if is_secure else ""
    return f"{COOKIE}={language}; Path=/; Max-Age={SECONDS}; HttpOnly; SameSite=Lax{secure}"


def prefix_of(code: str) -> str:
    """What the canonical addresses of pages in this language begin with, after the name of the site."""
    return "" if code == DEFAULT else f"/{code}"


def canonical(site: str, path: str) -> str:
    """The address by which search engines know a page in the current language."""
    return f"{site}{prefix_of(language())}{path}"


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
        prefixed = _prefix_of_address(scope)
        if prefixed is None:
            locale = locale_of(accepted, stored)
            is_chosen = locale != locale_of(accepted)
            with using(locale):
                await self.app(scope, receive, _changing(send, for_one_browser) if is_chosen else send)
            return
        chosen = cast("Language", prefixed[1])
        value = cookie(chosen, is_secure=self._is_secure).encode()

        def remembered(headers: Headers) -> Headers:
            return [*for_one_browser(headers), (b"set-cookie", value)]

        with using(locale_of(accepted, chosen)):
            asked = _without_prefix(scope, len(prefixed[0]))
            await self.app(asked, receive, send if chosen == stored else _changing(send, remembered))


def _given(headers: Iterable[tuple[bytes, bytes]]) -> tuple[Language | None, str]:
    """The language of the cookie, and the Accept-Language header."""
    stored, accepted = None, ""
    for name, value in headers:
        if name == b"accept-language":
            accepted = value.decode("latin-1")
        elif name == b"cookie" and (match := _COOKIE.search(value)):
            stored = cast("Language", match[1].decode())
    return stored, accepted


def _prefix_of_address(scope: HTTPScope) -> re.Match[str] | None:
    """The language in the address. None if there is none, or if it is percent-encoded, as no link has it."""
    found = _PREFIX.match(scope["path"])
    if found is None:
        return None
    begins, rest = scope["raw_path"][: len(found[0])], scope["raw_path"][len(found[0]) :]
    return found if begins == found[0].encode() and rest[:1] in {b"", b"/", b"?"} else None


def _changing(send: Send, changed: Callable[[Headers], Headers]) -> Send:
    """Sends a response with other headers."""

    async def change_and_send(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = changed(list(message["headers"]))
        await send(message)

    return change_and_send


def _without_prefix(scope: HTTPScope, length: int) -> HTTPScope:
    raw = scope["raw_path"]
    return {
        **scope,
        "path": scope["path"][length:] or "/",
        "raw_path": raw[length:] if raw[length : length + 1] == b"/" else b"/" + raw[length:],
    }
