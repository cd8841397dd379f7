"""Idempotency keys, as https://docs.stripe.com/api/idempotent_requests has them.

What was answered is written in the transaction that did the work, so a key is remembered exactly if
its work was done. Which keys are being worked on is known to this process only: it ends with it.
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
    """A POST under an idempotency key."""

    account: str
    key: str
    path: str
    params: str
    """All parameters in one text that is the same for the same parameters."""

    @property
    def slot(self) -> tuple[str, str]:
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
        """Answer a call from memory, or by `execute` if its key is new.

        Raises:
            StripeError: the key is in use (409), or was used for something else (400).
        """
        if remembered := await self._store.run(lambda ledger: recall(ledger, call)):
            return remembered
        # No await from here to the claim: of several calls that found no answer, one goes on.
        if other := self._in_flight.get(call.slot):
            call.check_same(other.path, other.params)
            raise StripeError(
                "There is currently another in-progress request using this Idempotent Key (that probably"
                " means you submitted twice, and the other request is still going through):"
                f" {call.key}. Please try again later.",
                status=409,
                kind="idempotency_error",
                code="idempotency_key_in_use",
            )
        self._in_flight[call.slot] = call
        try:
            return await execute()
        finally:
            del self._in_flight[call.slot]


def recall(ledger: Ledger, call: Call) -> Answer | None:
    """What the call's key was answered with before."""
    if (found := ledger.answered(*call.slot)) is None:
        return None
    path, params, answer = found
    call.check_same(path, params)
    return answer


def remembering(call: Call, work: Work, refused: Callable[[StripeError], Answer]) -> Work:
    """`work`, and what it was answered with, for one transaction.

    Errors of the work are answers too, with nothing written but themselves: whoever repeats the
    call learns the same. Between the look for an answer and this transaction another call with the
    same key may have been answered, so the look is repeated here.
    """

    def once(ledger: Ledger) -> Answer:
        if remembered := recall(ledger, call):
            return remembered
        try:
            answer = ledger.attempt(work)
        except StripeError as error:
            answer = refused(error)
        except Exception:
            log.exception("%s failed", call.path)
            answer = refused(failure())
        ledger.remember(call.account, call.key, call.path, call.params, answer)
        return answer

    return once
