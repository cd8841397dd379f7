"""Watches streams and consumers: how full they are, how far behind, and what went to DEAD.

Every instance of a service measures the same, because it asks NATS.
"""

from collections.abc import Sequence

from nats.js import JetStreamContext
from nats.js.api import ConsumerInfo, StreamInfo
from prometheus_client import Gauge

from kit.alerts import alert
from streams.topology import DEAD, DEAD_PREFIX, TIMERS, Consumer

CHECK_SECONDS = 15.0

FULL = 0.8
"""The share of its maximum size from which a stream counts as full."""

BYTES = Gauge("stagedoor_stream_bytes", "Size of a stream", ["stream"])
MAX_BYTES = Gauge("stagedoor_stream_max_bytes", "Maximum size of a stream, or 0 if it has none", ["stream"])
PENDING = Gauge("stagedoor_consumer_pending_messages", "Messages that wait for delivery", ["consumer"])
UNACKNOWLEDGED = Gauge(
    "stagedoor_consumer_unacknowledged_messages",
    "Messages that are being handled, or wait for another attempt",
    ["consumer"],
)
DEAD_LETTERS = Gauge("stagedoor_dead_letters_stored", "Messages in DEAD by their consumer", ["consumer"])
TIMERS_OF = Gauge("stagedoor_timers", "Timers: scheduled, or due and not announced", ["state"])


class StreamWatch:
    """Watches the streams of these consumers, and dead letters. Reports a problem once until it is over."""

    def __init__(self, consumers: Sequence[Consumer]) -> None:
        self._consumers = consumers
        self._streams = sorted({consumer.stream for consumer in consumers} | {DEAD}) if consumers else []
        self._reported: set[str] = set()
        for consumer in consumers:
            for gauge in (PENDING, UNACKNOWLEDGED, DEAD_LETTERS):
                gauge.labels(consumer.name)
        for stream in self._streams:
            BYTES.labels(stream)
            MAX_BYTES.labels(stream)
        if TIMERS in self._streams:
            TIMERS_OF.labels("scheduled")
            TIMERS_OF.labels("due")

    async def check(self, js: JetStreamContext) -> None:
        """Check everything once.

        Raises:
            nats.errors.Error, TimeoutError: not everything was checked.
        """
        found = {name: await js.stream_info(name, self._subjects_of(name)) for name in self._streams}
        for name, stream in found.items():
            self._check_size(name, stream)
        for consumer in self._consumers:
            await self._check_consumer(js, consumer, found[consumer.stream])
            self._count_dead_letters(consumer, found[DEAD])

    def _subjects_of(self, stream: str) -> str | None:
        """The subjects whose messages the server counts: of DEAD, those of this service."""
        return f"{DEAD_PREFIX}.{self._consumers[0].service}.>" if stream == DEAD else None

    def _check_size(self, name: str, stream: StreamInfo) -> None:
        size, maximum = stream.state.bytes, max(0, stream.config.max_bytes or 0)
        BYTES.labels(name).set(size)
        MAX_BYTES.labels(name).set(maximum)
        if self._begins(name, maximum > 0 and size >= FULL * maximum):
            alert("stream_full", "the stream %s is %.0f %% full", name, 100 * size / maximum)

    async def _check_consumer(self, js: JetStreamContext, consumer: Consumer, stream: StreamInfo) -> None:
        info = await js.consumer_info(consumer.stream, consumer.name)
        self._measure(consumer, info, stream)
        received = info.delivered.stream_seq if info.delivered else 0
        is_behind = bool(info.num_pending) and stream.state.first_seq > received + 1
        # A limit of the stream leaves the consumer's position where it was, and a purge moves it past what it
        # deletes. So only missed_events, which stores positions itself, notices a purge.
        # TIMERS discards nothing. What it lacks are the timers of orders that need none any more.
        if self._begins(consumer.name, is_behind and consumer.stream != TIMERS):
            alert(
                "discarded",
                "%s may have missed events: it received none after %s, but %s begins with %s",
                *(consumer.name, received, consumer.stream, stream.state.first_seq),
            )

    def _measure(self, consumer: Consumer, info: ConsumerInfo, stream: StreamInfo) -> None:
        pending, unacknowledged = info.num_pending or 0, info.num_ack_pending or 0
        PENDING.labels(consumer.name).set(pending)
        UNACKNOWLEDGED.labels(consumer.name).set(unacknowledged)
        if consumer.stream == TIMERS:  # the only consumer of TIMERS receives the timers that have fired
            due = pending + unacknowledged
            TIMERS_OF.labels("due").set(due)
            TIMERS_OF.labels("scheduled").set(max(0, stream.state.messages - due))

    def _count_dead_letters(self, consumer: Consumer, dead: StreamInfo) -> None:
        prefix = f"{DEAD_PREFIX}.{consumer.service}."
        subjects = (dead.state.subjects or {}).items()
        count = sum(number for subject, number in subjects if consumer.receives(subject.removeprefix(prefix)))
        DEAD_LETTERS.labels(consumer.name).set(count)

    def _begins(self, name: str, is_wrong: bool) -> bool:
        """Whether a problem must be reported."""
        begins = is_wrong and name not in self._reported
        self._reported -= {name}
        self._reported |= {name} if is_wrong else set()
        return begins
