"""Requests to Stripe's API: pinned version, timeouts, retries, and our errors instead of the package's."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from functools import partial
from typing import Any, TypeVar, cast

import aiohttp
import stripe

from kit.stripe.budget import Budget
from kit.stripe.errors import OutcomeUnknown, failure, is_rejection
from kit.stripe.metrics import measured
from settings import Settings

API_VERSION = "2026-10-28.endive"
"""The pinned version of Stripe's API. An update of the account or the package doesn't change responses."""

TIMEOUT_SECONDS = 10

NETWORK_RETRIES = 2
"""Retries by the stripe package, which makes none by default. Each retry has the same idempotency key."""

RATE_LIMIT_DELAYS = (0.5, 1.0, 2.0)
"""Seconds before each retry of a rate-limited request. Each delay is randomized by up to half of it."""

SANDBOX_KEY = "sk_test_sandbox"

T = TypeVar("T")
Item = TypeVar("Item", bound=stripe.StripeObject)
Params = TypeVar("Params")


class StripeHttp(stripe.AIOHTTPClient):
    """The fastest of the stripe package's clients: a request takes half the CPU time of HTTPXClient.

    It doesn't follow redirects, of which Stripe's API has none: they could lead our key elsewhere.
    """

    budget: Budget | None = None
    """Counts every request, also those that the package repeats by itself."""
    in_background = False
    """Whether a request waits until the budget allows it."""

    def _get_request_args_kwargs(self, *request: Any) -> tuple[Any, dict[str, Any]]:
        arguments, options = super()._get_request_args_kwargs(*request)
        return arguments, {**options, "allow_redirects": False}

    async def request_async(
        self, method: str, url: str, headers: Mapping[str, str], post_data: Any = None
    ) -> tuple[bytes, int, Mapping[str, str]]:
        """Send a request and read the response.

        Raises:
            stripe.APIConnectionError: there was no complete response. The package translates only errors
                before the response's body.
        """
        if self.budget is not None and self.in_background:
            await self.budget.take()
        elif self.budget is not None:
            self.budget.count()
        try:
            with measured("background" if self.in_background else "buyers") as answer:
                content, status, received = await super().request_async(method, url, headers, post_data)
                answer.status = status
        except (aiohttp.ClientError, OSError) as error:  # TimeoutError is an OSError
            message = f"Network error: {error!r}"
            unsent = stripe.APIConnectionError(message, should_retry=True)  # type: ignore[no-untyped-call] # stripe leaves it untyped
            raise unsent from error
        if self.budget is not None:
            self.budget.answered(status, received.get("Retry-After"))
        return content, status, received


class StripeApi:
    """Sends requests to the Stripe account or sandbox that the settings name.

    Args:
        budget: counts the requests.
        in_background: whether they wait until buyers leave something of the budget.
    """

    def __init__(
        self, settings: Settings, budget: Budget | None = None, *, in_background: bool = False
    ) -> None:
        self._http = StripeHttp(timeout=aiohttp.ClientTimeout(total=TIMEOUT_SECONDS))
        self._http.budget = budget
        self._http.in_background = in_background
        self.v1 = stripe.StripeClient(
            settings.stripe_key.get_secret_value() if settings.stripe_key else SANDBOX_KEY,
            http_client=self._http,
            stripe_version=API_VERSION,
            max_network_retries=NETWORK_RETRIES,
            base_addresses={"api": settings.stripe_base} if settings.stripe_base else None,
        ).v1

    async def close(self) -> None:
        await self._http.close_async()  # type: ignore[no-untyped-call] # stripe leaves it untyped

    @property
    def is_paused(self) -> bool:
        """Whether background work has to wait, because Stripe has just answered 429."""
        return self._http.budget is not None and self._http.budget.is_paused

    async def send(
        self,
        request: Callable[[], Awaitable[T]],
        *expected: type[stripe.StripeError],
        keyed: bool = False,
    ) -> T:
        """Send a request, and retry it if it is rate-limited.

        Args:
            expected: a rejection of one of these types is raised untranslated.
            keyed: whether the request has an idempotency key. Stripe repeats a server error for its key.

        Raises:
            OutcomeUnknown, KeyExhausted, KeyMismatch, RequestRefused
        """
        for delay in (*RATE_LIMIT_DELAYS, None):
            try:
                return await request()
            except stripe.RateLimitError as error:
                if delay is None:
                    raise OutcomeUnknown from error
                await asyncio.sleep(delay * random.uniform(0.5, 1.5))  # noqa: S311 - spreads load, guards no secret
            except stripe.StripeError as error:
                if isinstance(error, expected) and is_rejection(error):
                    raise
                raise failure(error, keyed=keyed) from error
        raise AssertionError("the last attempt returns or raises")

    async def list_all(
        self, request: Callable[[Params], Awaitable[stripe.ListObject[Item]]], params: Params
    ) -> AsyncIterator[Item]:
        """All items of a list, one request per page.

        Raises:
            OutcomeUnknown, RequestRefused
        """
        while True:
            page = await self.send(partial(request, params))
            for item in page.data:
                yield item
            if not page.has_more:
                return
            after = {"starting_after": cast("Any", page.data[-1]).id}
            params = cast("Params", {**cast("dict[str, Any]", params), **after})
