"""Two people on a running marketplace, and things of theirs that requests can be about."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.people import PASSWORD


@dataclass
class Market:
    """The seller's tickets are on sale, or reserved by the buyer."""

    buyer: httpx.Client
    seller: httpx.Client
    token: str
    """The buyer's."""
    tickets: list[str] = field(default_factory=list)
    orders: list[str] = field(default_factory=list)

    def offer(self, how_many: int) -> list[str]:
        """Put so many tickets on sale."""
        body = {"title": "Low Roar", "price": 19.99}
        made = [_made(self.seller.post("/api/tickets", json=body))["id"] for _ in range(how_many)]
        self.tickets += made
        return made

    def reserve(self, tickets: list[str]) -> list[str]:
        made = [_made(self.buyer.post("/api/orders", json={"ticketId": id_}))["id"] for id_ in tickets]
        self.orders += made
        return made


@contextmanager
def market(web: str) -> Iterator[Market]:
    with (
        httpx.Client(base_url=web, timeout=60) as buyer,
        httpx.Client(base_url=web, timeout=60) as seller,
    ):
        token = _sign_up(buyer)
        _sign_up(seller)
        yield Market(buyer, seller, token)


def _sign_up(client: httpx.Client) -> str:
    email = f"{secrets.token_hex(8)}@example.com"
    answer = client.post("/api/users/signup", json={"email": email, "password": PASSWORD})
    _made(answer)
    token = answer.cookies["session"]
    client.cookies.clear()
    client.headers["Authorization"] = f"Bearer {token}"
    return token


def _made(answer: httpx.Response) -> dict[str, Any]:
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made
