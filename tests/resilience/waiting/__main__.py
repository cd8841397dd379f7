"""Let people wait for tickets of one event, list several at once, and check who is told of them, and when.

Some tickets are bought by those who are told first, some later, some are given back, and some nobody wants.
Two processes of tickets announce them. Exits with 1 if a promise of alerts is broken.
"""

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import nats

from contracts.events import AlertMatched, TicketUpdated
from contracts.wire import now
from sandbox.log import write
from sandbox.processes import answering, granian, service
from sandbox.testing import free_port
from services.tickets.alerts.waves import SWEEP_SECONDS
from tests.resilience.waiting.crowd import KINDS, TITLE, WHERE, Crowd, Kind, count_emails, requests
from tests.resilience.waiting.promises import Listing, Rules, broken, table
from tests.support.people import Person, signed_up
from tests.support.polling import until
from tests.support.stack import Stack, stagedoor

WAVE_SECONDS = 60.0
"""How much longer than its interval a wave may take on a busy machine."""


async def _second_replica(stack: Stack) -> None:
    """Run a second process of tickets, which only listens and announces."""
    port = free_port()
    process = service("tickets", stack.settings)
    command = granian("streams.tickets:app", "127.0.0.1", port)
    ready = answering(port, "/health/ready")
    await stack.run(replace(process, name="tickets-2", port=port, command=command, ready=ready))


async def _list(seller: Person, show_id: str, kind: Kind, crowd: Crowd) -> Listing:
    began = now()
    ticket = await seller.lists_ticket(45, TITLE, showId=show_id, seat=f"Row {seller.id[-4:]}")
    listing = Listing(ticket["id"], kind.name, began)
    crowd.watch(listing, kind)
    return listing


async def _event(seller: Person) -> str:
    """The id of an event without tickets on sale."""
    ticket = await seller.lists_ticket(45, TITLE, **WHERE)
    answer = await seller.client.delete(f"/api/tickets/{ticket['id']}")
    assert answer.status_code == 204, answer.text
    show_id: str = ticket["showId"]
    return show_id


async def _measure(stack: Stack, people: Sequence[Person], sellers: Sequence[Person], rules: Rules) -> bool:
    """Print the table, and what was broken. Return whether every promise was kept."""
    show_id = await _event(sellers[0])
    rules = replace(rules, waiting=await requests(people, show_id))
    interval = rules.interval.total_seconds()
    async with AsyncExitStack() as closes:
        connection = await nats.connect(stack.bus)
        closes.push_async_callback(connection.close)
        crowd = await closes.enter_async_context(Crowd(people, rules))
        for subject in (AlertMatched.subject, TicketUpdated.subject):
            await connection.subscribe(subject, cb=crowd.hear)
        await connection.flush()
        kinds = [KINDS[number % len(KINDS)] for number in range(len(sellers))]
        listings = await asyncio.gather(
            *map(_list, sellers, [show_id] * len(sellers), kinds, [crowd] * len(sellers))
        )
        waves = -(-len(people) // rules.size)
        await until(lambda: _done(crowd, listings, len(people)), seconds=waves * interval + WAVE_SECONDS)
        await asyncio.sleep(interval + 2 * SWEEP_SECONDS)  # a wave too many would begin meanwhile
    for listing in listings:
        crowd.fill(listing)
    await count_emails(stack, people, listings)
    listings.sort(key=lambda listing: listing.kind)
    write("\n".join(table(listings, rules.size)))
    told = sum(len(listing.told) for listing in listings)
    late = sum(not listing.was_on_sale(each.at) for listing in listings for each in listing.told)
    write(f"\n{told} times somebody was told, and {crowd.pressed} times somebody pressed Buy.")
    write(f"{late} were told in a wave in which somebody who was told just before had taken the ticket.")
    failures = [f"{listing.kind}: {each}" for listing in listings for each in broken(listing, rules)]
    write("\n".join(failures) or "Every promise was kept.")
    return not failures


async def _done(crowd: Crowd, listings: Sequence[Listing], waiting: int) -> bool:
    return all(crowd.is_done(listing, waiting) for listing in listings)


async def run(folder: Path, people: int, tickets: int, rules: Rules) -> bool:
    size, interval = str(rules.size), str(rules.interval.total_seconds())
    async with (
        stagedoor(folder, variants=False, ALERT_WAVE_SIZE=size, ALERT_WAVE_SECONDS=interval) as stack,
        signed_up(stack.web, people) as waiting,
        signed_up(stack.web, tickets) as sellers,
    ):
        await _second_replica(stack)
        return await _measure(stack, waiting, sellers, rules)


def main() -> int:
    parser = argparse.ArgumentParser(prog="just waiting", description=__doc__)
    parser.add_argument("--people", type=int, default=50)
    parser.add_argument("--tickets", type=int, default=8, help="listed at the same time")
    parser.add_argument("--size", type=int, default=10, help="people of a wave")
    parser.add_argument("--interval", type=float, default=10.0, help="seconds between two waves")
    parser.add_argument("--keep", type=Path, help="keep data and logs in this folder")
    given = parser.parse_args()
    rules = Rules((), given.size, timedelta(seconds=given.interval))
    with tempfile.TemporaryDirectory(prefix="waiting-", ignore_cleanup_errors=True) as temporary:
        folder = given.keep or Path(temporary)
        return int(not asyncio.run(run(folder, given.people, given.tickets, rules)))


if __name__ == "__main__":
    sys.exit(main())
