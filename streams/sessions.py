"""Every process hears who signed out, and catches up with what it missed."""

import logging
from datetime import timedelta

from faststream.nats import NatsBroker
from nats.js.api import ConsumerConfig, DeliverPolicy
from pydantic import ValidationError

from contracts.events import SessionEnded
from contracts.wire import now
from services.kit.tokens import EndedSessions
from streams.topology import EVENTS, LIVE_PREFIX

log = logging.getLogger(__name__)

OVERLAP = timedelta(minutes=1)
"""How much earlier than it must a process begin to catch up: clocks of servers differ a little."""

MESSAGE_SECONDS = 5.0


class EndedSessionsFeed:
    """Tells `ended` of the sessions that end.

    While connected it hears of each as it ends. `catch_up` reads what ended before that: nats-py's
    ordered consumer would do both, but 2.16 can't resume one that began at a time.
    """

    def __init__(self, broker: NatsBroker, ended: EndedSessions, lifetime: timedelta) -> None:
        self._broker = broker
        self._ended = ended
        self._complete_until = now() - lifetime
        """By the clock of NATS, once it has told of a session: this process's own may be ahead of it."""

        @broker.subscriber(
            f"{LIVE_PREFIX}.{SessionEnded.subject}",
            no_reply=True,
            title="every-process-session-ended",
            description=(SessionEnded.__doc__ or "").strip(),
        )
        async def end_session(event: SessionEnded) -> None:
            """Refuse the tokens of this session from now on."""
            ended.add(event.session_id, event.ended_at)

    async def catch_up(self) -> None:
        """Read what ended since the last time; the first time, within the lifetime of a session.

        Raises:
            nats.errors.Error, TimeoutError: not everything was read.
        """
        subscription = await self._broker.connection.jetstream(timeout=MESSAGE_SECONDS).subscribe(
            SessionEnded.subject,
            stream=EVENTS,
            ordered_consumer=True,
            config=ConsumerConfig(
                deliver_policy=DeliverPolicy.BY_START_TIME, opt_start_time=self._complete_until - OVERLAP
            ),
        )
        try:
            info = await subscription.consumer_info()
            sent = info.delivered.consumer_seq if info.delivered else 0
            for _ in range((info.num_pending or 0) + sent):
                message = await subscription.next_msg(timeout=MESSAGE_SECONDS)
                self._hear(message.data)
                self._complete_until = max(self._complete_until, message.metadata.timestamp)
        finally:
            await subscription.unsubscribe()

    def _hear(self, body: bytes) -> None:
        try:
            event = SessionEnded.model_validate_json(body)
        except ValidationError as error:
            log.warning("a session.ended that isn't one: %s", error)
            return
        self._ended.add(event.session_id, event.ended_at)
