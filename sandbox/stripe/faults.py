"""What can go wrong between a shop and Stripe, on demand.

`rate_limit`: answered with 429; nothing is done, and nothing remembered under the idempotency key.
`server_error`: answered with 500; nothing is done, and the answer is remembered under the key.
`slow`: done and answered only after `slow_seconds`; meanwhile the key is in use.
`lost`: done, and remembered under the key, but the connection breaks off in the middle of the answer.

They are had one by one, by paying with the card `tok_fault_<kind>`, or at random for all requests below
/v1, by the switch at /faults. Kept in memory: a new process has none.
"""

import random
import secrets
from collections import Counter
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

from litestar import Response
from litestar.response.base import ASGIResponse
from litestar.types import Receive, Scope, Send

from sandbox.stripe.errors import StripeError
from sandbox.stripe.forms import Form

Kind = Literal["rate_limit", "server_error", "slow", "lost"]
KINDS: tuple[Kind, ...] = get_args(Kind)
_RATE_LIMITED = 2
"""How many confirmations with `tok_fault_rate_limit` are refused under a key."""
_MOST_COUNTED = 10_000


@dataclass(frozen=True)
class Switch:
    """Faults of all requests below /v1: which part of them has one, and which one."""

    rate: float = 0.0
    kinds: tuple[Kind, ...] = KINDS
    seed: int = 0
    slow_seconds: float = 15.0
    """Longer than a client waits that gives up after 10 seconds. Of `tok_fault_slow` too."""


def read_switch(form: Form, usual: Switch) -> Switch:
    """`rate`, and if need be `kinds` (with commas), `seed` and `slow_seconds`.

    Raises:
        StripeError: one of them isn't what it should be.
    """
    kinds = tuple((form.text("kinds") or ",".join(KINDS)).split(","))
    if any(kind not in KINDS for kind in kinds):
        raise StripeError(f"Invalid kinds: must be some of {', '.join(KINDS)}", param="kinds")
    seed = form.integer("seed")
    slow_seconds = _number(form, "slow_seconds", most=3600)
    return Switch(
        rate=_number(form, "rate", most=1) or 0.0,
        kinds=cast("tuple[Kind, ...]", kinds),
        seed=secrets.randbelow(2**32) if seed is None else seed,
        slow_seconds=usual.slow_seconds if slow_seconds is None else slow_seconds,
    )


def _number(form: Form, name: str, *, most: float) -> float | None:
    text = form.text(name, longest=20)
    if text is None:
        return None
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number <= most:  # which a NaN isn't either
        raise StripeError(f"Invalid {name}: must be from 0 to {most:g}", param=name)
    return number


class Faults:
    def __init__(self, usual: Switch) -> None:
        self._usual = usual
        self._refused: Counter[str] = Counter()
        self.turn(usual)

    def turn(self, switch: Switch) -> None:
        """From here on, the same requests in the same order meet the same faults."""
        self.switch = switch
        self._random = random.Random(switch.seed)  # noqa: S311 - repeatable on purpose

    def turn_off(self) -> None:
        self.turn(self._usual)

    def read(self, form: Form) -> Switch:
        return read_switch(form, self._usual)

    def draw(self) -> Kind | None:
        """The fault that a request meets by chance."""
        if self._random.random() >= self.switch.rate:
            return None
        return self._random.choice(self.switch.kinds)

    def of_card(self, card_name: str | None, key: str) -> Kind | None:
        """The fault of a confirmation with a card, under a key."""
        kind = next((kind for kind in KINDS if card_name == f"fault_{kind}"), None)
        if kind != "rate_limit":
            return kind
        if len(self._refused) >= _MOST_COUNTED:
            self._refused.clear()
        self._refused[key] += 1
        return kind if self._refused[key] <= _RATE_LIMITED else None


def rate_limited() -> StripeError:
    return StripeError(
        "Request rate limit exceeded. You can learn more about rate limits here"
        " https://stripe.com/docs/rate-limits.",
        status=429,
        code="rate_limit",
    )


class Lost(Response[str]):
    """An answer whose connection breaks off before its end."""

    def to_asgi_response(self, *_: Any, **__: Any) -> ASGIResponse:
        return _BrokenOff(
            body=self.content.encode(),
            headers=dict(self.headers),
            media_type="application/json",
            status_code=self.status_code,
        )


class _BrokenOff(ASGIResponse):
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.start_response(send)
        # The server closes the connection of an application that ends with more to come.
        half = self.body[: len(self.body) // 2]
        await send({"type": "http.response.body", "body": half, "more_body": True})
