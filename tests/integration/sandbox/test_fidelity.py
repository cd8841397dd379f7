"""Compares the sandbox with Stripe: responses with Stripe's fixtures, parameters with types in `stripe`.

The fixtures are in tests/support/fixture_stripe.
"""

import json
import typing
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import stripe
from stripe import params
from stripe.params import checkout as checkout_params
from typing_extensions import is_typeddict

from sandbox.stripe import disputes, operations, queries
from sandbox.stripe.checkout import operations as checkout
from sandbox.stripe.connect import accounts, payouts, transfers
from sandbox.stripe.connect import queries as connect
from sandbox.stripe.errors import StripeError
from sandbox.stripe.events import queries as events
from sandbox.stripe.forms import Form, Tree
from tests.support.connect import (
    REFRESH_URL,
    RETURN_URL,
    acting_for,
    onboarded,
    opened_account,
    transferred,
)
from tests.support.fixture_stripe import fixtures
from tests.support.fixture_stripe.types import hints_of, misfits
from tests.support.stripe_sandbox import HTTPX_WARNING, card, opened, paid_by, problem

pytestmark = pytest.mark.filterwarnings(HTTPX_WARNING)

FIXTURES = fixtures.FIXTURES | fixtures.CONNECT_FIXTURES
TYPES = fixtures.TYPES | fixtures.CONNECT_TYPES
OPTIONAL = {"failure_reason", "failure_balance_transaction", "account"}
"""Fields that Stripe's fixtures of a successful refund and of an event of the platform lack."""
FREE_FORM = {"metadata", "fraud_details"}
"""Objects whose fields can have any name, so that they can't be compared."""
SESSION = {
    "mode": "payment",
    "success_url": "http://shop.test/",
    "line_items[0][quantity]": "1",
    "line_items[0][price_data][currency]": "usd",
    "line_items[0][price_data][unit_amount]": "1999",
    "line_items[0][price_data][product_data][name]": "A night out",
}

DECLINED = {"payment_method_data[type]": "card", "payment_method_data[card][token]": "tok_chargeDeclined"} | {
    "return_url": "http://shop.test/"
}


def differences(
    ours: Any, theirs: Any, model: type[stripe.StripeObject] | None, path: str = ""
) -> Iterator[str]:
    """Fields that we lack, that have another type, or that `stripe` doesn't know. Null fits any type."""
    if ours is None or theirs is None:
        return
    if type(ours) is not type(theirs):
        yield f"{path} is {ours!r}, at Stripe {theirs!r}"
    elif isinstance(ours, list):
        for mine, other in zip(ours, theirs, strict=False):
            yield from differences(mine, other, model, f"{path}[]")
    elif isinstance(ours, dict) and path.rpartition(".")[2] not in FREE_FORM:
        known = model.__annotations__ if model else {}
        yield from (f"{path}.{name} is missing" for name in theirs.keys() - ours.keys())
        extra = ours.keys() - theirs.keys() - (known.keys() if path else OPTIONAL)
        yield from (f"{path}.{name} isn't Stripe's" for name in extra)
        for name in ours.keys() & theirs.keys():
            yield from differences(ours[name], theirs[name], _model(known.get(name)), f"{path}.{name}")


def _model(annotation: Any) -> type[stripe.StripeObject] | None:
    """The class of a field's value, taken out of Optional, List and the like."""
    if isinstance(annotation, type) and issubclass(annotation, stripe.StripeObject):
        return annotation
    found = (_model(part) for part in typing.get_args(annotation))
    return next((model for model in found if model), None)


