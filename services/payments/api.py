"""HTTP ↔ payments."""

from typing import Annotated

from litestar import Router, get, post
from litestar.params import HeaderParameter, QueryParameter, RawBody, RequestBody

from contracts.api import Payment as PaymentView
from contracts.api import PaymentBody, PaymentResult
from services.kit.http import SIGNED_IN, ApiRequest, signed_in
from services.kit.limits import limit
from services.payments.actions import Payments
from settings import Settings


@post("/", guards=[signed_in], security=SIGNED_IN, summary="Pay for an order of mine")
async def pay(request: ApiRequest, data: RequestBody[PaymentBody]) -> PaymentResult:
    settings: Settings = request.app.state.settings
    await limit("pay", request.user.id, settings.rate_pay)
    payment = await _payments(request).pay(data.order_id, data.token, request.user.id)
    return PaymentResult(id=payment.key, status=payment.status)


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
        )
        for payment in await _payments(request).of_order(order_id, request.user.id)
    ]


@post("/webhook", status_code=200, summary="Stripe tells that something happened")
async def webhook(
    request: ApiRequest,
    body: RawBody,
    signature: Annotated[str | None, HeaderParameter(name="Stripe-Signature")] = None,
) -> dict[str, bool]:
    payments = _payments(request)
    intent_id = payments.gateway.intent_of_webhook(body, signature)
    if intent_id is not None:
        await payments.heard_from_stripe(intent_id)
    return {"received": True}


API = [Router("/api/payments", route_handlers=[pay, list_payments, webhook], tags=["payments"])]


def _payments(request: ApiRequest) -> Payments:
    payments: Payments = request.app.state.payments
    return payments
