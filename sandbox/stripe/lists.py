"""The parameters of lists: https://docs.stripe.com/api/pagination"""

from sandbox.stripe.errors import StripeError
from sandbox.stripe.forms import Form
from sandbox.stripe.store import Page

PAGED = "created ending_before expand limit starting_after"
"""The parameters of every list."""


def read_page(form: Form) -> Page:
    limit = form.integer("limit")
    if limit is not None and not 1 <= limit <= 100:
        raise StripeError(
            "Invalid limit: must be from 1 to 100", code="parameter_invalid_integer", param="limit"
        )
    after, before = form.text("starting_after"), form.text("ending_before")
    if after and before:
        raise StripeError(
            "You may only specify one of these parameters: ending_before, starting_after.",
            code="parameters_exclusive",
            param="ending_before",
        )
    earliest, latest = _read_created(form)
    return Page(limit or 10, after, before, earliest, latest)


def _read_created(form: Form) -> tuple[int | None, int | None]:
    """The first and the last second of the range `created`. A single number is a range of one second."""
    if not form.nests("created"):
        second = form.integer("created")
        return second, second
    times = form.form("created", "gt gte lt lte")
    assert times is not None
    gt, gte, lt, lte = (times.integer(name) for name in ("gt", "gte", "lt", "lte"))
    lows = [low for low in (gte, None if gt is None else gt + 1) if low is not None]
    highs = [high for high in (lte, None if lt is None else lt - 1) if high is not None]
    return max(lows, default=None), min(highs, default=None)
