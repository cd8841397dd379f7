"""Faults between a shop and Stripe, injected on demand.

Faults of requests below /v1:

- `rate_limit`: answer with 429. Nothing is done, and nothing is stored under the idempotency key.
- `server_error`: answer with 500. Nothing is done, and the answer is stored under the key.
- `slow`: do the work and answer only after `slow_seconds`. Until then the key is in use.
- `lost`: do the work and store the answer under the key, but break the connection within the answer.
- `decline`: the bank declines a payment, whatever card is used, also on the Checkout page. Other requests
  aren't affected.

Faults of webhooks:

- `webhook_late`: skip this delivery attempt, as if the endpoint had failed. Later events overtake it.
- `webhook_repeated`: deliver the webhook twice.
- `webhook_lost`: never deliver the webhook.

The card `tok_fault_<kind>` causes one of the first four faults for a single payment. After a POST to /faults,
requests and webhooks have random faults. With `requests`, such as `POST /v1/transfers`, only requests that
begin like this have faults. These settings are kept in memory only.
"""

import random
import secrets
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, cast, get_args

from litestar import Response
from litestar.response.base import ASGIResponse
from litestar.types import Receive, Scope, Send

from sandbox.stripe.errors import StripeError
from sandbox.stripe.forms import Form, Tree

CardFault = Literal["rate_limit", "server_error", "slow", "lost"]
RequestFault = Literal[CardFault, "decline"]
WebhookFault = Literal["webhook_late", "webhook_repeated", "webhook_lost"]
Kind = Literal[RequestFault, WebhookFault]
F = TypeVar("F", bound=Kind)

CARD_FAULTS: tuple[CardFault, ...] = get_args(CardFault)
REQUEST_FAULTS: tuple[RequestFault, ...] = get_args(RequestFault)
WEBHOOK_FAULTS: tuple[WebhookFault, ...] = get_args(WebhookFault)
KINDS: tuple[Kind, ...] = (*REQUEST_FAULTS, *WEBHOOK_FAULTS)

DECLINED_CARD = "tok_chargeDeclined"
_RATE_LIMITED = 2
"""Number of confirmations with `tok_fault_rate_limit` that are refused under one key."""
_MOST_COUNTED = 10_000


@dataclass(frozen=True)
class FaultSettings:
    """The share of requests and webhooks that have a fault, and the possible faults."""

    rate: float = 0.0
    kinds: tuple[Kind, ...] = CARD_FAULTS
    seed: int = 0
    slow_seconds: float = 15.0
    """The delay of the fault `slow`. The default is longer than payments waits for Stripe."""
    requests: str = ""
    """Only requests that begin like this have faults, such as `POST /v1/transfers`. By default all have."""


def read_fault_settings(form: Form, default: FaultSettings) -> FaultSettings:
    """Read `rate` and the optional `kinds` (separated by commas), `requests`, `seed` and `slow_seconds`.

    Raises:
        StripeError: a value is invalid.
    """
    kinds = tuple((form.text("kinds") or ",".join(default.kinds)).split(","))
    if any(kind not in KINDS for kind in kinds):
        raise StripeError(f"Invalid kinds: must be some of {', '.join(KINDS)}", param="kinds")
    seed = form.integer("seed")
    slow_seconds = _number(form, "slow_seconds", most=3600)
    return FaultSettings(
        rate=_number(form, "rate", most=1) or 0.0,
        kinds=cast("tuple[Kind, ...]", kinds),
        seed=secrets.randbelow(2**32) if seed is None else seed,
        slow_seconds=default.slow_seconds if slow_seconds is None else slow_seconds,
        requests=form.text("requests") or default.requests,
    )


def _number(form: Form, name: str, *, most: float) -> float | None:
    text = form.text(name, longest=20)
    if text is None:
        return None
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number <= most:  # NaN fails this check too
        raise StripeError(f"Invalid {name}: must be from 0 to {most:g}", param=name)
    return number


class Faults:
    def __init__(self, default: FaultSettings) -> None:
        self._default = default
        self._refused: Counter[str] = Counter()
        self.configure(default)

    def configure(self, settings: FaultSettings) -> None:
        """Start over with these settings. The same requests in the same order get the same faults."""
        self.settings = settings
        # The generators are separate, so that the timing of webhooks doesn't change which requests have
        # faults.
        self._requests = random.Random(settings.seed)  # noqa: S311 - repeatable on purpose
        self._webhooks = random.Random(f"{settings.seed}-webhooks")  # noqa: S311
        self._pages = random.Random(f"{settings.seed}-pages")  # noqa: S311

    def turn_off(self) -> None:
        self.configure(self._default)

    def read(self, form: Form) -> FaultSettings:
        return read_fault_settings(form, self._default)

    def of_request(self, method: str, path: str) -> RequestFault | None:
        """Draw the fault of a request below /v1."""
        if not f"{method} {path}".startswith(self.settings.requests):
            return None
        return self._draw(self._requests, REQUEST_FAULTS)

    def of_webhook(self) -> WebhookFault | None:
        """Draw the fault of one attempt to deliver a webhook."""
        return self._draw(self._webhooks, WEBHOOK_FAULTS)

    def declines_on_page(self) -> bool:
        """Draw whether the bank declines a payment on the Checkout page."""
        return self._draw(self._pages, ("decline",)) is not None

    def _draw(self, generator: random.Random, possible: Sequence[F]) -> F | None:
        kinds = [kind for kind in possible if kind in self.settings.kinds]
        if not kinds or generator.random() >= self.settings.rate:
            return None
        return generator.choice(kinds)

    def of_card(self, card_name: str | None, key: str) -> CardFault | None:
        """The fault that a card causes. A rate limit ends after a few confirmations under the same key."""
        kind = next((kind for kind in CARD_FAULTS if card_name == f"fault_{kind}"), None)
        if kind != "rate_limit":
            return kind
        if len(self._refused) >= _MOST_COUNTED:
            self._refused.clear()
        self._refused[key] += 1
        return kind if self._refused[key] <= _RATE_LIMITED else None


def with_declined_card(tree: Tree) -> Tree:
    """A copy of the request that pays with a declined card."""
    others = {name: value for name, value in tree.items() if name != "payment_method"}
    return {**others, "payment_method_data": {"type": "card", "card": {"token": DECLINED_CARD}}}


def rate_limited() -> StripeError:
    return StripeError(
        "Request rate limit exceeded. You can learn more about rate limits here"
        " https://stripe.com/docs/rate-limits.",
        status=429,
        code="rate_limit",
    )


class Lost(Response[str]):
    """An answer during which the connection breaks."""

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
        # The server closes the connection if the application ends before the response is complete.
        half = self.body[: len(self.body) // 2]
        await send({"type": "http.response.body", "body": half, "more_body": True})
