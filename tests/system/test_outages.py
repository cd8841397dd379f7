"""What is out of reach for a while costs nothing but time."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import httpx
import nats
import pytest

from streams.bus import CATCH_UP_SECONDS
from tests.people import PASSWORD, PATIENCE, Person, signed_up, until
from tests.stack import Stack

pytestmark = pytest.mark.asyncio(loop_scope="session")  # that of the processes they restart


@asynccontextmanager
async def without(stack: Stack, process: str) -> AsyncIterator[None]:
    """The process is killed before the block, and runs again after it."""
    await stack.stop(process)
    try:
        yield
    finally:
        await stack.start(process)


async def sells(buyer: Person, ticket_id: str) -> bool:
    """Whether the ticket can be reserved by now."""
    return (await buyer.asks_for(ticket_id)).status_code == 201


async def test_a_ticket_listed_while_nats_is_down_can_be_bought_when_it_is_back(stack: Stack) -> None:
    async with signed_up(stack.web, 2) as (seller, buyer):
        async with without(stack, "nats"):
            ticket = await seller.offers()
            assert ticket["version"] == 0
        await until(lambda: sells(buyer, ticket["id"]), bool)


async def test_a_sale_goes_on_where_it_was_when_orders_died(stack: Stack) -> None:
    async with signed_up(stack.web, 2) as (seller, buyer):
        ticket = await seller.offers()
        order = await buyer.reserves(ticket["id"])
        await until(lambda: buyer.ticket(ticket["id"]), lambda seen: seen["status"] == "reserved")
        await stack.stop("hasty-orders")
        try:
            async with without(stack, "orders"):
                assert (await buyer.pays(order["id"])).json()["status"] == "authorized"
        finally:
            await stack.start("hasty-orders")
        await until(lambda: buyer.order(order["id"]), lambda seen: seen["status"] == "complete")
        await until(lambda: buyer.payment(order["id"]), lambda seen: seen["status"] == "captured")


async def test_a_payment_goes_on_where_it_was_when_payments_died(stack: Stack) -> None:
    async with signed_up(stack.web, 2) as (seller, buyer):
        ticket = await seller.offers()
        order = await buyer.reserves(ticket["id"])
        await until(lambda: buyer.ticket(ticket["id"]), lambda seen: seen["status"] == "reserved")
        async with stack.paused("orders"), stack.paused("hasty-orders"):
            assert (await buyer.pays(order["id"])).json()["status"] == "authorized"
            await stack.stop("payments")
        await stack.start("payments")
        await until(lambda: buyer.payment(order["id"]), lambda seen: seen["status"] == "captured")


async def test_a_buyer_is_never_told_to_pay_again_while_stripe_is_silent(stack: Stack) -> None:
    async with signed_up(stack.web, 2) as (seller, buyer):
        order = await buyer.reserves((await seller.offers())["id"])
        async with without(stack, "stripe"):
            answer = await buyer.pays(order["id"])
            assert (answer.status_code, answer.json()["status"]) == (201, "pending")
        await until(lambda: buyer.payment(order["id"]), lambda seen: seen["status"] == "captured")
        assert (await buyer.order(order["id"]))["status"] == "complete"


async def test_a_service_that_is_down_is_named_and_the_others_serve(stack: Stack) -> None:
    async with signed_up(stack.web, 1) as (seller,):
        async with without(stack, "tickets"):
            # A connection that died with it is noticed first, which is a 502.
            asking = partial(seller.client.get, "/api/tickets")
            answer = await until(asking, lambda answer: answer.status_code == 503)
            assert answer.headers["content-type"].startswith("application/problem+json")
            assert "tickets" in answer.json()["title"]
            assert (await seller.client.get("/api/orders")).status_code == 200
        assert (await seller.client.get("/api/tickets")).status_code == 200


async def test_a_poison_message_is_buried_by_each_listener_and_stops_none(stack: Stack) -> None:
    connection = await nats.connect(stack.settings.bus)
    js = connection.jetstream()
    before = (await js.stream_info("DEAD")).state.messages
    await js.publish("order.created", b"{]", headers={"content-type": "application/json"})

    async def buried() -> int:
        return (await js.stream_info("DEAD")).state.messages - before

    await until(buried, lambda count: count == 3)  # tickets, payments and expiration
    await connection.close()
    async with signed_up(stack.web, 2) as (seller, buyer):
        ticket = await seller.offers()
        await buyer.reserves(ticket["id"])
        await until(lambda: buyer.ticket(ticket["id"]), lambda seen: seen["status"] == "reserved")


async def test_signing_out_ends_the_session_on_every_service_also_after_a_restart(stack: Stack) -> None:
    async with signed_up(stack.web, 1) as (person,):
        guarded = ["/api/orders", "/api/tickets/mine", "/api/payments?orderId=x"]

        async def refused() -> set[int]:
            return {(await person.client.get(path)).status_code for path in guarded}

        assert await refused() == {200}
        assert (await person.client.post("/api/users/signout")).status_code == 200
        await until(refused, lambda codes: codes == {401}, seconds=CATCH_UP_SECONDS / 2)
        assert (await person.client.get("/api/users/currentuser")).json() == {"currentUser": None}
        await stack.stop("tickets")
        await stack.start("tickets")
        assert (await person.client.get("/api/tickets/mine")).status_code == 401


async def test_signing_in_again_begins_a_session_of_its_own(stack: Stack) -> None:
    async with httpx.AsyncClient(base_url=stack.web, timeout=PATIENCE) as client:
        body = {"email": "Again@Example.com ", "password": PASSWORD}
        assert (await client.post("/api/users/signup", json=body)).status_code == 201
        await client.post("/api/users/signout")
        assert (await client.post("/api/users/signin", json=body)).status_code == 200
        user = (await client.get("/api/users/currentuser")).json()["currentUser"]
        assert user["email"] == "again@example.com"
