"""How messages reach handlers: retry with back-off, a time limit, and dead letters.

FastStream's own policies lose events (they terminate a message whose handler raised) or repeat them
without a pause, so subscribers acknowledge by hand, and `Delivery` is that hand.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from functools import wraps
from types import TracebackType
from typing import Any, cast

import nats.errors
from faststream import AckPolicy, BaseMiddleware
from faststream._internal.types import BrokerMiddleware
from faststream.nats import JStream, NatsBroker, NatsRouter, PullSub
from nats.aio.msg import Msg

from contracts.events import Event
from services.kit import mongo
from services.kit.errors import Unavailable
from services.kit.tracing import continue_trace
from settings import ServiceName
from streams.topology import ACK_WAIT, DEAD, DEAD_PREFIX, EVENTS, Consumer

log = logging.getLogger(__name__)

Handler = Callable[..., Awaitable[None]]
Decorator = Callable[[Handler], Handler]

LANES = 8
"""Messages of one consumer that a process handles at once. With half as many, new orders queued up before
payments while many people paid: a handler mostly waits, for the database or for Stripe.

Each lane pulls one message, handles it, and pulls the next, so that none waits unhandled in a process
that stops. Pulling several at once isn't used: nats-py 2.16 now and then holds on to a message that
arrived until the whole pull times out.
"""

PULL_SECONDS = 2.0
"""A pull that was lost with its connection is made again after this time."""

HANDLER_SECONDS = ACK_WAIT.total_seconds() * 2 / 3
"""A handler that takes longer is stopped, before the server thinks that we died."""

MAX_ATTEMPTS = 10
FIRST_DELAY_SECONDS = 0.5
MAX_DELAY_SECONDS = 60.0
PUBLISH_SECONDS = 5.0

POISON = (ValueError, RecursionError)
"""What a body that isn't what its subject promises leads to, before it reaches the handler: it won't get
better. FastStream's and pydantic's errors, json's and those of text that isn't UTF-8 are all ValueErrors."""

OUTAGE = (Unavailable, nats.errors.Error, TimeoutError)
"""Not the message's fault, nor is an outage of the database: tried again for as long as it takes."""


_handler_has_it: ContextVar[bool] = ContextVar("handler_has_it", default=False)
"""Whether the message reached the handler, so its body was fine. A handler may raise the same errors for
reasons of its own, such as a stored document or an answer that can't be read."""


def backoff(attempt: int) -> float:
    """Seconds until the next attempt: 0.5, 1, 2 … 60, give or take a quarter so that crowds scatter."""
    delay = min(MAX_DELAY_SECONDS, FIRST_DELAY_SECONDS * 2.0 ** min(attempt - 1, 20))
    return delay * random.uniform(0.75, 1.25)  # noqa: S311 - scatters retries, guards no secret


class DeadLetter:
    """Headers that a dead letter has beside those of the message it was."""

    SUBJECT = "Stagedoor-Subject"
    CONSUMER = "Stagedoor-Consumer"
    ATTEMPTS = "Stagedoor-Attempts"
    ERROR = "Stagedoor-Error"
    ADDED = (SUBJECT, CONSUMER, ATTEMPTS, ERROR)


class Delivery(BaseMiddleware[Any, Msg]):
    """Acknowledges what was handled; sends back or buries what wasn't.

    Works on the raw message, since a body that can't be decoded never reaches a handler.
    """

    async def on_receive(self) -> None:
        _handler_has_it.set(False)
        continue_trace((self.msg.headers or {}).get("traceparent"))

    async def consume_scope(self, call_next: Any, msg: Any) -> Any:
        async with asyncio.timeout(HANDLER_SECONDS):
            return await call_next(msg)

    async def after_processed(
        self,
        exc_type: type[BaseException] | None = None,
        exc_val: BaseException | None = None,
        exc_tb: TracebackType | None = None,
    ) -> bool:
        if exc_val is None:
            await self.msg.ack()
            return True
        if not isinstance(exc_val, Exception):
            return False  # the process is stopping: the message comes again by itself
        attempt = self.msg.metadata.num_delivered
        is_poison = not _handler_has_it.get() and isinstance(exc_val, POISON)
        is_outage = isinstance(exc_val, OUTAGE) or mongo.is_outage(exc_val)
        if is_poison or (attempt >= MAX_ATTEMPTS and not is_outage):
            await self._bury(exc_val, attempt)
        else:
            delay = backoff(attempt)
            log.warning(
                "%s failed, attempt %s, again in %.1f s: %r",
                self.msg.subject,
                attempt,
                delay,
                exc_val,
                exc_info=None if is_outage else exc_val,
            )
            await self.msg.nak(delay=delay)
        return True

    async def _bury(self, error: Exception, attempt: int) -> None:
        """Move to DEAD. Ended only once DEAD has it; a repeat of this is deduplicated there."""
        metadata = self.msg.metadata
        headers = dict(self.msg.headers or {})
        headers.pop("Nats-Expected-Stream", None)
        headers |= {
            DeadLetter.SUBJECT: self.msg.subject,
            DeadLetter.CONSUMER: metadata.consumer or "",
            DeadLetter.ATTEMPTS: str(attempt),
            DeadLetter.ERROR: _one_line(error),
            "Nats-Msg-Id": f"{metadata.consumer}:{metadata.stream}:{metadata.sequence.stream}",
        }
        broker: NatsBroker = self.context.get("broker")
        subject = f"{DEAD_PREFIX}.{metadata.consumer}.{self.msg.subject}"
        try:
            await broker.publish(
                self.msg.data, subject, headers=headers, stream=DEAD, timeout=PUBLISH_SECONDS
            )
        except (nats.errors.Error, TimeoutError) as failure:
            log.error("%s can't be buried, again in a minute: %r", self.msg.subject, failure)
            await self.msg.nak(delay=MAX_DELAY_SECONDS)
            return
        log.error(
            "%s went to %s after %s attempts: %r", self.msg.subject, DEAD, attempt, error, exc_info=error
        )
        await self.msg.term()


class Listener(NatsRouter):
    """The subscribers of a service. They share the settings under which nothing is lost."""

    def __init__(self, service: ServiceName) -> None:
        super().__init__(middlewares=(cast("BrokerMiddleware[Any, Any]", Delivery),))
        self.service = service

    def on(self, event: type[Event]) -> Decorator:
        """Have the decorated handler hear an event."""
        consumer = Consumer(self.service, EVENTS, event.subject)
        return self.listen_to(consumer, description=(event.__doc__ or "").strip())

    def listen_to(self, consumer: Consumer, *, description: str) -> Decorator:
        lanes = [
            self.subscriber(
                consumer.subject,
                durable=consumer.name,
                stream=JStream(consumer.stream, declare=False),
                pull_sub=PullSub(batch_size=1, timeout=PULL_SECONDS),
                ack_policy=AckPolicy.MANUAL,
                no_reply=True,
                title=consumer.name,
                description=description,
                include_in_schema=lane == 0,
            )
            for lane in range(LANES)
        ]

        def decorate(handler: Handler) -> Handler:
            @wraps(handler)
            async def handle(*args: Any, **kwargs: Any) -> None:
                _handler_has_it.set(True)
                await handler(*args, **kwargs)

            for lane in lanes:
                lane(handle)
            return handler

        return decorate


def _one_line(error: Exception) -> str:
    text = " ".join(f"{type(error).__name__}: {error}".split())
    return text.encode("ascii", "replace").decode()[:500]
