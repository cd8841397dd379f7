"""A seller's own tickets, their summary, and the public profile of a seller."""

import re
from datetime import timedelta
from typing import Any

import pytest

from contracts.api import TicketBody
from contracts.events import OrderCreated, OrderedTicket, OrderStatus, OrderUpdated
from contracts.wire import now
from kit.mongo import object_id
from services.tickets import actions
from services.tickets.documents import Ticket
from tests.support.service import Served, messages, new_id, refusal

ANN, BOB = new_id(), new_id()
CODE = "7K3WPD9RXE"


async def list_ticket(title: str = "Hamlet", *, price: object = 10, by: str = ANN) -> str:
    return (await actions.offer(by, TicketBody.model_validate({"title": title, "price": price}))).key


async def apply_order_event(
    key: str,
    status: OrderStatus = "created",
    *,
    relisted: bool = False,
    price: object = 10,
    refunded_amount: int = 0,
    **more: Any,
) -> None:
    """Apply an order event with this status to the ticket."""
    kind = OrderCreated if status == "created" else OrderUpdated
    ticket = await Ticket.first({"_id": object_id(key)})
    assert ticket is not None
    await actions.follow_order(
        kind(
            id=new_id(),
            version=0 if status == "created" else 1,
            status=status,
            user_id=BOB,
            relisted=relisted,
            refunded_amount=refunded_amount,
            expires_at=now() + timedelta(minutes=15),
            hold=1,
            code=CODE,
            ticket=OrderedTicket.model_validate({"id": key, "title": ticket.title, "price": price}),
            **more,
        )
    )


async def pages(tickets: Served, **query: Any) -> list[list[str]]:
    """The titles on each page. The Link header of a page leads to the next page."""
    path, titles = "/api/tickets/mine", []
    answer = await tickets.ask("GET", path, by=ANN, params=query)
    while True:
        assert answer.status_code == 200, answer.text
        titles.append([ticket["title"] for ticket in answer.json()])
        link = answer.headers.get("link")
        if link is None:
            return titles
        match = re.fullmatch(r'<(/api/tickets/mine\?[^>]+)>; rel="next"', link)
        assert match is not None, link
        answer = await tickets.ask("GET", match[1], by=ANN)


async def summary(tickets: Served, by: str = ANN) -> dict[str, tuple[int, int]]:
    answer = await tickets.ask("GET", "/api/tickets/mine/summary", by=by)
    assert answer.status_code == 200, answer.text
    sums = {name: total for name, total in answer.json().items() if name != "filesRequiredUntil"}
    return {name: (total["count"], total["amount"]) for name, total in sums.items()}


async def test_sellers_see_all_of_their_tickets_newest_first(tickets: Served) -> None:
    first, second, third = [await list_ticket(title) for title in ("a", "b", "c")]
    await list_ticket(by=BOB)
    await actions.withdraw(first, ANN)
    await apply_order_event(second)
    mine = (await tickets.ask("GET", "/api/tickets/mine", by=ANN)).json()
    assert [(ticket["id"], ticket["status"]) for ticket in mine] == [
        (third, "available"),
        (second, "reserved"),
        (first, "withdrawn"),
    ]


async def test_pages_of_a_sellers_tickets_contain_each_ticket_once_despite_a_new_listing(
    tickets: Served,
) -> None:
    for n in range(5):
        await list_ticket(f"t{n}")
        await list_ticket(by=BOB)
    assert await pages(tickets, limit=2) == [["t4", "t3"], ["t2", "t1"], ["t0"]]
    assert await pages(tickets, limit=5) == [["t4", "t3", "t2", "t1", "t0"]]
    first = await tickets.ask("GET", "/api/tickets/mine?limit=2", by=ANN)
    await list_ticket("newer")
    following = first.headers["link"].partition(">")[0].removeprefix("<")
    second = await tickets.ask("GET", following, by=ANN)
    assert [ticket["title"] for ticket in second.json()] == ["t2", "t1"]


async def test_a_sellers_tickets_can_be_filtered_by_status(tickets: Served) -> None:
    keys = {
        title: await list_ticket(title)
        for title in ("sold 1", "reserved", "listed", "withdrawn", "sold 2", "sold 3")
    }
    for title in ("sold 1", "sold 2", "sold 3"):
        await apply_order_event(keys[title], "complete")
    await apply_order_event(keys["reserved"])
    await actions.withdraw(keys["withdrawn"], ANN)
    assert await pages(tickets, status="sold", limit=2) == [["sold 3", "sold 2"], ["sold 1"]]
    assert await pages(tickets, status="reserved") == [["reserved"]]
    assert await pages(tickets, status="available") == [["listed"]]
    assert await pages(tickets, status="withdrawn") == [["withdrawn"]]


@pytest.mark.parametrize(("name", "value"), [("status", "held"), ("limit", "0"), ("limit", "1001")])
async def test_the_error_for_an_invalid_parameter_names_the_parameter(
    tickets: Served, name: str, value: str
) -> None:
    answer = await tickets.ask("GET", "/api/tickets/mine", by=ANN, params={name: value})
    assert [field for field, _ in refusal(answer, 400)] == [name]


