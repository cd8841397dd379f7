"""The sample marketplace that `just demo` makes."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from sandbox import demo
from sandbox.programme import BUYERS, DEALS, PASSWORD, SELLERS, email_of
from sandbox.testing import free_port
from tests.stack import Stack

TITLES = sorted(offer.title for seller in SELLERS for offer in seller.offers)

Json = dict[str, Any]


async def of_everybody(site: str) -> tuple[list[Json], list[Json], list[Json]]:
    """Tickets, orders and payments of all demo users."""
    tickets: list[Json] = []
    orders: list[Json] = []
    payments: list[Json] = []
    for name in {seller.name for seller in SELLERS} | set(BUYERS):
        async with httpx.AsyncClient(base_url=site, timeout=30) as http:
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
    first = await demo.fill(stack.web)
    second = await demo.fill(stack.web)
    tickets, orders, payments = await of_everybody(stack.web)

    assert first == {"tickets": len(TITLES), "orders": len(DEALS)}
    assert not second
    assert sorted(ticket["title"] for ticket in tickets) == TITLES
    endings = Counter(deal.ending for deal in DEALS)
    assert Counter(order["status"] for order in orders) == {
        "created": endings["held"] + endings["declined"],
        "awaiting:payment": endings["bank check"],
        "complete": endings["paid"],
        "cancelled": endings["let go"],
    }
    assert Counter(payment["status"] in ("authorized", "captured") for payment in payments) == {
        True: endings["paid"],
        False: endings["declined"] + endings["bank check"],
    }
    assert {payment["declineMessage"] for payment in payments if payment["status"] == "failed"} == {
        "Your card was declined."
    }


async def test_events_are_in_the_coming_weeks(stack: Stack) -> None:
    await demo.fill(stack.web)
    tickets, _, _ = await of_everybody(stack.web)
    now = datetime.now(UTC)
    for ticket in tickets:
        assert now < datetime.fromisoformat(ticket["startsAt"]) < now + timedelta(weeks=6)
        assert ticket["venue"]
        assert ticket["city"]


def test_it_says_when_no_marketplace_runs(capsys: pytest.CaptureFixture[str]) -> None:
    site = f"http://localhost:{free_port()}"
    assert demo.run(site) == 1
    assert f"No marketplace answers at {site}" in capsys.readouterr().out


async def test_a_rate_limit_is_waited_for() -> None:
    answers = iter([httpx.Response(429, headers={"Retry-After": "0"}), httpx.Response(201, json={})])
    http = httpx.AsyncClient(base_url="http://market", transport=httpx.MockTransport(lambda _: next(answers)))
    async with http:
        answer = await demo.User("front-row", http).ask("POST", "/api/orders", expected=(201, 429))
    assert answer.status_code == 201


async def test_an_unexpected_answer_is_told_in_the_words_of_the_service() -> None:
    refusal = httpx.Response(403, json={"title": "That order isn't yours"})
    async with httpx.AsyncClient(
        base_url="http://market", transport=httpx.MockTransport(lambda _: refusal)
    ) as http:
        with pytest.raises(demo.Wrong, match="403: That order isn't yours"):
            await demo.User("front-row", http).get("/api/orders/1")


def test_ten_users_may_sign_up_within_the_limits_of_a_minute() -> None:
    assert len({seller.name for seller in SELLERS} | set(BUYERS)) <= 10


def test_every_deal_is_about_a_ticket_of_somebody_else() -> None:
    offered = {(seller.name, offer.title) for seller in SELLERS for offer in seller.offers}
    assert {(deal.seller, deal.title) for deal in DEALS} <= offered
    assert {deal.buyer for deal in DEALS} <= set(BUYERS)
    assert all(deal.buyer != deal.seller for deal in DEALS)
    assert len({(deal.seller, deal.title) for deal in DEALS}) == len(DEALS)
