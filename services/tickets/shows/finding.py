"""Find the show of a listing, or create it; find shows for suggestions and for the page of a show."""

import asyncio
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from bson import ObjectId
from pymongo import ASCENDING, DESCENDING
from pymongo.errors import DuplicateKeyError, PyMongoError

from contracts.api import Ticket as TicketView
from contracts.tickets import country_of
from contracts.wire import now
from kit.errors import NotFound, Unavailable
from kit.mongo import is_outage, object_id
from services.tickets.documents import Ticket
from services.tickets.folding import words
from services.tickets.shows import following, rules
from services.tickets.shows.documents import Show
from services.tickets.views import PROJECTION, stored, view_of

MAX_MERGES = 20
"""Merges that are followed from a show to the one that is left. An operator has to do each of them."""

MAX_SUGGESTIONS = 10
MIN_SEARCHED_LETTERS = 2
"""Of the longest word. One letter would read the index of all events that have it."""
MAX_SEARCHED_WORDS = 8
MAX_LOOKED_AT = 200
"""Shows that are looked at to find some with a ticket. Whoever lists and withdraws tickets can create any
number of shows without one."""
MAX_OTHERS = 6
"""Other dates, and other events at the venue, on the page of a show."""
MAX_UPCOMING = 20_000
"""Events of a sitemap, which has at most 50,000 addresses: one of each event in each language."""
OFFERED: Mapping[str, Any] = {"status": {"$in": ["available", "reserved"]}, "awaits_files": {"$ne": True}}
KNOWN_SECONDS = 1.0
"""How long lists of events wait for the database."""
MAX_ON_SALE = 500
MAX_SOLD = 50


@dataclass(frozen=True)
class Placed:
    """The fields of a listing, with those that its show decides."""

    details: dict[str, Any]
    show: Show | None
    """None if the listing fits no show."""


class Check(Protocol):
    """Raises an error if a listing isn't accepted for an event in one of these countries, as far as known."""

    def __call__(self, *countries: str | None) -> None: ...


def accept(*_countries: str | None) -> None:
    """Accept a listing for any event."""


async def place(
    details: Mapping[str, Any], performers: Sequence[str] | None, check: Check = accept
) -> Placed:
    """Find the show of a listing. It is created if the listing says when and where it is.

    Raises:
        what `check` raises, before a show is created.
        UnknownShow: the listing names a show that doesn't exist.
        EventInThePast: the show has begun.
        Unavailable: no majority has the show yet that another request has created.
    """
    show = await _show_of(details, performers or (), check)
    placed = dict(details)
    placed["show_id"] = None if show is None else show.key
    if show is not None and (details["show_id"] is not None or _is_outdated(show, details)):
        rules.check_has_not_begun(show, now())
        placed |= rules.place_and_time(show)
        placed["category"] = details.get("category") or show.category
    elif placed.get("country") is None:
        known = show.country if show is not None and details.get("starts_at") is not None else None
        placed["country"] = known or country_of(details.get("time_zone"))
    # What others said about the event before counts more than what one seller says. The first of them may
    # have stated a country with a higher cap, so the country of the time zone counts too.
    countries = [] if show is None else [show.country, country_of(show.time_zone)]
    check(*countries if any(countries) else [placed["country"], country_of(placed.get("time_zone"))])
    return Placed(placed, show)


async def settled(ticket: Ticket, show: Show | None) -> Ticket:
    """The ticket, after it has followed its show if that was merged or corrected since it was found.

    If this process stops before, `merging.sweep` does it.
    """
    if show is None:
        return ticket
    current = await survivor(show.key)
    if (current.id, current.version) == (show.id, show.version):
        return ticket
    assert ticket.id is not None, "it is stored"
    return await following.follow(ticket.id, {show.key, current.key}, current)


async def survivor(show_id: str) -> Show:
    """The show with this id, or the one into which it was merged.

    Raises:
        NotFound: there is no such show.
    """
    key = object_id(show_id)
    for _ in range(MAX_MERGES):
        show = await Show.find_one({"_id": key})
        if show is None:
            raise NotFound
        if show.merged_into is None:
            return show
        key = ObjectId(show.merged_into)
    raise Unavailable


async def find_or_create(facts: rules.ShowFacts, check: Check = accept) -> Show:
    """The show that these facts describe. Concurrent calls create one.

    Raises:
        what `check` raises, if the show doesn't exist yet.
        Unavailable: no majority has the show yet that another request has created.
    """
    wanted = Show.of(facts)
    by_key = {"keys": wanted.keys[0]}
    known = await Show.find_one(by_key)
    if known is None:
        check(facts.country, country_of(facts.time_zone))
        try:
            return await wanted.insert()
        except DuplicateKeyError:
            known = await Show.find_one(by_key)
    if known is None:
        raise Unavailable
    return known if known.merged_into is None else await survivor(known.merged_into)