async def example_objects(shop: stripe.StripeClient, http: httpx.AsyncClient) -> list[dict[str, Any]]:
    """Objects of every type, in different states, so that every field has a value in one of them."""
    captured = await paid_by("tok_visa", shop, capture_method="automatic")
    refund = await shop.v1.refunds.create_async({"payment_intent": captured.id, "amount": 500})
    disputed = await paid_by("tok_createDispute", shop, capture_method="automatic")
    opened_disputes = await shop.v1.disputes.list_async({"payment_intent": disputed.id})
    checked = await paid_by("tok_threeDSecure2Required", shop)
    approved = await paid_by("tok_threeDSecure2Required", shop)
    assert approved.next_action is not None
    assert approved.next_action.redirect_to_url is not None
    page = urlsplit(str(approved.next_action.redirect_to_url.url)).path
    await http.post(page, data={"answer": "approve"})
    declined = await opened(shop)
    with pytest.raises(stripe.CardError) as caught:
        await shop.v1.payment_intents.confirm_async(declined.id, card("tok_chargeDeclined"))
    canceled = await shop.v1.payment_intents.cancel_async(declined.id)
    session, paid = [(await http.post("/v1/checkout/sessions", data=SESSION)).json() for _ in range(2)]
    await http.post(urlsplit(paid["url"]).path, data={"card": "tok_visa"})
    charges = (await http.get("/v1/payment_intents?limit=100&expand[]=data.latest_charge.refunds")).json()[
        "data"
    ]
    return [
        *(intent.to_dict() for intent in (captured, checked, canceled)),
        json.loads(json.dumps(problem(caught.value)["payment_intent"])),
        *(intent["latest_charge"] for intent in charges if intent["latest_charge"]),
        refund.to_dict(),
        *(dispute.to_dict() for dispute in opened_disputes.data),
        (await shop.v1.payment_methods.retrieve_async(str(captured.payment_method))).to_dict(),
        session,
        (await http.get(f"/v1/checkout/sessions/{paid['id']}")).json(),
        *await connected_objects(shop, http),
        *(await http.get("/v1/events?limit=50")).json()["data"],
    ]


async def connected_objects(shop: stripe.StripeClient, http: httpx.AsyncClient) -> list[dict[str, Any]]:
    """Objects of Connect, in different states."""
    capabilities = {name: {"requested": True} for name in ("card_payments", "transfers")}
    accounts = [
        await onboarded(shop, http, choice, capabilities=capabilities)
        for choice in ("complete", "checking", "failing_bank", "later", "rejected")
    ]
    new = (await opened_account(shop, capabilities=capabilities)).to_dict()
    link = {"account": new["id"], "type": "account_onboarding"}
    link |= {"return_url": RETURN_URL, "refresh_url": REFRESH_URL}
    transfer = await transferred(shop, accounts[0])
    reversal = await shop.v1.transfers.reversals.create_async(transfer.id, {"amount": 300})
    reversed_ = await shop.v1.transfers.retrieve_async(transfer.id)
    payout: Any = {"amount": 700, "currency": "usd"}
    acting = {"Stripe-Account": accounts[0].id}
    return [
        *(account.to_dict() for account in accounts),
        new,
        (await http.post("/v1/account_links", data=link)).json(),
        *(each.to_dict() for each in (transfer, reversed_, reversal)),
        (await shop.v1.payouts.create_async(payout, acting_for(accounts[0]))).to_dict(),
        (await http.get("/v1/balance")).json(),
        (await http.get("/v1/balance", headers=acting)).json(),
        *(await http.get("/v1/balance_transactions?limit=30")).json()["data"],
        *(await http.get("/v1/balance_transactions", headers=acting)).json()["data"],
        *(await http.get("/v1/events", headers=acting)).json()["data"],
    ]


async def test_every_field_of_a_response_has_the_name_and_the_type_of_stripes_fixtures(
    shop: stripe.StripeClient, http: httpx.AsyncClient
) -> None:
    objects = await example_objects(shop, http)
    assert {each["object"] for each in objects} == FIXTURES.keys()
    for ours in objects:
        name, theirs = ours["object"], FIXTURES[ours["object"]]
        if name == "event":  # an event contains an object of another type, which is compared separately
            await _compare(ours["data"].pop("object"))
            theirs = theirs | {"data": {}}
        assert list(differences(ours, theirs, TYPES[name])) == [], name


