"""What the sandbox answers beside Stripe's published fixtures, and what it takes beside the package's types.

tests/sandbox/data/fixtures.json is a part of Stripe's fixtures3.json, whose licence lies beside it.
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

from sandbox.stripe import operations, queries
from sandbox.stripe.checkout import operations as checkout
from sandbox.stripe.errors import StripeError
from sandbox.stripe.events import queries as events
from sandbox.stripe.forms import Form, Tree
from tests.sandbox.served import STRIPES_OWN, card, opened, paid_by, problem

pytestmark = pytest.mark.filterwarnings(STRIPES_OWN)

FIXTURES: dict[str, dict[str, Any]] = json.loads(
    (Path(__file__).parent / "data" / "fixtures.json").read_text()
)
MODELS: dict[str, type[stripe.StripeObject]] = {
    "payment_intent": stripe.PaymentIntent,
    "charge": stripe.Charge,
    "refund": stripe.Refund,
    "payment_method": stripe.PaymentMethod,
    "checkout.session": stripe.checkout.Session,
    "event": stripe.Event,
}
RECORDS = {"metadata", "fraud_details"}
"""Fields whose names are anybody's."""
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
    """What is missing, of another type, or unknown to Stripe's package. Null goes with everything."""
    if ours is None or theirs is None:
        return
    if type(ours) is not type(theirs):
        yield f"{path} is {ours!r}, at Stripe {theirs!r}"
    elif isinstance(ours, list):
        for mine, other in zip(ours, theirs, strict=False):
            yield from differences(mine, other, model, f"{path}[]")
    elif isinstance(ours, dict) and path.rpartition(".")[2] not in RECORDS:
        known = model.__annotations__ if model else {}
        yield from (f"{path}.{name} is missing" for name in theirs.keys() - ours.keys())
        extra = ours.keys() - theirs.keys() - (known.keys() if path else set())
        yield from (f"{path}.{name} isn't Stripe's" for name in extra)
        for name in ours.keys() & theirs.keys():
            yield from differences(ours[name], theirs[name], _model(known.get(name)), f"{path}.{name}")


def _model(annotation: Any) -> type[stripe.StripeObject] | None:
    """The package's type of a field, within Optional, List and the like."""
    if isinstance(annotation, type) and issubclass(annotation, stripe.StripeObject):
        return annotation
    found = (_model(part) for part in typing.get_args(annotation))
    return next((model for model in found if model), None)


async def served(shop: stripe.StripeClient, wire: httpx.AsyncClient) -> list[dict[str, Any]]:
    """Objects of each type, in states that fill in different fields."""
    captured = await paid_by("tok_visa", shop, capture_method="automatic")
    refund = await shop.v1.refunds.create_async({"payment_intent": captured.id, "amount": 500})
    checked = await paid_by("tok_threeDSecure2Required", shop)
    approved = await paid_by("tok_threeDSecure2Required", shop)
    assert approved.next_action is not None
    assert approved.next_action.redirect_to_url is not None
    page = urlsplit(str(approved.next_action.redirect_to_url.url)).path
    await wire.post(page, data={"answer": "approve"})
    declined = await opened(shop)
    with pytest.raises(stripe.CardError) as caught:
        await shop.v1.payment_intents.confirm_async(declined.id, card("tok_chargeDeclined"))
    canceled = await shop.v1.payment_intents.cancel_async(declined.id)
    session, paid = [(await wire.post("/v1/checkout/sessions", data=SESSION)).json() for _ in range(2)]
    await wire.post(urlsplit(paid["url"]).path, data={"card": "tok_visa"})
    charges = (await wire.get("/v1/payment_intents?limit=100&expand[]=data.latest_charge")).json()["data"]
    return [
        *(intent.to_dict() for intent in (captured, checked, canceled)),
        json.loads(json.dumps(problem(caught.value)["payment_intent"])),
        *(intent["latest_charge"] for intent in charges if intent["latest_charge"]),
        refund.to_dict(),
        (await shop.v1.payment_methods.retrieve_async(str(captured.payment_method))).to_dict(),
        session,
        (await wire.get(f"/v1/checkout/sessions/{paid['id']}")).json(),
        *(await wire.get("/v1/events?limit=50")).json()["data"],
    ]


async def test_every_field_has_the_name_and_the_type_that_stripe_publishes(
    shop: stripe.StripeClient, wire: httpx.AsyncClient
) -> None:
    things = await served(shop, wire)
    assert {thing["object"] for thing in things} == FIXTURES.keys()
    for thing in things:
        name, theirs = thing["object"], FIXTURES[thing["object"]]
        if name == "event":  # its object is of any type, and is compared as such
            await _compare(thing["data"].pop("object"))
            theirs = theirs | {"data": {}}
        assert list(differences(thing, theirs, MODELS[name])) == [], name


async def _compare(thing: dict[str, Any]) -> None:
    name = thing["object"]
    assert list(differences(thing, FIXTURES[name], MODELS[name])) == [], name


