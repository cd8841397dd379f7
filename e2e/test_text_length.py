"""Pages have room for the longer texts of other languages, also in the window of a small phone."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from gettext import NullTranslations
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Route, ViewportSize
from pytest_playwright_asyncio.pytest_playwright import CreateContextCallback

from contracts.wire import now
from kit import texts
from tests.integration.web.page_client import PageClient, page_client
from tests.support.asgi import alive
from tests.support.fakes.market import Market
from tests.support.fakes.services import services_running
from tests.support.pseudo_locale import PseudoLocale
from web.app import web_app

NARROWEST: ViewportSize = {"width": 320, "height": 640}
WIDE: ViewportSize = {"width": 1280, "height": 800}
SITE = "http://stagedoor.test"

OVERFLOWING = """() => {
    const found = [];
    for (const element of document.querySelectorAll("body *")) {
        const style = getComputedStyle(element);
        const box = element.getBoundingClientRect();
        const isHidden = style.visibility === "hidden" || box.width === 0;
        if (isHidden || element.closest(".visually-hidden, .skip, pre")) {
            continue;
        }
        const isCut = ["hidden", "clip"].includes(style.overflowX)
            && element.matches("a, button, label, h1, h2, .chip")
            && style.textOverflow !== "ellipsis" && element.scrollWidth > element.clientWidth + 1;
        if (isCut) {
            found.push(`${element.tagName}.${element.className}: ${element.textContent.trim().slice(0, 60)}`);
        }
    }
    return found;
}"""
"""The controls and headings whose text is cut off."""


@asynccontextmanager
async def site_in(
    translations: NullTranslations, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[PageClient, Market]]:
    """A web app in this process, with all texts in another language."""
    monkeypatch.setattr(texts, "translations", lambda _code: translations)
    async with services_running(Market()) as services:
        app = web_app(services.settings(data_dir=folder, nats_url="nats://127.0.0.1:9"))
        async with alive(app), page_client(app) as client:
            yield client, services.market


def answering(client: PageClient) -> object:
    """Lets the app answer the requests of a browser."""

    async def answer(route: Route) -> None:
        address = urlsplit(route.request.url)
        if address.path == "/live":
            await route.abort()
            return
        response = await client.http.get(address.path + (f"?{address.query}" if address.query else ""))
        dropped = {"content-encoding", "content-length", "transfer-encoding"}
        headers = {name: value for name, value in response.headers.items() if name not in dropped}
        await route.fulfill(status=response.status_code, headers=headers, body=response.content)

    return answer


def pages_of(market: Market, client: PageClient) -> list[str]:
    """The addresses of pages that a seller who also buys may open."""
    member, token = market.user("a.long.address@sub.example.com")
    other, _ = market.user("seller@example.com")
    client.sign_in_as(token)
    begins = now() + timedelta(days=30)
    mine = market.ticket(member, "Low Roar", starts_at=begins, venue="Old Mill", city="Köln")
    theirs = market.ticket(other, "Nick Cave", starts_at=begins, quantity=2)
    held = market.order(member, market.ticket(other, "Held"))
    bought = market.order(member, market.ticket(other, "Bought"), status="complete")
    return [
        *("/", "/?q=nothing+like+this&city=berlin&minPrice=5", "/how-it-works", "/developers"),
        *(f"/tickets/{ticket.id}" for ticket in (mine, theirs)),
        *("/sell", "/listings", "/orders", f"/orders/{held.id}", f"/orders/{bought.id}"),
        *("/account", "/account/email", "/account/delete", "/account/export", "/account/forgot"),
        *("/signin?again", "/signup?again", f"/tickets/{mine.id}/withdraw", "/no/such/page"),
    ]


@pytest.mark.parametrize("viewport", [NARROWEST, WIDE], ids=["narrow", "wide"])
@pytest.mark.parametrize("language", ["pseudo", "de"])
async def test_no_page_scrolls_sideways_or_cuts_off_a_text(
    new_context: CreateContextCallback,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    language: str,
    viewport: ViewportSize,
) -> None:
    translations = PseudoLocale() if language == "pseudo" else texts.translations(language)
    async with site_in(translations, tmp_path, monkeypatch) as (client, market):
        context = await new_context(viewport=viewport)
        await context.route("**/*", answering(client))  # type: ignore[arg-type]
        page = await context.new_page()
        wrong: list[tuple[str, object]] = []
        for path in pages_of(market, client):
            await page.goto(SITE + path)
            width = await page.evaluate("document.documentElement.scrollWidth")
            if width > viewport["width"]:
                wrong.append((path, width))
            if cut := await page.evaluate(OVERFLOWING):
                wrong.append((path, cut))
        assert wrong == []
        await context.unroute_all(behavior="ignoreErrors")
