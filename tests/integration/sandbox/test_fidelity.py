"""Compares the sandbox with Stripe: responses with Stripe's fixtures, parameters with types in `stripe`.

data/fixtures.json is a part of Stripe's fixtures3.json, whose license is in the same folder.
"""

import json
import sys
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import stripe
from stripe import _request_options, params
from stripe.params import checkout as checkout_params
from typing_extensions import get_type_hints, is_typeddict

from sandbox.stripe import disputes, operations, queries
from sandbox.stripe.checkout import operations as checkout
from sandbox.stripe.errors import StripeError
from sandbox.stripe.events import queries as events
from sandbox.stripe.forms import Form, Tree
from tests.support.stripe_sandbox import HTTPX_WARNING, card, opened, paid_by, problem

pytestmark = pytest.mark.filterwarnings(HTTPX_WARNING)

FIXTURES: dict[str, dict[str, Any]] = json.loads(
    (Path(__file__).parent / "data" / "fixtures.json").read_text()
)
MODELS: dict[str, type[stripe.StripeObject]] = {
    "payment_intent": stripe.PaymentIntent,
    "charge": stripe.Charge,
    "refund": stripe.Refund,
    "dispute": stripe.Dispute,
    "payment_method": stripe.PaymentMethod,
    "checkout.session": stripe.checkout.Session,
    "event": stripe.Event,
}
OF_FAILED_REFUNDS = {"failure_reason", "failure_balance_transaction"}
"""Fields that Stripe's fixture of a successful refund lacks."""
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
        extra = ours.keys() - theirs.keys() - (known.keys() if path else OF_FAILED_REFUNDS)
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
    charges = (await http.get("/v1/payment_intents?limit=100&expand[]=data.latest_charge")).json()["data"]
    return [
        *(intent.to_dict() for intent in (captured, checked, canceled)),
        json.loads(json.dumps(problem(caught.value)["payment_intent"])),
        *(intent["latest_charge"] for intent in charges if intent["latest_charge"]),
        refund.to_dict(),
        *(dispute.to_dict() for dispute in opened_disputes.data),
        (await shop.v1.payment_methods.retrieve_async(str(captured.payment_method))).to_dict(),
        session,
        (await http.get(f"/v1/checkout/sessions/{paid['id']}")).json(),
        *(await http.get("/v1/events?limit=50")).json()["data"],
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
        assert list(differences(ours, theirs, MODELS[name])) == [], name


async def _compare(ours: dict[str, Any]) -> None:
    name = ours["object"]
    assert list(differences(ours, FIXTURES[name], MODELS[name])) == [], name


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
    # Only the types of options refer to StripeContext, which the package imports for type checkers only.
    names = {**vars(_request_options), **vars(sys.modules[params.__module__]), "StripeContext": Any}
    hints = get_type_hints(params, names)
    if name not in hints.keys() - _request_options.RequestOptions.__annotations__.keys():
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
