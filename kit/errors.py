"""Errors with a message for users and an HTTP status."""

import re
from typing import Any, ClassVar


class ServiceError(Exception):
    """An expected failure. Rules and actions raise it; HTTP and event handlers translate it."""

    status: ClassVar[int] = 500
    message: ClassVar[str] = "Something went wrong"
    code: ClassVar[str] = "service-error"
    """The last part of the problem's type, such as ticket-reserved for TicketReserved."""

    def __init_subclass__(cls, **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        if "code" not in vars(cls):
            cls.code = re.sub(r"(?<!^)(?=[A-Z])", "-", cls.__name__).lower()

    def __init__(
        self, message: str | None = None, *, retry_after: int | None = None, field: str | None = None
    ) -> None:
        self.detail = message or self.message
        self.field = field
        """The input field that caused the error, as the API names it."""
        self.retry_after = retry_after
        """Seconds after which a retry may succeed."""
        super().__init__(self.detail)


class Invalid(ServiceError):
    status = 400
    message = "That isn't valid"


class NotJson(Invalid):
    message = "The body isn't valid JSON"


class RequestAborted(Invalid):
    message = "The request was aborted"


class NotSignedIn(ServiceError):
    status = 401
    message = "Sign in first"


class NotAnOperator(ServiceError):
    status = 401
    message = "This is for operators: send OPERATOR_TOKEN as a bearer token"


class NotAService(ServiceError):
    status = 401
    message = "This is for services of the marketplace"


class Forbidden(ServiceError):
    status = 403
    message = "That isn't yours"


class Unconfirmed(Forbidden):
    message = "Confirm your email address first: open the link that we sent to it"


class Unidentified(Forbidden):
    message = (
        "You sell as a trader. State your name, address, email and phone number on your account page first"
    )


class SignInAgain(Forbidden):
    message = "Sign in again first: this needs your password or passkey of the last ten minutes"


class AccountClosed(Forbidden):
    message = "Your account is being deleted"


class CrossSite(Forbidden):
    """Another site may have caused the request."""

    message = "The request came from another site"


class NotFound(ServiceError):
    status = 404
    message = "Not found"


class Conflict(ServiceError):
    status = 409
    message = "That isn't possible any more"


class UnsupportedMediaType(ServiceError):
    status = 415
    message = "The body must be application/json"


class TooManyRequests(ServiceError):
    status = 429
    message = "Too many requests. Try again in a moment"


class Unavailable(ServiceError):
    """A dependency is unavailable for now. Retrying is safe."""

    status = 503
    message = "This is unavailable for a moment. Try again"
