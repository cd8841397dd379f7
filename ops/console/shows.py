"""The page of an event, and the commands `merge-shows` and `correct-show` as actions on it."""

from collections.abc import Mapping
from typing import Any

from bson import ObjectId
from litestar import get, post
from litestar.exceptions import HTTPException
from litestar.params import FromPath
from litestar.response import Redirect, Template
from pymongo import ASCENDING

from ops.command_line import ORDER_ID
from ops.console.page import (
    AnyRequest,
    act_and_note,
    confirmed_reason,
    line_link,
    operators_only,
    page,
    session_of,
    settings_of,
)
from ops.interventions import FACTS, correct_show, facts_of, merge_shows
from ops.lookup import NotFound, of_show
from ops.sources import Sources, opened

MOST_SIMILAR = 20
"""Events that may be duplicates."""


@get("/ops/shows/{show_id:str}", guards=[operators_only])
async def show(request: AnyRequest, show_id: FromPath[str]) -> Template:
    _check(show_id)
    async with opened(settings_of(request)) as sources:
        found = await sources.database("tickets")["shows"].find_one({"_id": ObjectId(show_id)})
        if found is None:
            raise NotFound(f"Tickets has no event {show_id}.")
        tickets = [(line_link(line), line) for line in (await of_show(sources, show_id)).lines]
        similar = await _similar(sources, found)
    title, fields = f"Event {show_id}", _fields(found)
    return page(request, "show.html", title, show=found, tickets=tickets, similar=similar, fields=fields)


async def _similar(sources: Sources, show: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Events that may be the same: with the same title, or at the same place."""
    shows = sources.database("tickets")["shows"]
    found: dict[Any, Mapping[str, Any]] = {}
    for name in ("title_key", "venue_key"):
        same = {name: show[name], "merged_into": None, "_id": {"$ne": show["_id"]}}
        cursor = shows.find(same, sort=[("starts_at", ASCENDING)], limit=MOST_SIMILAR)
        found |= {each["_id"]: each async for each in cursor}
    return sorted(found.values(), key=lambda each: abs(each["starts_at"] - show["starts_at"]))[:MOST_SIMILAR]


def _fields(show: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What can be corrected, and how it is stored now."""
    stored = {
        **show,
        "performers": ", ".join(show.get("performers", ())),
        "timeZone": show.get("time_zone"),
        "startsAt": show["starts_at"].isoformat(),
    }
    return [(name, stored.get(name) or "") for name in FACTS]


@post("/ops/shows/{show_id:str}/merge", guards=[operators_only])
async def merge(request: AnyRequest, show_id: FromPath[str]) -> Redirect:
    """The command `merge-shows`."""
    _check(show_id)
    other = str((await request.form()).get("other", "")).strip().rstrip("/").rpartition("/")[2]
    reason = await confirmed_reason(request)
    if reason and not ORDER_ID.fullmatch(other):
        session_of(request).notes.append("Nothing was done: enter the id of the other event.")
    elif reason:
        settings, arguments = settings_of(request), {"show": show_id, "other": other, "reason": reason}
        await act_and_note(
            request,
            "merge-shows",
            arguments,
            lambda: merge_shows(settings, show_id, other, reason),
        )
    return Redirect(f"/ops/shows/{show_id}", status_code=303)


@post("/ops/shows/{show_id:str}/correct", guards=[operators_only])
async def correct(request: AnyRequest, show_id: FromPath[str]) -> Redirect:
    """The command `correct-show`, with all fields that aren't empty."""
    _check(show_id)
    form = await request.form()
    facts = facts_of((name, str(form.get(name, ""))) for name in FACTS)
    if reason := await confirmed_reason(request):
        arguments = {"show": show_id, "facts": facts, "reason": reason}
        await act_and_note(
            request,
            "correct-show",
            arguments,
            lambda: correct_show(settings_of(request), show_id, facts, reason),
        )
    return Redirect(f"/ops/shows/{show_id}", status_code=303)


def _check(show_id: str) -> None:
    if not ORDER_ID.fullmatch(show_id):
        raise HTTPException("That isn't an event's id.", status_code=404)


ROUTES = [show, merge, correct]
