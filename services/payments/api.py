"""HTTP API of payments."""

from typing import Annotated

from litestar import Router, get, post
from litestar.di import NamedDependency
from litestar.openapi.spec import OpenAPIType, Schema
from litestar.params import HeaderParameter, QueryParameter, RawBody, RequestBody
from msgspec import Meta

from contracts.api import EvidenceBody, PaymentBody, PaymentResult, RefundBody
from contracts.api import Payment as PaymentView
from kit.errors import NotFound
from kit.http.body_limits import MAX_BODY
from kit.http.guards import confirmed, operators_only, signed_in
from kit.http.limits import Limited
from kit.http.openapi import OPERATORS, SIGNED_IN, ApiOperation, refusals
from kit.http.request import ApiRequest
from kit.security_log import OPERATOR, record
from kit.stripe.webhook import BadSignature
from services.payments.actions import Payments, TokenInvalid, TokenRefused
from services.payments.attempts import EventBegun, PaymentEnded, StartedOnAnotherPage
from services.payments.documents import Payment
from services.payments.inbox import WebhookInbox
from services.payments.refunds import (
    EvidenceRefused,
    NotCaptured,
    NotDisputed,
    PaymentDisputed,
    RefundNotFailed,
)
from services.payments.rules import (
    NotTheBuyer,
    OrderCancelled,
    OrderExpired,
    PaymentDeclined,
    PaymentsUnavailable,
    PriceTooLow,
)
from services.payments.views import view_of

InjectedPayments = NamedDependency[Payments]

MAX_ORDERS = 100
"""Maximum number of orders for which one request lists payments."""


class PayOperation(ApiOperation):
    links = {"list_payments": {"orderId": "$request.body#/orderId"}}


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
            examples=[{"id": "evt_1Example", "object": "event", "type": "payment_intent.succeeded"}],
        )
    }


@post(
    "/",
    operation_class=PayOperation,
    guards=[signed_in, confirmed, Limited("pay", "rate_pay")],
    security=SIGNED_IN,
    summary="Pay for an order",
    responses=refusals(
        *(NotFound, NotTheBuyer, OrderCancelled, OrderExpired, EventBegun, PriceTooLow, TokenInvalid),
        *(TokenRefused, PaymentDeclined, PaymentEnded, StartedOnAnotherPage, PaymentsUnavailable),
    ),
)
async def pay(
    request: ApiRequest, data: RequestBody[PaymentBody], payments: InjectedPayments
) -> PaymentResult:
    return _result(await payments.pay(data.order_id, data.token, request.user.id, request.auth))


@post(
    "/refunds",
    exclude_from_auth=True,
    guards=[operators_only],
    security=OPERATORS,
    summary="Refund a buyer",
    responses=refusals(NotFound, NotCaptured, PaymentDisputed, RefundNotFailed),
)
async def refund(data: RequestBody[RefundBody], payments: InjectedPayments) -> PaymentResult:
    """Refund the captured amount, or record that it was returned in another way."""
    if data.returned:
        payment = await payments.record_returned(data.order_id, relist=data.relist)
    else:
        payment = await payments.refund(data.order_id, relist=data.relist, again=data.again)
    record("refund", "success", actor=OPERATOR, order=data.order_id)
    return _result(payment)


@post(
    "/evidence",
    status_code=200,
    exclude_from_auth=True,
    guards=[operators_only],
    security=OPERATORS,
    summary="Submit evidence about a disputed payment",
    responses=refusals(NotFound, NotDisputed, EvidenceRefused),
)
async def submit_evidence(data: RequestBody[EvidenceBody], payments: InjectedPayments) -> PaymentResult:
    """The buyer's bank reads it once, so write everything that is known."""
    payment = await payments.submit_evidence(data.order_id, data.text)
    record("evidence", "success", actor=OPERATOR, order=data.order_id)
    return _result(payment)


@get("/", guards=[signed_in], security=SIGNED_IN, summary="The caller's payments for one or more orders")
async def list_payments(
    request: ApiRequest,
    order_ids: Annotated[
        list[Annotated[str, Meta(max_length=64)]],
        QueryParameter(name="orderId", min_items=1, max_items=MAX_ORDERS),
    ],
    payments: InjectedPayments,
) -> list[PaymentView]:
    return [view_of(payment) for payment in await payments.of_orders(order_ids, request.user.id)]


@post(
    "/webhook",
    status_code=200,
    exclude_from_auth=True,
    operation_class=WebhookOperation,
    opt={MAX_BODY: "max_webhook_bytes"},
    summary="Receive Stripe's webhooks",
    responses=refusals(BadSignature),
)
async def webhook(
    body: RawBody,
    inbox: NamedDependency[WebhookInbox],
    signature: Annotated[str | None, HeaderParameter(name="Stripe-Signature")] = None,
) -> dict[str, bool]:
    """Store the event and answer. The payment is read at Stripe afterwards."""
    await inbox.receive_webhook(body, signature)
    return {"received": True}


API = [
    Router(
        "/api/payments",
        route_handlers=[pay, refund, submit_evidence, list_payments, webhook],
        tags=["payments"],
    )
]


def _result(payment: Payment) -> PaymentResult:
    return PaymentResult(
        id=payment.key,
        status=payment.status,
        page_url=payment.page_url,
        refund_failed=payment.refund_failed,
    )
