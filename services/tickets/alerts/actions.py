"""Ask to be told of tickets, stop that, and read what somebody was told of."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from bson import ObjectId
from pymongo import DESCENDING
from pymongo.errors import DuplicateKeyError

from contracts.api import AlertBody
from contracts.money import to_minor_units
from contracts.wire import now
from kit import closed_users
from kit.aggregates import MAX_ATTEMPTS
from kit.errors import AccountClosed, NotFound, Unavailable
from kit.mongo import object_id
from kit.paging import newest_first
from services.tickets.alerts import rules
from services.tickets.alerts.documents import Alert, Match
from services.tickets.documents import Ticket
from services.tickets.shows.documents import Show
from services.tickets.shows.finding import survivor
from services.tickets.shows.rules import UnknownShow, check_has_not_begun

MAX_MATCHES = 50
"""The newest matches that are listed."""

MAX_PAGE = 200
"""Matches of a part of what is exported."""

MAX_NEWS = 5
"""The newest matches that an open page shows at once."""

NEWS = timedelta(hours=1)
"""How long a match is news."""


async def ask(user: str, body: AlertBody) -> Alert:
    """Store what the user wants to be told of. A request for the same replaces the conditions only.

    So it keeps its place among the requests of others.

    Raises:
        UnknownShow, EventInThePast, TooManyAlerts, AccountClosed
        Unavailable: concurrent requests of the user were faster each time.
    """
    wanted = await _wanted(user, body)
    for _attempt in range(MAX_ATTEMPTS):
        stored = await _changed(wanted) or await _added(wanted)
        if stored is not None:
            break
    else:
        raise Unavailable
    if await closed_users.is_closed(user):
        await Alert.get_pymongo_collection().delete_one({"_id": stored.id})
        raise AccountClosed
    return stored


async def stop(user: str, alert_id: str) -> None:
    """Remove a request of the user. A repeated call changes nothing."""
    await Alert.get_pymongo_collection().delete_one({"_id": object_id(alert_id), "user_id": user})


async def alerts_of(user: str) -> list[Alert]:
    """All requests of the user, newest first. There are at most `rules.MAX_ALERTS`."""
    return await Alert.find({"user_id": user}).sort("-_id").to_list()


async def shows_of(alerts: Sequence[Alert]) -> dict[str, Show]:
    """The shows of these requests by id."""
    ids = [ObjectId(alert.show_id) for alert in alerts if alert.show_id is not None]
    return {show.key: show async for show in Show.find({"_id": {"$in": ids}})}


async def matches_of(user: str) -> list[Match]:
    """The newest matches of the user."""
    return await _matches({"user_id": user}, MAX_MATCHES)


async def page_of_matches(user: str, after: str | None) -> tuple[list[Match], str | None]:
    """A part of all matches of the user, newest first, and the cursor of the next part, if any.

    Raises:
        BadCursor: `after` isn't a cursor.
    """
    without = {"outbox": 0, "sequences": 0}
    found, following = await newest_first(Match, {"user_id": user}, without, after, MAX_PAGE)
    return [Match.model_validate(raw) for raw in found], following


async def take_news(user: str) -> list[Match]:
    """The newest matches that no page has shown, with tickets that are still on sale. They are seen then.

    Of concurrent calls, such as those of several tabs, one gets each match.
    """
    matches = Match.get_pymongo_collection()
    since = now() - NEWS
    # By the id, no older matches are read.
    recent = {"_id": {"$gt": ObjectId.from_datetime(since)}, "matched_at": {"$gt": since}}
    unseen = {"user_id": user, "seen_at": None, **recent}
    taken = []
    for match in await _matches(unseen, MAX_NEWS):
        seen = await matches.update_one({"_id": match.id, "seen_at": None}, {"$set": {"seen_at": now()}})
        if seen.matched_count == 1:
            taken.append(match)
    on_sale = {"_id": {"$in": [match.ticket_id for match in taken]}, "status": "available"}
    found = {raw["_id"] async for raw in Ticket.get_pymongo_collection().find(on_sale, {"_id": 1})}
    return [match for match in taken if match.ticket_id in found]


async def forget(user: str) -> None:
    """Delete all requests and matches of a user who leaves. Requests first: they cause matches."""
    for kind in (Alert, Match):
        await kind.get_pymongo_collection().delete_many({"user_id": user})


async def _wanted(user: str, body: AlertBody) -> Alert:
    """The request as it is stored, without its slot."""
    moment = now()
    price_to = None if body.price_to is None else to_minor_units(body.price_to)
    request: dict[str, Any] = {
        "user_id": user,
        "kind": body.kind,
        "slot": -1,
        "created_at": moment,
        "price_to_minor": price_to,
        "quantity": body.quantity,
    }
    if body.show_id is None:
        assert body.performer is not None, "the body names one of them"
        target = rules.target_of_performer(body.performer)
        return Alert(target=target, performer=body.performer, **request)
    try:
        show = await survivor(body.show_id)
    except NotFound:
        raise UnknownShow(field="showId") from None
    check_has_not_begun(show, moment)
    target = rules.target_of_show(show.key)
    return Alert(target=target, show_id=show.key, ends_at=show.starts_at, **request)


async def _changed(wanted: Alert) -> Alert | None:
    """The user's request for the same with the new conditions. None if there is none."""
    which = {"user_id": wanted.user_id, "kind": wanted.kind, "target": wanted.target}
    conditions = {"price_to_minor": wanted.price_to_minor, "quantity": wanted.quantity}
    written = await Alert.get_pymongo_collection().update_one(which, {"$set": conditions})
    return await Alert.find_one(which) if written.matched_count else None


async def _added(wanted: Alert) -> Alert | None:
    """The new request. None if a concurrent one took its slot, or asks for the same.

    Raises:
        TooManyAlerts
    """
    mine = Alert.get_pymongo_collection().find({"user_id": wanted.user_id}, {"slot": 1})
    taken = {raw["slot"] async for raw in mine}
    free = next((slot for slot in range(rules.MAX_ALERTS) if slot not in taken), None)
    if free is None:
        raise rules.TooManyAlerts
    try:
        return await wanted.model_copy(update={"slot": free}).insert()
    except DuplicateKeyError:
        return None


async def _matches(which: dict[str, Any], limit: int) -> list[Match]:
    found = Match.get_pymongo_collection().find(
        which, {"outbox": 0, "sequences": 0}, sort=[("_id", DESCENDING)], limit=limit
    )
    return [Match.model_validate(raw) for raw in await found.to_list()]
