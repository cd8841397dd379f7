"""What search engines, messengers, password managers and other programs read."""

import io
import json
import re
from datetime import datetime
from typing import Any
from xml.etree import ElementTree

import pytest
from PIL import Image

from contracts.api import User
from contracts.wire import now
from tests.integration.web.page_client import PageClient
from tests.support.fakes.market import Market

SITE = "http://localhost:3500"


@pytest.fixture
def seller(market: Market) -> User:
    return market.user("seller@example.com")[0]


def metadata(page: str) -> dict[str, str]:
    found = re.findall(r'<meta (?:name|property)="([\w:]+)"\s+content="([^"]*)">', page)
    return dict(found)


def data_of(page: str) -> Any:
    [text] = re.findall(r'<script type="application/ld\+json">(.*?)</script>', page, re.DOTALL)
    return json.loads(text)


async def test_an_event_describes_itself_with_all_its_offers(
    client: PageClient, market: Market, seller: User
) -> None:
    show = market.show("Nick Cave", performers=["Nick Cave"])
    for price in ("20.00", "35.00"):
        market.ticket(seller, price=price, show_id=show.id)
    page = (await client.get(f"/events/{show.id}")).text
    about = metadata(page)
    assert f'<link rel="canonical" href="{SITE}/events/{show.id}">' in page
    assert about["description"] == about["og:description"]
    assert "Tempodrom, Berlin, from $20" in about["description"]
    offers = data_of(page)["offers"]
    assert (offers["@type"], offers["lowPrice"], offers["highPrice"]) == ("AggregateOffer", "20.00", "35.00")
    picture = await client.get(about["og:image"].removeprefix(SITE))
    assert picture.headers["content-type"] == "image/jpeg"
    with Image.open(io.BytesIO(picture.content)) as image:
        assert image.size == (1200, 630)


async def test_a_ticket_has_a_canonical_address_and_a_preview(
    client: PageClient, market: Market, seller: User
) -> None:
    ticket = market.ticket(
        seller, title='Say "Hi" <b>', starts_at=datetime.fromisoformat("2036-12-12T19:00Z")
    )
    page = (await client.get(f"/tickets/{ticket.id}")).text
    assert f'<link rel="canonical" href="{SITE}/tickets/{ticket.id}">' in page
    assert data_of(page)["name"] == 'Say "Hi" <b>'
    assert "<b>" not in metadata(page)["og:title"]
    picture = await client.get(metadata(page)["og:image"].removeprefix(SITE))
    assert (picture.status_code, picture.headers["cache-control"]) == (200, "public, max-age=3600")
    assert (await client.get("/tickets/nothing/preview.jpg")).status_code == 404


async def test_lists_keep_only_city_and_category_in_their_canonical_address(client: PageClient) -> None:
    page = await client.get("/?q=cave&city=berlin&sort=price")
    assert f'<link rel="canonical" href="{SITE}/?city=berlin">' in page.text


async def test_private_pages_have_no_canonical_address(client: PageClient, buyer: User) -> None:
    for path in ("/orders", "/account"):
        assert 'rel="canonical"' not in (await client.get(path)).text


async def test_the_sitemap_lists_public_pages_and_events_and_is_kept(
    client: PageClient, market: Market
) -> None:
    show = market.show()
    answer = await client.get("/sitemap.xml")
    assert answer.headers["content-type"].startswith("application/xml")
    found = ElementTree.fromstring(answer.content)  # noqa: S314 - it is ours
    addresses = [each.text for each in found.iter("{http://www.sitemaps.org/schemas/sitemap/0.9}loc")]
    assert f"{SITE}/terms" in addresses
    asked = sum(request.path == "/internal/upcoming-shows" for request in market.seen)
    assert asked <= 1
    assert asked == 0 or f"{SITE}/events/{show.id}" in addresses
    await client.get("/sitemap.xml")
    assert sum(request.path == "/internal/upcoming-shows" for request in market.seen) == asked


async def test_robots_are_kept_out_of_private_pages(client: PageClient) -> None:
    text = (await client.get("/robots.txt")).text
    assert f"Sitemap: {SITE}/sitemap.xml" in text
    for path in ("/orders", "/account", "/api/", "/sell"):
        assert f"Disallow: {path}\n" in text
    assert "Disallow: /\n" not in text


async def test_security_txt_names_a_contact_and_expires_within_a_year(client: PageClient) -> None:
    text = (await client.get("/.well-known/security.txt")).text
    fields = dict(line.split(": ", 1) for line in text.splitlines())
    assert fields["Contact"] == f"{SITE}/contact"
    assert fields["Canonical"] == f"{SITE}/.well-known/security.txt"
    assert 0 < (datetime.fromisoformat(fields["Expires"]) - now()).days < 365


async def test_password_managers_find_the_form_and_what_does_not_exist_is_not_found(
    client: PageClient,
) -> None:
    answer = await client.get("/.well-known/change-password")
    assert (answer.status_code, answer.headers["location"]) == (302, "/account#account-form")
    nothing = "/.well-known/resource-that-should-not-exist-whose-status-code-should-not-be-200"
    assert (await client.get(nothing)).status_code == 404


async def test_the_manifest_names_icons_that_exist(client: PageClient) -> None:
    answer = await client.get("/manifest.webmanifest")
    assert answer.headers["content-type"].startswith("application/manifest+json")
    for each in answer.json()["icons"]:
        icon = await client.get(each["src"])
        assert (icon.status_code, icon.headers["content-type"]) == (200, "image/png")
    favicon = await client.get("/favicon.ico")
    assert (favicon.status_code, favicon.headers["content-type"]) == (200, "image/vnd.microsoft.icon")
    assert (await client.get("/icons/1.png")).status_code == 404
