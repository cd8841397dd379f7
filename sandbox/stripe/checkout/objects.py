"""A Checkout session as the API shows it, with every field of Stripe's published fixtures."""

from sandbox.stripe.objects import NO_ADDRESS, Json
from sandbox.stripe.state import Intent, Session


def checkout_session(session: Session, intent: Intent | None, *, base_url: str) -> Json:
    """`intent` is the session's PaymentIntent, if the page has been submitted."""
    paid = intent is not None and intent.status == "succeeded"
    return {
        "id": session.id,
        "object": "checkout.session",
        "adaptive_pricing": {"enabled": False},
        "after_expiration": None,
        "allow_promotion_codes": None,
        "amount_subtotal": session.amount,
        "amount_total": session.amount,
        "automatic_tax": {"enabled": False, "liability": None, "provider": None, "status": None},
        "billing_address_collection": None,
        "cancel_url": session.cancel_url,
        "client_reference_id": session.client_reference_id,
        "client_secret": None,
        "collected_information": None,
        "consent": None,
        "consent_collection": None,
        "created": session.created,
        "currency": session.currency,
        "currency_conversion": None,
        "custom_fields": [],
        "custom_text": dict.fromkeys(
            ["after_submit", "shipping_address", "submit", "terms_of_service_acceptance"]
        ),
        "customer": None,
        "customer_account": None,
        "customer_creation": "if_required",
        "customer_details": _customer() if session.status == "complete" else None,
        "customer_email": None,
        "discounts": [],
        "expires_at": session.expires_at,
        "integration_identifier": None,
        "invoice": None,
        "invoice_creation": None,
        "livemode": False,
        "locale": None,
        "managed_payments": None,
        "metadata": session.metadata,
        "mode": "payment",
        "origin_context": None,
        "payment_intent": session.payment_intent,
        "payment_link": None,
        "payment_method_collection": "if_required",
        "payment_method_configuration_details": None,
        "payment_method_options": {},
        "payment_method_types": ["card"],
        "payment_status": "paid" if paid else "unpaid",
        "permissions": None,
        "phone_number_collection": {"enabled": False},
        "recovered_from": None,
        "saved_payment_method_options": None,
        "setup_intent": None,
        "shipping_address_collection": None,
        "shipping_cost": None,
        "shipping_options": [],
        "status": session.status,
        "submit_type": None,
        "subscription": None,
        "success_url": session.success_url,
        "total_details": {"amount_discount": 0, "amount_shipping": 0, "amount_tax": 0},
        "ui_mode": "hosted_page",
        "url": page_url(session.id, base_url) if session.status == "open" else None,
        "wallet_options": None,
    }


def page_url(session_id: str, base_url: str) -> str:
    return f"{base_url}/c/pay/{session_id}"


def _customer() -> Json:
    """No details, because the page asks only for a card."""
    nothing = dict.fromkeys(["business_name", "email", "individual_name", "name", "phone", "tax_ids"])
    return {**nothing, "address": NO_ADDRESS, "tax_exempt": "none"}
