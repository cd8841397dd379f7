"""What a reservation reads: the past holds of the ticket, and the slots that are free."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pymongo import DESCENDING

from contracts.wire import now
from kit.networks import WIDE_FACTOR, Networks
from services.orders import rules
from services.orders.documents import Order
from services.orders.hoarding import PastHold, TooManyFromNetwork

MAX_PAST_HOLDS = 200
"""The newest holds of a ticket that are read. More within a day would take many people."""

_FIELDS = dict.fromkeys(("hold", "user_id", "network", "wide_network", "live", "ended_at"), 1)


@dataclass(frozen=True)
class TicketHolds:
    """The holds of a ticket until now."""

    newest: int
    """The newest hold number. 0 if the ticket was never held."""
    live_buyer: str | None
    """The buyer who holds the ticket."""
    ended: Sequence[PastHold]
    """The holds that ended without a payment. The live one is among them: the next hold begins only if it has
    ended meanwhile."""


async def of_ticket(ticket_id: str) -> TicketHolds:
    newest_first = Order.get_pymongo_collection().find(
        {"ticket_id": ticket_id}, _FIELDS, sort=[("hold", DESCENDING)], limit=MAX_PAST_HOLDS
    )
    found, moment = await newest_first.to_list(), now()
    ended = [_past_hold(order, moment) for order in found if order.get("ended_at") or order["live"]]
    live_buyer = next((order["user_id"] for order in found if order["live"]), None)
    return TicketHolds(found[0]["hold"] if found else 0, live_buyer, ended)


def _past_hold(order: Mapping[str, Any], now: datetime) -> PastHold:
    ended_at = order.get("ended_at") or now
    # The time in the id is truncated to seconds. A hold must not count as longer than it was.
    begun_at = min(order["_id"].generation_time + timedelta(seconds=1), ended_at)
    return PastHold(order["user_id"], order.get("network"), order.get("wide_network"), begun_at, ended_at)


async def choose_slots(
    buyer: str, networks: Networks | None, max_live: int, max_live_per_network: int, *, look: bool
) -> Mapping[str, Any]:
    """The fields of a new order that limit the number of live orders of the buyer and of their networks.

    The slots are chosen at random, so that concurrent requests seldom choose the same.

    Args:
        look: choose among the slots that are free. Otherwise among all: most often, most of them are free.

    Raises:
        TooManyReservations, TooManyFromNetwork
    """
    taken = await _taken({"user_id": buyer}, "slot") if look else []
    chosen: dict[str, Any] = {"slot": _any_of(rules.free_slots(taken, max_live))}
    if networks is None:
        return chosen
    for field, slot, network, limit in (
        ("network", "network_slot", networks.narrow, max_live_per_network),
        ("wide_network", "wide_slot", networks.wide, int(max_live_per_network * WIDE_FACTOR)),
    ):
        chosen[field] = network
        if limit > 0:
            taken = await _taken({field: network}, slot) if look else []
            free = set(range(1, limit + 1)).difference(taken)
            if not free:
                raise TooManyFromNetwork(retry_after=60)
            chosen[slot] = _any_of(sorted(free))
    return chosen


async def _taken(whose: Mapping[str, str], slot: str) -> list[int]:
    live = Order.get_pymongo_collection().find({**whose, "live": True}, {slot: 1})
    return [order[slot] for order in await live.to_list() if order.get(slot) is not None]


def _any_of(slots: Sequence[int]) -> int:
    return random.choice(slots)  # noqa: S311 - avoids conflicts of concurrent requests, guards no secret
