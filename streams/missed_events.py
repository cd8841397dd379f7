"""Repairs gaps: events that the stream discarded before a durable consumer had handled them.

The service that publishes the events looks after all durable consumers of them. It stores for each how far
the consumer has come. If the stream then begins with a later event, the consumer may have missed those in
between. When the consumer has received what is left, the service publishes the documents again whose last
event was in the gap. Subscribers ignore what they have.

A process may die at any point, and two may do the same: the gap stays stored until the repair is complete,
and a document that was published again isn't in the gap any more.
"""

import logging
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import aclosing
from datetime import datetime, timedelta
from typing import Any, Self

from nats.js import JetStreamContext
from nats.js.api import ConsumerInfo
from pydantic import BaseModel

from contracts.wire import Moment, now
from kit.aggregates import Aggregate
from kit.alerts import alert
from kit.lease import Lease
from kit.mongo import Database
from kit.nats import EVENTS
from kit.republishing import Publication, republish

log = logging.getLogger(__name__)

LOOK_SECONDS = 30.0

LEASE = timedelta(seconds=90)
"""How long other processes wait before one of them goes on in place of a process that died."""

FIRST_DELAY = timedelta(minutes=1)
"""Minimum time between the first repair for a consumer and the next. It doubles with each repair."""

MAX_DELAY = timedelta(days=1)

BATCH = 100
"""The lease is extended each time when this number of documents was written."""


class Gap(BaseModel):
    """Events with these numbers may be missing, without the limits."""

    after: int
    before: int

    def contains(self, sequence: int) -> bool:
        return self.after < sequence < self.before


class View(BaseModel):
    """A consumer and its stream at one moment."""

    first: int
    """The first number in the stream, read after the consumer."""
    last: int
    """The last number in the stream, read before the consumer."""
    acknowledged: int
    """All events up to this number are acknowledged."""
    is_idle: bool
    """Whether all events up to `last` are acknowledged or discarded."""
    is_new: bool
    """Whether the consumer has never received anything."""


class Progress(BaseModel):
    """What is stored about a consumer."""

    position: int
    """Events up to this number were acknowledged, or are in the gap, or were repaired."""
    gap: Gap | None = None
    repairs: int = 0
    """Number of repairs in a row."""
    repaired_at: Moment | None = None

    @classmethod
    def first(cls, view: View) -> Self:
        """A consumer that is looked at for the first time. A new one has received nothing of what is gone."""
        if view.is_new:  # the server sets its position to the beginning of the stream
            return cls(position=0)
        return cls(position=view.last if view.is_idle else view.acknowledged)

    def follow(self, view: View) -> Self:
        """What is known after another look."""
        if self.position > view.last:  # the stream is a new one, or was restored
            return self.model_copy(update={"position": Progress.first(view).position, "gap": None})
        gap, position = self.gap, self.position
        if view.first > position + 1:
            gap = Gap(after=gap.after if gap else position, before=view.first)
        reached = view.last if view.is_idle else view.acknowledged
        return self.model_copy(update={"gap": gap, "position": max(position, view.first - 1, reached)})

    @property
    def next_repair(self) -> datetime | None:
        """When the next gap may be repaired at the earliest. None if at once."""
        if self.repaired_at is None:
            return None
        return self.repaired_at + min(FIRST_DELAY * (1 << min(self.repairs - 1, 20)), MAX_DELAY)

    def repaired(self, moment: datetime, documents: int) -> Self:
        """The gap is repaired. A repair without documents costs nothing and delays no other."""
        if not documents:
            return self.model_copy(update={"gap": None})
        in_a_row = self.repaired_at is not None and moment < self.repaired_at + 2 * MAX_DELAY
        repairs = self.repairs + 1 if in_a_row else 1
        return self.model_copy(update={"gap": None, "repairs": repairs, "repaired_at": moment})


class MissedEvents:
    """Looks after the durable consumers of a service's events.

    Args:
        kinds: the documents that the events are about.
        subjects: of the events.
    """

    def __init__(
        self, database: Database, kinds: Sequence[type[Aggregate]], subjects: Collection[str], lease: Lease
    ) -> None:
        self._progress = database["consumers"]
        self._kinds = kinds
        self._subjects = subjects
        self._lease = lease

    async def look(self, js: JetStreamContext) -> None:
        """Look at all consumers once, and repair what is due.

        Does nothing while another process holds the lease.

        Raises:
            nats.errors.Error, TimeoutError: not all consumers were looked at.
        """
        if not await self._lease.hold():
            return
        last = (await js.stream_info(EVENTS)).state.last_seq
        consumers = [info async for info in self._consumers(js)]
        first = (await js.stream_info(EVENTS)).state.first_seq
        for info in consumers:
            await self._look_at(js, info, _view(info, first, last))

    async def _consumers(self, js: JetStreamContext) -> AsyncIterator[ConsumerInfo]:
        read = 0
        while page := await js.consumers_info(EVENTS, read):
            read += len(page)
            for info in page:
                if info.config.durable_name and info.config.filter_subject in self._subjects:
                    yield info

    async def _look_at(self, js: JetStreamContext, info: ConsumerInfo, view: View) -> None:
        found = await self._progress.find_one({"_id": info.name})
        before = Progress.first(view) if found is None else Progress.model_validate(found)
        progress = before.follow(view)
        if progress.gap is not None and before.gap is None:
            alert(
                "discarded",
                "%s may have missed events: %s discarded numbers %s to %s. What they were about is published"
                " again once, when the consumer has received the rest%s",
                *(info.name, EVENTS, progress.gap.after + 1, progress.gap.before - 1),
                f", but not before {progress.next_repair:%Y-%m-%d %H:%M}" if progress.next_repair else "",
            )
        if found is None or progress != before:
            await self._store(info.name, progress)
        # A lane that waits for messages shows that the consumer is there and has received what is left.
        # Earlier, the events would make the stream discard others that the consumer has yet to receive.
        is_due = progress.next_repair is None or progress.next_repair <= now()
        if progress.gap is not None and info.num_waiting and is_due:
            # Read again, because a repair for another consumer has published events meanwhile.
            last = (await js.stream_info(EVENTS)).state.last_seq
            await self._repair(info.name, progress, progress.gap, last)

    async def _repair(self, consumer: str, progress: Progress, gap: Gap, last: int) -> None:
        def is_missed(publication: Publication) -> bool:
            sequence = publication.sequence
            return publication.is_complete and (
                sequence is None or gap.contains(sequence) or sequence > last  # numbers of an earlier stream
            )

        documents = 0
        for kind in self._kinds:
            async with aclosing(republish(kind, is_missed)) as written:
                async for _ in written:
                    documents += 1
                    if documents % BATCH == 0 and not await self._lease.hold():
                        return  # another process goes on with the rest
        repaired = progress.repaired(now(), documents)
        await self._store(consumer, repaired)
        log.warning(
            "%s may have missed numbers %s to %s of %s: %s documents are published again",
            *(consumer, gap.after + 1, gap.before - 1, EVENTS, documents),
        )

    async def _store(self, consumer: str, progress: Progress) -> None:
        stored: dict[str, Any] = progress.model_dump()
        await self._progress.update_one({"_id": consumer}, {"$set": stored}, upsert=True)


def _view(info: ConsumerInfo, first: int, last: int) -> View:
    return View(
        first=first,
        last=last,
        acknowledged=info.ack_floor.stream_seq if info.ack_floor else 0,
        is_idle=not info.num_pending and not info.num_ack_pending,
        is_new=not info.delivered or not info.delivered.consumer_seq,
    )
