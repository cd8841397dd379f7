"""What auth asks tickets about users who leave or export their data. Web doesn't serve these paths."""

from datetime import timedelta
from typing import Annotated

from litestar import Router, delete, get, put
from litestar.di import NamedDependency
from litestar.params import QueryParameter

from contracts.export import ExportedAlert, ExportedTicket
from contracts.internal import OpenMatters, Part
from contracts.wire import now
from kit import closed_users
from kit.http.guards import auth_only
from kit.http.openapi import PathId
from services.tickets import leaving
from services.tickets.alerts import actions as alerts
from services.tickets.alerts.views import exported
from settings import Settings

InjectedSettings = NamedDependency[Settings]


@get("/open")
async def show_open(user_id: PathId) -> OpenMatters:
    return OpenMatters(matters=await leaving.open_matters(user_id, now()))


@put("/closing/{attempt:str}")
async def close(user_id: PathId, attempt: PathId, settings: InjectedSettings) -> OpenMatters:
    """Accept nothing new from the user, and then show what is open."""
    lifetime = timedelta(seconds=settings.session_lifetime_seconds)
    await closed_users.close(user_id, attempt, lifetime)
    return OpenMatters(matters=await leaving.open_matters(user_id, now()))


@delete("/closing/{attempt:str}", status_code=200)
async def reopen(user_id: PathId, attempt: PathId) -> OpenMatters:
    await closed_users.reopen(user_id, attempt)
    return OpenMatters(matters=[])


@get("/data")
async def show_data(
    user_id: PathId,
    after: Annotated[str | None, QueryParameter(name="after", max_length=200)] = None,
) -> Part[ExportedTicket]:
    return await leaving.page_of_data(user_id, after)


@get("/alerts")
async def show_alerts(user_id: PathId) -> Part[ExportedAlert]:
    return Part[ExportedAlert](
        entries=[exported(alert) for alert in await alerts.alerts_of(user_id)], after=None
    )


USERS_API = [
    Router(
        "/internal/users/{user_id:str}",
        route_handlers=[show_open, close, reopen, show_data, show_alerts],
        guards=[auth_only],
        opt={"exclude_from_auth": True},
        include_in_schema=False,
    )
]
