"""Message delivery to handlers: retries with back-off, a time limit, and dead letters.

FastStream acknowledges a message when its handler returns (`AckPolicy.NACK_ON_ERROR`). For all other cases,
`Delivery` raises NackMessage or RejectMessage.

If an acknowledgement can't be sent, FastStream only logs that. The server delivers the message again after
ACK_WAIT, and the handler ignores what it has already applied. The same happens if the process dies.
"""

import asyncio
import inspect
import logging
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from faststream import AckPolicy, BaseMiddleware, StreamMessage
from faststream.exceptions import NackMessage, RejectMessage
from faststream.nats import JStream, NatsBroker, NatsMessage, NatsRouter, PullSub
from nats.aio.msg import Msg
from nats.js.api import Header
from pydantic import ValidationError

from contracts.events import Event
from kit import mongo
from kit.alerts import alert
from kit.errors import Unavailable
from kit.logs import bound_contextvars
from kit.nats import EVENTS, OUTAGE, PUBLISH_SECONDS, inbox_prefix
from kit.tracing import annotate, span
from settings import ServiceName
from streams.metrics import DEAD_LETTERS, record_handled
from streams.topology import ACK_WAIT, DEAD, DEAD_PREFIX, TIMERS, Consumer

log = logging.getLogger(__name__)

Handler = Callable[..., Awaitable[None]]
H = TypeVar("H", bound=Handler)

PULL_SECONDS = 2.0
"""Lifetime of a request for messages. If it was lost with its connection, it is repeated after this time."""

HANDLER_SECONDS = ACK_WAIT.total_seconds() * 2 / 3
"""Seconds after which a handler is cancelled, before the server delivers the message to another process."""

NOTHING: Mapping[str, Any] = {}

MAX_ATTEMPTS = 10
FIRST_DELAY_SECONDS = 0.5
MAX_DELAY_SECONDS = 60.0

MAX_UPGRADE_ATTEMPTS = 68
"""Maximum attempts of a message with a value that this version doesn't know. They take an hour, in which the
upgrade can reach a process that knows the value. The random parts of the delays cancel out.
"""

ATTEMPTS_BETWEEN_ALERTS = 10
"""A message that waits for an upgrade alerts after three minutes, and then every ten minutes."""


def backoff(attempt: int) -> float:
    """Seconds until the next attempt: 0.5, 1, 2 … 60, with a jitter of 25 %."""
    delay = min(MAX_DELAY_SECONDS, FIRST_DELAY_SECONDS * 2.0 ** min(attempt - 1, 20))
    return delay * random.uniform(0.75, 1.25)  # noqa: S311 - not a secret


class DeadLetter:
    """Headers that a dead letter has in addition to those of the original message."""

    SUBJECT = "Stagedoor-Subject"
    CONSUMER = "Stagedoor-Consumer"
    ATTEMPTS = "Stagedoor-Attempts"
    ERROR = "Stagedoor-Error"
    ADDED: Mapping[str, str] = {
        SUBJECT: "The subject of the original message",
        CONSUMER: "The durable consumer that delivered it",
        ATTEMPTS: "How often it was delivered",
        ERROR: "The last error, in ASCII and one line",
    }


