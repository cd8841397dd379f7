"""`python -m sandbox.demo` fills a running marketplace with tickets, users and orders in every state.

It knows nothing but the public HTTP API. Run again, it adds only what is missing: what somebody else
has bought meanwhile it leaves alone, and reservations that ran out it makes anew.
"""

import asyncio
import os
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, NoReturn

import httpx

import settings
from sandbox.log import write
from sandbox.processes import ROOT
from sandbox.programme import BUYERS, DEALS, PASSWORD, SELLERS, Deal, Offer, Seller, email_of

AT_ONCE = 4
"""Users that are at work at the same time."""
PATIENCE = 15.0
"""Seconds that events may take."""
POLL = 0.1

TOKENS = {"paid": "tok_visa", "declined": "tok_chargeDeclined", "bank check": "tok_threeDSecure2Required"}
STATUS = {"paid": "complete", "declined": "created", "bank check": "awaiting:payment"}
"""What the order is after the payment."""


class Wrong(Exception):
    """An answer that can't be gone on from."""


class User:
    """Somebody who is signed in, once `enter` has returned."""

    def __init__(self, name: str, http: httpx.AsyncClient) -> None:
        self.name = name
        self._http = http

    async def enter(self) -> None:
        """Sign in, or up if nobody of that address is known."""
        account = {"email": email_of(self.name), "password": PASSWORD}
        answer = await self.ask("POST", "/api/users/signin", account, expected=(200, 401))
        if answer.status_code == 401:
            answer = await self.ask("POST", "/api/users/signup", account, expected=(201, 409))
        if answer.status_code == 409:
            raise Wrong(
                f"{account['email']} has another password than the demo's. `just reset` starts afresh"
            )
        # As a bearer, for a Secure cookie wouldn't be sent back over plain HTTP.
        self._http.headers["Authorization"] = f"Bearer {answer.cookies['session']}"

    async def get(self, path: str) -> Any:
        return (await self.ask("GET", path)).json()

    async def ask(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        expected: Iterable[int] = (200, 201, 204),
    ) -> httpx.Response:
        """The answer; a rate limit is waited for, and so is news that another service hasn't heard yet.

        Raises:
            Wrong: the answer isn't an expected one.
        """
        clock = asyncio.get_running_loop()
        deadline = clock.time() + PATIENCE
        while True:
            answer = await self._http.request(method, path, json=body)
            pause = answer.headers.get("Retry-After", "")
            if answer.status_code == 429 and pause.isdecimal():
                write(f"A rate limit is reached. {self.name} goes on in {pause} s ...")
                await asyncio.sleep(int(pause))
            elif answer.status_code in expected:
                return answer
            elif answer.status_code == 404 and clock.time() < deadline:
                await asyncio.sleep(POLL)
            else:
                _refuse(method, path, answer)

    async def until(self, path: str, status: str) -> None:
        """Wait for events to arrive."""
        clock = asyncio.get_running_loop()
        deadline = clock.time() + PATIENCE
        while (seen := (await self.get(path))["status"]) != status:
            if clock.time() > deadline:
                raise Wrong(f"{path} is still {seen!r} instead of {status!r} after {PATIENCE:g} s")
            await asyncio.sleep(POLL)


def _refuse(method: str, path: str, answer: httpx.Response) -> NoReturn:
    try:
        reason = answer.json()["title"]
    except (ValueError, LookupError, TypeError):
        reason = "that isn't Stagedoor"
    raise Wrong(f"{method} {path} was answered with {answer.status_code}: {reason}")


async def fill(site: str) -> Counter[str]:
    """Put everything of the programme there; gives how much was new.

    Raises:
        Wrong: the marketplace doesn't do what it should.
        httpx.HTTPError: nothing answers at `site`.
    """
    done: Counter[str] = Counter()
    names = list(dict.fromkeys([*(seller.name for seller in SELLERS), *BUYERS]))
    async with AsyncExitStack() as stack:
        users = {
            name: User(
                name,
                await stack.enter_async_context(
                    httpx.AsyncClient(base_url=site, timeout=60, trust_env=False, follow_redirects=True)
                ),
            )
            for name in names
        }
        # By itself, so that a marketplace that isn't there is told of once and at once.
        await users[names[0]].get("/api/tickets?limit=1")
        write(f"{len(users)} users sign in ...")
        await _some_at_once(user.enter for user in users.values())

        write(f"{len(SELLERS)} of them offer tickets ...")
        offered: dict[tuple[str, str], str] = {}

        async def offer_all(seller: Seller) -> None:
            offered.update(await _offer(users[seller.name], seller, done))

        await _some_at_once(partial(offer_all, seller) for seller in SELLERS)

        write(f"{len(BUYERS)} of them reserve and pay ...")

        async def trade_all(buyer: str) -> None:
            for deal in DEALS:
                if deal.buyer == buyer:
                    await _trade(users[buyer], deal, offered[deal.seller, deal.title], done)

        await _some_at_once(partial(trade_all, buyer) for buyer in BUYERS)
    return done


