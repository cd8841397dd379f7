"""A client of the pages of a web app in this process, like a browser without JavaScript."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from litestar.types import ASGIApp

from contracts.identity import SESSION_COOKIE
from tests.support.asgi import client_of

EVENT = {"startsAt": "2036-12-12T20:00", "venue": "Astra", "city": "Berlin"}
"""What the form to list a ticket requires about the event, apart from its title."""


class PageClient:
    """Keeps cookies, and says like a browser that its requests come from this site."""

    def __init__(self, http: httpx.AsyncClient, app: ASGIApp) -> None:
        self.http = http
        http.headers["Sec-Fetch-Site"] = "same-origin"
        self.app = app

    def sign_in_as(self, token: str) -> None:
        self.http.cookies.set(SESSION_COOKIE, token)

    async def get(self, path: str, *, target: str | None = None, **headers: str) -> httpx.Response:
        return await self.http.get(path, headers={**_htmx(target), **headers})

    async def submit(
        self, path: str, *, target: str | None = None, follow: bool = False, **fields: str
    ) -> httpx.Response:
        return await self.http.post(path, data=fields, headers=_htmx(target), follow_redirects=follow)


def _htmx(target: str | None) -> dict[str, str]:
    """The headers of an htmx request that replaces the element `target`; empty without a target."""
    if target is None:
        return {}
    return {"HX-Request": "true", "HX-Request-Type": "partial", "HX-Target": target}


@asynccontextmanager
async def page_client(app: ASGIApp) -> AsyncIterator[PageClient]:
    async with client_of(app) as http:
        yield PageClient(http, app)


def text_of(response: httpx.Response) -> str:
    """The text of a page without tags and with single spaces between words."""
    shown = re.sub(r"<(script|style)\b.*?</\1>", " ", response.text, flags=re.DOTALL)
    return " ".join(re.sub(r"<[^>]+>", " ", re.sub("</?bdi>", "", shown)).split())


def is_page(response: httpx.Response) -> bool:
    return "<!doctype html>" in response.text