async def _compare(ours: dict[str, Any]) -> None:
    """Compare an object that isn't expanded, so that a charge has no list of its refunds."""
    name = ours["object"]
    theirs = {field: value for field, value in FIXTURES[name].items() if field != "refunds"}
    assert list(differences(ours, theirs, TYPES[name])) == [], name


async def test_every_value_of_a_response_fits_its_type_in_stripes_package(
    shop: stripe.StripeClient, http: httpx.AsyncClient
) -> None:
    found = set()
    for ours in await example_objects(shop, http):
        if ours["object"] == "event":
            shown = ours["data"]["object"]
            found |= set(misfits(shown, TYPES[shown["object"]], shown["object"]))
        found |= set(misfits(ours, TYPES[ours["object"]], ours["object"]))
    assert found == set()


async def test_every_value_of_an_error_fits_its_type_in_stripes_package(
    shop: stripe.StripeClient, http: httpx.AsyncClient
) -> None:
    intent = await opened(shop)
    errors = []
    for path, fields in (
        (f"/v1/payment_intents/{intent.id}/confirm", DECLINED),
        (f"/v1/payment_intents/{intent.id}/capture", {}),
        ("/v1/payment_intents/pi_unknown", {"metadata[a]": "b"}),
        ("/v1/payment_intents", {"colour": "red"}),
        ("/v1/refunds", {"payment_intent": intent.id}),
    ):
        errors.append((await http.post(path, data=fields)).json()["error"])
    assert {error.get("code") for error in errors} == {
        "card_declined",
        "payment_intent_unexpected_state",
        "resource_missing",
        "parameter_unknown",
        None,
    }
    for error in errors:
        assert list(misfits(error, stripe.ErrorObject, "error")) == []


def test_the_comparison_with_the_package_finds_every_kind_of_difference() -> None:
    found = misfits(
        {**FIXTURES["refund"], "amount": None, "charge": 1, "status": [], "colour": "red", "metadata": "a"},
        stripe.Refund,
        "refund",
    )
    assert sorted(found) == [
        "refund.amount is null",
        "refund.charge is 1",
        "refund.colour isn't Stripe's",
        "refund.metadata is 'a'",
        "refund.status is a list",
    ]
    without_amount = {name: value for name, value in FIXTURES["refund"].items() if name != "amount"}
    assert list(misfits(without_amount, stripe.Refund, "refund")) == ["refund.amount is missing"]
    found = misfits(FIXTURES["refund"] | {"destination_details": {"type": 1}}, stripe.Refund, "refund")
    assert list(found) == ["refund.destination_details.type is 1"]
    found = misfits(FIXTURES["payment_intent"] | {"status": "unheard_of"}, stripe.PaymentIntent, "intent")
    assert "intent.status is 'unheard_of'" in set(found)


def test_the_comparison_with_the_fixtures_finds_a_difference() -> None:
    theirs = FIXTURES["charge"]
    changed = theirs | {"amount": "100", "refunds": [], "outcome": theirs["outcome"] | {"colour": 1}}
    del changed["paid"]
    assert sorted(differences(changed | {"colour": "red"}, theirs, stripe.Charge)) == [
        ".amount is '100', at Stripe 100",
        ".colour isn't Stripe's",
        ".outcome.colour isn't Stripe's",
        ".paid is missing",
        f".refunds is [], at Stripe {theirs['refunds']!r}",
    ]


