"""The base of the classes with which services read the parts of Stripe's objects that they need.

A field has a default there if Stripe documents it as optional or nullable, or if only an expanded object has
it: Stripe may leave such a field out, or send null. The source is Stripe's OpenAPI document,
https://github.com/stripe/openapi. Values of enums are plain text, because Stripe may add some.
"""

from typing import Self

import stripe
from pydantic import BaseModel, ConfigDict, model_validator


class Shape(BaseModel):
    model_config = ConfigDict(frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, values: dict[str, object]) -> dict[str, object]:
        return {name: value for name, value in values.items() if value is not None}

    @classmethod
    def of(cls, found: stripe.StripeObject) -> Self:
        """
        Raises:
            pydantic.ValidationError: a field is missing that Stripe always sends.
        """
        return cls.model_validate(found.to_dict())


def only_expanded(found: object) -> object:
    """The object in an expandable field. None if the field has only the object's id."""
    return found if isinstance(found, dict) else None
