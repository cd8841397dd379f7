"""Stripe's objects with every field of its published fixtures. Unsupported fields are null."""

from collections.abc import Iterable
from typing import Any

from sandbox.stripe.errors import doc_url
from sandbox.stripe.state import Charge, Dispute, Intent, PaymentError, PaymentMethod, Refund

Json = dict[str, Any]

NO_ADDRESS = dict.fromkeys(["city", "country", "line1", "line2", "postal_code", "state"])
_NO_BILLING_DETAILS = {"address": NO_ADDRESS, "email": None, "name": None, "phone": None, "tax_id": None}

_EVIDENCE = """access_activity_log billing_address cancellation_policy cancellation_policy_disclosure
    cancellation_rebuttal customer_communication customer_email_address customer_name
    customer_purchase_ip customer_signature duplicate_charge_documentation duplicate_charge_explanation
    duplicate_charge_id product_description receipt refund_policy refund_policy_disclosure
    refund_refusal_explanation service_date service_documentation shipping_address shipping_carrier
    shipping_date shipping_documentation shipping_tracking_number uncategorized_file""".split()
_DAYS_TO_RESPOND = 7


def payment_intent(intent: Intent, *, base_url: str) -> Json:
    error = intent.last_payment_error
    return {
        "id": intent.id,
        "object": "payment_intent",
        "amount": intent.amount,
        "amount_capturable": intent.amount_capturable,
        "amount_details": {"tip": {}},
        "amount_received": intent.amount_received,
        "application": None,
        "application_fee_amount": None,
        "automatic_payment_methods": None
        if intent.payment_method_types
        else {"allow_redirects": intent.allow_redirects, "enabled": True},
        "canceled_at": intent.canceled_at,
        "cancellation_reason": intent.cancellation_reason,
        "capture_method": intent.capture_method,
        "client_secret": intent.client_secret,
        "confirmation_method": "automatic",
        "created": intent.created,
        "currency": intent.currency,
        "customer": None,
        "customer_account": None,
        "description": intent.description,
        "excluded_payment_method_types": None,
        "last_payment_error": error and payment_error(error),
        "latest_charge": intent.latest_charge,
        "livemode": False,
        "managed_payments": None,
        "metadata": intent.metadata,
        "next_action": _next_action(intent, base_url),
        "on_behalf_of": None,
        "payment_method": intent.payment_method,
        "payment_method_configuration_details": None,
        "payment_method_options": {
            "card": {
                "installments": None,
                "mandate_options": None,
                "network": None,
                "request_three_d_secure": "automatic",
            }
        },
        "payment_method_types": list(intent.payment_method_types) or ["card"],
        "processing": None,
        "receipt_email": intent.receipt_email,
        "review": None,
        "setup_future_usage": None,
        "shipping": None,
        "source": None,
        "statement_descriptor": intent.statement_descriptor,
        "statement_descriptor_suffix": intent.statement_descriptor_suffix,
        "status": intent.status,
        "transfer_data": None,
        "transfer_group": intent.transfer_group,
    }


def _next_action(intent: Intent, base_url: str) -> Json | None:
    if intent.challenge is None:
        return None
    if intent.checkout is not None:  # Stripe's own page carries out the check, with Stripe.js
        details = {"type": "three_d_secure_redirect", "stripe_js": f"{base_url}/3d_secure/{intent.challenge}"}
        return {"type": "use_stripe_sdk", "use_stripe_sdk": details}
    return {
        "redirect_to_url": {
            "return_url": intent.return_url,
            "url": f"{base_url}/3d_secure/{intent.challenge}",
        },
        "type": "redirect_to_url",
    }


def payment_error(error: PaymentError) -> Json:
    fields = {
        "charge": error.charge,
        "code": error.cause.code,
        "decline_code": error.cause.decline_code,
        "doc_url": doc_url(error.cause.code),
        "message": error.cause.message,
        "payment_method": payment_method(error.method),
        "type": error.kind,
    }
    return {name: value for name, value in fields.items() if value is not None}


def charge(charge: Charge) -> Json:
    """The charge without the list of its refunds, which only an expanded charge has."""
    failure = charge.failure
    return {
        "id": charge.id,
        "object": "charge",
        "amount": charge.amount,
        "amount_captured": charge.amount_captured,
        "amount_refunded": charge.amount_refunded,
        "application": None,
        "application_fee": None,
        "application_fee_amount": None,
        "balance_transaction": charge.balance_transaction,
        "billing_details": _NO_BILLING_DETAILS,
        "calculated_statement_descriptor": charge.statement_descriptor or "STAGEDOOR",
        "captured": charge.captured,
        "created": charge.created,
        "currency": charge.currency,
        "customer": None,
        "description": charge.description,
        "disputed": charge.disputed,
        "failure_balance_transaction": None,
        "failure_code": failure and failure.code,
        "failure_message": failure and failure.message,
        "fraud_details": {},
        "livemode": False,
        "metadata": charge.metadata,
        "on_behalf_of": None,
        "outcome": _outcome(charge),
        "paid": failure is None,
        "payment_intent": charge.payment_intent,
        "payment_method": charge.method.id,
        "payment_method_details": {"card": _card_of_charge(charge), "type": "card"},
        "receipt_email": charge.receipt_email,
        "receipt_number": None,
        "receipt_url": None,
        "refunded": charge.amount_refunded == (charge.amount_captured or charge.amount),
        "review": None,
        "shipping": None,
        "source": None,
        "source_transfer": None,
        "statement_descriptor": charge.statement_descriptor,
        "statement_descriptor_suffix": charge.statement_descriptor_suffix,
        "status": "failed" if failure else "succeeded",
        "transfer_data": None,
        "transfer_group": charge.transfer_group,
    }


