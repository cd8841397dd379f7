"""HTTP API of payouts."""

from typing import Annotated

from litestar import Router, get, post
from litestar.di import NamedDependency
from litestar.openapi.spec import OpenAPIType, Schema
from litestar.params import HeaderParameter, QueryParameter, RawBody, RequestBody

from contracts.api import Payout, PayoutAccountBody, PayoutAccountLink, PayoutList, WriteOffBody
from contracts.api import PayoutAccount as AccountView
from kit.errors import NotFound, SignInAgain
from kit.http.body_limits import MAX_BODY
from kit.http.guards import confirmed, just_signed_in, operators_only, signed_in
from kit.http.limits import Limited
from kit.http.openapi import ITEM_IDS, OPERATORS, SIGNED_IN, ApiOperation, QueryId, refusals
from kit.http.request import ApiRequest
from kit.paging import BadCursor, newest_first
from kit.security_log import OPERATOR, record
from kit.stripe.webhook import BadSignature
from services.payouts.actions import (
    AccountRejected,
    CountryInvalid,
    CountryUnsupported,
    Onboarding,
    Payouts,
)
from services.payouts.documents import PayoutAccount, Sale
from services.payouts.inbox import WebhookInbox
from services.payouts.rules import DebtChanged, NothingOwed
from services.payouts.views import account_view, sums_of, view_of
from settings import Settings

MAX_PAGE = 200
"""Maximum and default number of sales per page."""

MAX_ORDERS = 100
"""Maximum number of orders for which one request lists sales."""


class WebhookOperation(ApiOperation):
    accepts = {
        "application/json": Schema(
            type=OpenAPIType.OBJECT,
            description="An event of Stripe (https://docs.stripe.com/api/events/object)",
            properties={
                "id": Schema(type=OpenAPIType.STRING),
                "object": Schema(type=OpenAPIType.STRING, const="event"),
                "type": Schema(type=OpenAPIType.STRING),
            },
            examples=[{"id": "evt_1Example", "object": "event", "type": "account.updated"}],
        )
    }


@get(
    "/",
    guards=[signed_in],
    security=SIGNED_IN,
    summary="The caller's sales, newest first, and their sums",
    responses=refusals(BadCursor),
)
async def list_payouts(
    request: ApiRequest,
    order_ids: Annotated[
        list[QueryId] | None,
        QueryParameter(name="orderId", max_items=MAX_ORDERS, schema_extra=ITEM_IDS),
    ] = None,
    after: Annotated[str | None, QueryParameter(name="after", max_length=200)] = None,
    limit: Annotated[int, QueryParameter(name="limit", ge=1, le=MAX_PAGE)] = MAX_PAGE,
) -> PayoutList:
    """One page of the caller's sales. With `orderId`, only those of these orders.

    Only the first page has the sums, so pages after it are answered without adding up all sales.
    """
    seller = request.user.id
    if order_ids:
        sales, following = await Sale.of_orders(seller, order_ids), None
    else:
        found, following = await newest_first(Sale, {"seller_id": seller}, {"outbox": 0}, after, limit)
        sales = [Sale.model_validate(raw) for raw in found]
    sums = [] if after else await sums_of(seller)
    return PayoutList(payouts=[view_of(sale) for sale in sales], sums=sums, after=following)


@get("/account", guards=[signed_in], security=SIGNED_IN, summary="The caller's account for payouts")
async def show_payout_account(request: ApiRequest, settings: NamedDependency[Settings]) -> AccountView:
    """The state that Stripe has reported last."""
    return account_view(await PayoutAccount.of_seller(request.user.id), settings)


@post(
    "/account",
    guards=[signed_in, confirmed, just_signed_in, Limited("payout-account", "rate_change")],
    security=SIGNED_IN,
    summary="Begin or continue to set up the caller's account",
    responses=refusals(CountryInvalid, CountryUnsupported, AccountRejected, SignInAgain),
)
async def set_up_payout_account(
    request: ApiRequest, data: RequestBody[PayoutAccountBody], onboarding: NamedDependency[Onboarding]
) -> PayoutAccountLink:
    """The address of Stripe's page. The country of an account that exists can't be changed.

    The caller must have signed in within the last ten minutes.
    """
    return PayoutAccountLink(url=await onboarding.begin(request.user.id, data.country))


@post(
    "/write-offs",
    exclude_from_auth=True,
    guards=[operators_only],
    security=OPERATORS,
    summary="Give up what a seller owes",
    responses=refusals(NotFound, NothingOwed, DebtChanged),
)
async def write_off(data: RequestBody[WriteOffBody], payouts: NamedDependency[Payouts]) -> Payout:
    sale = await payouts.write_off(data.order_id, data.owed)
    record("write-off", "success", actor=OPERATOR, order=data.order_id, reason=data.reason)
    return view_of(sale)


@post(
    "/webhook",
    status_code=200,
    exclude_from_auth=True,
    operation_class=WebhookOperation,
    opt={MAX_BODY: "max_webhook_bytes"},
    summary="Receive Stripe's webhooks about accounts, transfers and payouts",
    responses=refusals(BadSignature),
)
async def payouts_webhook(
    body: RawBody,
    inbox: NamedDependency[WebhookInbox],
    signature: Annotated[str | None, HeaderParameter(name="Stripe-Signature")] = None,
) -> dict[str, bool]:
    """Store the event and answer. The account or the transfer is read at Stripe afterwards."""
    await inbox.receive_webhook(body, signature)
    return {"received": True}


API = [
    Router(
        "/api/payouts",
        route_handlers=[list_payouts, show_payout_account, set_up_payout_account, write_off, payouts_webhook],
        tags=["payouts"],
    )
]
