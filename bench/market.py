"""The marketplace that is measured, with the bare handler next to it."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from bench.bare import Bare, bare_handler
from bench.failure import Failed
from bench.load.http import Client, Server
from bench.seed import Databases
from tests.support.people import Person, signed_up
from tests.support.polling import until
from tests.support.processes import cpu_of
from tests.support.stack import Stack, stagedoor

USUAL = {
    "RECONCILE_SECONDS": "30",
    "OUTBOX_SWEEP_SECONDS": "5",
    "LOG_LEVEL": "WARNING",
    "MAX_LIVE_RESERVATIONS": "100",
    "PAYMENT_PAGE": "token",
}
"""Environment variables. Background work has its usual intervals, because it belongs to the load."""
FIRST_TICKETS = 100
BUYERS = 24
CONCURRENT_LISTINGS = 4
ORDERS = 30


@dataclass
class Market:
    stack: Stack
    bare: Bare
    folder: Path
    databases: Databases
    seller: Person
    buyers: Sequence[Person]
    """The first buyer has completed one order, whose copies are the orders of "my orders". The others buy."""
    ticket: str
    """The id of a ticket on sale, of which all others are copies."""
    order: str
    """The id of the first buyer's completed order."""
    tickets: int = 1
    orders: int = 1

    @property
    def web(self) -> str:
        return self.stack.web.replace("localhost", "127.0.0.1")

    @property
    def nats(self) -> str:
        return self.stack.bus[0]

    def cpu(self) -> dict[str, float]:
        return cpu_of(self.folder)

    async def grow_to(self, tickets: int) -> float:
        """Add tickets until there are this many. Return how many seconds the service needs to start then."""
        if tickets > self.tickets:
            await self.stack.stop("web")
            await self.stack.stop("tickets")
            await self.databases.add_tickets(self.ticket, tickets - self.tickets)
            self.tickets = tickets
            began = time.monotonic()
            await self.stack.start("tickets")
            taken = time.monotonic() - began
            await self.stack.start("web")
            return taken
        return 0.0

    async def grow_orders_to(self, orders: int) -> None:
        """Add orders of the first buyer until there are this many."""
        await self.databases.add_orders(self.order, orders - self.orders)
        self.orders = orders

    async def list_tickets(self, how_many: int) -> list[str]:
        """List tickets that can be bought, and return their ids."""
        few = asyncio.Semaphore(CONCURRENT_LISTINGS)

        async def list_one() -> str:
            async with few:
                return str((await self.seller.lists_ticket())["id"])

        listed = await asyncio.gather(*(list_one() for _ in range(how_many)))
        await self._replicated(listed[-1])
        return listed

    async def _replicated(self, ticket: str) -> None:
        """Wait until orders knows a ticket, by reserving it and cancelling the reservation."""
        order = await self.buyers[-1].reserves(ticket)
        await self.buyers[-1].cancels(order["id"])
        await until(lambda: self.seller.ticket(ticket), lambda found: found["status"] == "available")


def cookie_of(person: Person) -> str:
    return f"session={person.client.headers['Authorization'].removeprefix('Bearer ')}"


async def fetch(url: str, path: str, cookie: str = "") -> bytes:
    """The body of a page.

    Raises:
        Failed: the response has another status than 200.
    """
    client = Client(Server.of(url))
    headers = {"Cookie": cookie} if cookie else {}
    response = await client.request(client.server.head("GET", path, **headers))
    client.close()
    if response.status != 200:
        raise Failed(f"{path} answered {response.status}: {response.body[:300].decode(errors='replace')}")
    return response.body


@asynccontextmanager
async def market(folder: Path) -> AsyncIterator[Market]:
    """Run a marketplace with 100 tickets, and a buyer who has 30 orders."""
    usual: Any = USUAL  # mypy assumes that it may contain every parameter
    async with (
        stagedoor(folder, variants=False, **usual) as stack,
        bare_handler(folder) as bare,
        signed_up(stack.web, 2 + BUYERS) as (seller, *buyers),
    ):
        ticket = (await seller.lists_ticket(**_details()))["id"]
        bought = (await seller.lists_ticket(**_details()))["id"]
        order = (await buyers[0].reserves(bought))["id"]
        paid = await buyers[0].pays(order)
        assert paid.status_code == 201, paid.text
        await until(lambda: buyers[0].payment(order), lambda payment: payment["status"] == "captured")
        databases = Databases(stack.settings.database)
        found = Market(stack, bare, folder, databases, seller, buyers, ticket, order)
        try:
            await found.grow_to(FIRST_TICKETS)
            await found.grow_orders_to(ORDERS)
            yield found
        finally:
            await databases.close()


def _details() -> dict[str, str]:
    starts_at = datetime.now(UTC) + timedelta(days=30)
    return {
        "startsAt": starts_at.isoformat(),
        "timeZone": "Europe/Berlin",
        "venue": "Konzerthaus",
        "city": "Berlin",
        "category": "music",
        "seat": "Row 4, seats 11 and 12",
        "notes": "The seats are next to each other.",
    }
