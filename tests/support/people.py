"""Buyers and sellers, as clients of the HTTP API."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import httpx

from tests.support.polling import TIMEOUT, until

PASSWORD = "correct horse battery"


def random_word() -> str:
    """A word that no other text contains. Without digits, because titles must not contain codes."""
    return "".join(secrets.choice("bcdfghjklmnpqrstvwxyz") for _ in range(8))


class Person:
    """A signed-in user. Methods that return a response leave its status to the caller."""

    def __init__(self, client: httpx.AsyncClient, user_id: str, email: str) -> None:
        self.client = client
        self.id = user_id
        self.email = email

    async def lists_ticket(
        self, price: Any = 19.99, title: str = "Low Roar, Reykjavik", **more: Any
    ) -> dict[str, Any]:
        """List a ticket."""
        answer = await self.client.post("/api/tickets", json={"title": title, "price": price, **more})
        assert answer.status_code == 201, answer.text
        ticket: dict[str, Any] = answer.json()
        return ticket

    async def tries_to_reserve(self, ticket_id: str, *, at: str = "") -> httpx.Response:
        """Try to reserve a ticket, at the orders service with the address `at` if given."""
        return await self.client.post(f"{at}/api/orders", json={"ticketId": ticket_id})

    async def reserves(self, ticket_id: str, *, at: str = "") -> dict[str, Any]:
        """Reserve a ticket. Return the order."""
        answer = await self.tries_to_reserve(ticket_id, at=at)
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
    """Sign up new users with random email addresses. Each has a session."""
    emails = [f"{secrets.token_hex(8)}@example.com" for _ in range(how_many)]
    async with signed_up_as(web, emails) as people:
        yield people


@asynccontextmanager
async def signed_up_as(web: str, emails: Sequence[str]) -> AsyncIterator[list[Person]]:
    """Sign up new users with these email addresses. Each has a session."""
    clients = [httpx.AsyncClient(base_url=web, timeout=TIMEOUT) for _ in emails]
    few = asyncio.Semaphore(5)  # hashing passwords takes time, so auth refuses too many concurrent sign-ups

    async def sign_up(client: httpx.AsyncClient, email: str) -> Person:
        async with few:
            return await _sign_up(client, email)

    try:
        yield await asyncio.gather(*map(sign_up, clients, emails))
    finally:
        await asyncio.gather(*(client.aclose() for client in clients))


async def _sign_up(client: httpx.AsyncClient, email: str) -> Person:
    account = {"email": email, "password": PASSWORD}
    # Admission control refuses some requests on a busy machine.
    answer = await until(
        lambda: client.post("/api/users/signup", json=account), lambda it: it.status_code != 503, seconds=60
    )
    assert answer.status_code == 201, answer.text
    # A header instead of the cookie, because some tests send requests to other ports.
    client.headers["Authorization"] = f"Bearer {answer.cookies['session']}"
    return Person(client, answer.json()["id"], email)
