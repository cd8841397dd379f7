"""Attacks on orders: double clicks, fake earnings and public proofs of purchase."""

import asyncio

from tests.support.people import Person, signed_up
from tests.support.polling import until
from tests.support.stack import Stack


async def _sold(seller: Person, ticket: str) -> None:
    await until(lambda: seller.ticket(ticket), lambda seen: seen["status"] == "sold")


async def test_two_simultaneous_reservations_by_one_person_lead_to_the_same_order(stack: Stack) -> None:
    async with signed_up(stack.web, 2) as (seller, buyer):
        for _ in range(12):
            ticket = await seller.lists_ticket()
            both = await asyncio.gather(*(buyer.tries_to_reserve(ticket["id"]) for _ in range(2)))
            assert sorted(answer.status_code for answer in both) == [200, 201]
            (order,) = {answer.json()["id"] for answer in both}
            await buyer.cancels(order)


async def test_both_of_two_clicks_on_buy_lead_to_the_page_of_the_order(stack: Stack) -> None:
    async with signed_up(stack.web, 2) as (seller, buyer):
        ticket = await seller.lists_ticket()
        session = buyer.client.headers["Authorization"].removeprefix("Bearer ")
        headers = {"Origin": stack.web, "Cookie": f"session={session}"}
        path = f"/tickets/{ticket['id']}/buy"
        both = await asyncio.gather(*(buyer.client.post(path, headers=headers) for _ in range(2)))
        assert [answer.status_code for answer in both] == [303, 303]
        assert len({answer.headers["location"] for answer in both}) == 1


async def test_an_edited_price_ends_a_reservation_instead_of_changing_its_amount(stack: Stack) -> None:
    """The seller edits the price after a second account has reserved the ticket, before its event arrives."""
    async with signed_up(stack.web, 2) as (seller, second_account):
        ticket = await seller.lists_ticket(price=10)
        await second_account.reserves((await seller.lists_ticket())["id"])  # its event has arrived in orders
        async with stack.paused("nats"):
            order = await second_account.reserves(ticket["id"])
            edited = await seller.client.put(
                f"/api/tickets/{ticket['id']}", json={"title": "Row 1", "price": 9999}
            )
            assert edited.status_code == 200
        await second_account.pays(order["id"])
        ended = await until(
            lambda: second_account.order(order["id"]), lambda seen: seen["status"] == "cancelled"
        )
        assert ended["holdRefused"]
        offered = await until(lambda: seller.ticket(ticket["id"]), lambda seen: seen["status"] == "available")
        assert offered["price"] == 9999
        summary = (await seller.client.get("/api/tickets/mine/summary")).json()
        assert summary["sold"] == {"count": 0, "amount": 0}


async def test_nobody_but_buyer_and_seller_learns_an_order_number_or_the_id_of_an_order(
    stack: Stack,
) -> None:
    async with signed_up(stack.web, 3) as (seller, buyer, stranger):
        ticket = await seller.lists_ticket()
        order = await buyer.reserves(ticket["id"])
        await buyer.pays(order["id"])
        await _sold(seller, ticket["id"])
        assert order["code"] not in order["id"].upper()
        for person in (seller, buyer):
            assert (await person.ticket(ticket["id"]))["orderCode"] == order["code"]
        pages = (f"/api/tickets/{ticket['id']}", f"/tickets/{ticket['id']}", f"/tickets/{ticket['id']}/card")
        for page in (*pages, "/api/tickets?limit=100", "/"):
            seen = (await stranger.client.get(page)).text
            assert order["code"] not in seen
            assert order["id"] not in seen