@pytest.mark.parametrize("cursor", ["x", "0" * 23, '{"$gt": ""}', "twelve bytes"])
async def test_an_invalid_cursor_is_refused(tickets: Served, cursor: str) -> None:
    answer = await tickets.ask("GET", "/api/tickets/mine", by=ANN, params={"after": cursor})
    assert messages(answer, 400) == ["After must be a cursor of this list"]


async def test_the_summary_counts_and_totals_own_tickets_by_status(tickets: Served) -> None:
    zeros = dict.fromkeys(("available", "reserved", "sold", "withdrawn", "refunded"), (0, 0))
    assert await summary(tickets) == zeros
    await list_ticket(price="19.99")
    await list_ticket(price="0.01")
    await apply_order_event(await list_ticket(price="30.10"), price="30.10")
    await actions.withdraw(await list_ticket(price=5), ANN)
    for price in ("100.00", "100.10"):
        await apply_order_event(await list_ticket(price=price), "complete", price=price)
    await apply_order_event(await list_ticket(price=50), "refunded", price=50)
    await apply_order_event(await list_ticket(price=1), "refunded", relisted=True)
    await list_ticket(price=999, by=BOB)
    assert await summary(tickets) == {
        "available": (3, 2100),
        "reserved": (1, 3010),
        "sold": (3, 25010),
        "withdrawn": (1, 500),
        "refunded": (1, 5000),
    }
    assert await summary(tickets, by=BOB) == {**zeros, "available": (1, 99900)}


async def test_a_partial_refund_reduces_what_the_seller_earned_and_only_the_seller_sees_it(
    tickets: Served,
) -> None:
    key = await list_ticket(price=20)
    await apply_order_event(key, "complete", price=20, refunded_amount=500)
    found = await summary(tickets)
    assert (found["sold"], found["refunded"]) == ((1, 2000), (0, 500))
    mine = (await tickets.ask("GET", "/api/tickets/mine", by=ANN)).json()
    assert [ticket["refundedAmount"] for ticket in mine] == [500]
    for viewer in (BOB, None):
        shown = (await tickets.ask("GET", f"/api/tickets/{key}", by=viewer)).json()
        assert not shown.keys() & {"refundedAmount", "dispute"}


async def test_a_seller_profile_shows_the_number_of_sold_tickets(tickets: Served) -> None:
    async def profile_of(user: str) -> object:
        answer = await tickets.ask("GET", f"/api/tickets/sellers/{user}")
        assert answer.status_code == 200
        return answer.json()

    for _ in range(2):
        await apply_order_event(await list_ticket(), "complete")
    await apply_order_event(await list_ticket(), "refunded")
    await apply_order_event(await list_ticket())
    await list_ticket()
    nothing = {"upheldProblems": 0, "failedDeliveries": 0}
    assert await profile_of(ANN) == {"id": ANN, "sold": 2, **nothing}
    assert await profile_of(BOB) == {"id": BOB, "sold": 0, **nothing}
    await apply_order_event(await list_ticket(), "complete", problem="partly-refunded", refund_due=500)
    for _ in range(2):
        await apply_order_event(await list_ticket(), "complete", delivery="failed")
    assert await profile_of(ANN) == {"id": ANN, "sold": 5, "upheldProblems": 1, "failedDeliveries": 2}
    assert messages(await tickets.ask("GET", "/api/tickets/sellers/ann"), 404) == ["Not found"]


async def test_a_sale_is_of_the_amount_of_its_order_even_if_the_seller_edited_the_price_meanwhile(
    tickets: Served,
) -> None:
    key = await list_ticket(price=10)
    await actions.edit(key, ANN, TicketBody.model_validate({"title": "Hamlet", "price": 1000}))
    await apply_order_event(key, "complete", price=10)
    assert (await summary(tickets))["sold"] == (1, 1000)
    assert (await tickets.ask("GET", f"/api/tickets/{key}")).json()["price"] == 10


async def test_only_the_seller_and_the_buyer_see_the_order_number(tickets: Served) -> None:
    key = await list_ticket()
    await apply_order_event(key, "complete")
    for viewer, code in ((ANN, CODE), (BOB, CODE), (new_id(), None), (None, None)):
        shown = (await tickets.ask("GET", f"/api/tickets/{key}", by=viewer)).json()
        assert (shown["orderCode"], shown["orderId"] is not None) == (code, code is not None)
    (mine,) = (await tickets.ask("GET", "/api/tickets/mine", by=ANN)).json()
    assert mine["orderCode"] == CODE


async def test_no_event_and_no_list_contains_an_order_number(tickets: Served) -> None:
    key = await list_ticket()
    await apply_order_event(key)
    for path in ("/api/tickets", "/api/tickets/facets", f"/api/tickets/{key}/similar"):
        assert CODE not in (await tickets.ask("GET", path)).text
    assert CODE not in str(await tickets.outbox("tickets", key))
