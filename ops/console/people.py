"""The page of a person, and the actions on it, which are the commands with the same names."""

from collections.abc import Awaitable, Callable
from typing import Any

from litestar import get, post
from litestar.exceptions import HTTPException
from litestar.params import FromPath
from litestar.response import Redirect, Template

from ops import people
from ops.console.page import (
    AnyRequest,
    act_and_note,
    confirmed_reason,
    line_link,
    operators_only,
    page,
    settings_of,
)
from ops.lookup import ID
from ops.sources import opened


@get("/ops/people/{user_id:str}", guards=[operators_only])
async def person(request: AnyRequest, user_id: FromPath[str]) -> Template:
    _check_person(user_id)
    async with opened(settings_of(request)) as sources:
        found = await people.person(sources, user_id)
    links = [(line_link(line), line) for line in found.lines]
    title = f"Person {user_id}"
    return page(request, "person.html", title, person=found, links=links)


@post("/ops/people/{user_id:str}/suspend", guards=[operators_only])
async def suspend(request: AnyRequest, user_id: FromPath[str]) -> Redirect:
    if reason := await confirmed_reason(request):
        return await _do(request, user_id, "suspend", people.suspend, reason=reason)
    return _back(user_id)


@post("/ops/people/{user_id:str}/lift", guards=[operators_only])
async def lift(request: AnyRequest, user_id: FromPath[str]) -> Redirect:
    return await _do(request, user_id, "lift", people.lift)


@post("/ops/people/{user_id:str}/end-sessions", guards=[operators_only])
async def end_sessions(request: AnyRequest, user_id: FromPath[str]) -> Redirect:
    return await _do(request, user_id, "end_sessions", people.end_sessions)


async def _do(
    request: AnyRequest, user_id: str, command: str, action: Callable[..., Awaitable[str]], **options: Any
) -> Redirect:
    """Do something to a person, and return to their page, which shows the result."""
    _check_person(user_id)

    async def act() -> str:
        return await action(settings_of(request), user_id, **options)

    await act_and_note(request, command, {"person": user_id, **options}, act)
    return _back(user_id)


def _back(user_id: str) -> Redirect:
    _check_person(user_id)
    return Redirect(f"/ops/people/{user_id}", status_code=303)


def _check_person(user_id: str) -> None:
    if not ID.fullmatch(user_id):
        raise HTTPException("That isn't a person's id.", status_code=404)


ROUTES = [person, suspend, lift, end_sessions]
