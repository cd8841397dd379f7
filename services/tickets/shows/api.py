"""HTTP API of shows, which clients know as events."""

from datetime import timedelta
from typing import Annotated, Any

from litestar import Response, Router, get, post
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import QueryParameter, RequestBody
from litestar.types import ControllerRouterHandler

from contracts.api import Show as ShowView
from contracts.api import ShowCorrectionBody, ShowMergeBody, ShowPage
from contracts.wire import now
from kit.errors import NotFound
from kit.http.guards import operators_only, services_only
from kit.http.limits import Limited, LocalNetwork
from kit.http.openapi import OPERATORS, PathId, refusals
from kit.http.responses import ModelResponse
from kit.security_log import OPERATOR, record
from services.tickets.catalogue import Catalogue
from services.tickets.responses import freshness
from services.tickets.shows import finding, merging, rules
from services.tickets.shows.rules import PictureMissing, ShowExists
from services.tickets.shows.views import view_of

KEPT = timedelta(minutes=1)
"""How long a response may be kept. A correction of a show without tickets causes no event, nor does another
date."""


READS = Limited("shows", "rate_search", by=LocalNetwork())


@get(
    "/",
    exclude_from_auth=True,
    guards=[READS],
    summary="Suggestions of events that haven't begun",
)
async def suggest_shows(
    search: Annotated[str, QueryParameter(name="search", max_length=200)] = "",
) -> Response[list[ShowView]]:
    """At most 10 events with a ticket on sale or reserved that have all these words, or words that begin with
    them, in their title, performers, venue or city; the soonest first. Nothing without a word of
    two letters."""
    return ModelResponse([view_of(show) for show in await finding.suggestions(search)])


@get(
    "/{show_id:str}",
    exclude_from_auth=True,
    guards=[READS],
    summary="An event with its tickets",
    responses={308: ResponseSpec(None, description="The event was merged into another one")},
)
async def show_show(show_id: PathId, catalogue: NamedDependency[Catalogue]) -> Response[Any]:
    """The tickets are grouped by area and number of adjacent seats. Prices of groups and of the event are per
    ticket. Requests for an event that was merged into another one are redirected."""
    position = catalogue.position
    show = await finding.survivor(show_id)
    if show.key != show_id.lower():
        return Response(b"", status_code=308, headers={"Location": f"/api/shows/{show.key}"})
    tickets = await finding.tickets_of(show)
    moment = now()
    begins = [each.starts_at for each in tickets if each.starts_at is not None and each.starts_at > moment]
    lowest, highest = rules.price_range(tickets)
    page = ShowPage(
        **view_of(show, next((each.picture for each in tickets if each.picture), None)).model_dump(),
        lowest=lowest,
        highest=highest,
        on_sale=sum(each.status == "available" for each in tickets),
        groups=rules.grouped(tickets),
        other_dates=[view_of(each) for each in await finding.other_dates(show)],
        at_venue=[view_of(each) for each in await finding.at_venue(show)],
    )
    return ModelResponse(page, headers=freshness(position, min([moment + KEPT, *begins])))


@post(
    "/merges",
    status_code=200,
    exclude_from_auth=True,
    guards=[operators_only],
    security=OPERATORS,
    summary="Merge two events",
    responses=refusals(NotFound),
)
async def merge_shows(data: RequestBody[ShowMergeBody]) -> Response[ShowView]:
    """The older event stays, and gets the tickets of the other. Repeating it changes nothing."""
    show = await merging.merge(data.show_id, data.other_id)
    both = f"{data.show_id} {data.other_id}"
    record("show-merge", "success", actor=OPERATOR, show=show.key, merged=both, reason=data.reason)
    return ModelResponse(view_of(show))


@post(
    "/corrections",
    status_code=200,
    exclude_from_auth=True,
    guards=[operators_only],
    security=OPERATORS,
    summary="Correct an event",
    responses=refusals(NotFound, ShowExists, PictureMissing),
)
async def correct_show(data: RequestBody[ShowCorrectionBody]) -> Response[ShowView]:
    """Tickets that aren't sold get its place and time. Repeating it changes nothing."""
    facts = {name: getattr(data, name) for name in data.model_fields_set - {"show_id", "reason"}}
    given = {name: value for name, value in facts.items() if value is not None}
    show = await merging.correct(data.show_id, given)
    record("show-correction", "success", actor=OPERATOR, show=show.key, reason=data.reason)
    return ModelResponse(view_of(show))


@get(
    "/internal/upcoming-shows",
    exclude_from_auth=True,
    guards=[services_only],
    include_in_schema=False,
)
async def list_upcoming_shows() -> list[str]:
    """For web's sitemap."""
    return await finding.upcoming()


SHOWS_API: list[ControllerRouterHandler] = [
    Router(
        "/api/shows", route_handlers=[suggest_shows, show_show, merge_shows, correct_show], tags=["shows"]
    ),
    list_upcoming_shows,
]
