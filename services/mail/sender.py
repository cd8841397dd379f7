"""Sends queued messages. All replicas share this work: each claims a message before it sends it."""

import asyncio
import logging
import random
from collections import deque
from collections.abc import Mapping
from datetime import timedelta
from time import monotonic

from babel import Locale

from contracts.languages import DEFAULT
from contracts.wire import now
from kit.alerts import alert
from kit.errors import Unavailable
from kit.mongo import DatabaseError
from kit.texts import ENGLISH, using
from kit.tracing import fail_span, span
from services.mail import rules
from services.mail.addresses import Addresses, BadAnswer, MailedLink, Missing
from services.mail.documents import Message, OptOut
from services.mail.kinds import BY_NAME
from services.mail.kinds.base import AnyKind, Site
from services.mail.metrics import ATTEMPTS, MAX_COUNTED, show_queued
from services.mail.rendering import Stationery
from services.mail.rules import Ended, Retry
from services.mail.smtp import Deferred, MailServer, RecipientRejected, Rejected, ServerDown
from services.mail.unsubscribing import Choice, Tokens
from settings import Settings

log = logging.getLogger(__name__)

SECONDS = 90
"""How long one attempt takes at most."""

CLAIM = timedelta(seconds=120)
"""How long a message is left alone by other processes. If its process dies, another one sends it then."""

FINISH_SECONDS = 10.0
"""How long a process that stops waits for the answers of the mail server."""

BATCH = 1_000
"""Maximum number of due messages that are read at once."""

MAX_LOST = 100
"""A sender that loses this number of claims reads again: other processes send most of its batch."""

LOCALES: Mapping[str, Locale] = {"en": ENGLISH, "de": Locale("de", "DE")}
"""How amounts and dates are written in each language. Nothing tells the recipient's country."""

FIRST_PAUSE = 5.0
MAX_PAUSE = 60.0
"""Seconds until the mail server, or auth, is asked again after it didn't answer."""


