"""A buyer and a seller on a running marketplace, who list and reserve the tickets that tests need.

The clients are synchronous, because schemathesis sends its requests in a thread.
"""

import asyncio
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from tests.support.people import PASSWORD
from tests.support.polling import until


@dataclass
class Market:
    buyer: httpx.Client
    seller: httpx.Client
    buyer_id: str
    seller_id: str
    buyer_email: str
    seller_email: str
    token: str
    """The buyer's session token."""

    def list_tickets(self, how_many: int, by: httpx.Client | None = None) -> list[str]:
        """List `how_many` tickets as the seller, or as the user of the client `by`. Return their ids."""
        body = {"title": "Low Roar", "price": 19.99}
        return [_made((by or self.seller).post("/api/tickets", json=body))["id"] for _ in range(how_many)]

    def reserve(self, tickets: list[str]) -> list[str]:
        """Reserve the tickets, and wait until the tickets service shows this. Return the orders' ids."""
        made = [_made(self.buyer.post("/api/orders", json={"ticketId": id_}))["id"] for id_ in tickets]

        async def states() -> set[str]:
            return {self.seller.get(f"/api/tickets/{id_}").json()["status"] for id_ in tickets}

        asyncio.run(until(states, lambda seen: seen == {"reserved"}, seconds=60))
        return made


@contextmanager
def market(web: str) -> Iterator[Market]:
    with (
        httpx.Client(base_url=web, timeout=60) as buyer,
        httpx.Client(base_url=web, timeout=60) as seller,
    ):
        buyer_id, buyer_email, token = _sign_up(buyer)
        seller_id, seller_email, _ = _sign_up(seller)
        yield Market(buyer, seller, buyer_id, seller_id, buyer_email, seller_email, token)


def _sign_up(client: httpx.Client) -> tuple[str, str, str]:
    """Sign up a user. Return the user's id, e-mail address and session token."""
    email = f"{secrets.token_hex(8)}@example.com"
    answer = client.post("/api/users/signup", json={"email": email, "password": PASSWORD})
    user = _made(answer)
    token = answer.cookies["session"]
    client.cookies.clear()
    client.headers["Authorization"] = f"Bearer {token}"
    return user["id"], email, token


def _made(answer: httpx.Response) -> dict[str, Any]:
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made
