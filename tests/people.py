"""Buyers and sellers, as clients of the HTTP API."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import httpx

PASSWORD = "correct horse battery"
PATIENCE = 60.0
"""Seconds that a busy machine has for what comes by itself, and mostly comes at once."""

T = TypeVar("T")


class Person:
    """Somebody who is signed in. Answers are checked by the caller unless a method says otherwise."""

    def __init__(self, client: httpx.AsyncClient, user_id: str) -> None:
        self.client = client
        self.id = user_id

    async def offers(
        self, price: Any = 19.99, title: str = "Low Roar, Reykjavik", **more: Any
    ) -> dict[str, Any]:
        """A ticket of theirs, on sale."""
        answer = await self.client.post("/api/tickets", json={"title": title, "price": price, **more})
        assert answer.status_code == 201, answer.text
        ticket: dict[str, Any] = answer.json()
        return ticket

    async def asks_for(self, ticket_id: str, *, at: str = "") -> httpx.Response:
        """Try to reserve; `at` another copy of orders than the usual one."""
        return await self.client.post(f"{at}/api/orders", json={"ticketId": ticket_id})

    async def reserves(self, ticket_id: str, *, at: str = "") -> dict[str, Any]:
        """An order of theirs."""
        answer = await self.asks_for(ticket_id, at=at)
        assert answer.status_code == 201, answer.text
        order: dict[str, Any] = answer.json()
        return order

    async def pays(self, order_id: str, token: str = "tok_visa") -> httpx.Response:
        return await self.client.post("/api/payments", json={"orderId": order_id, "token": token})

    async def cancels(self, order_id: str) -> httpx.Response:
        return await self.client.delete(f"/api/orders/{order_id}")

    async def order(self, order_id: str) -> dict[str, Any]:
        order: dict[str, Any] = (await self.client.get(f"/api/orders/{order_id}")).json()
        return order

    async def ticket(self, ticket_id: str) -> dict[str, Any]:
        ticket: dict[str, Any] = (await self.client.get(f"/api/tickets/{ticket_id}")).json()
        return ticket

    async def payment(self, order_id: str) -> dict[str, Any]:
        payments: list[dict[str, Any]] = (
            await self.client.get("/api/payments", params={"orderId": order_id})
        ).json()
        return payments[0] if payments else {"status": None}


@asynccontextmanager
async def signed_up(web: str, how_many: int) -> AsyncIterator[list[Person]]:
    """So many new people."""
    clients = [httpx.AsyncClient(base_url=web, timeout=PATIENCE) for _ in range(how_many)]
    few = asyncio.Semaphore(5)  # passwords take time, and who asks for all at once may be sent away

    async def sign_up(client: httpx.AsyncClient) -> Person:
        async with few:
            return await _sign_up(client)

    try:
        yield await asyncio.gather(*map(sign_up, clients))
    finally:
        await asyncio.gather(*(client.aclose() for client in clients))


async def _sign_up(client: httpx.AsyncClient) -> Person:
    email = f"{secrets.token_hex(8)}@example.com"
    account = {"email": email, "password": PASSWORD}
    # Many at once on a busy machine are told to come again.
    answer = await until(
        lambda: client.post("/api/users/signup", json=account), lambda it: it.status_code != 503, seconds=60
    )
    assert answer.status_code == 201, answer.text
    # Sent to other ports too: copies of a service are asked directly by some tests.
    client.headers["Authorization"] = f"Bearer {answer.cookies['session']}"
    return Person(client, answer.json()["id"])


async def until(
    look: Callable[[], Awaitable[T]], satisfied: Callable[[T], object], seconds: float = PATIENCE
) -> T:
    """Look again and again until satisfied; the last thing seen is told if it never is."""
    deadline = time.monotonic() + seconds
    while not satisfied(seen := await look()):
        assert time.monotonic() < deadline, f"still not so after {seconds} s: {seen!r}"
        await asyncio.sleep(0.02)
    return seen
