"""The parameters of requests to Stripe."""

from typing import cast

from stripe.params import PaymentIntentConfirmParams, PaymentIntentCreateParams
from stripe.params.checkout import SessionCreateParams

from services.payments.rules import PaymentState


def intent(payment: PaymentState, description: str) -> PaymentIntentCreateParams:
    """Parameters of a PaymentIntent that authorizes the payment's amount, to be captured later."""
    return {
        "amount": payment.amount,
        "currency": payment.currency,
        "capture_method": "manual",
        "automatic_payment_methods": {"enabled": True, "allow_redirects": "never"},
        "description": description,
        "metadata": {"order_id": payment.order_id},
    }


def confirmation(token: str, return_url: str) -> PaymentIntentConfirmParams:
    """Parameters of a confirmation with a card: a payment method, or a card token such as tok_visa.

    The response contains the charge, which has the time of the authorization.
    """
    if token.startswith("pm_"):
        return {"payment_method": token, "return_url": return_url, "expand": ["latest_charge"]}
    # The stripe package's types leave out card tokens, because tokens share a field with raw card numbers.
    card = {"payment_method_data": {"type": "card", "card": {"token": token}}}
    return cast("PaymentIntentConfirmParams", {**card, "return_url": return_url, "expand": ["latest_charge"]})


def session(payment: PaymentState, title: str, order_page: str) -> SessionCreateParams:
    """Parameters of a Checkout session in which the buyer authorizes the payment's amount."""
    assert payment.page_expires_at is not None, (
        "a payment on Stripe's page has a time at which the page expires"
    )
    metadata = {"order_id": payment.order_id}
    return {
        "mode": "payment",
        "client_reference_id": payment.order_id,
        "line_items": [
            {
                "price_data": {
                    "currency": payment.currency,
                    "unit_amount": payment.amount,
                    "product_data": {"name": title},
                },
                "quantity": 1,
            }
        ],
        "payment_intent_data": {
            "capture_method": "manual",
            "description": f"{title} (order {payment.order_id})",
            "metadata": metadata,
        },
        "metadata": metadata,
        "success_url": f"{order_page}?paid",
        "cancel_url": order_page,
        "expires_at": int(payment.page_expires_at.timestamp()),
    }