def refunds_of(charge_id: str, refunds: Iterable[Refund], *, has_more: bool) -> Json:
    """https://docs.stripe.com/changelog/2022-11-15/deprecates-charges-auto-expand"""
    return listing(map(refund, refunds), f"/v1/charges/{charge_id}/refunds", has_more=has_more)


def _outcome(charge: Charge) -> Json:
    failure = charge.failure
    return {
        "advice_code": None,
        "network_advice_code": None,
        "network_decline_code": None,
        "network_status": "declined_by_network" if failure else "approved_by_network",
        "reason": (failure.decline_code or failure.code) if failure else None,
        "seller_message": "The bank declined the payment." if failure else "Payment complete.",
        "type": "issuer_declined" if failure else "authorized",
    }


def _card(method: PaymentMethod) -> Json:
    """The fields of a card that charges and payment methods have in common."""
    return {
        "brand": method.card.brand,
        "checks": {"address_line1_check": None, "address_postal_code_check": None, "cvc_check": "pass"},
        "country": "US",
        "exp_month": 12,
        "exp_year": 2034,
        "fingerprint": f"sandbox{method.card.last4}",
        "funding": method.card.funding,
        "last4": method.card.last4,
        "regulated_status": "unregulated",
        "wallet": None,
    }


def _card_of_charge(charge: Charge) -> Json:
    held = charge.failure is None and not charge.captured
    return {
        **_card(charge.method),
        "amount_authorized": None if charge.failure else charge.amount,
        "authorization_code": None,
        "extended_authorization": {"status": "disabled"},
        "incremental_authorization": {"status": "unavailable"},
        "installments": None,
        "mandate": None,
        "multicapture": {"status": "unavailable"},
        "network": charge.method.card.brand,
        "network_token": {"used": False},
        "network_transaction_id": None,
        "overcapture": {
            "maximum_amount_capturable": charge.amount if held else charge.amount_captured,
            "status": "unavailable",
        },
        "three_d_secure": {
            "authentication_flow": "challenge",
            "electronic_commerce_indicator": "05",
            "exemption_indicator": None,
            "result": "authenticated",
            "result_reason": None,
            "transaction_id": None,
            "version": "2.2.0",
        }
        if charge.authenticated
        else None,
        "transaction_link_id": None,
    }


def payment_method(method: PaymentMethod) -> Json:
    return {
        "id": method.id,
        "object": "payment_method",
        "allow_redisplay": "unspecified",
        "billing_details": _NO_BILLING_DETAILS,
        "card": {
            **_card(method),
            "display_brand": method.card.brand,
            "generated_from": None,
            "networks": {"available": [method.card.brand], "preferred": None},
            "three_d_secure_usage": {"supported": True},
        },
        "created": method.created,
        "customer": None,
        "customer_account": None,
        "livemode": False,
        "metadata": {},
        "type": "card",
    }


def refund(refund: Refund) -> Json:
    shown = {
        "id": refund.id,
        "object": "refund",
        "amount": refund.amount,
        "balance_transaction": refund.balance_transaction,
        "charge": refund.charge,
        "created": refund.created,
        "currency": refund.currency,
        "customer": None,
        "customer_account": None,
        "destination_details": {
            "card": {
                "reference_status": "pending",
                "reference_type": "acquirer_reference_number",
                "type": "refund",
            },
            "type": "card",
        },
        "metadata": refund.metadata,
        "payment_intent": refund.payment_intent,
        "payment_method": None,
        "reason": refund.reason,
        "receipt_number": None,
        "source_transfer_reversal": None,
        "status": refund.status,
        "transfer_reversal": None,
    }
    # Stripe sends these fields only if the refund failed.
    if refund.failure_reason is not None:
        back = refund.failure_balance_transaction
        shown |= {"failure_reason": refund.failure_reason, "failure_balance_transaction": back}
    return shown


def dispute(dispute: Dispute, balance_transactions: Iterable[Json]) -> Json:
    return {
        "id": dispute.id,
        "object": "dispute",
        "amount": dispute.amount,
        "balance_transactions": list(balance_transactions),
        "charge": dispute.charge,
        "created": dispute.created,
        "currency": dispute.currency,
        "enhanced_eligibility_types": [],
        "evidence": {
            **dict.fromkeys(_EVIDENCE),
            "uncategorized_text": dispute.evidence,
            "enhanced_evidence": {},
        },
        "evidence_details": {
            "due_by": dispute.created + _DAYS_TO_RESPOND * 24 * 3600,
            "enhanced_eligibility": {},
            "has_evidence": dispute.evidence is not None,
            "past_due": False,
            "submission_count": int(dispute.is_submitted),
            "submission_method": "manual" if dispute.is_submitted else "not_submitted",
        },
        "is_charge_refundable": False,
        "livemode": False,
        "metadata": dispute.metadata,
        "payment_intent": dispute.payment_intent,
        "payment_method_details": {
            "card": {
                "brand": dispute.brand,
                "case_type": "chargeback",
                "network": dispute.brand,
                "network_reason_code": "83",
            },
            "type": "card",
        },
        "reason": "fraudulent",
        "status": dispute.status,
    }


def listing(items: Iterable[Json], url: str, *, has_more: bool = False) -> Json:
    return {"object": "list", "data": list(items), "has_more": has_more, "url": url}
