"""Files that programs look for: security.txt, robots.txt, the sitemap, the manifest and the icons."""

import asyncio
import json
import logging
import math
from asyncio import to_thread
from collections.abc import Iterable
from datetime import timedelta
from time import monotonic
from typing import Any
from xml.sax.saxutils import escape

from litestar import Response, Router, get
from litestar.di import NamedDependency
from litestar.exceptions import NotFoundException
from litestar.params import FromPath
from litestar.response import Redirect

from contracts import guarantees
from contracts.languages import LANGUAGES
from contracts.wire import now
from settings import Settings
from web.api_client import ApiClient, ServiceDown
from web.languages import prefix_of
from web.pages.articles import PATHS
from web.rendering import icons
from web.rendering.texts import _

log = logging.getLogger(__name__)

InjectedSettings = NamedDependency[Settings]

DAY = "public, max-age=86400"
HOUR = "public, max-age=3600"

SITEMAP_SECONDS = 3600.0
RETRY_SECONDS = 10.0
"""How long tickets isn't asked again after it didn't answer."""

SECURITY_TXT_DAYS = 180
"""How long a copy of security.txt counts as current. RFC 9116 recommends less than a year."""

PRIVATE = (
    "/account",
    "/api/",
    "/cards",
    "/listings",
    "/live",
    "/mail/",
    "/orders",
    "/results",
    "/sell",
    "/sign",
)
"""Paths that say nothing to people who search. Pictures are an exception."""


@get("/.well-known/security.txt", sync_to_thread=False)
def security_txt(settings: InjectedSettings) -> Response[str]:
    """How to report a vulnerability (RFC 9116)."""
    contact = settings.security_contact or f"{settings.site}/contact"
    today = now().replace(hour=0, minute=0, second=0, microsecond=0)
    lines = [
        f"Contact: {contact}",
        f"Expires: {today + timedelta(days=SECURITY_TXT_DAYS):%Y-%m-%dT%H:%M:%SZ}",
        "Preferred-Languages: en",
        f"Canonical: {settings.site}/.well-known/security.txt",
    ]
    return _text("\n".join(lines) + "\n", HOUR)


@get("/.well-known/change-password", sync_to_thread=False)
def change_password() -> Redirect:
    """Lead password managers to the form (https://w3c.github.io/webappsec-change-password-url/)."""
    return Redirect("/account#account-form", status_code=302)


@get("/robots.txt", sync_to_thread=False)
def robots(settings: InjectedSettings) -> Response[str]:
    lines = [
        "User-agent: *",
        "Allow: /api/tickets/pictures/",
        *(
            f"Disallow: {prefix}{path}"
            for prefix in ("", *(f"/{code}" for code in LANGUAGES))
            for path in PRIVATE
        ),
        "",
        f"Sitemap: {settings.site}/sitemap.xml",
    ]
    return _text("\n".join(lines) + "\n", DAY)


class Sitemap:
    """The sitemap of this process, which is made again after an hour, however often it is requested."""

    def __init__(self) -> None:
        self._due_at = -math.inf
        self._content = b""
        self._making = asyncio.Lock()

    async def content(self, site: str, api: ApiClient) -> bytes:
        """While tickets is down, the last one. Requests don't wait for tickets one after the other then.

        Raises:
            ServiceDown: there is none yet.
        """
        async with self._making:
            if monotonic() >= self._due_at:
                await self._make(site, api)
        if not self._content:
            raise ServiceDown("tickets")
        return self._content

    async def _make(self, site: str, api: ApiClient) -> None:
        try:
            self._content = sitemap_of(site, await api.upcoming_shows())
        except ServiceDown as error:
            log.warning("The sitemap can't be made: %s", error)
            self._due_at = monotonic() + RETRY_SECONDS
        else:
            self._due_at = monotonic() + SITEMAP_SECONDS


def sitemap_of(site: str, events: Iterable[str]) -> bytes:
    """The public pages, and these events, in each language. The pages name their other languages."""
    paths = ["/", guarantees.PAGE, *PATHS, "/developers", *(f"/events/{event}" for event in events)]
    addresses = [f"{site}{prefix_of(code)}{path}" for path in paths for code in LANGUAGES]
    urls = "".join(f"<url><loc>{escape(address)}</loc></url>\n" for address in addresses)
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">\n{urls}</urlset>\n'
    ).encode()


@get("/sitemap.xml")
async def show_sitemap(
    settings: InjectedSettings, api: NamedDependency[ApiClient], sitemap: NamedDependency[Sitemap]
) -> Response[bytes]:
    """The public pages, and the events that haven't begun, the soonest first."""
    content = await sitemap.content(settings.site, api)
    return Response(content, media_type="application/xml", headers={"Cache-Control": HOUR})


@get("/manifest.webmanifest", sync_to_thread=False)
def manifest() -> Response[str]:
    sizes = [
        {"src": f"/icons/{size}.png", "sizes": f"{size}x{size}", "type": "image/png", "purpose": purpose}
        for size in icons.SIZES
        for purpose in ("any", "maskable")
    ]
    content = {
        "name": "Stagedoor",
        "short_name": "Stagedoor",
        "description": _("Buy and sell tickets. You see the full price up front, and pay after you reserve."),
        "id": "/",
        "start_url": "/",
        "scope": "/",
        "display": "minimal-ui",
        "background_color": "#fbf8f4",
        "theme_color": "#fbf8f4",
        "icons": sizes,
    }
    headers = {"Cache-Control": HOUR, "Vary": "Accept-Language, Cookie"}
    return Response(json.dumps(content), media_type="application/manifest+json", headers=headers)


@get("/favicon.ico")
async def favicon() -> Response[bytes]:
    content = await to_thread(icons.favicon)
    return Response(content, media_type="image/vnd.microsoft.icon", headers={"Cache-Control": DAY})


@get("/icons/{name:str}")
async def icon(name: FromPath[str]) -> Response[bytes]:
    size = next((size for size in icons.SIZES if f"{size}.png" == name), None)
    if size is None:
        raise NotFoundException
    content = await to_thread(icons.png, size)
    return Response(content, media_type="image/png", headers={"Cache-Control": DAY})


def _text(content: str, cached: str) -> Response[Any]:
    return Response(content, media_type="text/plain; charset=utf-8", headers={"Cache-Control": cached})


router = Router(
    "/",
    route_handlers=[security_txt, change_password, robots, show_sitemap, manifest, favicon, icon],
)
