"""Requests and responses of the fake services."""

from typing import Any, TypeVar

from aiohttp import web
from pydantic import BaseModel, ValidationError

from contracts.api import (
    User,
)
from contracts.identity import SESSION_COOKIE
from contracts.problems import PROBLEM_JSON, Problem, ProblemItem
from contracts.wire import Wire
from tests.support.fakes.market import Refusal

Body = TypeVar("Body", bound=BaseModel)


async def read(request: web.Request, model: type[Body]) -> Body:
    """The parsed body. Raises a 400 that names each invalid field."""
    try:
        return model.model_validate_json(await request.read())
    except ValidationError as error:
        items = [
            ProblemItem(message=detail["msg"], field=".".join(map(str, detail["loc"])))
            for detail in error.errors(include_url=False)
        ]
        title = items[0].message if len(items) == 1 else "Some fields are wrong"
        raise Refusal(Problem(type="/problems/validation", title=title, status=400, errors=items)) from error


def answer(body: Wire, status: int = 200) -> web.Response:
    content_type = PROBLEM_JSON if isinstance(body, Problem) else "application/json"
    return web.Response(body=body.to_json().encode(), status=status, headers={"Content-Type": content_type})


def json_list(items: list[Any]) -> web.Response:
    text = "[" + ",".join(item.to_json() for item in items) + "]"
    return web.Response(text=text, content_type="application/json")


def signed_in(user: User, token: str, status: int) -> web.Response:
    result = answer(user, status)
    result.set_cookie(SESSION_COOKIE, token, path="/", httponly=True, samesite="Lax")
    return result
