"""Users: their e-mail addresses and identities."""

from datetime import datetime
from typing import Annotated

from pydantic import (
    AfterValidator,
    BeforeValidator,
    EmailStr,
    StringConstraints,
    TypeAdapter,
    ValidationError,
)
from pydantic_core import PydanticCustomError

from contracts.wire import Id, Wire

SESSION_COOKIE = "session"
SECURE_SESSION_COOKIE = f"__Host-{SESSION_COOKIE}"
"""The name of the cookie behind TLS. Browsers accept it only over TLS, for the whole site, and without a
domain (RFC 6265bis, section 4.1.3.2), so that no sibling domain can set it."""


def _reject_display_name(value: object) -> object:
    if isinstance(value, str) and "<" in value:
        raise PydanticCustomError("email_bare", "Email must be just an address, without a name")
    return value


Email = Annotated[
    EmailStr,
    StringConstraints(strip_whitespace=True, max_length=320),
    BeforeValidator(_reject_display_name),
    AfterValidator(str.lower),
]
"""An e-mail address, trimmed, normalised (RFC 5321, IDNA) and in lower case."""

_EMAIL: TypeAdapter[str] = TypeAdapter(Email)


def normalised_email(value: str) -> str:
    """The address as it is stored. A malformed one is only trimmed and lower-cased."""
    try:
        return _EMAIL.validate_python(value)
    except ValidationError:
        return value.strip().lower()


EmailInput = Annotated[str, StringConstraints(max_length=320), AfterValidator(normalised_email)]
"""An e-mail address given at sign-in, normalised like the stored addresses.

A malformed address is only trimmed and lower-cased, so that sign-in fails like for an unknown address.
"""


class Identity(Wire):
    """The user whom a session token identifies."""

    id: Id
    email: str
    session_id: str
    unconfirmed: bool = False
    """Whether the user has yet to confirm the address, and may therefore neither list nor pay."""
    unidentified: bool = False
    """Whether the user sells as a trader, but has yet to say who that is, and may therefore list nothing."""
    signed_in_at: datetime | None = None
    """When the session began with the password or a passkey. None for a token of an earlier version."""
