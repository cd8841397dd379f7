"""HTTP API of alerts and favorites. Each user sees only their own."""

from litestar import Router, delete, get, post
from litestar.params import RequestBody

from contracts.api import Alert as AlertView
from contracts.api import AlertBody, AlertList, AlertNews
from kit.errors import AccountClosed
from kit.http.guards import confirmed, signed_in
from kit.http.limits import Limited
from kit.http.openapi import SIGNED_IN, PathId, refusals
from kit.http.request import ApiRequest
from services.tickets.alerts import actions
from services.tickets.alerts.rules import TooManyAlerts
from services.tickets.alerts.views import view_of, view_of_match
from services.tickets.rules import EventInThePast
from services.tickets.shows.rules import UnknownShow


@get("/", guards=[signed_in], security=SIGNED_IN, summary="The caller's alerts, favorites and matches")
async def list_alerts(request: ApiRequest) -> AlertList:
    alerts = await actions.alerts_of(request.user.id)
    shows = await actions.shows_of(alerts)
    return AlertList(
        alerts=[view_of(alert, shows.get(alert.show_id or "")) for alert in alerts],
        matches=[view_of_match(match) for match in await actions.matches_of(request.user.id)],
    )


@post(
    "/",
    guards=[signed_in, confirmed, Limited("alert", "rate_change")],
    security=SIGNED_IN,
    summary="Ask to be told of tickets",
    responses=refusals(UnknownShow, EventInThePast, TooManyAlerts, AccountClosed),
)
async def add_alert(request: ApiRequest, data: RequestBody[AlertBody]) -> AlertView:
    """By email and on open pages, once for each ticket. Asking for the same again replaces the conditions."""
    alert = await actions.ask(request.user.id, data)
    return view_of(alert, (await actions.shows_of([alert])).get(alert.show_id or ""))


@delete(
    "/{alert_id:str}",
    guards=[signed_in, Limited("alert-removal", "rate_change")],
    security=SIGNED_IN,
    summary="Stop an alert or a favorite",
)
async def remove_alert(request: ApiRequest, alert_id: PathId) -> None:
    """Repeating it changes nothing."""
    await actions.stop(request.user.id, alert_id)


@post(
    "/news",
    status_code=200,
    guards=[signed_in, Limited("alert-news", "rate_change")],
    security=SIGNED_IN,
    summary="Take what no open page has shown",
)
async def take_news(request: ApiRequest) -> AlertNews:
    """Tickets on sale of the last hour that the caller was told of. Each is returned once, to one page."""
    return AlertNews(matches=[view_of_match(match) for match in await actions.take_news(request.user.id)])


ALERTS_API = [
    Router("/api/alerts", route_handlers=[list_alerts, add_alert, take_news, remove_alert], tags=["alerts"])
]