def test_a_difference_is_found() -> None:
    """The control."""
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
LISTED: Tree = {"created": {"gte": "1"}, "limit": "1"}
INTENT: Tree = {"amount": "1", "currency": "usd", "automatic_payment_methods": {"enabled": "true"}}
CHECKOUT: Tree = {
    "mode": "payment",
    "success_url": "http://shop.test/",
    "payment_intent_data": {"capture_method": "manual"},
    "line_items": {
        "0": {
            "quantity": "1",
            "price_data": {"currency": "usd", "unit_amount": "1", "product_data": {"name": "A night out"}},
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
    "confirm": (
        operations.confirm_intent,
        ("pi",),
        {"payment_method_data": CARD_DATA},
        params.PaymentIntentConfirmParams,
    ),
    "capture": (operations.capture_intent, ("pi",), {}, params.PaymentIntentCaptureParams),
    "cancel": (operations.cancel_intent, ("pi",), {}, params.PaymentIntentCancelParams),
    "look at an intent": (queries.intent, ("pi",), {}, params.PaymentIntentRetrieveParams),
    "list intents": (queries.intents, (), LISTED, params.PaymentIntentListParams),
    "look at a charge": (queries.charge, ("ch",), {}, params.ChargeRetrieveParams),
    "look at a method": (queries.payment_method, ("pm",), {}, params.PaymentMethodRetrieveParams),
    "refund": (operations.create_refund, (), {"charge": "ch"}, params.RefundCreateParams),
    "list refunds": (queries.refunds, (), LISTED, params.RefundListParams),
    "look at a refund": (queries.refund, ("re",), {}, params.RefundRetrieveParams),
    "create a session": (checkout.create_session, (), CHECKOUT, checkout_params.SessionCreateParams),
    "expire a session": (checkout.expire_session, ("cs",), {}, checkout_params.SessionExpireParams),
    "look at a session": (queries.session, ("cs",), {}, checkout_params.SessionRetrieveParams),
    "list sessions": (queries.sessions, (), LISTED, checkout_params.SessionListParams),
    "list events": (events.events, (), LISTED, params.EventListParams),
    "look at an event": (events.event, ("evt",), {}, params.EventRetrieveParams),
}
UNTYPED = "payment_method_data[card]"
"""Documented, but left out of the package's types, as raw card data is not for everybody."""


def accepted(monkeypatch: pytest.MonkeyPatch, operation: Any, ids: tuple[str, ...], tree: Tree) -> set[str]:
    """The paths of all parameters that an operation knows, in those forms that `tree` has."""
    found: set[str] = set()
    init = Form.__init__

    def watched(form: Form, tree: Tree, known: str, *, within: str = "") -> None:
        found.update(f"{within}[{name}]" if within else name for name in known.split())
        init(form, tree, known, within=within)

    with monkeypatch.context() as patch:
        patch.setattr(Form, "__init__", watched)
        operation(*ids, tree)
    return found


def typed(path: str, params: Any) -> bool:
    """Whether a path is one of the typed parameters."""
    name, _, rest = path.partition("[")
    # StripeContext is in the types of options alone, and is imported for type checkers only.
    names = {**vars(_request_options), **vars(sys.modules[params.__module__]), "StripeContext": Any}
    hints = get_type_hints(params, names)
    if name not in hints.keys() - _request_options.RequestOptions.__annotations__.keys():
        return False
    if not rest:
        return True
    inner, _, further = rest.partition("]")
    if inner.isdecimal():
        inner, _, further = further[1:].partition("]")
    return any(typed(f"{inner}{further}", part) for part in _typed_dicts(hints[name]))


def _typed_dicts(annotation: Any) -> Iterator[Any]:
    if is_typeddict(annotation):
        yield annotation
    for part in typing.get_args(annotation):
        yield from _typed_dicts(part)


@pytest.mark.parametrize("name", ENDPOINTS)
def test_every_parameter_is_one_of_the_packages_typed_ones(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    operation, ids, tree, params = ENDPOINTS[name]
    found = accepted(monkeypatch, operation, ids, tree)
    assert "expand" in found
    found = {path for path in found if not path.startswith(UNTYPED)}
    assert {path for path in found if not typed(path, params)} == set()


def test_what_is_no_typed_parameter_is_found() -> None:
    """The control."""
    for path in ("amount", "payment_method_data[type]", "expand"):
        assert typed(path, params.PaymentIntentCreateParams)
    for path in ("colour", "payment_method_data[colour]", "api_key", "amount[gte]"):
        assert not typed(path, params.PaymentIntentCreateParams)


@pytest.mark.parametrize("name", ENDPOINTS)
def test_every_endpoint_refuses_parameters_that_it_does_not_know(name: str) -> None:
    operation, ids, tree, _ = ENDPOINTS[name]
    with pytest.raises(StripeError) as caught:
        operation(*ids, tree | {"colour": "red"})
    assert (caught.value.code, caught.value.param) == ("parameter_unknown", "colour")
