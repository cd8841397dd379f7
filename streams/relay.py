"""The relay publishes outbox messages to JetStream, each at least once."""

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing, suppress

import nats.errors

from kit.mongo import DatabaseError
from kit.outbox import Outbox, OutboxMessage, PendingDocument
from streams.publishers import Publishers, UndeclaredEvent

log = logging.getLogger(__name__)

CONCURRENCY = 32
"""Number of documents whose messages are published concurrently. Each document's messages stay in order."""

RETRY_SECONDS = 1.0

REMOVE_SECONDS = 0.5
"""Published messages are removed from their outboxes after this time, all with one command."""


class Relay:
    """Publishes outbox messages as soon as a process writes them.

    It also sweeps the outboxes at start and every few seconds, to find messages that a crash left behind.
    A repeated message has the same id, so that JetStream drops duplicates.

    A message that this process has just written is published from memory. Published messages are removed
    together a moment later, so that subscribers don't wait for the removal.
    """

    def __init__(self, publishers: Publishers, outbox: Outbox, *, sweep_seconds: float) -> None:
        self._publishers = publishers
        self._outbox = outbox
        self._sweep_seconds = sweep_seconds
        self._logged: set[str] = set()
        """Ids of the unpublishable messages that were logged, so that each message is logged only once."""

    async def run(self) -> None:
        """Relay until cancelled, and retry after any failure."""
        with self._outbox.watching():
            while True:
                try:
                    await self._relay_until_sweep()
                except Exception as error:
                    is_outage = isinstance(error, nats.errors.Error | TimeoutError | DatabaseError)
                    log.warning(
                        "events can't be published, trying again: %r",
                        error,
                        exc_info=None if is_outage else error,
                    )
                    await asyncio.sleep(RETRY_SECONDS)
                except asyncio.CancelledError:
                    with suppress(DatabaseError):
                        await self._outbox.remove_published()
                    raise

    async def _relay_until_sweep(self) -> None:
        """Sweep once, and then publish messages as they are written, until the next sweep is due."""
        loop = asyncio.get_running_loop()
        await self._outbox.remove_published()
        self._outbox.forget_writes()
        await self.relay_all()
        next_sweep, remove_at = loop.time() + self._sweep_seconds, math.inf
        while (now := loop.time()) < next_sweep:
            written = await self._outbox.wait_for_write(min(next_sweep, remove_at) - now)
            if written is None:
                return
            if written:
                await self._publish_written(written)
                remove_at = min(remove_at, loop.time() + REMOVE_SECONDS)
            if remove_at <= loop.time():
                await self._outbox.remove_published()
                remove_at = math.inf

    async def _publish_written(self, documents: Sequence[PendingDocument]) -> None:
        async def publish(document: PendingDocument) -> None:
            for event in document.events:
                if (sequence := await self._publish(event)) is not None:
                    self._outbox.remove_later(document, event, sequence)

        await self._for_each(documents, publish)

    async def relay_all(self) -> None:
        """Publish all outbox messages. An unpublishable message stays in its outbox and doesn't block others.

        Raises:
            nats.errors.Error, TimeoutError: the stream didn't acknowledge a message. Later messages may not
                be published.
        """
        unpublishable: set[str] = set()

        async def relay(document: PendingDocument) -> None:
            for event in document.events:
                if (sequence := await self._publish(event)) is not None:
                    await document.remove(event, sequence)
                else:
                    unpublishable.add(event.id)

        async with aclosing(self._outbox.pending()) as pending:
            async for documents in pending:
                await self._for_each(documents, relay)
        self._logged &= unpublishable  # forget messages that are no longer in an outbox

    async def _for_each(
        self, documents: Sequence[PendingDocument], relay: Callable[[PendingDocument], Awaitable[None]]
    ) -> None:
        """Relay the documents, `CONCURRENCY` at a time. Raise the first error after all have ended."""
        permits = asyncio.Semaphore(CONCURRENCY)

        async def limited(document: PendingDocument) -> None:
            async with permits:
                await relay(document)

        for result in await asyncio.gather(*map(limited, documents), return_exceptions=True):
            if isinstance(result, BaseException):
                raise result

    async def _publish(self, event: OutboxMessage) -> int | None:
        """Publish a message. Return its number in the stream, or None if it can never be published."""
        try:
            return await self._publishers.publish(
                event.body,
                event_id=event.id,
                subject=event.subject,
                about=event.about,
                time=event.time,
                traceparent=event.traceparent,
            )
        except (UndeclaredEvent, nats.errors.MaxPayloadError) as error:
            if event.id not in self._logged:
                self._logged.add(event.id)
                log.error("%s %s of %s can't be published: %r", event.subject, event.id, event.about, error)
            return None
