"""Outbox → JetStream: every event that was written is published, at least once."""

import asyncio
import logging
from contextlib import aclosing

import nats.errors
from faststream.nats import NatsBroker

from services.kit.mongo import DatabaseError
from services.kit.outbox import Outbox, Waiting, WaitingDocument
from streams import cloudevents
from streams.delivery import PUBLISH_SECONDS
from streams.topology import EVENTS

log = logging.getLogger(__name__)

AT_ONCE = 32
"""Documents whose events are on their way at the same time; those of one document go in turn."""

RETRY_SECONDS = 1.0


class Relay:
    """Publishes what a process writes as soon as it is written.

    It also looks for forgotten events at start and every few seconds: after a crash between a write
    and its publishing, or between publishing and clearing, they are published again, under the same
    id, so that JetStream drops what it has.
    """

    def __init__(self, broker: NatsBroker, outbox: Outbox, *, source: str, sweep_seconds: float) -> None:
        self._broker = broker
        self._outbox = outbox
        self._source = source
        self._sweep_seconds = sweep_seconds

    async def run(self) -> None:
        """Relay until cancelled. No failure ends it: what can't be published now is published later."""
        while True:
            try:
                await self.relay_all()
            except Exception as error:
                is_outage = isinstance(error, nats.errors.Error | TimeoutError | DatabaseError)
                log.warning("events are waiting: %r", error, exc_info=None if is_outage else error)
                await asyncio.sleep(RETRY_SECONDS)
                continue
            await self._outbox.written(self._sweep_seconds)

    async def relay_all(self) -> None:
        """Publish what is waiting now. One that is too large for the bus waits, and keeps no other waiting.

        Raises:
            nats.errors.Error, TimeoutError: the bus didn't acknowledge; the rest still waits.
        """
        room = asyncio.Semaphore(AT_ONCE)

        async def relay(document: WaitingDocument) -> None:
            async with room:
                for event in document.events:
                    if await self._publish(event):
                        await document.delivered(event)

        async with aclosing(self._outbox.waiting()) as waiting:
            async for documents in waiting:
                for result in await asyncio.gather(*map(relay, documents), return_exceptions=True):
                    if isinstance(result, BaseException):
                        raise result

    async def _publish(self, event: Waiting) -> bool:
        """Whether the bus has it. If not, it never will as it is."""
        try:
            await self._broker.publish(
                event.body.encode(),
                event.subject,
                headers=cloudevents.headers(
                    event_id=event.id,
                    subject=event.subject,
                    about=event.about,
                    time=event.time,
                    traceparent=event.traceparent,
                    source=self._source,
                ),
                stream=EVENTS,
                timeout=PUBLISH_SECONDS,
            )
        except nats.errors.MaxPayloadError:
            log.error("%s %s of %s is too large for the bus", event.subject, event.id, event.about)
            return False
        return True
