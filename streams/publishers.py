"""Publishes a service's declared events as CloudEvents."""

from collections.abc import Iterable
from datetime import datetime

from faststream.nats import JStream, NatsBroker

from contracts.events import Event
from kit.nats import EVENTS, PUBLISH_SECONDS
from kit.tracing import id_of, span
from settings import ServiceName
from streams import cloudevents


class UndeclaredEvent(Exception):
    """A service tried to publish an event that it doesn't declare in `publishes`."""


class Publishers:
    """One FastStream publisher for each type of event, so that the AsyncAPI document lists all types."""

    def __init__(self, broker: NatsBroker, service: ServiceName, events: Iterable[type[Event]]) -> None:
        self.broker = broker
        self._service = service
        self._publishers = {
            event.subject: broker.publisher(
                event.subject,
                stream=JStream(EVENTS, declare=False),
                timeout=PUBLISH_SECONDS,
                schema=event,
                title=event.subject,
                description=(event.__doc__ or "").strip(),
            )
            for event in events
        }

    async def publish(
        self, body: str, *, event_id: str, subject: str, about: str, time: datetime, traceparent: str
    ) -> int:
        """Publish an event and wait until the stream has stored it. Return its number in the stream.

        The stream drops a repeated event. The result is then the number of the first one.

        Raises:
            UndeclaredEvent
            nats.errors.Error, TimeoutError: the stream didn't acknowledge the event, but may have stored it.
        """
        publisher = self._publishers.get(subject)
        if publisher is None:
            raise UndeclaredEvent(f"{self._service} doesn't declare that it publishes {subject}")
        attributes = {
            "messaging.system": "nats",
            "messaging.destination.name": subject,
            "messaging.message.id": event_id,
            **id_of(subject, about),
        }
        with span("producer", f"send {subject}", traceparent, attributes) as parent:
            headers = cloudevents.headers(
                event_id=event_id,
                subject=subject,
                about=about,
                time=time,
                traceparent=parent,
                source=self._service,
            )
            acknowledgement = await publisher.publish(body.encode(), headers=headers, stream=EVENTS)
        return acknowledgement.seq
