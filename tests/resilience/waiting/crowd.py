"""People who wait for one event, are told of its tickets, and press Buy."""

import asyncio
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import httpx
from nats.aio.msg import Msg

from contracts.events import AlertMatched, TicketUpdated
from contracts.wire import now
from tests.resilience.waiting.promises import Listing, Rules, Told
from tests.support.people import Person
from tests.support.polling import until
from tests.support.stack import Stack

WHERE: dict[str, Any] = {
    "startsAt": "2036-06-05T18:30:00Z",
    "timeZone": "Europe/Berlin",
    "venue": "Tempodrom",
    "city": "Berlin",
}
TITLE = "Nobody's Orchestra, the last concert"
EMAIL_SECONDS = 180.0
AT_ONCE = 8
"""Concurrent requests that don't measure anything."""


@dataclass(frozen=True)
class Kind:
    """What the people who are told of a ticket do."""

    name: str
    buys_in: int | None
    """The wave in which everybody who was told so far presses Buy at once. None for never."""
    is_given_back: bool = False
    """Whether the first who is told reserves the ticket and cancels at once."""


KINDS = (
    Kind("nobody wants it", None),
    Kind("bought at once", 1),
    Kind("bought when the second wave begins", 2),
    Kind("given back at once, and bought then", 2, is_given_back=True),
)


class Crowd:
    """Hears what the bus says of tickets and matches, as open pages do, and acts on it."""

    def __init__(self, people: Sequence[Person], rules: Rules) -> None:
        self._people = {person.id: person for person in people}
        self._rules = rules
        self._kinds: defaultdict[str, asyncio.Future[Kind]] = defaultdict(asyncio.Future)
        """Known when the listing is answered, which may be after the first match."""
        self._told: defaultdict[str, dict[str, Told]] = defaultdict(dict)
        """Those who were told of each ticket, by the id of the match."""
        self._states: defaultdict[str, dict[int, tuple[datetime, bool]]] = defaultdict(dict)
        """When each version of a ticket was heard of, and whether it is on sale."""
        self._owners: defaultdict[str, list[str]] = defaultdict(list)
        self._bought_in: dict[str, int] = {}
        """The wave of each ticket in which people pressed Buy last."""
        self._rush = asyncio.TaskGroup()
        self.pressed = 0
        """How often somebody pressed Buy."""

    async def __aenter__(self) -> "Crowd":
        await self._rush.__aenter__()
        return self

    async def __aexit__(self, *error: Any) -> None:
        await self._rush.__aexit__(*error)

    def watch(self, listing: Listing, kind: Kind) -> None:
        self._kinds[listing.id].set_result(kind)

    async def hear(self, message: Msg) -> None:
        if message.subject == AlertMatched.subject:
            matched = AlertMatched.model_validate_json(message.data)
            self._hear_match(matched)
        elif message.subject == TicketUpdated.subject:
            updated = TicketUpdated.model_validate_json(message.data)
            state = now(), updated.status == "available"
            self._states[updated.id].setdefault(updated.version, state)

    def _hear_match(self, matched: AlertMatched) -> None:
        ticket = matched.ticket.id
        if matched.id in self._told[ticket]:  # the outbox delivers at least once
            return
        self._told[ticket][matched.id] = Told(matched.user_id, matched.matched_at)
        self._rush.create_task(self._decide(ticket, matched.user_id, len(self._told[ticket])))

    async def _decide(self, ticket: str, user: str, place: int) -> None:
        """Press Buy, alone or with all who were told before, as the kind of the ticket says.

        Args:
            place: how many people were told until now.
        """
        kind, wave = await self._kinds[ticket], -(-place // self._rules.size)
        if kind.is_given_back and place == 1:
            await self._give_back(ticket, self._people[user])
        if kind.buys_in is None or wave < kind.buys_in:
            return
        first, self._bought_in[ticket] = self._bought_in.get(ticket, 0) < wave, wave
        buyers = [each.user for each in self._told[ticket].values()] if first else [user]
        await asyncio.gather(*(self._buy(ticket, self._people[each]) for each in buyers))

    async def _buy(self, ticket: str, person: Person) -> None:
        order = await self._reserve(ticket, person)
        if order is None:
            return
        await until(lambda: person.pays(order), lambda answer: answer.status_code < 500)
        await until(lambda: person.order(order), lambda seen: seen["status"] == "complete")
        self._owners[ticket].append(person.id)

    async def _give_back(self, ticket: str, person: Person) -> None:
        order = await self._reserve(ticket, person)
        assert order is not None, "nobody else presses Buy before the next wave"
        await until(lambda: person.cancels(order), lambda answer: answer.status_code < 500)

    async def _reserve(self, ticket: str, person: Person) -> str | None:
        """The id of the order. None if somebody else was faster."""
        self.pressed += 1
        answer = await until(
            lambda: person.tries_to_reserve(ticket), lambda answer: answer.status_code not in (404, 503)
        )
        assert answer.status_code in (200, 201, 409), answer.text  # 200: the person has it already
        return answer.json()["id"] if answer.status_code == 201 else None

    def fill(self, listing: Listing) -> None:
        """Add what happened to the ticket."""
        listing.told = sorted(self._told[listing.id].values(), key=lambda told: told.at)
        states = [state for _, state in sorted(self._states[listing.id].items())]
        listing.states = [
            state
            for before, state in zip([(None, True), *states], states, strict=False)
            if before[1] != state[1]
        ]
        listing.bought_by = self._owners[listing.id]

    def is_done(self, listing: Listing, waiting: int) -> bool:
        """Whether the ticket was taken for good, or everybody was told of it."""
        told = {told.user for told in self._told[listing.id].values()}
        return bool(self._owners[listing.id]) or len(told) >= waiting


async def requests(people: Sequence[Person], show_id: str) -> list[str]:
    """Let all people ask at once to be told of the event. Return them in the order of their requests."""

    async def ask(person: Person) -> tuple[str, str]:
        body = {"kind": "alert", "showId": show_id}
        answer = await until(
            lambda: person.client.post("/api/alerts", json=body), lambda answer: answer.status_code != 503
        )
        assert answer.status_code == 201, answer.text
        return answer.json()["id"], person.id

    return [user for _, user in sorted(await asyncio.gather(*map(ask, people)))]


async def count_emails(stack: Stack, people: Sequence[Person], listings: Sequence[Listing]) -> None:
    """Wait until each match has an email, and add the numbers of emails to the listings."""
    expected = sum(len(listing.told) for listing in listings)
    few = asyncio.Semaphore(AT_ONCE)
    texts: dict[int, tuple[str, str]] = {}
    """The user and the text of each message about a ticket."""
    url = f"http://localhost:{stack.settings.mailbox_port}"
    async with httpx.AsyncClient(base_url=url, timeout=60) as http:

        async def read(person: Person) -> None:
            async with few:
                for each in (await http.get("/api/messages", params={"to": person.email})).json():
                    if each["id"] not in texts and each["subject"].startswith("On sale now"):
                        answer = await http.get(f"/api/messages/{each['id']}")
                        texts[each["id"]] = person.id, answer.json()["text"]

        async def look() -> int:
            await asyncio.gather(*map(read, people))
            return len(texts)

        await until(look, lambda found: found >= expected, EMAIL_SECONDS)
        await look()  # a second email would be on its way by now
    for user, text in texts.values():
        about = re.search(r"/tickets/([0-9a-f]{24})", text)
        for listing in listings:
            if about is not None and about[1] == listing.id:
                listing.emails[user] += 1
