"""`just demo` fills a marketplace with sample tickets, orders and payments."""

from collections import Counter
from dataclasses import replace
from datetime import datetime
from typing import Any

import httpx
import pytest

from contracts.wire import now
from sandbox.demo.__main__ import PROGRAMME, run, summary
from sandbox.demo.fill import fill
from sandbox.demo.programme import PASSWORD, Listing, email_of, people
from sandbox.demo.user import UnexpectedResponse, User
from sandbox.testing import free_port
from settings import Settings
from tests.support.polling import TIMEOUT
from tests.support.stack import Stack

Json = dict[str, Any]


def _short_programme() -> list[Listing]:
    """One listing for each outcome. There is only one seller and one buyer, because signing in is slow."""
    by_outcome = {listing.offer.outcome: listing for listing in PROGRAMME}
    offers = [
        replace(listing.offer, seller="maren", buyer=listing.offer.buyer and "noah")
        for listing in by_outcome.values()
    ]
    events = [replace(listing.event, look=None) for listing in by_outcome.values()]
    events[0] = replace(events[0], look="bars ember")
    return [Listing(event, offer) for event, offer in zip(events, offers, strict=True)]


async def all_data(site: str, listed: list[Listing]) -> tuple[list[Json], list[Json], list[Json]]:
    """The tickets, orders and payments of all demo users."""
    tickets: list[Json] = []
    orders: list[Json] = []
    payments: list[Json] = []
    for name in people(listed):
        async with httpx.AsyncClient(base_url=site, timeout=TIMEOUT) as http:
            account = {"email": email_of(name), "password": PASSWORD}
            assert (await http.post("/api/users/signin", json=account)).status_code == 200
            tickets += (await http.get("/api/tickets/mine")).json()
            mine = (await http.get("/api/orders")).json()
            for order in mine:
                found = await http.get("/api/payments", params={"orderId": order["id"]})
                payments += found.json()
            orders += mine
    return tickets, orders, payments


async def test_a_run_creates_orders_in_every_state_and_a_second_run_creates_nothing(stack: Stack) -> None:
    programme = _short_programme()
    first = await fill(stack.settings, programme)
    second = await fill(stack.settings, programme)
    tickets, orders, payments = await all_data(stack.web, programme)

    assert first == {"tickets": 10, "pictures": 1, "orders": 8}
    assert not second
    # The list shows the newest ticket first, as the programme does.
    assert [ticket["title"] for ticket in tickets] == [listing.event.title for listing in programme]
    assert Counter((order["status"], order["relisted"]) for order in orders) == {
        ("created", False): 2,
        ("awaiting:payment", False): 1,
        ("complete", False): 2,
        ("cancelled", False): 1,
        ("refunded", False): 1,
        ("refunded", True): 1,
    }
    assert {payment["declineMessage"] for payment in payments if payment["status"] == "failed"} == {
        "Your card was declined."
    }
    assert [ticket["status"] for ticket in tickets].count("withdrawn") == 1
    past = [order for order in orders if datetime.fromisoformat(order["ticket"]["startsAt"]) < now()]
    assert [(order["status"], order["delivery"]) for order in past] == [("complete", "confirmed")]
    assert [ticket["title"] for ticket in tickets if ticket["picture"]] == [programme[0].event.title]


async def test_the_demo_leaves_orders_unpaid_if_buyers_pay_on_stripes_page(
    stack: Stack, capsys: pytest.CaptureFixture[str]
) -> None:
    conf = stack.settings.model_copy(update={"web_url": stack.checkout_web})
    refunded = next(listing for listing in _short_programme() if listing.offer.outcome == "refunded")
    listing = Listing(replace(refunded.event, title="Paid at Stripe"), refunded.offer)
    await fill(conf, [listing])
    assert "noah can't pay for an order" in capsys.readouterr().out


def test_the_demo_explains_when_no_marketplace_is_running(capsys: pytest.CaptureFixture[str]) -> None:
    conf = Settings(web_port=free_port())
    assert run(conf) == 1
    assert f"No marketplace answers at {conf.site}" in capsys.readouterr().out


def test_the_summary_names_the_users_and_their_password() -> None:
    text = summary("http://market", PROGRAMME, {"tickets": 97, "orders": 33})
    assert "Created 97 tickets and 33 orders at http://market" in text
    assert PASSWORD in text
    assert all(email_of(name) in text for name in people(PROGRAMME))


@pytest.mark.parametrize("status", [429, 503], ids=["rate limit", "busy marketplace"])
async def test_a_user_waits_as_long_as_a_response_asks_for_and_tries_again(status: int) -> None:
    responses = iter([httpx.Response(status, headers={"Retry-After": "0"}), httpx.Response(201, json={})])
    transport = httpx.MockTransport(lambda _: next(responses))
    async with httpx.AsyncClient(base_url="http://market", transport=transport) as http:
        response = await User("noah", http).request("POST", "/api/orders", expected=(201, 429))
    assert response.status_code == 201


async def test_a_user_waits_for_a_service_that_does_not_say_how_long_and_lists_a_ticket_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A 503 may come after the ticket was stored: the repeated request has the same key."""
    monkeypatch.setattr("sandbox.demo.user.BUSY_PAUSE", 0)
    keys: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        keys.append(request.headers["Idempotency-Key"])
        return httpx.Response(503 if len(keys) < 3 else 201, json={})

    async with httpx.AsyncClient(base_url="http://market", transport=httpx.MockTransport(answer)) as http:
        assert (await User("noah", http).request("POST", "/api/tickets")).status_code == 201
        assert len(set(keys)) == 1
        await User("noah", http).request("POST", "/api/tickets")
    assert len(set(keys)) == 2


async def test_the_error_for_an_unexpected_response_quotes_the_service() -> None:
    forbidden = httpx.Response(403, json={"title": "That order isn't yours"})
    transport = httpx.MockTransport(lambda _: forbidden)
    async with httpx.AsyncClient(base_url="http://market", transport=transport) as http:
        with pytest.raises(UnexpectedResponse, match="403: That order isn't yours"):
            await User("noah", http).get("/api/orders/1")
