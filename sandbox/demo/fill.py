"""Fill a running marketplace with the programme.

It knows nothing but the HTTP API. Run again, it adds only what is missing: what somebody else has
bought meanwhile it leaves alone, reservations that ran out it makes anew, and what nobody bought
until the event was over it offers again.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from functools import partial
from typing import Any

import httpx

from sandbox.demo.pictures import picture
from sandbox.demo.programme import Listing, people
from sandbox.demo.trade import Operator, trade, withdraw
from sandbox.demo.user import User
from sandbox.log import write
from settings import Settings

AT_ONCE = 4
"""What is done at the same time."""


async def fill(conf: Settings, listed: Sequence[Listing]) -> Counter[str]:
    """Put everything there; gives how much was new.

    Raises:
        Wrong: the marketplace doesn't do what it should.
        httpx.HTTPError: nothing answers there.
    """
    done: Counter[str] = Counter()
    async with AsyncExitStack() as stack:

        async def client(url: str) -> httpx.AsyncClient:
            http = httpx.AsyncClient(base_url=url, timeout=60, trust_env=False, follow_redirects=True)
            return await stack.enter_async_context(http)

        users = {name: User(name, await client(conf.site)) for name in people(listed)}
        # By itself, so that a marketplace that isn't there is told of once and at once.
        await next(iter(users.values())).get("/api/tickets?limit=1")
        write(f"{len(users)} users sign in ...")
        await some_at_once(user.enter for user in users.values())

        write(f"They offer {len(listed)} tickets, and show pictures of most ...")
        tickets = await _offer_all(users, listed, done)

        deals = [listing for listing in listed if listing.offer.ending]
        write(f"{len(deals)} of them find a buyer ...")
        operator = Operator(await client(conf.url_of("payments")), conf.operator_secret)

        async def trade_all(buyer: User) -> None:
            for deal in deals:
                if deal.offer.buyer == buyer.name:
                    await trade(buyer, deal, tickets[deal.key]["id"], operator, done)

        await some_at_once(partial(trade_all, user) for user in users.values())
        for deal in deals:
            if deal.offer.ending == "withdrawn":
                await withdraw(users[deal.offer.seller], tickets[deal.key])
    return done


Tickets = dict[tuple[str, str, str | None], dict[str, Any]]


async def _offer_all(users: dict[str, User], listed: Sequence[Listing], done: Counter[str]) -> Tickets:
    """Their tickets. The last is offered first: what is newest stands at the top of the list."""
    tickets: Tickets = {}
    now = datetime.now(UTC)
    for name, user in users.items():
        for ticket in await user.get("/api/tickets/mine"):
            if ticket["status"] in ("sold", "reserved") or not _is_over(ticket, now):
                tickets.setdefault((name, ticket["title"], ticket["seat"]), ticket)
    missing = [listing for listing in listed if listing.key not in tickets]
    for listing in reversed(missing):
        answer = await users[listing.offer.seller].ask("POST", "/api/tickets", body_of(listing, now))
        tickets[listing.key] = answer.json()
        done["tickets"] += 1

    async def show(listing: Listing, look: str) -> None:
        path = f"/api/tickets/{tickets[listing.key]['id']}/picture"
        painted = await asyncio.to_thread(picture, listing.event.title, look)
        await users[listing.offer.seller].ask("PUT", path, painted)
        done["pictures"] += 1

    await some_at_once(
        partial(show, listing, listing.event.look)
        for listing in listed
        if listing.event.look and _has_no_picture(tickets[listing.key])
    )
    return tickets


def _is_over(ticket: dict[str, Any], now: datetime) -> bool:
    starts_at = ticket["startsAt"]
    return starts_at is not None and datetime.fromisoformat(starts_at) <= now


def _has_no_picture(ticket: dict[str, Any]) -> bool:
    return ticket["picture"] is None and ticket["status"] == "available"


def body_of(listing: Listing, now: datetime) -> dict[str, Any]:
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


async def some_at_once(work: Iterable[Callable[[], Awaitable[None]]]) -> None:
    room = asyncio.Semaphore(AT_ONCE)

    async def do(part: Callable[[], Awaitable[None]]) -> None:
        async with room:
            await part()

    try:
        async with asyncio.TaskGroup() as tasks:
            for part in work:
                tasks.create_task(do(part))
    except ExceptionGroup as several:
        raise several.exceptions[0] from None  # the others ended because of it, or like it
