"""Rules of messages: what is still worth telling, and when to try again."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

FIRST_DELAY = timedelta(seconds=30)
MAX_DELAY = timedelta(hours=1)
"""The longest time between two attempts to send a message. Servers that delay unknown senders (greylisting)
accept them after minutes."""

UNKNOWN_FOR = timedelta(hours=1)
"""How long a message waits for a user whom auth doesn't know, because auth may be older than mail, or
restored from a backup. Then the account counts as deleted."""

MAX_ALIKE = 3
WINDOW = timedelta(minutes=30)
"""At most `MAX_ALIKE` messages of a limited kind are sent to one person about what is told within this time.
Whoever causes more can't hide anything with it: the person has just been told several times."""

DAY = timedelta(hours=24)


@dataclass(frozen=True)
class Retry:
    """The next attempt to send a message."""

    at: datetime
    error: str


@dataclass(frozen=True)
class Ended:
    """A message that isn't sent any more."""

    status: Literal["failed", "dropped"]
    error: str
    needs_operator: bool = True
    """Whether a failure is for operators. Addresses that people invent when they sign up aren't."""


def is_recent(happened_at: datetime, now: datetime, max_age: timedelta) -> bool:
    """Whether to tell somebody what happened at this time.

    A new or restored mail service, and events that are published again, must not tell the whole past.
    """
    return now - happened_at <= max_age


def after_failure(
    created_at: datetime, attempts: int, error: str, now: datetime, give_up: timedelta
) -> Retry | Ended:
    """What follows from a failure that may pass: another attempt, twice as late each time, or none."""
    delay = min(FIRST_DELAY * 2 ** min(attempts - 1, 20), MAX_DELAY)
    if now + delay - created_at > give_up:
        return Ended("failed", error)
    return Retry(now + delay, error)


def of_unknown_user(created_at: datetime, attempts: int, now: datetime) -> Retry | Ended:
    """What follows if auth doesn't know the recipient."""
    error = "unknown-user"
    if now - created_at > UNKNOWN_FOR:
        return Ended("dropped", error)
    return Retry(now + min(FIRST_DELAY * 2 ** min(attempts - 1, 20), MAX_DELAY), error)
