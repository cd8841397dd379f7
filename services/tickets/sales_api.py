"""HTTP API of a seller's tickets and sales."""

from typing import Annotated

from litestar import Response, get
from litestar.di import NamedDependency
from litestar.params import QueryParameter

from contracts.api import SalesSummary, Seller
from contracts.api import Ticket as TicketView
from contracts.events import TicketStatusName
from kit.http.guards import signed_in
from kit.http.openapi import SIGNED_IN, PageOperation, PathId, refusals
from kit.http.request import ApiRequest
from kit.http.responses import ModelResponse
from kit.paging import BadCursor, link_to_next
from services.tickets import failures, sales
from services.tickets.catalogue import Catalogue
from services.tickets.responses import freshness
from services.tickets.views import view_of


@get(
    "/mine",
    guards=[signed_in],
    security=SIGNED_IN,
    operation_class=PageOperation,
    summary="All tickets that the caller listed, newest first",
    responses=refusals(BadCursor),
)
async def my_tickets(
    request: ApiRequest,
    status: Annotated[TicketStatusName | None, QueryParameter(name="status")] = None,
    after: Annotated[str | None, QueryParameter(name="after", max_length=200)] = None,
    limit: Annotated[int, QueryParameter(name="limit", ge=1, le=sales.MAX_PAGE)] = sales.MAX_PAGE,
) -> Response[list[TicketView]]:
    """One page of the caller's tickets. The `Link` header has the address of the next page, if any."""
    tickets, following = await sales.page_of_tickets(request.user.id, status, after, limit)
    headers = link_to_next("/api/tickets/mine", request.query_params.multi_items(), following)
    return ModelResponse([view_of(ticket, request.user.id) for ticket in tickets], headers=headers)


@get(
    "/mine/summary",
    guards=[signed_in],
    security=SIGNED_IN,
    summary="Numbers and total prices of the caller's tickets, by state",
)
async def my_summary(request: ApiRequest) -> SalesSummary:
    """The seller's proceeds are `sold` minus `refunded`."""
    summary = await sales.summary(request.user.id)
    until = await failures.files_required_until(request.user.id)
    return summary.model_copy(update={"files_required_until": until})


@get("/sellers/{user_id:str}", exclude_from_auth=True, summary="What is known of a user's sales")
async def show_seller(user_id: PathId, catalogue: NamedDependency[Catalogue]) -> Response[Seller]:
    position = catalogue.position
    seller = Seller(
        id=user_id.lower(),
        sold=await sales.count_sales(user_id),
        upheld_problems=await failures.count(user_id, "problem"),
        failed_deliveries=await failures.count(user_id, "delivery"),
    )
    return ModelResponse(seller, headers=freshness(position))


ROUTES = (my_tickets, my_summary, show_seller)