class Sender:
    """Sends what is due."""

    def __init__(self, settings: Settings, server: MailServer, addresses: Addresses) -> None:
        self._server = server
        self._addresses = addresses
        self._site = Site.of(settings)
        self._stationery = Stationery(settings.sender, settings.site)
        self._tokens = Tokens(settings)
        self._daily_limit = settings.mail_daily_limit
        self._give_up = timedelta(hours=settings.mail_give_up_hours)
        self._concurrency = settings.mail_connections
        self._order = random.random()  # noqa: S311 - spreads work, guards no secret
        self._work: set[asyncio.Task[None]] = set()
        self._is_stopping = False
        self._pause = 0.0
        self._paused_until = 0.0

    @property
    def is_paused(self) -> bool:
        """Whether the mail server or auth has just failed."""
        return monotonic() < self._paused_until

    async def send_due(self) -> int:
        """Send every message that is due. Return how many were due.

        While the mail server or auth is down, nothing is claimed, so that the messages stay due.
        """
        total = 0
        while not self.is_paused and not self._is_stopping:
            due = await Message.due_at(now(), BATCH)
            total += len(due)
            is_all = len(due) < BATCH
            # Processes that read the same messages begin with different people. The messages to one person
            # stay in order, because the limits depend on the earlier ones.
            due.sort(key=lambda message: hash((self._order, message.recipient)))
            if await self._send_all(deque(due)) and is_all:
                break
        await self._server.close_idle()
        return total

    async def finish(self) -> None:
        """Let no attempt begin any more, and wait for those that have begun.

        If an attempt were cut off after the server has taken the message, the message would be sent again.
        """
        self._is_stopping = True
        if self._work:
            await asyncio.wait(self._work, timeout=FINISH_SECONDS)

    async def measure(self) -> None:
        """Measure how much isn't sent yet."""
        show_queued(await Message.queued_since(MAX_COUNTED))

    async def _send_all(self, messages: deque[Message]) -> bool:
        """Send these messages, several at a time. Return False if other processes send most of them.

        If this is cancelled, the attempts go on: see `finish`.
        """
        lost = 0

        async def send_one_by_one() -> None:
            nonlocal lost
            while messages and lost < MAX_LOST and not self.is_paused and not self._is_stopping:
                message = messages.popleft()
                if await message.claim(now() + CLAIM):
                    await self._attempt(message)
                else:
                    lost += 1

        work = [asyncio.create_task(send_one_by_one()) for _ in range(min(self._concurrency, len(messages)))]
        self._work.update(work)
        for task in work:
            task.add_done_callback(self._work.discard)
        if work:
            await asyncio.wait(work)
        errors = [error for each in work if not each.cancelled() and (error := each.exception())]
        if errors:
            raise errors[0]
        return lost < MAX_LOST

    async def _attempt(self, message: Message) -> None:
        attributes = {"stagedoor.mail.kind": message.kind, "stagedoor.mail.cause": message.cause}
        with span("producer", "send mail", None, attributes, links=[message.traceparent]):
            await self._record(message, await self._outcome(message))

    async def _record(self, message: Message, outcome: Retry | Ended | None) -> None:
        match outcome:
            case None:
                await Message.end(message.id, "sent")
                ATTEMPTS.labels("sent").inc()
                log.info("message %s was sent, attempt %s", message.id, message.attempts)
            case Retry():
                await Message.postpone(message.id, outcome)
                ATTEMPTS.labels("retried").inc()
                fail_span(outcome.error)
                log.warning(
                    "message %s wasn't sent, attempt %s: %s", message.id, message.attempts, outcome.error
                )
            case Ended():
                await Message.end(message.id, outcome.status, outcome.error)
                ATTEMPTS.labels(outcome.status).inc()
                fail_span(outcome.error)
                if outcome.status == "failed" and outcome.needs_operator:
                    alert("mail_failed", "message %s can't be sent: %s", message.id, outcome.error)
                else:
                    log.info("message %s is %s: %s", message.id, outcome.status, outcome.error)

    async def _outcome(self, message: Message) -> Retry | Ended | None:
        """Send the message. Return None if it was sent."""
        try:
            async with asyncio.timeout(SECONDS):
                ended = await self._send(message)
        except ServerDown as down:
            if down.refuses_us:
                alert("mail_refused", "the mail server refuses us: %s", down.error)
            return self._after_outage(message, down.error)
        except Unavailable:
            return self._after_outage(message, "auth-unavailable")
        except RecipientRejected as rejected:
            kind = BY_NAME[message.kind]
            return Ended("failed", rejected.error, needs_operator=not (kind.needs_link or kind.is_limited))
        except Rejected as rejected:
            return Ended("failed", rejected.error)
        except Deferred as deferred:
            return self._after_failure(message, deferred.error)
        except BadAnswer:
            return self._after_failure(message, "auth-bad-answer")
        except TimeoutError:
            return self._after_failure(message, "timeout")
        except DatabaseError:
            raise
        except Exception as error:  # its text may contain the address or the content
            return self._after_failure(message, type(error).__name__)
        self._pause = 0.0
        return ended

    async def _send(self, message: Message) -> Retry | Ended | None:
        kind = BY_NAME.get(message.kind)
        if kind is None:  # a newer version has stored it, or an older one that had the kind
            return self._after_failure(message, "unknown-kind")
        if kind.is_optional and await OptOut.exists(message.recipient, kind.name):
            return Ended("dropped", "unwanted")
        if kind.is_limited and await message.has_before(rules.MAX_ALIKE, [kind.name], rules.WINDOW):
            return Ended("dropped", "too-many")
        limit = self._daily_limit if kind.is_optional else 0
        if limit and await message.has_before(limit, [kind.name], rules.DAY):
            return Ended("dropped", "daily-limit")
        ask = (
            self._addresses.of_link(message.cause)
            if kind.needs_link
            else self._addresses.of_user(message.recipient)
        )
        found = await ask
        if found is Missing.OVER:
            return Ended("dropped", "link-over")
        if isinstance(found, Missing):
            return rules.of_unknown_user(message.created_at, message.attempts, now())
        url = self._site.url + found.path if isinstance(found, MailedLink) else self._site.url
        with using(LOCALES.get(found.language or DEFAULT, ENGLISH)):
            content = kind.content(kind.facts.model_validate(message.facts), self._site, url)
            email = self._stationery.email(message.id, content, found.email, self._token(kind, message))
        await self._server.send(email, self._stationery.sender, found.email)
        return None

    def _token(self, kind: AnyKind, message: Message) -> str | None:
        return self._tokens.make(Choice(message.recipient, kind.name)) if kind.is_optional else None

    def _after_failure(self, message: Message, error: str) -> Retry | Ended:
        return rules.after_failure(message.created_at, message.attempts, error, now(), self._give_up)

    def _after_outage(self, message: Message, error: str) -> Retry | Ended:
        """Pause all work, and try this message again as soon as the pause is over."""
        if not self.is_paused:  # others of the same batch have failed for the same reason
            self._pause = min(max(self._pause * 2, FIRST_PAUSE), MAX_PAUSE)
            self._paused_until = monotonic() + self._pause
        moment = now()
        if moment - message.created_at > self._give_up:
            return Ended("failed", error)
        return Retry(moment + timedelta(seconds=self._pause), error)
