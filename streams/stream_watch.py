"""Watches how full streams are, and whether they discarded events before a consumer received them."""

from collections.abc import Sequence

from nats.js import JetStreamContext
from nats.js.api import StreamInfo
from prometheus_client import Gauge

from kit.alerts import alert
from streams.topology import DEAD, Consumer

CHECK_SECONDS = 30.0

FULL = 0.8
"""The share of its maximum size from which a stream counts as full."""

BYTES = Gauge("stream_bytes", "Size of a stream", ["stream"])
MAX_BYTES = Gauge("stream_max_bytes", "Maximum size of a stream, or 0 if it has none", ["stream"])


class StreamWatch:
    """Watches the streams of these consumers, and dead letters. Reports a problem once until it is over."""

    def __init__(self, consumers: Sequence[Consumer]) -> None:
        self._consumers = consumers
        self._streams = sorted({consumer.stream for consumer in consumers} | {DEAD}) if consumers else []
        self._reported: set[str] = set()

    async def check(self, js: JetStreamContext) -> None:
        """Check everything once.

        Raises:
            nats.errors.Error, TimeoutError: not everything was checked.
        """
        found = {name: await js.stream_info(name) for name in self._streams}
        for name, stream in found.items():
            self._check_size(name, stream)
        for consumer in self._consumers:
            await self._check_consumer(js, consumer, found[consumer.stream])

    def _check_size(self, name: str, stream: StreamInfo) -> None:
        size, maximum = stream.state.bytes, max(0, stream.config.max_bytes or 0)
        BYTES.labels(name).set(size)
        MAX_BYTES.labels(name).set(maximum)
        if self._begins(name, maximum > 0 and size >= FULL * maximum):
            alert("stream_full", "the stream %s is %.0f %% full", name, 100 * size / maximum)

    async def _check_consumer(self, js: JetStreamContext, consumer: Consumer, stream: StreamInfo) -> None:
        info = await js.consumer_info(consumer.stream, consumer.name)
        received = info.delivered.stream_seq if info.delivered else 0
        if self._begins(consumer.name, bool(info.num_pending) and stream.state.first_seq > received + 1):
            alert(
                "discarded",
                "%s may have missed events: it received none after %s, but %s begins with %s",
                *(consumer.name, received, consumer.stream, stream.state.first_seq),
            )

    def _begins(self, name: str, is_wrong: bool) -> bool:
        """Whether a problem must be reported."""
        begins = is_wrong and name not in self._reported
        self._reported -= {name}
        self._reported |= {name} if is_wrong else set()
        return begins
