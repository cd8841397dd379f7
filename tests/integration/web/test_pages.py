"""Pages and fragments in general: htmx, escaping, security headers, and unknown addresses."""

import re
from datetime import datetime

import pytest

from contracts.api import User
from contracts.wire import Moment
from kit.session_use import REPORT_PATH
from tests.integration.web.page_client import PageClient, is_page, text_of
from tests.support.fakes.market import Market

HTML = "<script>alert('x')</script> & \"quotes\""


async def test_the_front_page_lists_tickets_with_their_prices(client: PageClient, market: Market) -> None:
    seller, _ = market.user("seller@example.com")
    market.ticket(seller, "Nick Cave", price="1234.50", city="Berlin")
    page = await client.get("/")
    assert page.status_code == 200
    assert is_page(page)
    assert "Nick Cave Berlin $1,234.50 Face value not stated On sale" in text_of(page)


async def test_the_search_is_read_from_the_address(client: PageClient, market: Market) -> None:
    seller, _ = market.user("seller@example.com")
    for title, price in (("Nick Cave", "19.99"), ("Nick Drake", "80"), ("Little Simz", "19.99")):
        market.ticket(seller, title, price=price)
    text = text_of(await client.get("/?q=nick&maxPrice=19,99"))
    assert "Nick Cave" in text
    assert "Nick Drake" not in text
    assert "Little Simz" not in text


async def test_a_search_with_htmx_puts_only_filled_filters_into_the_address(client: PageClient) -> None:
    results = await client.get("/?q=nick+cave&minPrice=&maxPrice=20&sort=", target="div#results")
    assert results.headers["hx-push-url"] == "/?q=nick+cave&maxPrice=20"


async def test_an_invalid_price_is_kept_and_has_an_error_message(client: PageClient) -> None:
    page = await client.get("/?minPrice=cheap")
    assert page.status_code == 422
    assert 'value="cheap"' in page.text
    assert '<a href="#minPrice">Enter a price, such as 20 or 19.99</a>' in page.text


async def test_following_the_next_links_shows_every_ticket_once(client: PageClient, market: Market) -> None:
    seller, _ = market.user("seller@example.com")
    market.page_size = 2
    for number in range(5):
        market.ticket(seller, f"Show {number}")
    titles, address = [], "/?q=show"
    while address:
        page = await client.get(address)
        titles += re.findall(r"Show \d", page.text)
        more = re.search(r'class="button secondary" href="([^"]+)"', page.text)
        address = more[1].replace("&amp;", "&") if more else ""
    assert titles == ["Show 4", "Show 3", "Show 2", "Show 1", "Show 0"]


async def test_an_htmx_request_gets_a_fragment_and_any_other_request_the_page(
    client: PageClient, market: Market
) -> None:
    seller, _ = market.user("seller@example.com")
    ticket = market.ticket(seller)
    address = f"/tickets/{ticket.id}"
    for path, part, target in (
        ("/", "/results", "div#results"),
        (address, f"{address}/offer", "article#ticket"),
    ):
        page, fragment = await client.get(path), await client.get(part, target=target)
        assert is_page(page)
        assert not is_page(fragment)
        assert fragment.text.strip().startswith(("<div", "<article"))


async def test_a_request_of_show_more_gets_only_rows(client: PageClient, market: Market) -> None:
    seller, _ = market.user("seller@example.com")
    market.ticket(seller)
    rows = await client.get("/results/rows?after=~", target="li#more")
    assert rows.text.strip().startswith("<li")


async def test_htmx_gets_the_full_page_when_it_restores_history(client: PageClient) -> None:
    headers = {"HX-Request": "true", "HX-Request-Type": "partial", "HX-History-Restore-Request": "true"}
    assert is_page(await client.http.get("/", headers=headers))


async def test_an_htmx_request_of_type_full_gets_the_full_page(client: PageClient) -> None:
    assert is_page(await client.http.get("/", headers={"HX-Request": "true", "HX-Request-Type": "full"}))


async def test_a_redirect_for_htmx_is_a_200_with_an_hx_redirect_header(client: PageClient) -> None:
    plain, with_htmx = await client.get("/sell"), await client.get("/sell", target="main")
    assert (plain.status_code, plain.headers["location"]) == (303, "/signin?next=/sell")
    assert (with_htmx.status_code, with_htmx.headers["hx-redirect"]) == (200, "/signin?next=/sell")
    assert (with_htmx.content, with_htmx.headers.get("location")) == (b"", None)


async def test_a_title_with_html_is_escaped(client: PageClient, market: Market) -> None:
    seller, token = market.user("seller@example.com")
    buyer, buyer_token = market.user("buyer@example.com")
    ticket = market.ticket(seller, HTML, venue=HTML)
    order = market.order(buyer, market.ticket(seller, HTML))
    client.sign_in_as(token)
    for path in ("/", "/listings", f"/tickets/{ticket.id}", f"/tickets/{ticket.id}/edit"):
        assert "<script>alert" not in (await client.get(path)).text
    client.sign_in_as(buyer_token)
    for path in ("/orders", f"/orders/{order.id}"):
        page = await client.get(path)
        assert "&lt;script&gt;alert" in page.text
        assert "<script>alert" not in page.text


async def test_a_search_with_html_is_escaped(client: PageClient) -> None:
    page = await client.get('/?q="><script>alert(1)</script>')
    assert "<script>alert" not in page.text


