"""What operators do with shows: merge duplicates and correct facts. The tickets of the show follow it.

The show is changed first and its tickets one by one after it. A listing that found the show before the change
looks at it again after its own write (`finding.settled`), and a sweep does what a process that stopped has
left undone.
"""

import logging
from collections.abc import Mapping
from datetime import timedelta
from functools import partial
from typing import Any

from pydantic import ValidationError
from pymongo.errors import DuplicateKeyError

from contracts.wire import now
from kit.aggregates import change
from kit.errors import NotFound
from services.tickets import pictures
from services.tickets.alerts import following as alerts
from services.tickets.documents import Picture, Ticket
from services.tickets.shows import following, rules
from services.tickets.shows.documents import Show
from services.tickets.shows.finding import survivor

log = logging.getLogger(__name__)

SWEEP_SECONDS = 30.0

SETTLE = timedelta(minutes=2)
"""How long the sweep looks for tickets after a change: longer than a request takes that has found the show
before."""


async def merge(show_id: str, other_id: str) -> Show:
    """Merge two shows. The older one stays. Repeating it finishes what an interrupted merge has left.

    Raises:
        NotFound: there is no such show.
    """
    one, other = await survivor(show_id), await survivor(other_id)
    older, newer = sorted((one, other), key=lambda show: show.id)
    if older.id != newer.id:
        load = partial(Show.find_one, {"_id": newer.id})
        await change(load, lambda show: rules.merge_into(show, older.key, now()))
        await _move(newer.key)
    else:
        for key in {show_id.lower(), other_id.lower()} - {older.key}:
            await _move(key)
    return await survivor(older.key)


async def correct(show_id: str, facts: Mapping[str, Any]) -> Show:
    """Correct facts of a show. Its tickets follow; sold ones take over only the date.

    Raises:
        NotFound, ShowExists, PictureMissing
    """
    show = await survivor(show_id)
    if (picture := facts.get("picture")) is not None:
        await pictures.mark_unreferenced(picture)  # so that the sweep finds out that the show uses it
        if not await Picture.find({"_id": picture}).exists():
            raise rules.PictureMissing(field="picture")
    try:
        load = partial(Show.find_one, {"_id": show.id})
        corrected = await change(load, lambda each: rules.correct(each, facts, now()))
    except DuplicateKeyError:
        raise rules.ShowExists from None
    await _move(corrected.key)
    return corrected


async def sweep() -> None:
    """Let the tickets of shows follow that were merged or corrected lately."""
    async for show in Show.find({"unsettled_since": {"$lte": now()}}):
        assert show.unsettled_since is not None, "it was searched for"
        # An older change is settled by this pass, because no request knows the show as it was before.
        is_last = show.unsettled_since < now() - SETTLE
        try:
            have_followed = await _move(show.key)
        except NotFound:
            log.error("the show into which show %s was merged is missing", show.key)
            continue
        if is_last and have_followed:
            await show.write({"unsettled_since": None})


async def _move(show_id: str) -> bool:
    """Let all tickets and alerts that name this show follow it, or the show into which it was merged.

    Returns:
        whether they did. A ticket that can't be read doesn't keep the others from following.
    """
    show = await survivor(show_id)
    tickets = Ticket.get_pymongo_collection()
    await alerts.follow(show_id, show)
    have_followed = True
    async for raw in tickets.find({"show_id": show_id}, {"_id": 1}):
        try:
            await following.follow(raw["_id"], {show_id}, show)
        except ValidationError:
            log.exception("ticket %s can't follow show %s", raw["_id"], show.key)
            have_followed = False
    return have_followed
