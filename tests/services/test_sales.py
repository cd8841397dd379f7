"""What sellers see of what they offered, and others of the sellers."""

import re
from datetime import timedelta
from typing import Any

import pytest

from contracts.api import TicketBody
from contracts.events import OrderCreated, OrderedTicket, OrderStatus, OrderUpdated
from contracts.wire import now
from services.tickets import actions
from services.tickets.documents import Ticket
from tests.services.served import Served, messages, new_id, refusal

ANN, BOB = new_id(), new_id()


async def offered(title: str = "Hamlet", *, price: object = 10, by: str = ANN) -> str:
    return (await actions.offer(by, TicketBody.model_validate({"title": title, "price": price}))).key


async def ordered(key: str, status: OrderStatus = "created", *, relisted: bool = False) -> None:
    """An order of the ticket is created, or has got further since."""
    kind = OrderCreated if status == "created" else OrderUpdated
    await actions.follow_order(
        kind(
            id=new_id(),
            version=0 if status == "created" else 1,
            status=status,
            user_id=BOB,
            relisted=relisted,
            expires_at=now() + timedelta(minutes=15),
            hold=1,
            ticket=OrderedTicket.model_validate({"id": key, "title": "Hamlet", "price": 10}),
        )
    )


async def pages(tickets: Served, **query: Any) -> list[list[str]]:
    """The titles on each page, from the first to the last, as the Link headers lead."""
    path, read = "/api/tickets/mine", []
    answer = await tickets.ask("GET", path, by=ANN, params=query)
    while True:
        assert answer.status_code == 200, answer.text
        read.append([ticket["title"] for ticket in answer.json()])
        link = answer.headers.get("link")
        if link is None:
            return read
        match = re.fullmatch(r'<(/api/tickets/mine\?[^>]+)>; rel="next"', link)
        assert match is not None, link
        answer = await tickets.ask("GET", match[1], by=ANN)


async def summary(tickets: Served, by: str = ANN) -> dict[str, tuple[int, int]]:
    answer = await tickets.ask("GET", "/api/tickets/mine/summary", by=by)
    assert answer.status_code == 200, answer.text
    return {name: (said["count"], said["amount"]) for name, said in answer.json().items()}


async def test_sellers_see_all_that_they_ever_offered_newest_first(tickets: Served) -> None:
    first, second, third = [await offered(title) for title in ("a", "b", "c")]
    await offered(by=BOB)
    await actions.withdraw(first, ANN)
    await ordered(second)
    mine = (await tickets.ask("GET", "/api/tickets/mine", by=ANN)).json()
    assert [(ticket["id"], ticket["status"]) for ticket in mine] == [
        (third, "available"),
        (second, "reserved"),
        (first, "withdrawn"),
    ]


async def test_pages_of_ones_own_give_each_ticket_once_whatever_happens_meanwhile(tickets: Served) -> None:
    for n in range(5):
        await offered(f"t{n}")
        await offered(by=BOB)
    assert await pages(tickets, limit=2) == [["t4", "t3"], ["t2", "t1"], ["t0"]]
    assert await pages(tickets, limit=5) == [["t4", "t3", "t2", "t1", "t0"]]
    first = await tickets.ask("GET", "/api/tickets/mine?limit=2", by=ANN)
    await offered("newer")
    following = first.headers["link"].partition(">")[0].removeprefix("<")
    second = await tickets.ask("GET", following, by=ANN)
    assert [ticket["title"] for ticket in second.json()] == ["t2", "t1"]


async def test_ones_own_are_shown_by_their_state(tickets: Served) -> None:
    keys = {title: await offered(title) for title in ("sold 1", "held", "listed", "gone", "sold 2", "sold 3")}
    for title in ("sold 1", "sold 2", "sold 3"):
        await ordered(keys[title], "complete")
    await ordered(keys["held"])
    await actions.withdraw(keys["gone"], ANN)
    assert await pages(tickets, status="sold", limit=2) == [["sold 3", "sold 2"], ["sold 1"]]
    assert await pages(tickets, status="reserved") == [["held"]]
    assert await pages(tickets, status="available") == [["listed"]]
    assert await pages(tickets, status="withdrawn") == [["gone"]]


@pytest.mark.parametrize(("name", "value"), [("status", "held"), ("limit", "0"), ("limit", "1001")])
async def test_a_parameter_that_is_none_is_named(tickets: Served, name: str, value: str) -> None:
    answer = await tickets.ask("GET", "/api/tickets/mine", by=ANN, params={name: value})
    assert [field for field, _ in refusal(answer, 400)] == [name]


@pytest.mark.parametrize("cursor", ["x", "0" * 23, '{"$gt": ""}', "twelve bytes"])
async def test_a_cursor_that_is_none_is_refused(tickets: Served, cursor: str) -> None:
    answer = await tickets.ask("GET", "/api/tickets/mine", by=ANN, params={"after": cursor})
    assert messages(answer, 400) == ["After isn't a page of this list"]


async def test_a_summary_adds_up_what_became_of_all_of_them(tickets: Served) -> None:
    nothing = dict.fromkeys(("available", "reserved", "sold", "withdrawn", "refunded"), (0, 0))
    assert await summary(tickets) == nothing
    await offered(price="19.99")
    await offered(price="0.01")
    await ordered(await offered(price="30.10"))
    await actions.withdraw(await offered(price=5), ANN)
    for price in ("100.00", "100.10"):
        await ordered(await offered(price=price), "complete")
    await ordered(await offered(price=50), "refunded")
    await ordered(await offered(price=1), "refunded", relisted=True)
    await offered(price=999, by=BOB)
    assert await summary(tickets) == {
        "available": (3, 2100),
        "reserved": (1, 3010),
        "sold": (3, 25010),
        "withdrawn": (1, 500),
        "refunded": (1, 5000),
    }
    assert await summary(tickets, by=BOB) == {**nothing, "available": (1, 99900)}


async def test_a_summary_has_tickets_from_before_refunds_were_told(tickets: Served) -> None:
    await ordered(await offered(), "complete")
    await Ticket.get_pymongo_collection().update_many({}, {"$unset": {"refunded": ""}})
    await ordered(await offered(), "complete")
    said = await summary(tickets)
    assert (said["sold"], said["refunded"]) == ((2, 2000), (0, 0))


async def test_a_seller_is_shown_with_the_number_of_tickets_sold(tickets: Served) -> None:
    async def sold(user: str) -> object:
        answer = await tickets.ask("GET", f"/api/tickets/sellers/{user}")
        assert answer.status_code == 200
        return answer.json()

    for _ in range(2):
        await ordered(await offered(), "complete")
    await ordered(await offered(), "refunded")
    await ordered(await offered())
    await offered()
    assert await sold(ANN) == {"id": ANN, "sold": 2}
    assert await sold(BOB) == {"id": BOB, "sold": 0}
    assert messages(await tickets.ask("GET", "/api/tickets/sellers/ann"), 404) == ["Not found"]
