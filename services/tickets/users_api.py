"""What auth asks tickets about users who leave or export their data. Web doesn't serve these paths."""

from datetime import timedelta
from typing import Annotated

from litestar import Router, delete, get, put
from litestar.di import NamedDependency
from litestar.params import QueryParameter

from contracts.export import ExportedAlert, ExportedListingReport, ExportedMatch, ExportedTicket
from contracts.internal import OpenMatters, Part
from contracts.wire import now
from kit import closed_users
from kit.http.guards import auth_only
from kit.http.openapi import PathId
from services.tickets import leaving
from services.tickets.alerts import actions as alerts
from services.tickets.alerts.views import exported, exported_match
from services.tickets.reports import leaving as reports
from settings import Settings

After = Annotated[str | None, QueryParameter(name="after", max_length=200)]
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
async def show_data(user_id: PathId, after: After = None) -> Part[ExportedTicket]:
    return await leaving.page_of_data(user_id, after)


@get("/alerts")
async def show_alerts(user_id: PathId) -> Part[ExportedAlert]:
    return Part[ExportedAlert](
        entries=[exported(alert) for alert in await alerts.alerts_of(user_id)], after=None
    )


@get("/matches")
async def show_matches(user_id: PathId, after: After = None) -> Part[ExportedMatch]:
    found, following = await alerts.page_of_matches(user_id, after)
    return Part[ExportedMatch](entries=[exported_match(match) for match in found], after=following)


@get("/listing-reports")
async def show_listing_reports(user_id: PathId, after: After = None) -> Part[ExportedListingReport]:
    return await reports.page_of_reports(user_id, after)


USERS_API = [
    Router(
        "/internal/users/{user_id:str}",
        route_handlers=[
            *(show_open, close, reopen, show_data),
            *(show_alerts, show_matches, show_listing_reports),
        ],
        guards=[auth_only],
        opt={"exclude_from_auth": True},
        include_in_schema=False,
    )
]
