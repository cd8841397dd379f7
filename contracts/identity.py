"""Who is asking."""

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


def _bare(value: object) -> object:
    if isinstance(value, str) and "<" in value:
        raise PydanticCustomError("email_bare", "Email must be an address alone, without a name")
    return value


Email = Annotated[
    EmailStr,
    StringConstraints(strip_whitespace=True, max_length=320),
    BeforeValidator(_bare),
    AfterValidator(str.lower),
]
"""An e-mail address, trimmed, normalised (RFC 5321, IDNA) and in lower case."""

_EMAIL: TypeAdapter[str] = TypeAdapter(Email)


def _as_signed_up(value: str) -> str:
    try:
        return _EMAIL.validate_python(value)
    except ValidationError:
        return value.strip().lower()


EmailGiven = Annotated[str, StringConstraints(max_length=320), AfterValidator(_as_signed_up)]
"""What somebody says is their address: in the form in which it was stored, if it is one."""


class Identity(Wire):
    """A signed-in user, as the session token says."""

    id: Id
    email: str
    session_id: str
