"""Stripe's errors: https://docs.stripe.com/api/errors and https://docs.stripe.com/error-codes."""

from typing import Any


class StripeError(Exception):
    """An error in Stripe's format and wording, raised by the rules and by parsing."""

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        kind: str = "invalid_request_error",
        code: str | None = None,
        param: str | None = None,
        **more: Any,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.kind = kind
        self.code = code
        self.param = param
        self.more = more

    def body(self) -> dict[str, Any]:
        fields = {
            "code": self.code,
            "doc_url": doc_url(self.code),
            "message": self.message,
            "param": self.param,
            **self.more,
            "type": self.kind,
        }
        return {"error": {name: value for name, value in fields.items() if value is not None}}


def doc_url(code: str | None) -> str | None:
    return code and f"https://stripe.com/docs/error-codes/{code.replace('_', '-')}"


def missing(thing: str, name: str, *, param: str, status: int = 400) -> StripeError:
    """The error for an object that doesn't exist. `status` is 404 for an id in the path, 400 in the body."""
    return StripeError(f"No such {thing}: '{name}'", status=status, code="resource_missing", param=param)


def unauthorized(given: str | None) -> StripeError:
    if given:
        # Like Stripe, show only enough of a wrong key to recognize it.
        message = f"Invalid API Key provided: {given[:8]}{'*' * 8}{given[-4:] if len(given) > 16 else ''}"
    else:
        message = (
            "You did not provide an API key. You need to provide your API key in the Authorization header,"
            " using Bearer auth (e.g. 'Authorization: Bearer YOUR_SECRET_KEY')."
        )
    return StripeError(message, status=401)


def unknown_path(method: str, path: str) -> StripeError:
    return StripeError(f"Unrecognized request URL ({method}: {path}).", status=404)


def failure() -> StripeError:
    return StripeError("An unknown error occurred", status=500, kind="api_error")
