"""Renders outcomes and errors as the API's JSON."""

import json
import time
from collections import defaultdict

from sandbox.stripe import objects
from sandbox.stripe.checkout.objects import checkout_session
from sandbox.stripe.connect import objects as connect
from sandbox.stripe.connect.state import (
    Account,
    AccountLink,
    BalanceTransaction,
    LoginLink,
    Payout,
    Transfer,
    TransferReversal,
)
from sandbox.stripe.errors import StripeError
from sandbox.stripe.intents import UnexpectedState
from sandbox.stripe.jobs import Balance, Declined, Listed, Outcome
from sandbox.stripe.objects import Json
from sandbox.stripe.state import Charge, Dispute, Event, Intent, PaymentMethod, Refund, Session, Stored
from sandbox.stripe.store import Ledger, Page

API_VERSION = "2026-10-28.endive"

_EXPANDED: dict[str, type[Stored]] = {
    "balance_transaction": BalanceTransaction,
    "charge": Charge,
    "destination": Account,
    "failure_balance_transaction": BalanceTransaction,
    "latest_charge": Charge,
    "payment_intent": Intent,
    "payment_method": PaymentMethod,
    "source_transaction": Charge,
    "transfer": Transfer,
}
_SOURCES: tuple[type[Stored], ...] = (Charge, Refund, Dispute, Transfer, TransferReversal, Payout)
"""What moves money. The destination's payment of a transfer isn't stored, so it isn't expanded."""


def to_json(body: Json) -> str:
    return json.dumps(body, indent=2, ensure_ascii=False)


class Renderer:
    """`base_url` is the URL of the server for browsers; objects link to its pages."""

    def __init__(self, base_url: str) -> None:
        self._base_url = base_url

    def outcome(self, ledger: Ledger, outcome: Outcome, expand: tuple[str, ...]) -> tuple[int, Json]:
        """The status code and the body of the response."""
        if isinstance(outcome, Listed):
            items = [self.shown(ledger, thing, expand) for thing in outcome.things]
            return 200, objects.listing(items, outcome.url, has_more=outcome.has_more)
        if isinstance(outcome, Balance):
            return 200, connect.balance(outcome.amounts)
        if isinstance(outcome, Declined):
            assert outcome.intent.last_payment_error is not None
            error = objects.payment_error(outcome.intent.last_payment_error)
            return 402, {"error": error | {"payment_intent": self.shown(ledger, outcome.intent, expand)}}
        return 200, self.shown(ledger, outcome, expand)

    def shown(self, ledger: Ledger, thing: Stored | Event, expand: tuple[str, ...] = ()) -> Json:
        body = self._plain(ledger, thing)
        within: dict[str, list[str]] = defaultdict(list)
        for path in expand:
            name, _, rest = path.partition(".")
            within[name] += [rest] if rest else []
        for name, inner_expand in within.items():
            if name == "refunds":
                refunds, has_more = ledger.listed(Refund, Page(), charge=body["id"])
                body[name] = objects.refunds_of(body["id"], refunds, has_more=has_more)
            elif inner := self._inner(ledger, name, body[name]):
                body[name] = self.shown(ledger, inner, tuple(inner_expand))
        return body

    def _inner(self, ledger: Ledger, name: str, id_: str | None) -> Stored | None:
        """The object in an expandable field."""
        kinds = _SOURCES if name == "source" else (_EXPANDED[name],)
        found = (ledger.find(kind, id_) for kind in kinds)
        return next((thing for thing in found if thing is not None), None)

    def _plain(self, ledger: Ledger, thing: Stored | Event) -> Json:
        if isinstance(thing, Intent):
            return objects.payment_intent(thing, base_url=self._base_url)
        if isinstance(thing, Charge):
            return objects.charge(thing)
        if isinstance(thing, Refund):
            return objects.refund(thing)
        if isinstance(thing, Dispute):
            return objects.dispute(thing, self._transactions(ledger, thing))
        if isinstance(thing, PaymentMethod):
            return objects.payment_method(thing)
        if isinstance(thing, Session):
            intent = ledger.find(Intent, thing.payment_intent)
            return checkout_session(thing, intent, base_url=self._base_url)
        if isinstance(thing, Event):
            return event(thing)
        return self._of_connect(ledger, thing)

    def _of_connect(self, ledger: Ledger, thing: Stored) -> Json:
        if isinstance(thing, Account):
            return connect.account(thing)
        if isinstance(thing, AccountLink):
            return connect.account_link(thing, base_url=self._base_url)
        if isinstance(thing, LoginLink):
            return connect.login_link(thing, base_url=self._base_url)
        if isinstance(thing, BalanceTransaction):
            return connect.balance_transaction(thing, now=int(time.time()))
        if isinstance(thing, Transfer):
            reversals, has_more = ledger.listed(TransferReversal, Page(), fields={"transfer": thing.id})
            return connect.transfer(thing, reversals, has_more=has_more)
        if isinstance(thing, TransferReversal):
            return connect.transfer_reversal(thing)
        if isinstance(thing, Payout):
            return connect.payout(thing)
        raise TypeError(f"the API doesn't return {type(thing).__name__}")

    def _transactions(self, ledger: Ledger, dispute: Dispute) -> list[Json]:
        found = (ledger.find(BalanceTransaction, id_) for id_ in dispute.balance_transactions)
        return [self._of_connect(ledger, transaction) for transaction in found if transaction is not None]

    def error(self, error: StripeError) -> Json:
        body = error.body()
        if isinstance(error, UnexpectedState):
            body["error"]["payment_intent"] = objects.payment_intent(error.intent, base_url=self._base_url)
        return body


def event(event: Event) -> Json:
    # Only events of connected accounts have an account: https://docs.stripe.com/connect/webhooks
    return ({"account": event.account} if event.account else {}) | {
        "id": event.id,
        "object": "event",
        "api_version": API_VERSION,
        "created": event.created,
        "data": {"object": json.loads(event.object)},
        "livemode": False,
        "pending_webhooks": event.pending,
        "request": {"id": event.request, "idempotency_key": event.idempotency_key},
        "type": event.type,
    }
