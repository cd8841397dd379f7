"""The sample marketplace that `just demo` makes."""

from collections import Counter
from dataclasses import replace
from typing import Any

import httpx
import pytest

from sandbox.demo.__main__ import PROGRAMME, farewell, run
from sandbox.demo.fill import fill
from sandbox.demo.programme import PASSWORD, Listing, email_of, people
from sandbox.demo.user import User, Wrong
from sandbox.testing import free_port
from settings import Settings
from tests.people import PATIENCE
from tests.stack import Stack

Json = dict[str, Any]


def _few() -> list[Listing]:
    """One of each ending, and one that nobody buys. Signing in takes long: two people are enough."""
    by_ending = {listing.offer.ending: listing for listing in PROGRAMME}
    offers = [
        replace(listing.offer, seller="maren", buyer=listing.offer.buyer and "noah")
        for listing in by_ending.values()
    ]
    events = [replace(listing.event, look=None) for listing in by_ending.values()]
    events[0] = replace(events[0], look="bars ember")
    return [Listing(event, offer) for event, offer in zip(events, offers, strict=True)]


async def of_everybody(site: str, listed: list[Listing]) -> tuple[list[Json], list[Json], list[Json]]:
    """Tickets, orders and payments of all demo users."""
    tickets: list[Json] = []
    orders: list[Json] = []
    payments: list[Json] = []
    for name in people(listed):
        async with httpx.AsyncClient(base_url=site, timeout=PATIENCE) as http:
            account = {"email": email_of(name), "password": PASSWORD}
            assert (await http.post("/api/users/signin", json=account)).status_code == 200
            tickets += (await http.get("/api/tickets/mine")).json()
            mine = (await http.get("/api/orders")).json()
            for order in mine:
                found = await http.get("/api/payments", params={"orderId": order["id"]})
                payments += found.json()
            orders += mine
    return tickets, orders, payments


async def test_run_twice_it_leaves_one_marketplace_with_orders_in_every_state(stack: Stack) -> None:
    few = _few()
    first = await fill(stack.settings, few)
    second = await fill(stack.settings, few)
    tickets, orders, payments = await of_everybody(stack.web, few)

    assert first == {"tickets": 9, "pictures": 1, "orders": 7}
    assert not second
    # Newest first, as the list of tickets is, and in the order of the programme.
    assert [ticket["title"] for ticket in tickets] == [listing.event.title for listing in few]
    assert Counter((order["status"], order["relisted"]) for order in orders) == {
        ("created", False): 2,
        ("awaiting:payment", False): 1,
        ("complete", False): 1,
        ("cancelled", False): 1,
        ("refunded", False): 1,
        ("refunded", True): 1,
    }
    assert {payment["declineMessage"] for payment in payments if payment["status"] == "failed"} == {
        "Your card was declined."
    }
    assert [ticket["status"] for ticket in tickets].count("withdrawn") == 1
    assert [ticket["title"] for ticket in tickets if ticket["picture"]] == [few[0].event.title]


async def test_where_one_pays_on_stripes_page_orders_stay_unpaid(
    stack: Stack, capsys: pytest.CaptureFixture[str]
) -> None:
    conf = stack.settings.model_copy(update={"web_url": stack.checkout_web})
    paid = next(listing for listing in _few() if listing.offer.ending == "refunded")
    elsewhere = Listing(replace(paid.event, title="Paid elsewhere"), paid.offer)
    await fill(conf, [elsewhere])
    assert "noah leaves an order unpaid" in capsys.readouterr().out


def test_it_says_when_no_marketplace_runs(capsys: pytest.CaptureFixture[str]) -> None:
    conf = Settings(web_port=free_port())
    assert run(conf) == 1
    assert f"No marketplace answers at {conf.site}" in capsys.readouterr().out


def test_in_the_end_it_says_whom_to_sign_in_as() -> None:
    words = farewell("http://market", PROGRAMME, {"tickets": 97, "orders": 33})
    assert "97 tickets and 33 orders are new at http://market" in words
    assert PASSWORD in words
    assert all(email_of(name) in words for name in people(PROGRAMME))


async def test_a_rate_limit_is_waited_for() -> None:
    answers = iter([httpx.Response(429, headers={"Retry-After": "0"}), httpx.Response(201, json={})])
    http = httpx.AsyncClient(base_url="http://market", transport=httpx.MockTransport(lambda _: next(answers)))
    async with http:
        answer = await User("noah", http).ask("POST", "/api/orders", expected=(201, 429))
    assert answer.status_code == 201


async def test_an_unexpected_answer_is_told_in_the_words_of_the_service() -> None:
    refusal = httpx.Response(403, json={"title": "That order isn't yours"})
    async with httpx.AsyncClient(
        base_url="http://market", transport=httpx.MockTransport(lambda _: refusal)
    ) as http:
        with pytest.raises(Wrong, match="403: That order isn't yours"):
            await User("noah", http).get("/api/orders/1")
