"""The timers of the expiration service: scheduled messages of JetStream (ADR-51)."""

from faststream.nats import NatsBroker, Schedule

from contracts.events import ExpirationComplete
from contracts.wire import now
from services.kit.tracing import traceparent
from streams import cloudevents
from streams.delivery import PUBLISH_SECONDS
from streams.topology import EVENTS, TIMERS


class JetStreamTimers:
    """Timers in the TIMERS stream. They survive the death of every process, NATS included."""

    def __init__(self, broker: NatsBroker) -> None:
        self._broker = broker

    async def set(self, due: ExpirationComplete) -> None:
        """Have `due` arrive at `timers.due.<order>` at its `expires_at`.

        Each time has a timer of its own, so that an old event that is heard again can't replace
        the timer of a later, extended time.
        """
        milliseconds = int(due.expires_at.timestamp() * 1000)
        await self._broker.publish(
            due.to_json().encode(),
            f"timers.set.{due.order_id}.{milliseconds}",
            headers={"content-type": "application/json", "traceparent": traceparent()},
            stream=TIMERS,
            timeout=PUBLISH_SECONDS,
            schedule=Schedule(time=due.expires_at, target=f"timers.due.{due.order_id}"),
        )

    async def announce(self, due: ExpirationComplete) -> None:
        """Publish that the time has come. A timer that fires twice is heard of once."""
        milliseconds = int(due.expires_at.timestamp() * 1000)
        await self._broker.publish(
            due.to_json().encode(),
            due.subject,
            headers=cloudevents.headers(
                event_id=f"expiration-{due.order_id}-{milliseconds}",
                subject=due.subject,
                about=due.about,
                time=now(),
                traceparent=traceparent(),
                source="expiration",
            ),
            stream=EVENTS,
            timeout=PUBLISH_SECONDS,
        )

    async def clear(self, order_id: str) -> None:
        """Forget the timers of an order that is over."""
        js = self._broker.connection.jetstream(timeout=PUBLISH_SECONDS)
        await js.purge_stream(TIMERS, subject=f"timers.set.{order_id}.*")
