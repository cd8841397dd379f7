"""Requests follow their event after a merge or a correction."""

from typing import Any

from pymongo.errors import DuplicateKeyError

from contracts.wire import now
from services.tickets.alerts import rules
from services.tickets.alerts.documents import Alert
from services.tickets.documents import Ticket
from services.tickets.shows.documents import Show


async def follow(show_id: str, show: Show) -> None:
    """Let the requests for one show follow it, or the show into which it was merged. Repeatable.

    If a user has a request for both, the older one keeps its place. Tickets on sale are announced again:
    after a merge, because waves may have passed the places of requests that come from the other show, and
    after a correction, because it may have added a performer whom others favor.
    """
    alerts = Alert.get_pymongo_collection()
    target = rules.target_of_show(show.key)
    moved = {"target": target, "show_id": show.key, "ends_at": show.starts_at}
    followers: dict[str, Any] = {"target": rules.target_of_show(show_id)}
    if show_id == show.key:
        followers["ends_at"] = {"$ne": show.starts_at}
    async for alert in Alert.find(followers):
        which = {"_id": alert.id, "target": alert.target}
        try:
            await alerts.update_one(which, {"$set": moved})
        except DuplicateKeyError:
            other = await Alert.find_one({"user_id": alert.user_id, "kind": alert.kind, "target": target})
            if other is None:  # removed meanwhile: the sweep of merges does it again
                continue
            await alerts.delete_one({"_id": max(alert.id, other.id)})
            if alert.id < other.id:
                await alerts.update_one(which, {"$set": moved})
    await _announce_again(show.key)


async def _announce_again(show_id: str) -> None:
    """Begin with the oldest request for all tickets on sale of a show. Nobody is told twice.

    Without effect on a ticket whose wave is claimed meanwhile. The next sweep of merges repeats it.
    """
    tickets = Ticket.get_pymongo_collection()
    async for raw in tickets.find({"show_id": show_id, "status": "available"}, {"next_wave_at": 1}):
        as_read = {"_id": raw["_id"], "status": "available", "next_wave_at": raw.get("next_wave_at")}
        anew = rules.announced_anew(as_read["next_wave_at"], now())
        await tickets.update_one(as_read, {"$set": dict(anew)})
