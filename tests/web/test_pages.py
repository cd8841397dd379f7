"""Pages and fragments: what people see, with and without JavaScript."""

import re
from datetime import datetime

import pytest

from contracts.wire import Moment
from tests.web.conftest import Browser, is_page, text_of
from tests.web.market import Market
from tests.web.served import Services

HOSTILE = "<script>alert('x')</script> & \"quotes\""


async def test_the_front_page_lists_tickets_with_their_prices(browser: Browser, market: Market) -> None:
    seller, _ = market.user("seller@example.com")
    market.ticket(seller, "Nick Cave", price="1234.50", city="Berlin")
    page = await browser.get("/")
    assert page.status_code == 200
    assert is_page(page)
    assert "Nick Cave Berlin $1,234.50 On sale" in text_of(page)


async def test_a_search_lives_in_the_address(browser: Browser, market: Market) -> None:
    seller, _ = market.user("seller@example.com")
    for title, price in (("Nick Cave", "19.99"), ("Nick Drake", "80"), ("Little Simz", "19.99")):
        market.ticket(seller, title, price=price)
    text = text_of(await browser.get("/?q=nick&maxPrice=19,99"))
    assert "Nick Cave" in text
    assert "Nick Drake" not in text
    assert "Little Simz" not in text


async def test_a_search_with_htmx_puts_only_what_was_typed_into_the_address(browser: Browser) -> None:
    results = await browser.get("/?q=nick+cave&minPrice=&maxPrice=20&sort=", target="div#results")
    assert results.headers["hx-push-url"] == "/?q=nick+cave&maxPrice=20"


async def test_a_filter_that_is_no_price_is_explained_beside_what_was_typed(browser: Browser) -> None:
    page = await browser.get("/?minPrice=cheap")
    assert page.status_code == 422
    assert 'value="cheap"' in page.text
    assert '<a href="#minPrice">Type a price such as 20 or 19.99</a>' in page.text


async def test_pages_lead_through_all_tickets_by_key(browser: Browser, market: Market) -> None:
    seller, _ = market.user("seller@example.com")
    market.page_size = 2
    for number in range(5):
        market.ticket(seller, f"Show {number}")
    seen, address = [], "/?q=show"
    while address:
        page = await browser.get(address)
        seen += re.findall(r"Show \d", page.text)
        more = re.search(r'class="button secondary" href="([^"]+)"', page.text)
        address = more[1].replace("&amp;", "&") if more else ""
    assert seen == ["Show 4", "Show 3", "Show 2", "Show 1", "Show 0"]


async def test_htmx_gets_the_fragment_and_everyone_else_the_page(browser: Browser, market: Market) -> None:
    seller, _ = market.user("seller@example.com")
    ticket = market.ticket(seller)
    for path, target in (("/", "div#results"), (f"/tickets/{ticket.id}", "article#ticket")):
        page, fragment = await browser.get(path), await browser.get(path, target=target)
        assert is_page(page)
        assert not is_page(fragment)
        assert fragment.text.strip().startswith(("<div", "<article"))
        assert "HX-Request" in fragment.headers["vary"]


async def test_more_tickets_are_rows_alone(browser: Browser, market: Market) -> None:
    seller, _ = market.user("seller@example.com")
    market.ticket(seller)
    rows = await browser.get("/?after=~", target="li#more")
    assert rows.text.strip().startswith("<li")


async def test_a_restored_page_is_whole(browser: Browser) -> None:
    headers = {"HX-Request": "true", "HX-Request-Type": "partial", "HX-History-Restore-Request": "true"}
    assert is_page(await browser.http.get("/", headers=headers))


async def test_a_hostile_title_is_text(browser: Browser, market: Market) -> None:
    seller, token = market.user("seller@example.com")
    buyer, buyers = market.user("buyer@example.com")
    ticket = market.ticket(seller, HOSTILE, venue=HOSTILE)
    order = market.order(buyer, market.ticket(seller, HOSTILE))
    browser.sign_in_as(token)
    for path in ("/", "/listings", f"/tickets/{ticket.id}", f"/tickets/{ticket.id}/edit"):
        assert "<script>alert" not in (await browser.get(path)).text
    browser.sign_in_as(buyers)
    for path in ("/orders", f"/orders/{order.id}"):
        page = await browser.get(path)
        assert "&lt;script&gt;alert" in page.text
        assert "<script>alert" not in page.text


async def test_a_hostile_search_is_text(browser: Browser) -> None:
    page = await browser.get('/?q="><script>alert(1)</script>')
    assert "<script>alert" not in page.text


