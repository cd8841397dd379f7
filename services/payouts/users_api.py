"""What auth asks payouts about users who leave or export their data. Web doesn't serve these paths."""

from typing import Annotated

from litestar import Router, get
from litestar.params import QueryParameter

from contracts.export import ExportedPayout
from contracts.internal import OpenMatters, Part
from kit.http.guards import auth_only
from kit.http.openapi import PathId
from services.payouts import leaving


@get("/open")
async def show_open(user_id: PathId) -> OpenMatters:
    return OpenMatters(matters=await leaving.open_matters(user_id))


@get("/data")
async def show_data(
    user_id: PathId,
    after: Annotated[str | None, QueryParameter(name="after", max_length=200)] = None,
) -> Part[ExportedPayout]:
    return await leaving.page_of_data(user_id, after)


USERS_API = [
    Router(
        "/internal/users/{user_id:str}",
        route_handlers=[show_open, show_data],
        guards=[auth_only],
        opt={"exclude_from_auth": True},
        include_in_schema=False,
    )
]
