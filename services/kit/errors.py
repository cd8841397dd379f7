"""What can go wrong, in the user's words, with the status that says it over HTTP."""

import re
from typing import ClassVar


class ServiceError(Exception):
    """An answer of no: raised by rules and actions, translated once at each edge."""

    status: ClassVar[int] = 500
    message: ClassVar[str] = "Something went wrong"

    def __init__(self, message: str | None = None, *, retry_after: int | None = None) -> None:
        self.detail = message or self.message
        self.retry_after = retry_after
        """Seconds after which asking again makes sense."""
        super().__init__(self.detail)

    @property
    def code(self) -> str:
        """TicketReserved → ticket-reserved: the last part of the problem's type."""
        return re.sub(r"(?<!^)(?=[A-Z])", "-", type(self).__name__).lower()


class Invalid(ServiceError):
    status = 400
    message = "That isn't valid"


class NotJson(Invalid):
    message = "The body isn't valid JSON"


class BrokeOff(Invalid):
    message = "The request broke off"


class NotSignedIn(ServiceError):
    status = 401
    message = "Sign in first"


class NotAnOperator(ServiceError):
    status = 401
    message = "This is for operators: send OPERATOR_TOKEN as a bearer token"


class Forbidden(ServiceError):
    status = 403
    message = "That isn't yours"


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
    """Something this needs is out of reach for now. Asking again is safe."""

    status = 503
    message = "This is unavailable for a moment. Try again"
