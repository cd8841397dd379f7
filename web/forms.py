"""The content of forms: the user's input and its errors."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from pydantic_core import PydanticCustomError

from contracts.money import parse_price
from contracts.problems import Problem
from web.rendering.texts import _

_WHOLE_NUMBER = re.compile(r"[0-9]{1,6}", re.ASCII)
_DECIMAL_COMMA = re.compile(r"[0-9]+,[0-9]{1,2}", re.ASCII)


@dataclass(frozen=True)
class Form:
    """The values and errors that a form shows. An invalid value is shown as the user entered it."""

    values: Mapping[str, str] = field(default_factory=dict)
    errors: Mapping[str, str] = field(default_factory=dict)
    """Error messages by field name."""
    general: tuple[str, ...] = ()
    """Error messages that concern no single field."""

    def __getitem__(self, name: str) -> str:
        return self.values.get(name, "")

    @property
    def has_errors(self) -> bool:
        return bool(self.errors or self.general)


@dataclass(frozen=True)
class Fields:
    """The fields of a form, with their names in the API."""

    names: Sequence[str]
    messages: Mapping[str, str] = field(default_factory=dict)
    """Error messages by field name, which replace the messages of the API, written for developers."""

    def values(self, data: Mapping[str, str], *, secret: frozenset[str] = frozenset()) -> Mapping[str, str]:
        return {name: data.get(name, "") for name in self.names if name not in secret}

    def with_errors(self, values: Mapping[str, str], problem: Problem) -> Form:
        """The form with the errors from a service's response."""
        errors: dict[str, str] = {}
        general: list[str] = []
        for item in problem.errors:
            if item.field is not None and item.field in self.names:
                message = self.messages.get(item.field)
                errors.setdefault(item.field, _(message) if message else item.message)
            else:
                general.append(item.message)
        return Form(values, errors, tuple(general))


def shown_price(sent: str | None) -> Decimal | None:
    """The price that a page showed, as its form or its address sends it. None if there is none."""
    try:
        return parse_price(sent) if sent else None
    except PydanticCustomError:
        return None


def plain_price(typed: str) -> str:
    """Convert an entered price such as "19,99" or " 19.99 € " to the API's format, 19.99.

    Any other text is only stripped of spaces and currency signs, even "1,000": the comma may separate
    thousands.
    """
    text = typed.strip().strip("$€£").strip()
    return text.replace(",", ".") if _DECIMAL_COMMA.fullmatch(text) else text


def whole_number(typed: str) -> int | str:
    """Convert an entered number such as " 2 ". Any other text is only stripped of spaces."""
    text = typed.strip()
    return int(text) if _WHOLE_NUMBER.fullmatch(text) else text
