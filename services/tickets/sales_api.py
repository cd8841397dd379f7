"""HTTP ↔ what a seller offered."""

from typing import Annotated

from litestar import Response, get
from litestar.datastructures import ResponseHeader
from litestar.params import FromPath, QueryParameter

from contracts.api import SalesSummary, Seller
from contracts.api import Ticket as TicketView
from contracts.events import TicketStatus
from services.kit.http import SIGNED_IN, ApiRequest, signed_in
from services.tickets import sales
from services.tickets.paging import link_to_next
from services.tickets.views import view_of


@get(
    "/mine",
    guards=[signed_in],
    security=SIGNED_IN,
    summary="All that I ever offered, newest first",
    response_headers=[
        ResponseHeader(name="Link", documentation_only=True, description="The next page, if there is one")
    ],
)
async def my_tickets(
    request: ApiRequest,
    status: Annotated[TicketStatus | None, QueryParameter(name="status")] = None,
    after: Annotated[str | None, QueryParameter(name="after", max_length=200)] = None,
    limit: Annotated[int, QueryParameter(name="limit", ge=1, le=sales.MOST)] = sales.MOST,
) -> Response[list[TicketView]]:
    """A page; the `Link` header leads to the next one, if there is more."""
    tickets, following = await sales.offers(request.user.id, status, after, limit)
    headers = link_to_next("/api/tickets/mine", request.query_params.multi_items(), following)
    return Response([view_of(ticket) for ticket in tickets], headers=headers)


@get(
    "/mine/summary",
    guards=[signed_in],
    security=SIGNED_IN,
    summary="How many of my tickets are in which state, and their prices added up",
)
async def my_summary(request: ApiRequest) -> SalesSummary:
    """What was earned is `sold` without `refunded`."""
    return await sales.summary(request.user.id)


@get("/sellers/{user_id:str}", summary="How much somebody sold")
async def show_seller(user_id: FromPath[str]) -> Seller:
    return Seller(id=user_id.lower(), sold=await sales.count_sales(user_id))


ROUTES = (my_tickets, my_summary, show_seller)
