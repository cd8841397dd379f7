"""The timers of the expiration service: scheduled messages of JetStream (ADR-51)."""

from faststream.nats import Schedule
from prometheus_client import Histogram

from contracts.events import GRACE, ExpirationComplete
from contracts.wire import now
from kit.nats import PUBLISH_SECONDS
from kit.tracing import span, traceparent
from streams.publishers import Publishers
from streams.topology import TIMERS

LATENESS = Histogram(
    "stagedoor_timer_lateness_seconds",
    "Time from the moment at which a timer is due until it is announced",
    buckets=(0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600),
)


class JetStreamTimers:
    """Timers in the TIMERS stream. They survive restarts of every process, NATS included."""

    def __init__(self, publishers: Publishers) -> None:
        self._publishers = publishers
        self._broker = publishers.broker

    async def set(self, due: ExpirationComplete) -> None:
        """Schedule `due` on `timers.due.<order>`, `GRACE` after its `expires_at`.

        Each deadline has its own timer, so that a repeated old event can't replace the timer of an extended
        deadline.
        """
        milliseconds = int(due.expires_at.timestamp() * 1000)
        attributes = {
            "messaging.system": "nats",
            "messaging.destination.template": "timers.set.{order}.{due}",
            "stagedoor.order.id": due.order_id,
        }
        with span("producer", "send timers.set", traceparent(), attributes) as parent:
            await self._broker.publish(
                due.to_json().encode(),
                f"timers.set.{due.order_id}.{milliseconds}",
                headers={"content-type": "application/json", "traceparent": parent},
                stream=TIMERS,
                timeout=PUBLISH_SECONDS,
                schedule=Schedule(time=due.expires_at + GRACE, target=f"timers.due.{due.order_id}"),
            )

    async def announce(self, due: ExpirationComplete) -> None:
        """Publish the event of a timer that fired. If it fires twice, the stream drops the second event."""
        milliseconds = int(due.expires_at.timestamp() * 1000)
        await self._publishers.publish(
            due.to_json(),
            event_id=f"expiration-{due.order_id}-{milliseconds}",
            subject=due.subject,
            about=due.about,
            time=now(),
            traceparent=traceparent(),
        )
        LATENESS.observe(max(0.0, (now() - due.expires_at - GRACE).total_seconds()))

    async def clear(self, order_id: str) -> None:
        """Delete the timers of an order that has ended."""
        js = self._broker.connection.jetstream(timeout=PUBLISH_SECONDS)
        await js.purge_stream(TIMERS, subject=f"timers.set.{order_id}.*")