@pytest.mark.usefixtures("stopped_clock")
@pytest.mark.parametrize(
    ("status", "viewer", "message", "action"),
    [
        ("available", "other", "held for you for 15 minutes", "Buy"),
        ("available", "nobody", "held for you for 15 minutes", "Sign in to buy"),
        ("available", "seller", "This is your listing", "Withdraw"),
        ("reserved", "buyer", "You hold this ticket: 15:00 left to pay", "Continue to payment"),
        ("reserved", "other", "Somebody else has reserved", "Find another ticket"),
        ("reserved", "seller", "A buyer has reserved your ticket", "My sales"),
        ("sold", "buyer", "This ticket is yours", "See your order"),
        ("sold", "other", "sold to somebody else", "Find another ticket"),
        ("sold", "seller", "Your ticket is sold", "My sales"),
        ("withdrawn", "other", "The seller withdrew this ticket", "Find another ticket"),
        ("withdrawn", "seller", "You withdrew this ticket", "My sales"),
    ],
)
async def test_a_ticket_page_shows_its_state_and_one_action_for_each_viewer(
    client: PageClient, market: Market, status: str, viewer: str, message: str, action: str
) -> None:
    seller, seller_token = market.user("seller@example.com")
    buyer, buyer_token = market.user("buyer@example.com")
    _, other_token = market.user("other@example.com")
    ticket = market.ticket(seller, status="available" if status in {"reserved", "sold"} else status)
    if status in {"reserved", "sold"}:
        market.order(buyer, ticket, status="complete" if status == "sold" else "created")
    if viewer != "nobody":
        client.sign_in_as({"seller": seller_token, "buyer": buyer_token, "other": other_token}[viewer])
    page = await client.get(f"/tickets/{ticket.id}")
    text = text_of(page)
    assert message in text
    assert action in text
    can_change = status != "withdrawn"
    assert ('data-live="ticket:' in page.text) is can_change, "a final state has no live updates"


async def test_a_time_is_shown_with_its_time_zone(client: PageClient, market: Market) -> None:
    seller, _ = market.user("seller@example.com")
    starts_at: Moment = datetime.fromisoformat("2026-12-12T20:00:00+00:00")
    ticket = market.ticket(seller, starts_at=starts_at)
    assert "Sat, Dec 12, 2026, 8:00 PM UTC" in text_of(await client.get(f"/tickets/{ticket.id}"))


@pytest.mark.parametrize("path", ["/nowhere", "/tickets/none", "/tickets/" + "f" * 24])
async def test_an_unknown_address_is_answered_with_the_not_found_page(
    client: PageClient, market: Market, path: str
) -> None:
    _, token = market.user("ann@example.com")
    client.sign_in_as(token)
    page = await client.get(path)
    assert page.status_code == 404
    assert "Page not found" in text_of(page)
    assert "ann@example.com" in text_of(page)


async def test_an_encoded_path_traversal_is_not_found_and_reaches_no_service(
    client: PageClient, market: Market
) -> None:
    page = await client.get("/tickets/..%2f..%2fusers")
    assert page.status_code == 404
    assert is_page(page)
    assert {request.path for request in market.seen} <= {REPORT_PATH}


async def test_the_sandbox_notice_appears_on_every_page(client: PageClient) -> None:
    for path in ("/", "/signin", "/developers", "/nowhere"):
        assert "Sandbox payments: no real money moves" in text_of(await client.get(path))


async def test_pages_contain_and_allow_no_inline_scripts_or_styles(
    client: PageClient, market: Market
) -> None:
    seller, token = market.user("seller@example.com")
    ticket = market.ticket(seller)
    client.sign_in_as(token)
    for path in ("/", f"/tickets/{ticket.id}", "/sell", "/nowhere"):
        page = await client.get(path)
        policy = page.headers["content-security-policy"]
        assert "default-src 'self'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert page.headers["x-content-type-options"] == "nosniff"
        assert page.headers["referrer-policy"] == "same-origin"
        assert "style=" not in page.text
        assert not re.search(r"<script(?! type=\"application/json\"| src=)|\son\w+=|hx-on|js:", page.text)


async def test_pages_of_a_signed_in_user_are_not_cached(client: PageClient, market: Market) -> None:
    _, token = market.user("ann@example.com")
    client.sign_in_as(token)
    assert (await client.get("/")).headers["cache-control"] == "no-store"


async def test_a_page_shows_whether_the_user_is_signed_in(client: PageClient, market: Market) -> None:
    _, token = market.user("ann@example.com")
    assert "Sign in" in text_of(await client.get("/"))
    client.sign_in_as(token)
    text = text_of(await client.get("/"))
    assert "ann@example.com" in text
    assert "Sign out" in text


@pytest.mark.parametrize("show", ["9" * 5000, "-1", "٤٠", "1e3", ""])
@pytest.mark.parametrize("path", ["/", "/listings"])
async def test_an_invalid_number_of_rows_is_ignored(
    client: PageClient, market: Market, path: str, show: str
) -> None:
    _, token = market.user("ann@example.com")
    client.sign_in_as(token)
    assert (await client.http.get(path, params={"show": show})).status_code == 200


@pytest.mark.parametrize(("path", "first"), [("/?q=nick", 3), ("/orders", 4), ("/listings", 4)])
async def test_only_the_first_pictures_of_a_list_are_loaded_at_once(
    client: PageClient, market: Market, buyer: User, path: str, first: int
) -> None:
    """A browser asks for a lazy picture only after it has laid out the page."""
    seller, _ = market.user("seller@example.com")
    owner = buyer if path == "/listings" else seller
    tickets = [market.ticket(owner, picture=f"{number:064x}") for number in range(6)]
    if path == "/orders":
        for ticket in tickets:
            market.order(buyer, ticket, status="complete")
    pictures = re.findall("<img[^>]*>", (await client.get(path)).text)
    assert ["lazy" in picture for picture in pictures] == [number >= first for number in range(6)]