CARD_DATA: Tree = {"type": "card", "card": {"token": "tok_visa"}}
LIST: Tree = {"created": {"gte": "1"}, "limit": "1"}
INTENT: Tree = {"amount": "100", "currency": "usd", "automatic_payment_methods": {"enabled": "true"}}
CHECKOUT: Tree = {
    "mode": "payment",
    "success_url": "http://shop.test/",
    "payment_intent_data": {"capture_method": "manual"},
    "line_items": {
        "0": {
            "quantity": "1",
            "price_data": {"currency": "usd", "unit_amount": "100", "product_data": {"name": "A night out"}},
        }
    },
}
ACCOUNT: Tree = {
    "type": "express",
    "country": "US",
    "business_profile": {"url": "http://shop.test/"},
    "capabilities": {"transfers": {"requested": "true"}},
    "settings": {"payouts": {"schedule": {"interval": "manual"}}},
}
LINK: Tree = {
    "account": "acct",
    "type": "account_onboarding",
    "return_url": RETURN_URL,
    "refresh_url": REFRESH_URL,
    "collection_options": {"fields": "eventually_due"},
}
TRANSFER: Tree = {"amount": "100", "currency": "usd", "destination": "acct"}
ENDPOINTS: dict[str, tuple[Any, tuple[str, ...], Tree, Any]] = {
    "create an intent": (
        operations.create_intent,
        (),
        INTENT | {"payment_method_data": CARD_DATA},
        params.PaymentIntentCreateParams,
    ),
    "update an intent": (
        operations.update_intent,
        ("pi",),
        {"payment_method_data": CARD_DATA},
        params.PaymentIntentUpdateParams,
    ),
    "confirm an intent": (
        operations.confirm_intent,
        ("pi",),
        {"payment_method_data": CARD_DATA},
        params.PaymentIntentConfirmParams,
    ),
    "capture an intent": (operations.capture_intent, ("pi",), {}, params.PaymentIntentCaptureParams),
    "cancel an intent": (operations.cancel_intent, ("pi",), {}, params.PaymentIntentCancelParams),
    "retrieve an intent": (queries.intent, ("pi",), {}, params.PaymentIntentRetrieveParams),
    "list intents": (queries.intents, (), LIST, params.PaymentIntentListParams),
    "retrieve a charge": (queries.charge, ("ch",), {}, params.ChargeRetrieveParams),
    "retrieve a payment method": (queries.payment_method, ("pm",), {}, params.PaymentMethodRetrieveParams),
    "create a refund": (operations.create_refund, (), {"charge": "ch"}, params.RefundCreateParams),
    "list refunds": (queries.refunds, (), LIST, params.RefundListParams),
    "retrieve a refund": (queries.refund, ("re",), {}, params.RefundRetrieveParams),
    "list disputes": (queries.disputes, (), LIST, params.DisputeListParams),
    "retrieve a dispute": (queries.dispute, ("du",), {}, params.DisputeRetrieveParams),
    "update a dispute": (
        disputes.update_dispute,
        ("du",),
        {"evidence": {"uncategorized_text": "winning_evidence"}},
        params.DisputeUpdateParams,
    ),
    "close a dispute": (disputes.close_dispute, ("du",), {}, params.DisputeCloseParams),
    "create a session": (checkout.create_session, (), CHECKOUT, checkout_params.SessionCreateParams),
    "expire a session": (checkout.expire_session, ("cs",), {}, checkout_params.SessionExpireParams),
    "retrieve a session": (queries.session, ("cs",), {}, checkout_params.SessionRetrieveParams),
    "list sessions": (queries.sessions, (), LIST, checkout_params.SessionListParams),
    "create an account": (accounts.create_account, (), ACCOUNT, params.AccountCreateParams),
    "update an account": (
        accounts.update_account,
        ("acct",),
        {name: value for name, value in ACCOUNT.items() if name not in ("country", "type")},
        params.AccountUpdateParams,
    ),
    "reject an account": (
        accounts.reject_account,
        ("acct",),
        {"reason": "fraud"},
        params.AccountRejectParams,
    ),
    "retrieve an account": (connect.account, ("acct",), {}, params.AccountRetrieveParams),
    "list accounts": (connect.accounts, (), LIST, params.AccountListParams),
    "create a login link": (
        accounts.create_login_link,
        ("acct",),
        {},
        params.AccountCreateLoginLinkParams,
    ),
    "create a link": (accounts.create_link, (), LINK, params.AccountLinkCreateParams),
    "create a transfer": (transfers.create_transfer, (), TRANSFER, params.TransferCreateParams),
    "update a transfer": (transfers.update_transfer, ("tr",), {}, params.TransferUpdateParams),
    "retrieve a transfer": (connect.transfer, ("tr",), {}, params.TransferRetrieveParams),
    "list transfers": (connect.transfers, (), LIST, params.TransferListParams),
    "reverse a transfer": (transfers.create_reversal, ("tr",), {}, params.TransferReversalCreateParams),
    "retrieve a reversal": (
        connect.reversal,
        ("tr", "trr"),
        {},
        params.TransferReversalRetrieveParams,
    ),
    "list reversals": (connect.reversals, ("tr",), {"limit": "1"}, params.TransferReversalListParams),
    "retrieve the balance": (connect.balance, (), {}, params.BalanceRetrieveParams),
    "retrieve a transaction": (
        connect.balance_transaction,
        ("txn",),
        {},
        params.BalanceTransactionRetrieveParams,
    ),
    "list transactions": (connect.balance_transactions, (), LIST, params.BalanceTransactionListParams),
    "create a payout": (
        payouts.create_payout,
        (),
        {"amount": "100", "currency": "usd"},
        params.PayoutCreateParams,
    ),
    "retrieve a payout": (connect.payout, ("po",), {}, params.PayoutRetrieveParams),
    "list payouts": (connect.payouts, (), LIST, params.PayoutListParams),
    "list events": (events.events, (), LIST, params.EventListParams),
    "retrieve an event": (events.event, ("evt",), {}, params.EventRetrieveParams),
}
UNTYPED = "payment_method_data[card]"
"""A documented parameter without a type in `stripe`, because sending card data needs Stripe's permission."""


