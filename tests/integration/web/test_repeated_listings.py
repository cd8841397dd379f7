"""Submitting the listing form twice, by mistake or after a lost response, lists only one ticket."""

import asyncio
import re

import httpx
import pytest
from aiohttp import web

from contracts.api import User
from tests.integration.web.page_client import EVENT, PageClient, text_of
from tests.support.fakes.market import Market
from tests.support.fakes.services import Services
from tests.support.fakes.tickets import Tickets

TARGETS = pytest.mark.parametrize("target", [None, "form#ticket-form"], ids=["without htmx", "with htmx"])


@pytest.fixture(autouse=True)
def seller(client: PageClient, market: Market) -> User:
    user, token = market.user("seller@example.com")
    client.sign_in_as(token)
    return user


def key_in(page: httpx.Response) -> str:
    [key] = re.findall(r'<input type="hidden" name="idempotency_key" value="([^"]+)">', page.text)
    return str(key)


async def open_form(client: PageClient) -> str:
    """Open the listing form, and return its idempotency key."""
    return key_in(await client.get("/sell"))


async def submit_listing(
    client: PageClient, key: str, target: str | None = None, *, title: str = "Nick Cave", price: str = "20"
) -> httpx.Response:
    return await client.submit(
        "/sell", follow=False, target=target, title=title, price=price, idempotency_key=key, **EVENT
    )


def redirect_of(response: httpx.Response) -> str | None:
    found: str | None = response.headers.get("location") or response.headers.get("hx-redirect")
    return found


@TARGETS
async def test_a_double_click_on_the_listing_form_lists_one_ticket(
    client: PageClient, market: Market, target: str | None
) -> None:
    key = await open_form(client)
    answers = await asyncio.gather(*(submit_listing(client, key, target) for _ in range(2)))
    [ticket] = market.tickets.values()
    assert {redirect_of(answer) for answer in answers} == {f"/tickets/{ticket.id}"}


async def test_opening_the_form_again_allows_another_listing(client: PageClient, market: Market) -> None:
    for _ in range(2):
        await submit_listing(client, await open_form(client))
    assert len(market.tickets) == 2


@TARGETS
async def test_a_form_returned_with_errors_keeps_its_idempotency_key(
    client: PageClient, market: Market, target: str | None
) -> None:
    key = await open_form(client)
    invalid = await submit_listing(client, key, target, price="free")
    assert (invalid.status_code, key_in(invalid)) == (422, key)
    for _ in range(2):
        await submit_listing(client, key_in(invalid), target)
    assert len(market.tickets) == 1


@TARGETS
async def test_a_form_that_is_submitted_during_an_outage_keeps_its_values_and_can_be_submitted_again(
    client: PageClient, market: Market, services: Services, target: str | None
) -> None:
    key = await open_form(client)
    await services.stop("tickets")
    failed = await submit_listing(client, key, target)
    assert (failed.status_code, key_in(failed)) == (503, key)
    assert "Tickets are temporarily unavailable" in text_of(failed)
    assert 'value="Nick Cave"' in failed.text
    assert failed.headers["retry-after"]
    assert "hx-retarget" not in failed.headers
    await services.start("tickets")
    again = await submit_listing(client, key_in(failed), target)
    [ticket] = market.tickets.values()
    assert redirect_of(again) == f"/tickets/{ticket.id}"


@TARGETS
async def test_repeating_a_listing_whose_response_was_lost_lists_one_ticket(
    client: PageClient, market: Market, services: Services, target: str | None
) -> None:
    tickets = Tickets(market)

    async def create_and_lose_the_response(request: web.Request) -> web.Response:
        await tickets.create(request)
        return web.Response(status=504)

    key = await open_form(client)
    await services.replace("tickets", [web.post("/api/tickets", create_and_lose_the_response)])
    lost = await submit_listing(client, key, target)
    assert lost.status_code == 503
    await services.replace("tickets", tickets.routes())
    again = await submit_listing(client, key_in(lost), target)
    [ticket] = market.tickets.values()
    assert redirect_of(again) == f"/tickets/{ticket.id}"


@TARGETS
async def test_submitting_a_used_form_with_other_values_asks_for_another_submission(
    client: PageClient, market: Market, target: str | None
) -> None:
    key = await open_form(client)
    await submit_listing(client, key, target)
    other = await submit_listing(client, key, target, title="Grinderman")
    assert other.status_code == 409
    assert "You have already listed a ticket with this form" in text_of(other)
    assert 'value="Grinderman"' in other.text
    await submit_listing(client, key_in(other), target, title="Grinderman")
    assert [ticket.title for ticket in market.tickets.values()] == ["Nick Cave", "Grinderman"]


@pytest.mark.parametrize("key", ["", "x" * 101, "a\r\nb", "é", "<b>"])
async def test_an_invalid_idempotency_key_is_replaced(client: PageClient, market: Market, key: str) -> None:
    assert redirect_of(await submit_listing(client, key)) is not None
    invalid = await submit_listing(client, key, price="free")
    assert key_in(invalid) != key
