"""Outages of hours, in simulated time: the clocks of mail go forward from one attempt to the next."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from unittest.mock import patch

import pytest

from contracts.wire import now
from services.mail import actions, documents, rules
from services.mail import sender as sending
from services.mail.documents import Message
from tests.integration.mail.conftest import Post

HOUR = timedelta(hours=1)
ORDERS = 25


@dataclass
class Clock:
    """The time that mail believes it is."""

    started: datetime = field(default_factory=now)
    passed: timedelta = timedelta()

    def now(self) -> datetime:
        return self.started + self.passed

    def monotonic(self) -> float:
        return self.passed.total_seconds()


@pytest.fixture
def clock() -> Iterator[Clock]:
    clock = Clock()
    with ExitStack() as patches:
        for module in (actions, documents, sending):
            patches.enter_context(patch.object(module, "now", clock.now))
        patches.enter_context(patch.object(sending, "monotonic", clock.monotonic))
        yield clock


async def attempts() -> int:
    found = await Message.get_pymongo_collection().find({}, {"attempts": 1}).to_list()
    return sum(message["attempts"] for message in found)


async def test_an_hour_without_the_mail_server_loses_nothing(post: Post, clock: Clock) -> None:
    for _ in range(ORDERS):
        await post.outgoing.tell(post.order(paid_at=clock.now()))
    tried, seen = [], 0
    while clock.passed < HOUR:
        if not post.sender.is_paused:
            await post.sender.send_due()
            if (count := await attempts()) > seen:
                tried.append(clock.passed)
                seen = count
        clock.passed += timedelta(seconds=1)
    pauses = [(later - earlier).total_seconds() for earlier, later in pairwise(tried)]
    assert pauses[:4] == [5, 10, 20, 40]
    assert set(pauses[4:]) == {sending.MAX_PAUSE}
    assert seen <= len(tried) * post.settings.mail_connections

    clock.passed += timedelta(seconds=sending.MAX_PAUSE)
    async with post.server.running():
        await post.sender.send_due()
    assert sorted(post.server.copies.values()) == [1] * 2 * ORDERS
    assert await Message.get_pymongo_collection().count_documents({"status": "sent"}) == 2 * ORDERS


async def test_a_server_that_defers_for_a_day_is_asked_at_least_once_an_hour(
    post: Post, clock: Clock
) -> None:
    post.server.to_recipient = lambda _: "450 4.2.0 greylisted"
    await post.outgoing.tell(post.order(paid_at=clock.now(), seller_id=None))
    tried = []
    async with post.server.running():
        while clock.passed < 24 * HOUR:
            await post.sender.send_due()
            tried.append(clock.passed)
            (message,) = (await post.messages()).values()
            # MongoDB stores milliseconds.
            clock.passed = message.next_attempt_at - clock.started + timedelta(milliseconds=1)
        post.server.to_recipient = lambda _: "250 OK"
        await post.sender.send_due()
    delays = [round((later - earlier).total_seconds()) for earlier, later in pairwise(tried)]
    assert delays[:7] == [30, 60, 120, 240, 480, 960, 1920]
    assert set(delays[7:]) == {rules.MAX_DELAY.total_seconds()}
    assert list(post.server.copies.values()) == [1]
