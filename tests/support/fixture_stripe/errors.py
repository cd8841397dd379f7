"""Stripe's errors: https://docs.stripe.com/api/errors and https://docs.stripe.com/error-codes."""

from collections.abc import Sequence
from typing import Any


class StripeProblem(Exception):
    """An answer other than 200. `fields` are those of its error object, without the ones that are None."""

    def __init__(
        self, message: str, *, status: int = 400, kind: str = "invalid_request_error", **fields: Any
    ) -> None:
        super().__init__(message)
        self.status = status
        if code := fields.get("code"):
            fields["doc_url"] = f"https://stripe.com/docs/error-codes/{code.replace('_', '-')}"
        given = {"message": message, "type": kind, **fields}
        self.fields = {name: value for name, value in given.items() if value is not None}


def unknown_parameters(paths: Sequence[str]) -> StripeProblem:
    message = f"Received unknown parameter{'s' if len(paths) > 1 else ''}: {', '.join(paths)}"
    return StripeProblem(message, code="parameter_unknown", param=paths[0])


def missing(kind: str, key: str, *, param: str, status: int = 404) -> StripeProblem:
    """An object that doesn't exist. The status is 404 for an id in the path, else 400."""
    return StripeProblem(f"No such {kind}: '{key}'", status=status, code="resource_missing", param=param)


def failure(status: int) -> StripeProblem:
    """An answer without a reason of the request's own: 429 or a server error."""
    if status == 429:
        return StripeProblem("Request rate limit exceeded.", status=429, code="rate_limit")
    return StripeProblem("An unknown error occurred", status=status, kind="api_error")