async def _offer(user: User, seller: Seller, done: Counter[str]) -> dict[tuple[str, str], str]:
    """The ids of the seller's tickets."""
    offered = {ticket["title"]: ticket["id"] for ticket in await user.get("/api/tickets/mine")}
    for offer in seller.offers:
        if offer.title not in offered:
            answer = await user.ask("POST", "/api/tickets", _ticket(seller, offer))
            offered[offer.title] = answer.json()["id"]
            done["tickets"] += 1
    return {(seller.name, offer.title): offered[offer.title] for offer in seller.offers}


def _ticket(seller: Seller, offer: Offer) -> dict[str, str]:
    day = (datetime.now(UTC) + timedelta(days=offer.days)).date()
    starts_at = datetime.combine(day, datetime.strptime(offer.hour, "%H:%M").time(), UTC)  # noqa: DTZ007 - a time of day
    return {
        "title": offer.title,
        "price": offer.price,
        "startsAt": starts_at.isoformat(),
        "venue": seller.venue,
        "city": seller.city,
    }


async def _trade(user: User, deal: Deal, ticket: str, done: Counter[str]) -> None:
    """Go on where an earlier run was; the newest order of the ticket tells."""
    order = await _newest_order(user, ticket)
    if order is None or (order["status"] == "cancelled" and deal.ending != "let go"):
        answer = await user.ask("POST", "/api/orders", {"ticketId": ticket}, expected=(201, 409, 429))
        if answer.status_code != 201:
            write(f"{user.name} leaves {deal.title!r} alone: {answer.json()['title']}")
            return
        order = answer.json()
        done["orders"] += 1
    if order["status"] not in ("created", "awaiting:payment"):
        return
    path = f"/api/orders/{order['id']}"
    if deal.ending == "let go":
        await user.ask("DELETE", path)
    elif deal.ending in TOKENS and not await user.get(f"/api/payments?orderId={order['id']}"):
        payment = {"orderId": order["id"], "token": TOKENS[deal.ending]}
        expected = 402 if deal.ending == "declined" else 201
        await user.ask("POST", "/api/payments", payment, expected=(expected,))
        await user.until(path, STATUS[deal.ending])


async def _newest_order(user: User, ticket: str) -> dict[str, Any] | None:
    orders: list[dict[str, Any]] = await user.get("/api/orders")
    return next((order for order in orders if order["ticket"]["id"] == ticket), None)


async def _some_at_once(work: Iterable[Callable[[], Awaitable[None]]]) -> None:
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


def farewell(site: str, done: Mapping[str, int]) -> str:
    sellers = {seller.name: seller for seller in SELLERS}
    lines = [f"{done.get('tickets', 0)} tickets and {done.get('orders', 0)} orders are new at {site}"]
    lines += ["", f"Sign in as one of these; the password is always: {PASSWORD}"]
    for name in dict.fromkeys([*BUYERS, *sellers]):
        roles = []
        if name in BUYERS:
            roles.append("buys")
        if name in sellers:
            roles.append(f"sells for {sellers[name].venue}, {sellers[name].city}")
        lines.append(f"  {email_of(name):32} {' and '.join(roles)}")
    return "\n".join(lines)


def run(site: str) -> int:
    """The exit code: 1 when the marketplace isn't there or doesn't do what it should."""
    try:
        done = asyncio.run(fill(site))
    except (httpx.ConnectError, httpx.ConnectTimeout):
        write(f"No marketplace answers at {site}. Start it with `just up`, then run `just demo` again.")
        return 1
    except (Wrong, httpx.HTTPError) as problem:
        write(f"The demo stopped: {str(problem) or repr(problem)}")
        return 1
    write(farewell(site, done))
    return 0


def main() -> int:
    os.chdir(ROOT)  # where .env is looked for
    configured = settings.load()
    if configured.stripe_key is not None and "_live_" in configured.stripe_key.get_secret_value():
        write("STRIPE_KEY is a live one: sample tickets have no place where money is real.")
        return 1
    return run(configured.site)


if __name__ == "__main__":
    sys.exit(main())