class Delivery(BaseMiddleware[Any, Any]):
    """Retries a message that failed, or moves it to DEAD.

    A message with a malformed body goes to DEAD at once, because retries can't help. A message whose handler
    fails gets MAX_ATTEMPTS attempts, or unlimited ones during an outage. This also applies to a
    ValidationError in the handler, because its cause may be a stored document instead of the message.

    If the body, or a document that the handler reads, is wrong only because it contains values that this
    version doesn't know, a newer process may have written them. Such a message gets MAX_UPGRADE_ATTEMPTS
    attempts: any instance of the service may receive the next one.
    """

    async def consume_scope(self, call_next: Any, msg: StreamMessage[Msg]) -> Any:
        names = _names(msg)
        metadata = msg.raw_message.metadata
        attributes = {
            "messaging.system": "nats",
            "messaging.destination.name": names["event"],
            "messaging.consumer.group.name": metadata.consumer,
            "messaging.message.id": names.get("event_id", ""),
        }
        # A timer fires minutes later. A trace that takes so long would be hard to read.
        is_timer = metadata.stream == TIMERS
        caller = msg.headers.get("traceparent")
        with (
            bound_contextvars(**names),
            span(
                "consumer",
                f"process {names['event']}",
                None if is_timer else caller,
                attributes,
                links=[caller] if is_timer else [],
            ),
        ):
            return await self._handle(call_next, msg)

    async def _handle(self, call_next: Any, msg: StreamMessage[Msg]) -> Any:
        try:
            await msg.decode()
        except Exception as error:
            if is_unknown_value(error):
                raise await self._failed(msg.raw_message, error) from error
            raise await self._to_dead_letters(msg.raw_message, error) from error
        try:
            async with asyncio.timeout(HANDLER_SECONDS):
                result = await call_next(msg)
        except Exception as error:
            raise await self._failed(msg.raw_message, error) from error
        record_handled(msg.raw_message)
        return result

    async def _failed(self, msg: Msg, error: Exception) -> NackMessage | RejectMessage:
        """The exception that retries the message, or rejects it after its last attempt."""
        attempt = msg.metadata.num_delivered
        if _is_outage(error):
            return _retry(msg, error, is_outage=True)
        if is_unknown_value(error):
            if attempt < MAX_UPGRADE_ATTEMPTS:
                return _wait_for_upgrade(msg, error)
        elif attempt < MAX_ATTEMPTS:
            return _retry(msg, error, is_outage=False)
        return await self._to_dead_letters(msg, error)

    async def _to_dead_letters(self, msg: Msg, error: Exception) -> NackMessage | RejectMessage:
        """Publish the message to DEAD, which drops duplicates. `ops dead replay` verifies subject and id.

        Return the exception that rejects the message, or retries it if DEAD is unavailable.
        """
        metadata = msg.metadata
        headers = dict(msg.headers or {})
        headers.pop(Header.EXPECTED_STREAM, None)
        headers |= {
            DeadLetter.SUBJECT: msg.subject,
            DeadLetter.CONSUMER: metadata.consumer,
            DeadLetter.ATTEMPTS: str(metadata.num_delivered),
            DeadLetter.ERROR: _single_line(error),
            Header.MSG_ID: f"{metadata.consumer}:{metadata.stream}:{metadata.sequence.stream}",
        }
        broker: NatsBroker = self.context.get("broker")
        service = metadata.consumer.partition("-")[0]
        subject = f"{DEAD_PREFIX}.{service}.{msg.subject}"
        try:
            await broker.publish(msg.data, subject, headers=headers, stream=DEAD, timeout=PUBLISH_SECONDS)
        except OUTAGE as failure:
            log.error("%s can't be moved to %s, next attempt in a minute: %r", msg.subject, DEAD, failure)
            return NackMessage(delay=MAX_DELAY_SECONDS)
        DEAD_LETTERS.labels(metadata.consumer).inc()
        log.error(
            "%s went to %s after %s attempts: %r",
            msg.subject,
            DEAD,
            metadata.num_delivered,
            error,
            exc_info=error,
        )
        return RejectMessage()


def _names(msg: StreamMessage[Msg]) -> dict[str, str]:
    """What the log lines of a message name. The subject of a timer ends with the id of its order."""
    subject = msg.raw_message.subject
    if msg.raw_message.metadata.stream == TIMERS:
        event, _, order_id = subject.rpartition(".")
        return {"event": event, "aggregate_id": order_id}
    names = {"event": subject}
    for name, header in (("event_id", "ce-id"), ("aggregate_id", "ce-subject")):
        if value := msg.headers.get(header):
            names[name] = value
    return names


def _is_outage(error: Exception) -> bool:
    """Whether the error is caused by an unavailable dependency instead of the message."""
    return isinstance(error, (Unavailable, *OUTAGE)) or mongo.is_outage(error)


def is_unknown_value(error: Exception) -> bool:
    """Whether data violates its contract only because known fields contain texts that this version of the
    contract doesn't list, such as a new status.
    """
    return isinstance(error, ValidationError) and all(
        problem["type"] in ("literal_error", "enum") and isinstance(problem["input"], str)
        for problem in error.errors(include_url=False)
    )