async def suggestions(search: str) -> list[Show]:
    """Shows with a ticket that haven't begun and have all these words, the soonest first.

    None for a single letter. The index `of_word` has the start too, so entries of past events aren't
    read.
    """
    # The longest words have the fewest entries in the index.
    wanted = sorted(words(search), key=len, reverse=True)[:MAX_SEARCHED_WORDS]
    if not wanted or len(wanted[0]) < MIN_SEARCHED_LETTERS:
        return []
    beginnings = [re.compile(f"^{re.escape(word)}") for word in wanted]
    return await _with_tickets({"words": {"$all": beginnings}}, MAX_SUGGESTIONS)


async def known(ids: Iterable[str]) -> dict[str, Show]:
    """The shows with these ids, by id. None while the database is unavailable."""
    wanted = {"_id": {"$in": [ObjectId(show_id) for show_id in ids]}}
    try:
        async with asyncio.timeout(KNOWN_SECONDS):
            return {show.key: show for show in await Show.find(wanted).to_list()}
    except (TimeoutError, PyMongoError) as error:
        if isinstance(error, TimeoutError) or is_outage(error):
            return {}
        raise


async def other_dates(show: Show) -> list[Show]:
    """Shows with the same title and a ticket that haven't begun."""
    return await _with_tickets({"title_key": show.title_key, "_id": {"$ne": show.id}}, MAX_OTHERS)


async def at_venue(show: Show) -> list[Show]:
    """Shows with other titles at the same venue and a ticket that haven't begun."""
    at_venue = {"venue_key": show.venue_key, "title_key": {"$ne": show.title_key}}
    return await _with_tickets(at_venue, MAX_OTHERS)


async def upcoming() -> list[str]:
    """The ids of shows that haven't begun, the soonest first: as many as a sitemap lists."""
    which = {"starts_at": {"$gt": now()}, "merged_into": None}
    shows = Show.get_pymongo_collection()
    found = shows.find(which, {"_id": 1}, sort=[("starts_at", ASCENDING)], limit=MAX_UPCOMING)
    return [str(raw["_id"]) async for raw in found]


async def tickets_of(show: Show) -> list[TicketView]:
    """The tickets that are on sale or reserved, and the newest ones that are sold."""
    offered = {"show_id": show.key, **OFFERED}
    sold = {"show_id": show.key, "status": "sold"}
    tickets = Ticket.get_pymongo_collection()
    found = await tickets.find(offered, PROJECTION, sort=[("price_minor", ASCENDING)]).to_list(MAX_ON_SALE)
    found += await tickets.find(sold, PROJECTION, sort=[("_id", DESCENDING)]).to_list(MAX_SOLD)
    return [view_of(stored(raw), viewer=None) for raw in found]


async def _show_of(details: Mapping[str, Any], performers: Sequence[str], check: Check) -> Show | None:
    if (chosen := details.get("show_id")) is not None:
        try:
            return await survivor(chosen)
        except NotFound:
            raise rules.UnknownShow(field="showId") from None
    return await show_of_description(details, performers, check)


async def show_of_description(
    details: Mapping[str, Any], performers: Sequence[str] = (), check: Check = accept
) -> Show | None:
    """The show that a listing describes. An incomplete description needs to fit a single known show.

    Raises:
        what `check` raises, before a show is created.
        Unavailable: no majority has the show yet that another request has created.
    """
    facts = rules.described(details, performers)
    return await _only_match(details) if facts is None else await find_or_create(facts, check)


async def _only_match(details: Mapping[str, Any]) -> Show | None:
    """The only show that fits what an incomplete listing says. None if several do."""
    which: dict[str, Any] = {"title_key": rules.folded(details["title"])}
    if details.get("starts_at") is not None:
        which["starts_at"] = details["starts_at"]
    if details.get("venue") or details.get("city"):
        which["venue_key"] = _at(details.get("venue"), details.get("city"))
    found = await _coming(which, 2)
    return found[0] if len(found) == 1 else None


def _at(venue: str | None, city: str | None) -> re.Pattern[str]:
    """Matches the venue keys of this venue, or of all venues in this city."""
    parts = (re.escape(rules.folded(text)) if text else ".*" for text in (venue, city))
    return re.compile("^{}\n{}$".format(*parts))


def _is_outdated(show: Show, details: Mapping[str, Any]) -> bool:
    """Whether the listing has facts of the show that were corrected, or those of a duplicate."""
    if rules.described(details) is None:
        return False
    described = rules.key_of(*(details[name] for name in ("title", "venue", "city", "starts_at")))
    return show.keys[-1] != described


async def _with_tickets(which: Mapping[str, Any], limit: int) -> list[Show]:
    """Shows that haven't begun and have a ticket that is on sale or reserved, the soonest first."""
    known = await _coming(which, MAX_LOOKED_AT)
    offered = {"show_id": {"$in": [show.key for show in known]}, **OFFERED}
    steps: list[dict[str, Any]] = [{"$match": offered}, {"$group": {"_id": "$show_id"}}]
    having = {raw["_id"] async for raw in await Ticket.get_pymongo_collection().aggregate(steps)}
    return [show for show in known if show.key in having][:limit]


async def _coming(which: Mapping[str, Any], limit: int) -> list[Show]:
    filter_ = {"starts_at": {"$gt": now()}, "merged_into": None, **which}
    return await Show.find(filter_).sort("+starts_at", "+_id").limit(limit).to_list()
