"""Fill a running marketplace with the programme, through the public HTTP API.

A repeated run adds only what is missing: it skips tickets that another user has bought, renews expired
reservations, and lists unsold tickets of past events again with a new date.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from functools import partial
from typing import Any

import httpx

from kit.secrets import operator_token
from sandbox.demo.pictures import picture
from sandbox.demo.programme import Listing, people
from sandbox.demo.trade import Operator, trade, withdraw
from sandbox.demo.user import User
from sandbox.log import write
from settings import Settings

MAX_CONCURRENCY = 4


async def fill(conf: Settings, listed: Sequence[Listing]) -> Counter[str]:
    """List and trade all tickets, and return how many things of each kind were created.

    Raises:
        UnexpectedResponse: the marketplace answered a request in an unexpected way.
        httpx.HTTPError: the marketplace can't be reached.
    """
    created: Counter[str] = Counter()
    async with AsyncExitStack() as stack:

        async def client(url: str) -> httpx.AsyncClient:
            http = httpx.AsyncClient(base_url=url, timeout=60, trust_env=False, follow_redirects=True)
            return await stack.enter_async_context(http)

        users = {name: User(name, await client(conf.site)) for name in people(listed)}
        # Send one request first, so that there is a single error if no marketplace is running.
        await next(iter(users.values())).get("/api/tickets?limit=1")
        write(f"Signing in {len(users)} users ...")
        await run_concurrently(user.sign_in for user in users.values())

        write(f"Listing {len(listed)} tickets, most of them with a picture ...")
        tickets = await _list_all(users, listed, created)

        deals = [listing for listing in listed if listing.offer.outcome]
        write(f"Reserving, buying or withdrawing {len(deals)} of them ...")
        payments, tickets_api = await client(conf.url_of("payments")), await client(conf.url_of("tickets"))
        operator = Operator(payments, tickets_api, operator_token(conf))

        async def trade_all(buyer: User) -> None:
            for deal in deals:
                if deal.offer.buyer == buyer.name:
                    await trade(buyer, deal, tickets[deal.key]["id"], operator, created)

        await run_concurrently(partial(trade_all, user) for user in users.values())
        for deal in deals:
            if deal.offer.outcome == "withdrawn":
                await withdraw(users[deal.offer.seller], tickets[deal.key])
    return created


Tickets = dict[tuple[str, str, str | None], dict[str, Any]]


async def _list_all(users: dict[str, User], listed: Sequence[Listing], created: Counter[str]) -> Tickets:
    """List the missing tickets, in reverse order, so that the first of the programme is the newest one."""
    tickets: Tickets = {}
    now = datetime.now(UTC)
    for name, user in users.items():
        for ticket in await user.get("/api/tickets/mine"):
            if ticket["status"] in ("sold", "reserved") or not _has_started(ticket, now):
                tickets.setdefault((name, ticket["title"], ticket["seat"]), ticket)
    missing = [listing for listing in listed if listing.key not in tickets]
    for listing in reversed(missing):
        response = await users[listing.offer.seller].request(
            "POST", "/api/tickets", ticket_body(listing, now)
        )
        tickets[listing.key] = response.json()
        created["tickets"] += 1

    async def upload_pictures(seller: str) -> None:
        """Upload the pictures one after another, because a user may upload only one at a time."""
        for listing in listed:
            look = listing.event.look
            if listing.offer.seller == seller and look and _needs_picture(tickets[listing.key]):
                path = f"/api/tickets/{tickets[listing.key]['id']}/picture"
                content = await asyncio.to_thread(picture, listing.event.title, look)
                await users[seller].request("PUT", path, content)
                created["pictures"] += 1

    await run_concurrently(partial(upload_pictures, name) for name in users)
    return tickets


def _has_started(ticket: dict[str, Any], now: datetime) -> bool:
    starts_at = ticket["startsAt"]
    return starts_at is not None and datetime.fromisoformat(starts_at) <= now


def _needs_picture(ticket: dict[str, Any]) -> bool:
    return ticket["picture"] is None and ticket["status"] == "available"


def ticket_body(listing: Listing, now: datetime) -> dict[str, Any]:
    """The body of the request that lists the ticket."""
    event, offer = listing.event, listing.offer
    return {
        "title": event.title,
        "price": offer.price,
        "startsAt": event.starts_at(now).isoformat(),
        "timeZone": event.venue.time_zone,
        "venue": event.venue.name,
        "city": event.venue.city,
        "category": event.category,
        "seat": offer.seat,
        "quantity": offer.quantity,
        "faceValue": offer.face,
        "notes": offer.notes,
    }


async def run_concurrently(functions: Iterable[Callable[[], Awaitable[None]]]) -> None:
    """Call all functions, a few at the same time, and raise the first error."""
    limiter = asyncio.Semaphore(MAX_CONCURRENCY)

    async def run(function: Callable[[], Awaitable[None]]) -> None:
        async with limiter:
            await function()

    try:
        async with asyncio.TaskGroup() as tasks:
            for function in functions:
                tasks.create_task(run(function))
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None  # the others are consequences of the first one, or like it
