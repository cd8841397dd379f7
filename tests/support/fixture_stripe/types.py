"""What the types of the `stripe` package say about requests and responses.

Stripe generates them from the OpenAPI document of the API version that the package pins. They write an enum
as `Literal[...] | str`, because Stripe may add values; here such a field has to have one of the values.
"""

import re
import sys
import typing
from collections.abc import Iterator
from functools import cache
from types import NoneType, UnionType
from typing import Any, Literal, TypedDict

import stripe
from stripe import _request_options
from typing_extensions import get_type_hints, is_typeddict

from tests.support.fixture_stripe.errors import StripeProblem, unknown_parameters


class CardToken(TypedDict):
    """`payment_method_data[card]`. The types leave out cards, because card data needs Stripe's permission."""

    token: str


def alternatives(annotation: Any) -> list[Any]:
    """The members of a union, with forward references resolved."""
    if isinstance(annotation, typing.ForwardRef):
        # The package imports some classes under another name, such as Card as CardResource.
        name = annotation.__forward_arg__.removesuffix("Resource")
        annotation = getattr(stripe, name, stripe.StripeObject)
    if typing.get_origin(annotation) in (typing.Union, UnionType):
        return [found for part in typing.get_args(annotation) for found in alternatives(part)]
    return [annotation]


def _values(options: list[Any]) -> list[Any]:
    """The values of the enums among the alternatives."""
    literals = (option for option in options if typing.get_origin(option) is Literal)
    return [value for literal in literals for value in typing.get_args(literal)]


# --- Requests ---


@cache
def hints_of(params: Any) -> dict[str, Any]:
    """The parameters of an endpoint, or of an object within them, and their types."""
    # Only the types of options refer to StripeContext, which the package imports for type checkers only.
    names = {**vars(_request_options), **vars(sys.modules[params.__module__]), "StripeContext": Any}
    hints = get_type_hints(params, names)
    options = _request_options.RequestOptions.__annotations__
    return {name: hint for name, hint in hints.items() if name not in options}


def read_params(tree: Any, params: Any, path: str = "") -> dict[str, Any]:
    """Convert form fields to values.

    Raises:
        StripeProblem: a parameter is unknown, missing or has a value of another type.
    """
    hints = hints_of(params)
    if path == "payment_method_data":
        hints = {**hints, "card": CardToken, "type": Literal["card"] | hints["type"]}
    paths = {name: f"{path}[{name}]" if path else name for name in [*hints, *tree]}
    if unknown := [paths[name] for name in tree if name not in hints]:
        raise unknown_parameters(unknown)
    for name in sorted(params.__required_keys__ & hints.keys() - tree.keys()):
        message = f"Missing required param: {paths[name]}."
        raise StripeProblem(message, code="parameter_missing", param=paths[name])
    return {name: _read(value, alternatives(hints[name]), paths[name]) for name, value in tree.items()}


def _read(value: Any, options: list[Any], path: str) -> Any:
    return _read_text(value, options, path) if isinstance(value, str) else _read_tree(value, options, path)


def _read_text(value: str, options: list[Any], path: str) -> Any:
    allowed = _values(options)
    if value in allowed:
        return value
    if int in options and re.fullmatch("-?[0-9]+", value):
        return int(value)
    if bool in options and value in ("true", "false"):
        return value == "true"
    if values := [known for known in allowed if known]:
        listed = ", ".join(values[:-1]) + f", or {values[-1]}"
        raise StripeProblem(f"Invalid {path}: must be one of {listed}", param=path)
    if str in options and value:
        return value
    if str in options:
        message = f"You passed an empty string for '{path}'."
        raise StripeProblem(message, code="parameter_invalid_empty", param=path)
    if int in options:
        raise StripeProblem(f"Invalid integer: {value}", code="parameter_invalid_integer", param=path)
    raise StripeProblem("Invalid boolean" if bool in options else "Invalid object", param=path)


def _read_tree(tree: dict[str, Any], options: list[Any], path: str) -> Any:
    for option in options:
        if typing.get_origin(option) is list and all(name.isdecimal() for name in tree):
            inner = alternatives(typing.get_args(option)[0])
            return [_read(value, inner, f"{path}[{name}]") for name, value in tree.items()]
        if typing.get_origin(option) is dict and all(isinstance(value, str) for value in tree.values()):
            return dict(tree)
        if is_typeddict(option):
            return read_params(tree, option, path)
    raise StripeProblem("Invalid string", param=path)


# --- Responses ---


def fields_of(kind: type[stripe.StripeObject]) -> dict[str, Any]:
    """The fields of an object and their types."""
    return {name: field for name, field in kind.__annotations__.items() if name != "OBJECT_NAME"}


def object_in(annotation: Any) -> type[stripe.StripeObject] | None:
    """The type of the object in a field. None if it has no fields of its own, like metadata."""
    for option in alternatives(annotation):
        if isinstance(option, type) and issubclass(option, stripe.StripeObject) and option.__annotations__:
            return option
    return None


def list_in(annotation: Any) -> type[stripe.StripeObject] | None:
    """The type of the items if the field is a list with pages."""
    for option in alternatives(annotation):
        if typing.get_origin(option) is stripe.ListObject:
            return object_in(typing.get_args(option)[0])
    return None


def is_reference(annotation: Any) -> bool:
    """Whether a field has an id, or the object itself if the request expands it."""
    return str in alternatives(annotation) and object_in(annotation) is not None


def misfits(value: Any, annotation: Any, path: str) -> Iterator[str]:
    """Everything in a value that its type in the `stripe` package doesn't allow."""
    options = alternatives(annotation)
    if value is None:
        if NoneType not in options and Any not in options:
            yield f"{path} is null"
    elif isinstance(value, dict):
        yield from _misfits_of_object(value, annotation, path)
    elif isinstance(value, list):
        inner = [typing.get_args(option)[0] for option in options if typing.get_origin(option) is list]
        if not inner:
            yield f"{path} is a list"
        for item in value if inner else []:
            yield from misfits(item, inner[0], f"{path}[]")
    elif allowed := _values(options):
        if value not in allowed:
            yield f"{path} is {value!r}"
    elif type(value) not in options and Any not in options:
        yield f"{path} is {value!r}"


def _misfits_of_object(value: dict[str, Any], annotation: Any, path: str) -> Iterator[str]:
    if items := list_in(annotation):
        if value.keys() != {"object", "data", "has_more", "url"}:
            yield f"{path} has the fields {sorted(value)}"
        for item in value["data"]:
            yield from misfits(item, items, f"{path}.data[]")
        return
    kind = object_in(annotation)
    if kind is None:
        if not any(_is_free_form(option) for option in alternatives(annotation)):
            yield f"{path} is an object"
        return
    fields = fields_of(kind)
    for name, field in fields.items():
        if name not in value and NoneType not in alternatives(field):
            yield f"{path}.{name} is missing"
    for name, item in value.items():
        if name in fields:
            yield from misfits(item, fields[name], f"{path}.{name}")
        else:
            yield f"{path}.{name} isn't Stripe's"


def _is_free_form(option: Any) -> bool:
    kind = typing.get_origin(option) or option
    return kind in (dict, Any) or (isinstance(kind, type) and issubclass(kind, stripe.StripeObject))
