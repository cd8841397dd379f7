"""HTTP ↔ payments."""

from typing import Annotated

from litestar import Router, get, post
from litestar.params import HeaderParameter, QueryParameter, RawBody, RequestBody

from contracts.api import Payment as PaymentView
from contracts.api import PaymentBody, PaymentResult, RefundBody
from services.kit.http import OPERATORS, SIGNED_IN, ApiRequest, operators_only, problems, signed_in
from services.kit.limits import limit
from services.payments.actions import Payments
from services.payments.documents import Payment
from settings import Settings


@post(
    "/",
    guards=[signed_in],
    security=SIGNED_IN,
    summary="Pay for an order of mine",
    responses=problems({402: "The card was declined, in Stripe's words"}),
)
async def pay(request: ApiRequest, data: RequestBody[PaymentBody]) -> PaymentResult:
    settings: Settings = request.app.state.settings
    await limit("pay", request.user.id, settings.rate_pay)
    payment = await _payments(request).pay(data.order_id, data.token, request.user.id)
    return _result(payment)


@post("/refunds", guards=[operators_only], security=OPERATORS, summary="Give a buyer their money back")
async def refund(request: ApiRequest, data: RequestBody[RefundBody]) -> PaymentResult:
    return _result(await _payments(request).give_back(data.order_id, relist=data.relist))


@get("/", guards=[signed_in], security=SIGNED_IN, summary="My payments of an order")
async def list_payments(
    request: ApiRequest, order_id: Annotated[str, QueryParameter(name="orderId", max_length=64)]
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
        )
        for payment in await _payments(request).of_order(order_id, request.user.id)
    ]


@post("/webhook", status_code=200, summary="Stripe tells that something happened")
async def webhook(
    request: ApiRequest,
    body: RawBody,
    signature: Annotated[str | None, HeaderParameter(name="Stripe-Signature")] = None,
) -> dict[str, bool]:
    """It is written down and answered; what it means is looked up at Stripe afterwards."""
    payments = _payments(request)
    await payments.take_notice(payments.gateway.told(body, signature))
    return {"received": True}


API = [Router("/api/payments", route_handlers=[pay, refund, list_payments, webhook], tags=["payments"])]


def _result(payment: Payment) -> PaymentResult:
    return PaymentResult(id=payment.key, status=payment.status, page_url=payment.page_url)


def _payments(request: ApiRequest) -> Payments:
    payments: Payments = request.app.state.payments
    return payments
