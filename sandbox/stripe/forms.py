"""Stripe's request bodies: form-encoded, nested with brackets, with unknown names rejected.

`amount=1999&currency=usd&payment_method_data[card][token]=tok_visa&expand[]=latest_charge`
"""

import re
from typing import Any
from urllib.parse import parse_qsl

from sandbox.stripe.errors import StripeError

Tree = dict[str, Any]
"""A parsed body: each name has a string or another tree. A list is a tree with positions as names."""

_NAME = re.compile(r"[^\[\]]+(?:\[[^\[\]]*\])*")
_PART = re.compile(r"[^\[\]]+|(?<=\[)(?=\])")
_MAX_AMOUNT = 99_999_999  # https://docs.stripe.com/currencies#minimum-and-maximum-charge-amounts


def parse(encoded: bytes) -> Tree:
    """Parse a body or a query string.

    Raises:
        StripeError: the input isn't form-encoded, or a name is used both for a string and for a tree.
    """
    tree: Tree = {}
    try:
        pairs = parse_qsl(encoded.decode(), keep_blank_values=True, errors="strict", max_num_fields=1000)
    except ValueError as error:
        raise StripeError("The request is not form-encoded UTF-8.") from error
    for name, value in pairs:
        if not _NAME.fullmatch(name):
            raise StripeError(f"Invalid parameter name: {name}", param=name)
        *branches, leaf = _PART.findall(name)
        node = tree
        for branch in branches:
            node = node.setdefault(branch, {})
            if not isinstance(node, dict):
                raise StripeError(f"Invalid parameter: {name}", param=name)
        node[leaf or str(len(node))] = value
    return tree


class Form:
    """Typed access to a tree. Like Stripe, it raises if the tree has a name that isn't in `known`."""

    def __init__(self, tree: Tree, known: str, *, within: str = "") -> None:
        self._tree = tree
        self._within = within
        unknown = [self._path(name) for name in tree if name not in known.split()]
        if unknown:
            plural = "s" if len(unknown) > 1 else ""
            raise StripeError(
                f"Received unknown parameter{plural}: {', '.join(unknown)}",
                code="parameter_unknown",
                param=unknown[0],
            )

    def _path(self, name: str) -> str:
        return f"{self._within}[{name}]" if self._within else name

    def __contains__(self, name: str) -> bool:
        return name in self._tree

    def text(self, name: str, *, longest: int = 5000) -> str | None:
        value = self._tree.get(name)
        if value is None:
            return None
        if not isinstance(value, str):
            raise StripeError("Invalid string", param=self._path(name))
        if value == "":
            raise StripeError(
                f"You passed an empty string for '{self._path(name)}'. You should remove it from your"
                " request or supply a non-empty value.",
                code="parameter_invalid_empty",
                param=self._path(name),
            )
        if len(value) > longest:
            raise StripeError(f"Invalid string; must be at most {longest} characters", param=self._path(name))
        return value

    def required(self, name: str) -> str:
        value = self.text(name)
        if value is None:
            path = self._path(name)
            raise StripeError(f"Missing required param: {path}.", code="parameter_missing", param=path)
        return value

    def choice(self, name: str, options: str) -> str | None:
        value = self.text(name)
        if value is not None and value not in options.split():
            listed = ", ".join(options.split()[:-1]) + f", or {options.split()[-1]}"
            raise StripeError(f"Invalid {self._path(name)}: must be one of {listed}", param=self._path(name))
        return value

    def flag(self, name: str) -> bool:
        value = self.text(name)
        if value not in (None, "true", "false"):
            raise StripeError(f"Invalid boolean: {value}", param=self._path(name))
        return value == "true"

    def integer(self, name: str) -> int | None:
        value = self.text(name, longest=20)
        if value is None:
            return None
        if not re.fullmatch(r"-?[0-9]+", value, re.ASCII):
            raise StripeError(
                f"Invalid integer: {value}", code="parameter_invalid_integer", param=self._path(name)
            )
        return int(value)

    def amount(self, name: str) -> int | None:
        """An amount in minor units of the currency, from 1 to 99,999,999."""
        value = self.integer(name)
        if value is not None and value < 1:
            raise StripeError(
                "This value must be greater than or equal to 1.",
                code="parameter_invalid_integer",
                param=self._path(name),
            )
        if value is not None and value > _MAX_AMOUNT:
            raise StripeError(
                "Amount must be no more than $999,999.99", code="amount_too_large", param=self._path(name)
            )
        return value

    def required_form(self, name: str, known: str) -> "Form":
        form = self.form(name, known)
        if form is None:
            path = self._path(name)
            raise StripeError(f"Missing required param: {path}.", code="parameter_missing", param=path)
        return form

    def form(self, name: str, known: str) -> "Form | None":
        value = self._tree.get(name)
        if value is None:
            return None
        if not isinstance(value, dict):
            raise StripeError("Invalid object", param=self._path(name))
        return Form(value, known, within=self._path(name))

    def nests(self, name: str) -> bool:
        """Whether the value is a tree."""
        return isinstance(self._tree.get(name), dict)

    def forms(self, name: str, known: str) -> "list[Form]":
        """A list of trees, by default empty."""
        value = self._tree.get(name, {})
        if not isinstance(value, dict) or not all(isinstance(item, dict) for item in value.values()):
            raise StripeError("Invalid array", param=self._path(name))
        path = self._path(name)
        return [Form(item, known, within=f"{path}[{position}]") for position, item in value.items()]

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of strings, by default empty."""
        value = self._tree.get(name, {})
        if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
            raise StripeError("Invalid array", param=self._path(name))
        return tuple(value.values())

    def metadata(self) -> dict[str, str]:
        """The metadata; an empty value removes its name. https://docs.stripe.com/api/metadata"""
        value = self._tree.get("metadata", {})
        if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
            raise StripeError("Invalid object", param=self._path("metadata"))
        for key, item in value.items():
            if len(key) > 40 or len(item) > 500:
                raise StripeError(
                    "Metadata names may have up to 40 characters and values up to 500.",
                    param=f"metadata[{key[:40]}]",
                )
        if len(value) > 50:
            raise StripeError("Metadata may have up to 50 names.", param="metadata")
        return value
