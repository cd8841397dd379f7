"""Requests follow their event after a merge or a correction."""

from pymongo.errors import DuplicateKeyError

from services.tickets.alerts import rules
from services.tickets.alerts.documents import Alert
from services.tickets.shows.documents import Show


async def follow(show_id: str, show: Show) -> None:
    """Let the requests for one show follow it, or the show into which it was merged. Repeatable.

    If a user has a request for both, the older one keeps its place.
    """
    alerts = Alert.get_pymongo_collection()
    target = rules.target_of_show(show.key)
    moved = {"target": target, "show_id": show.key, "ends_at": show.starts_at}
    async for alert in Alert.find({"target": rules.target_of_show(show_id)}):
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
