"""An account at Stripe: its objects, and the events about their changes.

Every object is a copy of its fixture. Only fields that the request or the object's state determines are
different. So the fields that payments doesn't need have the values that Stripe put into the fixtures.
"""

import secrets
import string
import time
from collections.abc import Iterable
from copy import deepcopy
from typing import Any

from kit.stripe.client import API_VERSION
from tests.support.fixture_stripe.cards import Card
from tests.support.fixture_stripe.errors import StripeProblem, missing
from tests.support.fixture_stripe.fixtures import FIXTURES, TYPES, Json
from tests.support.fixture_stripe.types import alternatives, fields_of, is_reference, list_in, object_in

_PREFIXES = {
    "payment_intent": "pi",
    "charge": "ch",
    "refund": "re",
    "dispute": "dp",
    "payment_method": "pm",
    "checkout.session": "cs_test",
    "event": "evt",
}
PATHS = {
    "payment_intent": "payment_intents",
    "charge": "charges",
    "refund": "refunds",
    "dispute": "disputes",
    "checkout.session": "checkout/sessions",
    "event": "events",
}
_ID_PARAMS = {"payment_intent": "intent", "checkout.session": "session", "refund": "id"}
"""What Stripe calls the id in the path, if not like the object."""
_DEEPEST_EXPANSION = 4


def new_id(prefix: str) -> str:
    letters = string.ascii_letters + string.digits
    return f"{prefix}_{''.join(secrets.choice(letters) for _ in range(24))}"


class Account:
    """
    Args:
        url: where browsers find the pages of this imitation.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.objects: dict[str, dict[str, Json]] = {kind: {} for kind in FIXTURES}
        """All objects by kind and id, oldest first. A field that can be expanded has an id."""
        self.cards: dict[str, Card] = {}
        """The card of each payment method."""
        self.checkouts: dict[str, Json] = {}
        """What the request for each Checkout session said about its PaymentIntent."""
        self.sessions: dict[str, str] = {}
        """The Checkout session of each PaymentIntent that has one."""
        self.decisions: dict[str, tuple[float, str]] = {}
        """When a bank decides on a refund, by the monotonic clock, and the refund's status then."""

    def make(self, kind: str, **fields: Any) -> Json:
        created = {"id": new_id(_PREFIXES[kind]), "created": int(time.time()), **fields}
        made = deepcopy(FIXTURES[kind]) | created
        self.objects[kind][made["id"]] = made
        return made

    def find(self, kind: str, key: str, *, param: str | None = None) -> Json:
        """
        Args:
            param: the parameter with the id. None for an id in the path.

        Raises:
            StripeProblem: there is no such object: 400 for an id in a parameter, or 404.
        """
        found = self.objects[kind].get(key)
        if found is None and param is not None:
            raise missing(kind, key, param=param, status=400)
        if found is None:
            raise missing(kind, key, param=_ID_PARAMS.get(kind, kind))
        return found

    def record(self, subject: Json, *types: str) -> None:
        """Append the events about a change to the log."""
        for type_ in types:
            self.make(
                "event",
                api_version=API_VERSION,
                data={"object": self.shown(subject)},
                request={"id": new_id("req"), "idempotency_key": None},
                type=type_,
            )

    def listed(self, kind: str, given: Json) -> Json:
        """One page of all objects of a kind, newest first: https://docs.stripe.com/api/pagination"""
        filters = {
            name: value
            for name, value in given.items()
            if name not in ("limit", "starting_after", "created", "expand")
        }
        if filters.keys() - {"payment_intent", "charge", "type"}:
            raise NotImplementedError(f"lists aren't filtered by {sorted(filters)}")
        found = [
            each
            for each in reversed(self.objects[kind].values())
            if all(each[name] == value for name, value in filters.items())
            and _is_within(each["created"], given.get("created", {}))
        ]
        after = given.get("starting_after")
        if after is not None:
            self.find(kind, after, param="starting_after")
            start = next((i + 1 for i, each in enumerate(found) if each["id"] == after), len(found))
            found = found[start:]
        limit = given.get("limit", 10)
        if not 1 <= limit <= 100:
            raise StripeProblem("Invalid limit", code="parameter_invalid_integer", param="limit")
        within = [path.removeprefix("data.") for path in given.get("expand", [])]
        page = [self.shown(each, within) for each in found[:limit]]
        return {"object": "list", "url": f"/v1/{PATHS[kind]}", "has_more": len(found) > limit, "data": page}

    # --- Expansion: https://docs.stripe.com/api/expanding_objects ---

    def shown(self, subject: Json, expand: Iterable[str] = ()) -> Json:
        """The object with only the parts that the request expands, as Stripe's types define them."""
        kind = subject["object"]
        within: dict[str, list[str]] = {}
        for path in expand:
            name, _, rest = path.partition(".")
            within.setdefault(name, []).extend([rest] if rest else [])
        shown = deepcopy(subject)
        for name, annotation in fields_of(TYPES[kind]).items():
            if list_in(annotation) and name not in within:
                shown.pop(name, None)  # such a list is only there if it is expanded
            elif is_reference(annotation) and name in within and shown.get(name):
                inner = object_in(annotation)
                found = self.objects[_kind_of(inner)].get(shown[name])
                if found is None:
                    raise NotImplementedError(f"{kind}.{name} can't be expanded here")
                shown[name] = self.shown(found, within[name])
        if kind == "charge" and "refunds" in within:
            shown["refunds"] = {
                **self.listed("refund", {"charge": subject["id"]}),
                "url": f"/v1/charges/{subject['id']}/refunds",
            }
        return shown


def check_expand(kind: str, paths: Iterable[str], *, in_list: bool = False) -> None:
    """
    Raises:
        StripeProblem: a path names something that can't be expanded.
    """
    for path in paths:
        names = path.split(".")
        if len(names) > _DEEPEST_EXPANSION:
            raise StripeProblem("You cannot expand more than 4 levels of a property.", param="expand")
        if in_list and names.pop(0) != "data":
            raise _not_expandable(path)
        type_: Any = TYPES[kind]
        for name in names:
            annotation = fields_of(type_).get(name, str) if type_ else str
            if not (is_reference(annotation) or list_in(annotation)):
                raise _not_expandable(path)
            type_ = object_in(annotation)


def _not_expandable(path: str) -> StripeProblem:
    return StripeProblem(f"This property cannot be expanded ({path}).", param="expand")


def _kind_of(type_: Any) -> str:
    (kind,) = (kind for kind, known in TYPES.items() if known in alternatives(type_))
    return kind


def _is_within(created: int, bounds: int | dict[str, int]) -> bool:
    if isinstance(bounds, int):
        return created == bounds
    tests = {
        "gt": created.__gt__,
        "gte": created.__ge__,
        "lt": created.__lt__,
        "lte": created.__le__,
    }
    return all(tests[name](bound) for name, bound in bounds.items())
