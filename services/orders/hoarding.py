"""Rules against hoarding: keeping a ticket from others again and again without buying it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from kit.errors import TooManyRequests
from kit.networks import WIDE_FACTOR, Networks

MEMORY = timedelta(hours=24)
"""How long a hold counts after its end."""

FREE_HOLDS = 2
"""Holds of one ticket that one person may have without a pause: people change their minds once."""

FREE_HOLDS_OF_NETWORK = 4
"""Holds of one ticket from one network without a pause: many people share a network of a mobile carrier."""


class ReservedTooOften(TooManyRequests):
    pass


class HeldTooLong(TooManyRequests):
    pass


class TooManyFromNetwork(TooManyRequests):
    message = "Too many tickets are on hold from your network. Try again when some are paid for or released"


@dataclass(frozen=True)
class PastHold:
    """A hold of a ticket that ended without a payment."""

    buyer: str
    network: str | None
    """A keyed hash of the buyer's network. None if limits per network don't apply to it."""
    wide_network: str | None
    """The same for the wide network."""
    begun_at: datetime
    ended_at: datetime


@dataclass(frozen=True)
class Limits:
    """How often and how long one person may hold one ticket. A zero disables the limit."""

    cool_down: timedelta = timedelta()
    """The first pause between two holds. Each further pause is twice as long."""
    max_total: timedelta = timedelta()
    """The total time of one person's holds of one ticket within `MEMORY`, but at least one hold."""


def check_may_hold(
    holds: Sequence[PastHold],
    buyer: str,
    networks: Networks | None,
    window: timedelta,
    limits: Limits,
    now: datetime,
) -> None:
    """Check that this buyer may hold the ticket for a `window` now, given its past holds.

    Raises:
        ReservedTooOften, HeldTooLong
    """
    recent = [hold for hold in holds if hold.ended_at > now - MEMORY]
    own = [hold for hold in recent if hold.buyer == buyer]
    cool_down = limits.cool_down
    if (wait := _end_of_pause(own, FREE_HOLDS, cool_down, now) - now) > timedelta():
        raise _refusal(
            ReservedTooOften, "You have reserved this ticket several times without buying it", wait
        )
    if networks is not None:
        nearby = [hold for hold in recent if hold.network == networks.narrow]
        around = [hold for hold in recent if hold.wide_network == networks.wide]
        for holds_of_network, free in (
            (nearby, FREE_HOLDS_OF_NETWORK),
            (around, FREE_HOLDS_OF_NETWORK * WIDE_FACTOR),
        ):
            if (wait := _end_of_pause(holds_of_network, free, cool_down, now) - now) > timedelta():
                reason = "This ticket was reserved several times from your network without being bought"
                raise _refusal(ReservedTooOften, reason, wait)
    if limits.max_total and (wait := _end_of_excess(own, window, limits.max_total, now) - now) > timedelta():
        raise _refusal(HeldTooLong, "You have held this ticket for a long time without buying it", wait)


def _end_of_pause(holds: Sequence[PastHold], free: int, cool_down: timedelta, now: datetime) -> datetime:
    """When the ticket may be held again: the pause doubles with each hold, up to `MEMORY`."""
    if len(holds) < free:
        return now
    # Beyond a day the pause has no effect, and the power would overflow.
    pause = min(cool_down * (1 << min(len(holds) - free, 20)), MEMORY)
    return max(hold.ended_at for hold in holds) + pause


def _end_of_excess(
    holds: Sequence[PastHold], window: timedelta, max_total: timedelta, now: datetime
) -> datetime:
    """When another hold of length `window` fits into the total again, because old holds no longer count."""
    total = sum((hold.ended_at - hold.begun_at for hold in holds), timedelta())
    end = now
    for hold in sorted(holds, key=lambda hold: hold.ended_at):
        if total + window <= max_total:
            break
        total -= hold.ended_at - hold.begun_at
        end = hold.ended_at + MEMORY
    return end


def _refusal(kind: type[TooManyRequests], reason: str, wait: timedelta) -> TooManyRequests:
    seconds = math.ceil(wait.total_seconds())
    return kind(f"{reason}. You can reserve it again in {_in_words(seconds)}", retry_after=seconds)


def _in_words(seconds: int) -> str:
    """A duration such as "3 minutes", rounded up."""
    for size, name in ((3600, "hour"), (60, "minute"), (1, "second")):
        if seconds >= size:
            count = math.ceil(seconds / size)
            return f"{count} {name}{'' if count == 1 else 's'}"
    return "a moment"
