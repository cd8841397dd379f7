"""Queue messages about events, and record what people don't want to be told."""

import asyncio
import logging
from datetime import timedelta

from contracts.events import Event
from contracts.wire import now
from kit.errors import NotFound
from kit.tracing import traceparent
from services.mail import rules
from services.mail.documents import Message, OptOut, key_of
from services.mail.kinds import BY_NAME, KINDS
from services.mail.unsubscribing import Tokens

log = logging.getLogger(__name__)


class Outgoing:
    """The queue of messages.

    Args:
        max_age: what happened longer ago isn't told any more.
    """

    def __init__(self, max_age: timedelta) -> None:
        self._max_age = max_age
        self.queued = asyncio.Event()
        """Set after this process has queued a message."""

    async def tell(self, event: Event) -> None:
        """Queue the messages that the event causes. A repeated or older event queues nothing new."""
        for kind in KINDS:
            if not isinstance(event, kind.events):
                continue
            notice = kind.notice(event)
            moment = now()
            if notice is None or not rules.is_recent(notice.happened_at, moment, self._max_age):
                continue
            message = Message(
                id=key_of(kind.name, notice.cause, notice.recipient),
                kind=kind.name,
                cause=notice.cause,
                recipient=notice.recipient,
                facts=notice.facts.model_dump(),
                next_attempt_at=moment,
                created_at=moment,
                traceparent=traceparent(),
            )
            if await message.add():
                self.queued.set()


async def wants(user_id: str, kind: str) -> bool:
    """Whether the person gets optional messages of this kind.

    Raises:
        NotFound: no optional messages have this kind.
    """
    return not await OptOut.exists(user_id, _optional(kind))


async def resume(user_id: str, kind: str) -> None:
    """Send optional messages of this kind to the person again. A repeated call changes nothing.

    Raises:
        NotFound: no optional messages have this kind.
    """
    await OptOut.choose(user_id, _optional(kind), is_wanted=True)


def _optional(kind: str) -> str:
    known = BY_NAME.get(kind)
    if known is None or not known.is_optional:
        raise NotFound
    return known.name


async def choose(token: str, tokens: Tokens, *, is_wanted: bool) -> None:
    """Stop or resume messages of the kind that the token names. A repeated call changes nothing.

    Raises:
        NotFound: the token isn't valid.
    """
    choice = tokens.read(token)
    if choice is None:
        raise NotFound
    kind = _optional(choice.kind)
    await OptOut.choose(choice.user_id, kind, is_wanted=is_wanted)
    log.info("messages of kind %s are %s for %s", kind, "wanted" if is_wanted else "unwanted", choice.user_id)
