"""Idempotency keys: https://docs.stripe.com/api/idempotent_requests

The answer is saved in the transaction of the work, so a key has an answer if and only if its work is done.
The keys of requests in progress are kept in memory only.
"""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from sandbox.stripe.errors import StripeError, failure
from sandbox.stripe.store import Answer, Ledger, Store

log = logging.getLogger(__name__)

Work = Callable[[Ledger], Answer]


@dataclass(frozen=True)
class Call:
    """A POST request with an idempotency key."""

    account: str
    key: str
    path: str
    params: str
    """All parameters as canonical JSON, for comparison."""

    @property
    def id(self) -> tuple[str, str]:
        return self.account, self.key

    def check_same(self, path: str, params: str) -> None:
        if path != self.path:
            used = f"for the same endpoint they were first used for ('{path}' vs '{self.path}')"
        elif params != self.params:
            used = "with the same parameters they were first used with"
        else:
            return
        raise StripeError(
            f"Keys for idempotent requests can only be used {used}. Try using a key other than"
            f" '{self.key}' if you meant to execute a different request.",
            kind="idempotency_error",
        )


class Keys:
    def __init__(self, store: Store) -> None:
        self._store = store
        self._in_flight: dict[tuple[str, str], Call] = {}

    async def once(self, call: Call, execute: Callable[[], Awaitable[Answer]]) -> Answer:
        """Return the saved answer of the call's key, or execute the call if the key is new.

        Raises:
            StripeError: the key is in use (409), or was used for another request (400).
        """
        if saved := await self._store.run(lambda ledger: saved_answer(ledger, call)):
            return saved
        # There is no await between this check and the entry in `_in_flight`, so that only one of several
        # concurrent calls executes.
        if other := self._in_flight.get(call.id):
            call.check_same(other.path, other.params)
            raise StripeError(
                "There is currently another in-progress request using this Idempotent Key (that probably"
                " means you submitted twice, and the other request is still going through):"
                f" {call.key}. Please try again later.",
                status=409,
                kind="idempotency_error",
                code="idempotency_key_in_use",
            )
        self._in_flight[call.id] = call
        try:
            return await execute()
        finally:
            del self._in_flight[call.id]


def saved_answer(ledger: Ledger, call: Call) -> Answer | None:
    """The answer of an earlier call with the same key, if any."""
    if (found := ledger.answered(*call.id)) is None:
        return None
    path, params, answer = found
    call.check_same(path, params)
    return answer


def saving_answer(call: Call, work: Work, error_answer: Callable[[StripeError], Answer]) -> Work:
    """Extend `work` to save its answer in the same transaction.

    An error is saved as well, after rolling back the work, so that a repeated call gets the same error.
    The transaction looks for a saved answer again, because another call with the same key may have
    completed since the first look.
    """

    def once(ledger: Ledger) -> Answer:
        if saved := saved_answer(ledger, call):
            return saved
        try:
            answer = ledger.attempt(work)
        except StripeError as error:
            answer = error_answer(error)
        except Exception:
            log.exception("%s failed", call.path)
            answer = error_answer(failure())
        ledger.save_answer(call.account, call.key, call.path, call.params, answer)
        return answer

    return once
