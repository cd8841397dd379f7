"""Payments in HTTP responses."""

from contracts.api import Payment as PaymentView
from services.payments.documents import Payment, ShownPayment


def view_of(payment: Payment | ShownPayment) -> PaymentView:
    """The payment as its buyer sees it."""
    return PaymentView(
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
