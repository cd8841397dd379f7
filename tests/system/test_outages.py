"""The marketplace continues after an outage of any process, and loses nothing."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import httpx
import nats

from kit.sessions import CATCH_UP_SECONDS
from tests.support.people import PASSWORD, Person, signed_up
from tests.support.polling import TIMEOUT, until
from tests.support.stack import Stack


@asynccontextmanager
async def outage_of(stack: Stack, process: str) -> AsyncIterator[None]:
    """Kill the process before the block, and start it again after it."""
    await stack.stop(process)
    try:
        yield
    finally:
        await stack.start(process)


async def can_be_reserved(buyer: Person, ticket_id: str) -> bool:
    return (await buyer.tries_to_reserve(ticket_id)).status_code == 201


async def test_a_ticket_listed_while_nats_is_down_can_be_bought_when_it_is_back(stack: Stack) -> None:
    async with signed_up(stack.web, 2) as (seller, buyer):
        async with outage_of(stack, "nats"):
            ticket = await seller.lists_ticket()
            assert ticket["version"] == 0
        await until(lambda: can_be_reserved(buyer, ticket["id"]), bool)


async def test_a_sale_continues_after_orders_was_killed(stack: Stack) -> None:
    async with signed_up(stack.web, 2) as (seller, buyer):
        ticket = await seller.lists_ticket()
        order = await buyer.reserves(ticket["id"])
        await until(lambda: buyer.ticket(ticket["id"]), lambda seen: seen["status"] == "reserved")
        await stack.stop("short-window-orders")
        try:
            async with outage_of(stack, "orders"):
                assert (await buyer.pays(order["id"])).json()["status"] == "authorized"
        finally:
            await stack.start("short-window-orders")
        await until(lambda: buyer.order(order["id"]), lambda seen: seen["status"] == "complete")
        await until(lambda: buyer.payment(order["id"]), lambda seen: seen["status"] == "captured")


async def test_a_payment_continues_after_payments_was_killed(stack: Stack) -> None:
    async with signed_up(stack.web, 2) as (seller, buyer):
        ticket = await seller.lists_ticket()
        order = await buyer.reserves(ticket["id"])
        await until(lambda: buyer.ticket(ticket["id"]), lambda seen: seen["status"] == "reserved")
        async with stack.paused("orders"), stack.paused("short-window-orders"):
            assert (await buyer.pays(order["id"])).json()["status"] == "authorized"
            await stack.stop("payments")
        await stack.start("payments")
        await until(lambda: buyer.payment(order["id"]), lambda seen: seen["status"] == "captured")


async def test_a_payment_stays_pending_while_stripe_is_down(stack: Stack) -> None:
    async with signed_up(stack.web, 2) as (seller, buyer):
        order = await buyer.reserves((await seller.lists_ticket())["id"])
        async with outage_of(stack, "stripe"):
            answer = await buyer.pays(order["id"])
            assert (answer.status_code, answer.json()["status"]) == (201, "pending")
        await until(lambda: buyer.payment(order["id"]), lambda seen: seen["status"] == "captured")
        assert (await buyer.order(order["id"]))["status"] == "complete"


async def test_the_error_contains_the_name_of_the_service_that_is_down_and_others_still_work(
    stack: Stack,
) -> None:
    async with signed_up(stack.web, 1) as (seller,):
        async with outage_of(stack, "tickets"):
            # The first request may use an old connection, which leads to a 502.
            asking = partial(seller.client.get, "/api/tickets")
            answer = await until(asking, lambda answer: answer.status_code == 503)
            assert answer.headers["content-type"].startswith("application/problem+json")
            assert "tickets" in answer.json()["title"]
            assert (await seller.client.get("/api/orders")).status_code == 200
        assert (await seller.client.get("/api/tickets")).status_code == 200


async def test_a_poison_message_becomes_a_dead_letter_of_each_consumer_and_does_not_block_events(
    stack: Stack,
) -> None:
    connection = await nats.connect(stack.bus)
    js = connection.jetstream()
    before = (await js.stream_info("DEAD")).state.messages
    await js.publish("order.created", b"{]", headers={"content-type": "application/json"})

    async def dead_letters() -> int:
        return (await js.stream_info("DEAD")).state.messages - before

    await until(dead_letters, lambda count: count == 4)  # tickets, payments, expiration and payouts
    await connection.close()
    async with signed_up(stack.web, 2) as (seller, buyer):
        ticket = await seller.lists_ticket()
        await buyer.reserves(ticket["id"])
        await until(lambda: buyer.ticket(ticket["id"]), lambda seen: seen["status"] == "reserved")


async def test_signing_out_ends_the_session_in_every_service_even_after_a_restart(stack: Stack) -> None:
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


async def test_signing_in_again_starts_a_new_session(stack: Stack) -> None:
    async with httpx.AsyncClient(base_url=stack.web, timeout=TIMEOUT) as client:
        body = {"email": "Again@Example.com ", "password": PASSWORD}
        assert (await client.post("/api/users/signup", json=body)).status_code == 201
        await client.post("/api/users/signout")
        assert (await client.post("/api/users/signin", json=body)).status_code == 200
        user = (await client.get("/api/users/currentuser")).json()["currentUser"]
        assert user["email"] == "again@example.com"
