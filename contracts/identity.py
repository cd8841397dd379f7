"""Who is asking."""

from typing import Annotated

from pydantic import AfterValidator, EmailStr, StringConstraints

from contracts.wire import Id, Wire

SESSION_COOKIE = "session"

Email = Annotated[EmailStr, StringConstraints(strip_whitespace=True), AfterValidator(str.lower)]
"""An e-mail address, trimmed and in lower case."""


class Identity(Wire):
    """A signed-in user, as the session token says."""

    id: Id
    email: str
    session_id: str
