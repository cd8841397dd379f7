"""Every process hears who signed out, and at its start who did so lately."""

from datetime import timedelta

from faststream import AckPolicy
from faststream.nats import JStream, NatsBroker
from nats.js.api import ConsumerConfig, DeliverPolicy

from contracts.events import SessionEnded
from contracts.wire import now
from services.kit.tokens import EndedSessions
from streams.topology import EVENTS

HEARTBEAT_SECONDS = 5.0
"""An ordered consumer that misses two of these is made anew, from where it stood."""


def hear_ended_sessions(broker: NatsBroker, ended: EndedSessions, lifetime: timedelta) -> None:
    """Tell `ended` of every session that ended within the last `lifetime`, and of each that ends now.

    An ordered consumer belongs to this process alone and keeps its place across reconnections.
    """
    since = now() - lifetime

    @broker.subscriber(
        SessionEnded.subject,
        stream=JStream(EVENTS, declare=False),
        ordered_consumer=True,
        idle_heartbeat=HEARTBEAT_SECONDS,
        config=ConsumerConfig(
            deliver_policy=DeliverPolicy.BY_START_TIME,
            opt_start_time=since,
            idle_heartbeat=HEARTBEAT_SECONDS,
        ),
        ack_policy=AckPolicy.MANUAL,  # there is nothing to acknowledge
        no_reply=True,
        title="every-process-session-ended",
        description=(SessionEnded.__doc__ or "").strip(),
    )
    async def end_session(event: SessionEnded) -> None:
        """Refuse the tokens of this session from now on."""
        ended.add(event.session_id, event.ended_at)
