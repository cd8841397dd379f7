"""The relay publishes outbox messages to JetStream, each at least once."""

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing, suppress

import nats.errors

from kit.lease import Lease
from kit.mongo import DatabaseError
from kit.outbox import Outbox, OutboxMessage, PendingDocument
from streams.publishers import Publishers, UndeclaredEvent

log = logging.getLogger(__name__)

CONCURRENCY = 32
"""Number of just-written documents whose messages are published concurrently. Each document's messages stay
in order."""

SWEEP_CONCURRENCY = 4
"""The same for a sweep, which may have a large backlog and must not delay what was just written. After each
group, the sweep pauses for as long as the group took."""

RETRY_SECONDS = 1.0

REMOVE_SECONDS = 0.5
"""Published messages are removed from their outboxes after this time, all with one command."""


class Relay:
    """Publishes outbox messages as soon as a process writes them.

    Beside that, it sweeps the outboxes at start and every few seconds, to find messages that a crash or an
    outage left behind. It publishes the oldest first, and pauses half of the time. Messages of the same
    document may then be published in another order than they were written, as by two processes; consumers go
    by the version of a state. A repeated message has the same id, so that JetStream drops duplicates.

    A message that this process has just written is published from memory. Published messages are removed
    together a moment later, so that subscribers don't wait for the removal.
    """

    def __init__(
        self, publishers: Publishers, outbox: Outbox, *, sweep_seconds: float, lease: Lease | None = None
    ) -> None:
        """
        Args:
            lease: lets one process of the service sweep at a time. Without it, each one does.
        """
        self._publishers = publishers
        self._outbox = outbox
        self._sweep_seconds = sweep_seconds
        self._lease = lease
        self._sweep_is_due = asyncio.Event()
        self._remove_at = math.inf
        self._logged: set[str] = set()
        """Ids of the unpublishable messages that were logged, so that each message is logged only once."""

    async def run(self) -> None:
        """Relay until cancelled, and retry after any failure."""
        with self._outbox.watching():
            try:
                await asyncio.gather(self._repeat(self._publish_writes), self._repeat(self._sweep))
            finally:
                with suppress(DatabaseError):
                    await self._outbox.remove_published()

    async def _repeat(self, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await work()
            except Exception as error:
                is_outage = isinstance(error, nats.errors.Error | TimeoutError | DatabaseError)
                log.warning(
                    "events can't be published, trying again: %r",
                    error,
                    exc_info=None if is_outage else error,
                )
                await asyncio.sleep(RETRY_SECONDS)

    async def _publish_writes(self) -> None:
        """Publish messages as they are written. Never ends."""
        loop = asyncio.get_running_loop()
        while True:
            written = await self._outbox.wait_for_write(self._remove_at - loop.time())
            if self._outbox.takes_unknown_writes():
                self._sweep_is_due.set()
            if written:
                self._remove_at = min(self._remove_at, loop.time() + REMOVE_SECONDS)
                await self._publish_written(written)
            if self._remove_at <= loop.time():
                await self._outbox.remove_published()
                self._remove_at = math.inf

    async def _sweep(self) -> None:
        """Publish what is left in the outboxes, and wait until the next sweep is due."""
        self._sweep_is_due.clear()
        await self.relay_all()
        with suppress(TimeoutError):
            async with asyncio.timeout(self._sweep_seconds):
                await self._sweep_is_due.wait()

    async def _publish_written(self, documents: Sequence[PendingDocument]) -> None:
        """Publish these messages. Those that fail are tried again, ahead of the backlog, if they are few."""
        left = {(document.kind, document.id): document for document in documents}

        async def publish(document: PendingDocument) -> None:
            for event in document.events:
                if (sequence := await self._publish(event)) is not None:
                    self._outbox.remove_later(document, event, sequence)
            del left[document.kind, document.id]

        try:
            await self._for_each(documents, publish, CONCURRENCY)
        except Exception:
            if not self._outbox.keep(left.values()):
                self._sweep_is_due.set()
            raise

    async def relay_all(self) -> None:
        """Publish all outbox messages. An unpublishable message stays in its outbox and doesn't block others.

        Does nothing while another process holds the lease.

        Raises:
            nats.errors.Error, TimeoutError: the stream didn't acknowledge a message. Later messages may not
                be published.
        """
        loop, unpublishable = asyncio.get_running_loop(), set[str]()

        async def relay(document: PendingDocument) -> None:
            for event in document.events:
                if self._outbox.is_published(document, event):
                    continue  # about to be removed
                if (sequence := await self._publish(event)) is not None:
                    await document.remove(event, sequence)
                else:
                    unpublishable.add(event.id)

        async with aclosing(self._outbox.pending()) as pending:
            async for documents in pending:
                if self._lease is not None and not await self._lease.hold():
                    return
                for begin in range(0, len(documents), SWEEP_CONCURRENCY):
                    began = loop.time()
                    group = documents[begin : begin + SWEEP_CONCURRENCY]
                    await self._for_each(group, relay, SWEEP_CONCURRENCY)
                    await asyncio.sleep(loop.time() - began)
        if self._lease is not None:
            await self._lease.release()
        self._logged &= unpublishable  # forget messages that are no longer in an outbox

    async def _for_each(
        self,
        documents: Sequence[PendingDocument],
        relay: Callable[[PendingDocument], Awaitable[None]],
        concurrency: int,
    ) -> None:
        """Relay the documents, some at a time.

        After an error, begin no other document, and raise the error when those that were begun have ended.
        """
        permits = asyncio.Semaphore(concurrency)
        has_failed = False

        async def limited(document: PendingDocument) -> None:
            nonlocal has_failed
            async with permits:
                if has_failed:
                    return
                try:
                    await relay(document)
                except BaseException:
                    has_failed = True
                    raise

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
