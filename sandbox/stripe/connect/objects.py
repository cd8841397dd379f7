"""Connect's objects with every field of Stripe's published fixtures. Unsupported fields are null."""

from collections.abc import Iterable, Mapping

from sandbox.stripe.connect.rules import disabled_reason, due_requirements
from sandbox.stripe.connect.state import (
    PLATFORM,
    Account,
    AccountLink,
    BalanceTransaction,
    LoginLink,
    Payout,
    Transfer,
    TransferReversal,
)
from sandbox.stripe.objects import NO_ADDRESS, Json, listing

_KANA = {f"statement_descriptor_prefix_{script}": None for script in ("kana", "kanji")}
_CATEGORIES = {
    "adjustment": "dispute",
    "payment": "charge",
    "payment_refund": "refund",
    "payout_failure": "payout_reversal",
    "refund_failure": "refund_failure",
    "transfer_refund": "transfer_reversal",
}


def account(account: Account) -> Json:
    return {
        "id": account.id,
        "object": "account",
        "business_profile": _business_profile(),
        "business_type": account.business_type,
        "capabilities": {name: _capability(account, name) for name in account.capabilities},
        "charges_enabled": account.has_active("card_payments"),
        "controller": {
            "fees": {"payer": "application_express"},
            "is_controller": True,
            "losses": {"payments": "application"},
            "requirement_collection": "stripe",
            "stripe_dashboard": {"type": "express"},
            "type": "application",
        },
        "country": account.country,
        "created": account.created,
        "default_currency": account.currency,
        "details_submitted": account.progress in ("checking", "complete", "rejected"),
        "email": account.email,
        "external_accounts": listing(_banks(account), f"/v1/accounts/{account.id}/external_accounts"),
        "future_requirements": _requirements([], None, []),
        "metadata": account.metadata,
        "payouts_enabled": account.payouts_enabled,
        "requirements": _requirements(
            due_requirements(account),
            disabled_reason(account),
            ["individual.verification.document"] if account.progress == "checking" else [],
        ),
        "settings": _settings(account),
        "tos_acceptance": {"date": None, "ip": None, "user_agent": None},
        "type": "express",
    }


def _business_profile() -> Json:
    return {
        "annual_revenue": None,
        "estimated_worker_count": None,
        "mcc": None,
        "minority_owned_business_designation": None,
        "name": None,
        "product_description": None,
        "support_address": NO_ADDRESS,
        "support_email": None,
        "support_phone": None,
        "support_url": None,
        "url": None,
    }


def _capability(account: Account, name: str) -> str:
    if account.has_active(name):
        return "active"
    return "pending" if account.progress == "checking" else "inactive"


def _requirements(due: list[str], reason: str | None, pending: list[str]) -> Json:
    return {
        "alternatives": [],
        "current_deadline": None,
        "currently_due": due,
        "disabled_reason": reason,
        "errors": [],
        "eventually_due": due,
        "past_due": due,
        "pending_verification": pending,
    }


def _settings(account: Account) -> Json:
    return {
        "bacs_debit_payments": {"display_name": None, "service_user_number": None},
        "branding": {"icon": None, "logo": None, "primary_color": None, "secondary_color": None},
        "card_issuing": {"tos_acceptance": {"date": None, "ip": None}},
        "card_payments": {
            "decline_on": {"avs_failure": False, "cvc_failure": False},
            "statement_descriptor_prefix": None,
            **_KANA,
        },
        "dashboard": {"display_name": None, "timezone": "Etc/UTC"},
        "invoices": {"default_account_tax_ids": None, "hosted_payment_method_save": None},
        "payments": {
            "statement_descriptor": None,
            "statement_descriptor_kana": None,
            "statement_descriptor_kanji": None,
            **_KANA,
        },
        "payouts": {
            "debit_negative_balances": True,
            "schedule": {"delay_days": 2, "interval": account.interval},
            "statement_descriptor": None,
        },
        "sepa_debit_payments": {},
    }


def _banks(account: Account) -> list[Json]:
    if account.bank is None:
        return []
    return [
        {
            "id": account.bank,
            "object": "bank_account",
            "account": account.id,
            "account_holder_name": None,
            "account_holder_type": None,
            "account_type": None,
            "available_payout_methods": ["standard"],
            "bank_name": "STRIPE TEST BANK",
            "country": account.country,
            "currency": account.currency,
            "default_for_currency": True,
            "fingerprint": f"sandbox{account.bank[-8:]}",
            "last4": "1116" if account.bank_refuses else "6789",
            "metadata": {},
            "routing_number": "110000000",
            "status": "errored" if account.bank_failed else "new",
        }
    ]


