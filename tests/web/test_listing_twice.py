"""A form that is sent twice, or again because no answer came, lists one ticket."""

import asyncio
import re

import httpx
import pytest
from aiohttp import web

from contracts.api import User
from tests.web.conftest import Browser, text_of
from tests.web.market import Market
from tests.web.served import Services, Tickets

TARGETS = pytest.mark.parametrize("target", [None, "form#ticket-form"], ids=["plain", "with htmx"])


@pytest.fixture(autouse=True)
def seller(browser: Browser, market: Market) -> User:
    user, token = market.user("seller@example.com")
    browser.sign_in_as(token)
    return user


def offer_in(page: httpx.Response) -> str:
    [offer] = re.findall(r'<input type="hidden" name="offer" value="([^"]+)">', page.text)
    return str(offer)


async def opened(browser: Browser) -> str:
    return offer_in(await browser.get("/sell"))


async def sends(
    browser: Browser, offer: str, target: str | None = None, *, title: str = "Nick Cave", price: str = "20"
) -> httpx.Response:
    return await browser.submit("/sell", target=target, title=title, price=price, offer=offer)


def led_to(response: httpx.Response) -> str | None:
    found: str | None = response.headers.get("location") or response.headers.get("hx-redirect")
    return found


@TARGETS
async def test_a_double_click_lists_one_ticket(browser: Browser, market: Market, target: str | None) -> None:
    offer = await opened(browser)
    answers = await asyncio.gather(*(sends(browser, offer, target) for _ in range(2)))
    [ticket] = market.tickets.values()
    assert {led_to(answer) for answer in answers} == {f"/tickets/{ticket.id}"}


async def test_each_form_that_is_opened_is_another_offer(browser: Browser, market: Market) -> None:
    for _ in range(2):
        await sends(browser, await opened(browser))
    assert len(market.tickets) == 2


@TARGETS
async def test_a_form_that_comes_back_with_mistakes_is_the_same_offer(
    browser: Browser, market: Market, target: str | None
) -> None:
    offer = await opened(browser)
    wrong = await sends(browser, offer, target, price="free")
    assert (wrong.status_code, offer_in(wrong)) == (422, offer)
    for _ in range(2):
        await sends(browser, offer_in(wrong), target)
    assert len(market.tickets) == 1


@TARGETS
async def test_while_tickets_is_away_the_form_comes_back_as_it_was_and_can_be_sent_again(
    browser: Browser, market: Market, services: Services, target: str | None
) -> None:
    offer = await opened(browser)
    await services.stop("tickets")
    away = await sends(browser, offer, target)
    assert (away.status_code, offer_in(away)) == (503, offer)
    assert "The tickets are away for a moment" in text_of(away)
    assert 'value="Nick Cave"' in away.text
    assert away.headers["retry-after"]
    assert "hx-retarget" not in away.headers
    await services.start("tickets")
    again = await sends(browser, offer_in(away), target)
    [ticket] = market.tickets.values()
    assert led_to(again) == f"/tickets/{ticket.id}"


@TARGETS
async def test_an_offer_whose_answer_got_lost_is_listed_once(
    browser: Browser, market: Market, services: Services, target: str | None
) -> None:
    tickets = Tickets(market)

    async def listed_but_not_told(request: web.Request) -> web.Response:
        await tickets.create(request)
        return web.Response(status=504)

    offer = await opened(browser)
    await services.replace("tickets", [web.post("/api/tickets", listed_but_not_told)])
    lost = await sends(browser, offer, target)
    assert lost.status_code == 503
    await services.replace("tickets", tickets.routes())
    again = await sends(browser, offer_in(lost), target)
    [ticket] = market.tickets.values()
    assert led_to(again) == f"/tickets/{ticket.id}"


@TARGETS
async def test_who_edits_what_was_listed_already_is_told_so_and_can_go_on(
    browser: Browser, market: Market, target: str | None
) -> None:
    offer = await opened(browser)
    await sends(browser, offer, target)
    other = await sends(browser, offer, target, title="Grinderman")
    assert other.status_code == 409
    assert "You sent this form before" in text_of(other)
    assert 'value="Grinderman"' in other.text
    await sends(browser, offer_in(other), target, title="Grinderman")
    assert [ticket.title for ticket in market.tickets.values()] == ["Nick Cave", "Grinderman"]


@pytest.mark.parametrize("offer", ["", "x" * 101, "a\r\nb", "é", "<b>"])
async def test_an_offer_that_was_tampered_with_is_a_new_one(
    browser: Browser, market: Market, offer: str
) -> None:
    assert led_to(await sends(browser, offer)) is not None
    wrong = await sends(browser, offer, price="free")
    assert offer_in(wrong) != offer
