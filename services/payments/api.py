"""HTTP API of payments."""

from typing import Annotated

from litestar import Router, get, post
from litestar.di import NamedDependency
from litestar.params import HeaderParameter, QueryParameter, RawBody, RequestBody
from msgspec import Meta

from contracts.api import Payment as PaymentView
from contracts.api import PaymentBody, PaymentResult, RefundBody
from kit.http.body_limits import MAX_BODY
from kit.http.guards import operators_only, signed_in
from kit.http.limits import Limited
from kit.http.openapi import OPERATORS, SIGNED_IN, ApiOperation, problems
from kit.http.request import ApiRequest
from kit.security_log import record
from services.payments.actions import Payments
from services.payments.documents import Payment
from services.payments.inbox import WebhookInbox

InjectedPayments = NamedDependency[Payments]

MAX_ORDERS = 100
"""Maximum number of orders for which one request lists payments."""


class PayOperation(ApiOperation):
    links = {"list_payments": {"orderId": "$request.body#/orderId"}}


class WebhookOperation(ApiOperation):
    accepts = ("application/json",)


@post(
    "/",
    operation_class=PayOperation,
    guards=[signed_in, Limited("pay", "rate_pay")],
    security=SIGNED_IN,
    summary="Pay for an order",
    responses=problems({402: "The card was declined, with Stripe's message"}),
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
)
async def refund(data: RequestBody[RefundBody], payments: InjectedPayments) -> PaymentResult:
    """Refund the captured amount, or record that it was returned in another way."""
    if data.returned:
        payment = await payments.record_returned(data.order_id, relist=data.relist)
    else:
        payment = await payments.refund(data.order_id, relist=data.relist, again=data.again)
    record("refund", "success", actor="operator", order=data.order_id)
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
    return [
        PaymentView(
            id=payment.key,
            order_id=payment.order_id,
            status=payment.status,
            amount=payment.amount,
            currency=payment.currency,
            decline_message=payment.decline_message,
            action_url=payment.action_url,
            page_url=payment.page_url,
            processing=payment.processing,
            refunded_amount=payment.refunded_amount,
            refund_failed=payment.refund_failed,
            dispute=payment.dispute,
        )
        for payment in await payments.of_orders(order_ids, request.user.id)
    ]


@post(
    "/webhook",
    status_code=200,
    exclude_from_auth=True,
    operation_class=WebhookOperation,
    opt={MAX_BODY: "max_webhook_bytes"},
    summary="Receive Stripe's webhooks",
)
async def webhook(
    body: RawBody,
    inbox: NamedDependency[WebhookInbox],
    signature: Annotated[str | None, HeaderParameter(name="Stripe-Signature")] = None,
) -> dict[str, bool]:
    """Store the event and answer. The payment is read at Stripe afterwards."""
    await inbox.receive_webhook(body, signature)
    return {"received": True}


API = [Router("/api/payments", route_handlers=[pay, refund, list_payments, webhook], tags=["payments"])]


def _result(payment: Payment) -> PaymentResult:
    return PaymentResult(
        id=payment.key,
        status=payment.status,
        page_url=payment.page_url,
        refund_failed=payment.refund_failed,
    )