@pytest.mark.parametrize(
    ("status", "viewer", "said", "action"),
    [
        ("available", "other", "yours for 15 minutes", "Buy"),
        ("available", "nobody", "yours for 15 minutes", "Sign in to buy"),
        ("available", "seller", "This is your listing", "Withdraw"),
        ("reserved", "buyer", "You hold this ticket: 15:00 left to pay", "Continue to payment"),
        ("reserved", "other", "Held by someone", "Find another ticket"),
        ("reserved", "seller", "Somebody holds your ticket", "My sales"),
        ("sold", "buyer", "This ticket is yours", "See your order"),
        ("sold", "other", "It belongs to somebody else", "Find another ticket"),
        ("sold", "seller", "found somebody", "My sales"),
        ("withdrawn", "other", "The seller withdrew this ticket", "Find another ticket"),
        ("withdrawn", "seller", "You withdrew this ticket", "My sales"),
    ],
)
async def test_a_ticket_says_what_it_is_and_offers_one_thing_to_do(
    browser: Browser, market: Market, status: str, viewer: str, said: str, action: str
) -> None:
    seller, sellers = market.user("seller@example.com")
    buyer, buyers = market.user("buyer@example.com")
    _, others = market.user("other@example.com")
    ticket = market.ticket(seller, status="available" if status in {"reserved", "sold"} else status)
    if status in {"reserved", "sold"}:
        market.order(buyer, ticket, status="complete" if status == "sold" else "created")
    if viewer != "nobody":
        browser.sign_in_as({"seller": sellers, "buyer": buyers, "other": others}[viewer])
    page = await browser.get(f"/tickets/{ticket.id}")
    text = text_of(page)
    assert said in text
    assert action in text
    waits = status != "withdrawn"
    assert ('data-live="ticket:' in page.text) is waits, "a final state doesn't listen"


async def test_a_time_is_shown_with_its_zone(browser: Browser, market: Market) -> None:
    seller, _ = market.user("seller@example.com")
    starts_at: Moment = datetime.fromisoformat("2026-12-12T20:00:00+00:00")
    ticket = market.ticket(seller, starts_at=starts_at)
    assert "Sat, Dec 12, 2026, 8:00 PM UTC" in text_of(await browser.get(f"/tickets/{ticket.id}"))


@pytest.mark.parametrize("path", ["/nowhere", "/tickets/none", "/tickets/" + "f" * 24])
async def test_what_isnt_there_is_a_page_that_leads_back(browser: Browser, market: Market, path: str) -> None:
    _, token = market.user("ann@example.com")
    browser.sign_in_as(token)
    page = await browser.get(path)
    assert page.status_code == 404
    assert "There is nothing here" in text_of(page)
    assert "ann@example.com" in text_of(page)


async def test_an_address_that_leads_out_of_the_tickets_is_not_found(
    browser: Browser, market: Market
) -> None:
    page = await browser.get("/tickets/..%2f..%2fusers")
    assert page.status_code == 404
    assert is_page(page)
    assert market.seen == []


async def test_the_sandbox_is_named_on_every_page(browser: Browser) -> None:
    for path in ("/", "/signin", "/developers", "/nowhere"):
        assert "Sandbox payments: no real money moves" in text_of(await browser.get(path))


async def test_developers_find_every_services_documentation(browser: Browser, services: Services) -> None:
    page = await browser.get("/developers")
    for port in services.ports.values():
        assert f'href="http://localhost:{port}/docs"' in page.text
        assert f'href="http://localhost:{port}/docs/asyncapi"' in page.text


async def test_nothing_inline_is_needed_or_allowed(browser: Browser, market: Market) -> None:
    seller, token = market.user("seller@example.com")
    ticket = market.ticket(seller)
    browser.sign_in_as(token)
    for path in ("/", f"/tickets/{ticket.id}", "/sell", "/nowhere"):
        page = await browser.get(path)
        policy = page.headers["content-security-policy"]
        assert "default-src 'self'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert page.headers["x-content-type-options"] == "nosniff"
        assert page.headers["referrer-policy"] == "same-origin"
        assert "style=" not in page.text
        assert not re.search(r"<script(?![^>]*\bsrc=)|\son\w+=|hx-on|js:", page.text)


async def test_what_a_signed_in_user_saw_isnt_kept(browser: Browser, market: Market) -> None:
    _, token = market.user("ann@example.com")
    browser.sign_in_as(token)
    assert (await browser.get("/")).headers["cache-control"] == "no-store"


async def test_signed_in_or_not_is_shown_on_every_page(browser: Browser, market: Market) -> None:
    _, token = market.user("ann@example.com")
    assert "Sign in" in text_of(await browser.get("/"))
    browser.sign_in_as(token)
    text = text_of(await browser.get("/"))
    assert "ann@example.com" in text
    assert "Sign out" in text


@pytest.mark.parametrize("given", ["9" * 5000, "-1", "٤٠", "1e3", ""])
@pytest.mark.parametrize("path", ["/", "/listings"])
async def test_a_number_of_rows_that_is_none_means_the_usual_one(
    browser: Browser, market: Market, path: str, given: str
) -> None:
    _, token = market.user("ann@example.com")
    browser.sign_in_as(token)
    assert (await browser.http.get(path, params={"show": given})).status_code == 200