def accepted_parameters(
    monkeypatch: pytest.MonkeyPatch, operation: Any, ids: tuple[str, ...], tree: Tree
) -> set[str]:
    """The paths of all parameters that an operation reads from a request with the parameters in `tree`."""
    found: set[str] = set()
    init = Form.__init__

    def recording_init(form: Form, tree: Tree, known: str, *, within: str = "") -> None:
        found.update(f"{within}[{name}]" if within else name for name in known.split())
        init(form, tree, known, within=within)

    with monkeypatch.context() as patch:
        patch.setattr(Form, "__init__", recording_init)
        operation(*ids, tree)
    return found


def has_type(path: str, params: Any) -> bool:
    """Whether the `stripe` package has a type for this parameter."""
    name, _, rest = path.partition("[")
    hints = hints_of(params)
    if name not in hints:
        return False
    if not rest:
        return True
    inner, _, further = rest.partition("]")
    if inner.isdecimal():
        inner, _, further = further[1:].partition("]")
    return any(has_type(f"{inner}{further}", part) for part in _typed_dicts(hints[name]))


def _typed_dicts(annotation: Any) -> Iterator[Any]:
    if is_typeddict(annotation):
        yield annotation
    for part in typing.get_args(annotation):
        yield from _typed_dicts(part)


@pytest.mark.parametrize("name", ENDPOINTS)
def test_stripes_package_has_a_type_for_every_accepted_parameter(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    operation, ids, tree, params = ENDPOINTS[name]
    accepted = accepted_parameters(monkeypatch, operation, ids, tree)
    assert "expand" in accepted
    accepted = {path for path in accepted if not path.startswith(UNTYPED)}
    assert {path for path in accepted if not has_type(path, params)} == set()


def test_the_comparison_with_the_package_finds_an_unknown_parameter() -> None:
    for path in ("amount", "payment_method_data[type]", "expand"):
        assert has_type(path, params.PaymentIntentCreateParams)
    for path in ("colour", "payment_method_data[colour]", "api_key", "amount[gte]"):
        assert not has_type(path, params.PaymentIntentCreateParams)


@pytest.mark.parametrize("name", ENDPOINTS)
def test_every_endpoint_refuses_unknown_parameters(name: str) -> None:
    operation, ids, tree, _ = ENDPOINTS[name]
    with pytest.raises(StripeError) as caught:
        operation(*ids, tree | {"colour": "red"})
    assert (caught.value.code, caught.value.param) == ("parameter_unknown", "colour")