def account_link(link: AccountLink, *, base_url: str) -> Json:
    return {
        "object": "account_link",
        "created": link.created,
        "expires_at": link.expires_at,
        "url": link_url(link.id, base_url),
    }


def login_link(link: LoginLink, *, base_url: str) -> Json:
    return {"object": "login_link", "created": link.created, "url": f"{base_url}/express/{link.id}"}


def link_url(link_id: str, base_url: str) -> str:
    return f"{base_url}/setup/s/{link_id}"


def balance(amounts: Mapping[str, tuple[int, int]]) -> Json:
    """The balance of an account: what is available and what is pending, by currency."""
    by_currency = dict(amounts) or {"usd": (0, 0)}

    def shown(amount: int, currency: str) -> Json:
        return {"amount": amount, "currency": currency, "source_types": {"card": amount}}

    return {
        "object": "balance",
        "available": [shown(available, currency) for currency, (available, _) in by_currency.items()],
        "connect_reserved": [{"amount": 0, "currency": currency} for currency in by_currency],
        "livemode": False,
        "pending": [shown(pending, currency) for currency, (_, pending) in by_currency.items()],
    }


def balance_transaction(transaction: BalanceTransaction, *, now: int) -> Json:
    fee = transaction.fee
    return {
        "id": transaction.id,
        "object": "balance_transaction",
        "amount": transaction.amount,
        "available_on": transaction.available_on,
        "balance_type": "payments",
        "created": transaction.created,
        "currency": transaction.currency,
        "description": transaction.description,
        "exchange_rate": transaction.exchange_rate,
        "fee": fee,
        "fee_details": [
            {
                "amount": fee,
                "application": None,
                "currency": transaction.currency,
                "description": "Stripe processing fees",
                "type": "stripe_fee",
            }
        ]
        if fee
        else [],
        "net": transaction.net,
        "reporting_category": _CATEGORIES.get(transaction.type, transaction.type),
        "source": transaction.source,
        "status": "available" if transaction.available_on <= now else "pending",
        "type": transaction.type,
    }


def transfer(transfer: Transfer, reversals: Iterable[TransferReversal], *, has_more: bool) -> Json:
    """The transfer with its newest reversals."""
    url = f"/v1/transfers/{transfer.id}/reversals"
    return {
        "id": transfer.id,
        "object": "transfer",
        "amount": transfer.amount,
        "amount_reversed": transfer.amount_reversed,
        "balance_transaction": transfer.balance_transaction,
        "created": transfer.created,
        "currency": transfer.currency,
        "description": transfer.description,
        "destination": transfer.destination,
        "destination_payment": transfer.destination_payment,
        "livemode": False,
        "metadata": transfer.metadata,
        "reversals": listing(map(transfer_reversal, reversals), url, has_more=has_more),
        "reversed": transfer.amount_reversed == transfer.amount,
        "source_transaction": transfer.source_transaction,
        "source_type": "card",
        "transfer_group": transfer.transfer_group,
    }


def transfer_reversal(reversal: TransferReversal) -> Json:
    return {
        "id": reversal.id,
        "object": "transfer_reversal",
        "amount": reversal.amount,
        "balance_transaction": reversal.balance_transaction,
        "created": reversal.created,
        "currency": reversal.currency,
        "destination_payment_refund": reversal.destination_payment_refund,
        "metadata": reversal.metadata,
        "source_refund": None,
        "transfer": reversal.transfer,
    }


def payout(payout: Payout) -> Json:
    failed = payout.status == "failed"
    progress = "in_progress" if payout.status == "in_transit" else "completed"
    return {
        "id": payout.id,
        "object": "payout",
        "amount": payout.amount,
        "application_fee": None,
        "application_fee_amount": None,
        "arrival_date": payout.arrives_at,
        "automatic": payout.automatic,
        "balance_transaction": payout.balance_transaction,
        "created": payout.created,
        "currency": payout.currency,
        "description": payout.description,
        "destination": payout.destination,
        "failure_balance_transaction": payout.failure_balance_transaction,
        "failure_code": "no_account" if failed else None,
        "failure_message": "The bank account could not be located." if failed else None,
        "livemode": False,
        "metadata": payout.metadata,
        "method": payout.method,
        "original_payout": None,
        "payout_method": None,
        "reconciliation_status": progress if payout.automatic else "not_applicable",
        "reversed_by": None,
        "source_type": "card",
        "statement_descriptor": payout.statement_descriptor,
        "status": payout.status,
        "trace_id": {"status": "pending", "value": None},
        "type": "bank_account",
    }


def owner_of(thing: object) -> str | None:
    """The connected account that an event about this object belongs to. None for the platform."""
    if isinstance(thing, Account):
        return thing.id
    if isinstance(thing, Payout) and thing.account != PLATFORM:
        return thing.account
    return None
