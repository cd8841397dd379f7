"""A concurrency limiter with a short queue, from which the newest request is served first."""

import asyncio
from dataclasses import dataclass, field

Waiter = asyncio.Future[bool]


class Permit:
    """The permission to serve one request. Only the first call of `release` has an effect."""

    def __init__(self, limiter: "Limiter") -> None:
        self._limiter: Limiter | None = limiter

    def release(self) -> None:
        limiter, self._limiter = self._limiter, None
        if limiter is not None:
            limiter.pass_on()


@dataclass
class Limiter:
    """Limits how many requests are served at the same time; a few more wait in a queue.

    The newest request in the queue is served first. When the queue is full, the oldest request is rejected.
    Without overload the order makes no difference. Under overload, the newest requests are served quickly and
    the others are rejected soon, so that their clients can retry. If the oldest request were served first,
    each request would wait almost until its timeout, when its client is about to give up.
    """

    limit: int
    """The most requests that are served at the same time."""
    queue_size: int
    timeout: float
    """Seconds that a request may wait in the queue."""
    in_use: int = 0
    _queue: dict[Waiter, None] = field(default_factory=dict)
    """The waiting requests, the oldest first."""

    @property
    def waiting(self) -> int:
        return len(self._queue)

    async def acquire(self) -> Permit | None:
        """Wait for a permit. Return None if the request is rejected."""
        if self.in_use < self.limit:  # then the queue is empty, because released permits are passed on
            self.in_use += 1
            return Permit(self)
        return Permit(self) if await self._wait() else None

    def pass_on(self) -> None:
        """Pass a released permit on to the newest waiting request, if any."""
        while self._queue:
            waiter, _ = self._queue.popitem()
            if not waiter.done():
                waiter.set_result(True)
                return
        self.in_use -= 1

    async def _wait(self) -> bool:
        if self.queue_size == 0:
            return False
        if len(self._queue) >= self.queue_size:
            self._reject(next(iter(self._queue)))
        loop = asyncio.get_running_loop()
        waiter: Waiter = loop.create_future()
        self._queue[waiter] = None
        timer = loop.call_later(self.timeout, self._reject, waiter)
        try:
            return await waiter
        except asyncio.CancelledError:
            self._queue.pop(waiter, None)
            if not waiter.cancelled() and waiter.result():
                self.pass_on()  # the permit arrived at the moment of the cancellation
            raise
        finally:
            timer.cancel()

    def _reject(self, waiter: Waiter) -> None:
        self._queue.pop(waiter, None)
        if not waiter.done():
            waiter.set_result(False)