def _wait_for_upgrade(msg: Msg, error: Exception) -> NackMessage:
    """Retry the message later, and let operators know. Only some attempts are logged, because there may be
    many such messages.
    """
    attempt = msg.metadata.num_delivered
    text = "%s contains a value that this version doesn't know, and waits for a newer process: %s"
    if attempt % ATTEMPTS_BETWEEN_ALERTS == 0:
        alert("unknown_value", text, msg.subject, _single_line(error))
    elif attempt == 1:
        log.warning(text, msg.subject, _single_line(error))
    return NackMessage(delay=backoff(attempt))


def _retry(msg: Msg, error: Exception, *, is_outage: bool) -> NackMessage:
    attempt = msg.metadata.num_delivered
    delay = backoff(attempt)
    log.warning(
        "%s failed, attempt %s, next attempt in %.1f s: %r",
        msg.subject,
        attempt,
        delay,
        error,
        exc_info=None if is_outage else error,
    )
    return NackMessage(delay=delay)


def _single_line(error: Exception) -> str:
    text = " ".join(f"{type(error).__name__}: {error}".split())
    return text.encode("ascii", "replace").decode()[:500]


@dataclass(frozen=True)
class Subscription:
    """An event, the function that handles it, and the consumer that delivers it."""

    consumer: Consumer
    event: type[Event]
    handler: Handler

    async def decode(self, message: NatsMessage) -> Event:
        return self.event.model_validate_json(message.body)

    def bound(self, provided: Mapping[str, Any]) -> Handler:
        """The handler as a function of the event alone."""
        _, *others = inspect.signature(self.handler).parameters

        async def handle(event: Event) -> None:
            annotate(event)
            await self.handler(event, **{name: provided[name] for name in others})

        handle.__name__ = getattr(self.handler, "__name__", type(self.handler).__name__)
        handle.__annotations__["event"] = self.event
        return handle


class Listener:
    """A service's subscriptions. Handlers are plain functions, which `router` subscribes.

    Args:
        live: why the service also follows live events, by subject, such as `ticket.*`.
    """

    def __init__(self, service: ServiceName, live: Mapping[str, str] = NOTHING) -> None:
        self.service = service
        self.live = live
        self.subscriptions: list[Subscription] = []

    @property
    def consumers(self) -> list[Consumer]:
        return [subscription.consumer for subscription in self.subscriptions]

    def on(self, event: type[Event], *, stream: str = EVENTS, subject: str = "") -> Callable[[H], H]:
        """Subscribe the decorated function to an event, by default on the event's own subject."""
        consumer = Consumer(self.service, stream, subject or event.subject)

        def subscribe(handler: H) -> H:
            self.subscriptions.append(Subscription(consumer, event, handler))
            return handler

        return subscribe

    def router(self, lanes: int = 1, provided: Mapping[str, Any] = NOTHING) -> NatsRouter:
        """Create `lanes` subscribers for each subscription, with settings under which no message is lost.

        Handlers get their further arguments from `provided`, by name. FastStream would look them up in a
        thread for each message.

        A lane pulls one message, handles it, and then pulls the next, so that a stopping process holds no
        unhandled messages. With larger batches, nats-py 2.16 sometimes returns a message only when the pull
        times out.
        """
        router = NatsRouter(middlewares=[Delivery])
        for subscription in self.subscriptions:
            for lane in range(lanes):
                router.subscriber(
                    subscription.consumer.subject,
                    durable=subscription.consumer.name,
                    stream=JStream(subscription.consumer.stream, declare=False),
                    pull_sub=PullSub(batch_size=1, timeout=PULL_SECONDS),
                    inbox_prefix=f"{inbox_prefix(self.service)}.".encode(),  # isn't inherited from the broker
                    decoder=subscription.decode,
                    ack_policy=AckPolicy.NACK_ON_ERROR,
                    no_reply=True,
                    title=subscription.consumer.name,
                    description=(subscription.event.__doc__ or "").strip(),
                    include_in_schema=lane == 0,
                )(subscription.bound(provided))
        return router
