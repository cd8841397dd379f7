"""What auth asks mail about users who export their data. Web doesn't serve these paths."""

from typing import Annotated

from litestar import Router, get
from litestar.params import QueryParameter

from contracts.export import ExportedMessage, ExportedOptOut
from contracts.internal import Part
from kit.http.guards import auth_only
from kit.http.openapi import PathId
from services.mail import leaving


@get("/data")
async def show_messages(
    user_id: PathId, after: Annotated[str | None, QueryParameter(name="after", max_length=300)] = None
) -> Part[ExportedMessage]:
    return await leaving.page_of_messages(user_id, after)


@get("/opt-outs")
async def show_opt_outs(user_id: PathId) -> Part[ExportedOptOut]:
    return await leaving.opt_outs(user_id)


USERS_API = [
    Router(
        "/internal/users/{user_id:str}",
        route_handlers=[show_messages, show_opt_outs],
        guards=[auth_only],
        opt={"exclude_from_auth": True},
        include_in_schema=False,
    )
]
