"""That everything which happened was said, once, and that what was said is so."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

from tests.chaos.history import History, Said, Stored
from tests.chaos.invariants.orders import DETAILS
from tests.chaos.invariants.things import by, by_key, key, minor, owned, said_of

DEDUPLICATED_WITHIN = timedelta(minutes=10)
"""The duplicate window of the stream."""

MOMENTS = {"heldUntil", "startsAt", "expiresAt", "endedAt"}
PRICES = {"price", "faceValue"}

NEXT: Mapping[tuple[str, str], set[str]] = {
    ("order", "created"): {"awaiting:payment", "complete", "cancelled"},
    ("order", "awaiting:payment"): {"complete", "cancelled"},
    ("order", "complete"): {"refunded"},
    ("payment", "pending"): {"failed", "authorized", "captured", "voided", "refunding", "refunded"},
    ("payment", "failed"): {"pending", "authorized", "captured", "voided", "refunding", "refunded"},
    ("payment", "authorized"): {"captured", "voided", "refunding", "refunded"},
    ("payment", "captured"): {"refunding", "refunded"},
    ("payment", "refunding"): {"refunded"},
    ("payment", "refunded"): {"refunding"},
    ("ticket", "available"): {"reserved", "sold", "withdrawn"},
    ("ticket", "reserved"): {"available", "sold", "withdrawn"},
    ("ticket", "sold"): {"available", "reserved", "withdrawn"},
    ("ticket", "withdrawn"): {"reserved", "sold"},
}
"""What a state may be followed by, apart from itself. What isn't here is final."""


def every_change_is_said_once(history: History) -> Iterator[str]:
    """The versions 0 … n of everything are in the stream, each as one event."""
    said = by((event for event in history.events if not event.echo), lambda event: (event.kind, event.about))
    for kind, owner in owned(history):
        events = {event.message_id: event.version for event in said.pop((kind, key(owner)), [])}
        if sorted(events.values()) != list(range(owner["version"] + 1)):
            found = sorted(events.values())
            yield f"{kind} {key(owner)} is at version {owner['version']}, and said {found}"
    for kind, about in said:
        if kind != "expiration":
            yield f"{kind} {about} was said, and isn't there"


def an_id_is_of_one_event(history: History) -> Iterator[str]:
    """What comes twice under an id is the same, and the stream dropped it, unless long ago."""
    for message_id, events in by(history.events, lambda event: event.message_id).items():
        if not message_id:
            yield f"{len(events)} events have no id, such as {events[0].subject} of {events[0].about}"
            continue
        first = events[0]
        for again in events[1:]:
            if (again.subject, again.body) != (first.subject, first.body):
                yield f"{message_id} is {first.subject} of {first.about} and {again.subject} of {again.about}"
            if first.at and again.at and again.at - first.at < DEDUPLICATED_WITHIN:
                yield f"{message_id} is in the stream twice, {(again.at - first.at).total_seconds()} s apart"


def echoes_change_nothing(history: History) -> Iterator[str]:
    """What was published again on purpose had been said before."""
    said = by((event for event in history.events if not event.echo), lambda event: (event.kind, event.about))
    for event in history.events:
        if event.echo and not any(
            (first.subject, first.body) == (event.subject, event.body)
            for first in said.get((event.kind, event.about), [])
        ):
            yield f"{event.subject} of {event.about} at version {event.version} is an echo of nothing"


def what_was_said_last_is_so(history: History) -> Iterator[str]:
    """The newest event of everything says all of its state, as its owner has it."""
    said = said_of(history)
    for kind, owner in owned(history):
        if (newest := said[kind, key(owner)].get(owner["version"])) is None:
            continue  # never said, or missing, which another invariant sees
        expected, says = BODIES[kind](owner), _plain(newest.body)
        for field in expected.keys() | says.keys():
            if expected.get(field) != says.get(field):
                yield (
                    f"{kind} {key(owner)} said that {field} is {says.get(field)!r};"
                    f" its owner has {expected.get(field)!r}"
                )


def events_are_named_by_what_they_say(history: History) -> Iterator[str]:
    """The subject of an event is that of its body."""
    for event in history.events:
        if event.subject != (expected := _subject(event)):
            yield f"{event.about} at version {event.version} was said as {event.subject} and not {expected}"


def nothing_comes_back_to_life(history: History) -> Iterator[str]:
    """What is over stays over: every state follows from the one before it."""
    for (kind, about), versions in said_of(history).items():
        states = [str(versions[version].body.get("status")) for version in sorted(versions)]
        for before, after in pairwise(states):
            if before != after and after not in NEXT.get((kind, before), set()):
                yield f"{kind} {about} was {before} and then {after}"


def orders_expire_when_their_time_is_over(history: History) -> Iterator[str]:
    """What expired was told by a timer of its time to pay; no timer is of an order that isn't there."""
    orders = by_key(history.orders)
    fired = by((each for each in history.events if each.kind == "expiration"), lambda each: each.about)
    for order in history.orders:
        if order["cancel_reason"] == "expired":
            times = [moment(each.body["expiresAt"]) for each in fired.get(key(order), [])]
            if not any(time >= order["expires_at"] for time in times):
                yield f"order {key(order)} expired before its time was told to be over"
    for about, events in fired.items():
        if about not in orders:
            yield f"the time of order {about} was told to be over, and it isn't there"
        ids = {event.message_id for event in events if not event.echo}
        if len(ids) > len({event.body["expiresAt"] for event in events}):
            yield f"the time of order {about} was told to be over as {len(ids)} events"


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def _subject(event: Said) -> str:
    if event.kind == "session":
        return "session.ended"
    if event.kind == "expiration":
        return "expiration.complete"
    if event.kind == "order" and event.body.get("status") == "cancelled":
        return "order.cancelled"
    return f"{event.kind}.{'created' if event.version == 0 else 'updated'}"


def _plain(body: Mapping[str, Any]) -> dict[str, Any]:
    """With times that can be compared, and prices in minor units."""

    def plain(name: str, value: Any) -> Any:
        if value is None:
            return None
        if name in MOMENTS:
            return moment(value)
        if name in PRICES:
            return minor(value)
        return _plain(value) if isinstance(value, Mapping) else value

    return {name: plain(name, value) for name, value in body.items()}


def _ticket(stored: Stored) -> dict[str, Any]:
    return {
        "id": key(stored),
        "version": stored["version"],
        "title": stored["title"],
        "price": stored["price_minor"],
        "userId": stored["user_id"],
        "orderId": stored["order_id"],
        "status": stored["status"],
        "heldUntil": stored["held_until"],
        "refunded": stored["refunded"],
        "faceValue": stored["face_value_minor"],
        "notes": stored["notes"],
        **_details(stored),
    }


def _order(stored: Stored) -> dict[str, Any]:
    ticket = {
        "id": stored["ticket_id"],
        "title": stored["ticket_title"],
        "price": stored["price_minor"],
        **_details(stored["details"]),
    }
    return {
        "id": key(stored),
        "version": stored["version"],
        "status": stored["status"],
        "userId": stored["user_id"],
        "cancelReason": stored["cancel_reason"],
        "relisted": stored["relisted"],
        "expiresAt": stored["expires_at"],
        "hold": stored["hold"],
        "ticket": ticket,
    }


def _payment(stored: Stored) -> dict[str, Any]:
    return {
        "id": key(stored),
        "version": stored["version"],
        "orderId": stored["order_id"],
        "status": stored["status"],
        "amount": stored["amount"],
        "currency": stored["currency"],
        "bankCheck": stored["bank_check"],
        "relist": stored["relist"],
        "stripeId": stored["intent_id"],
    }


def _session(stored: Stored) -> dict[str, Any]:
    return {"sessionId": key(stored), "endedAt": stored["ended_at"]}


BODIES = {"ticket": _ticket, "order": _order, "payment": _payment, "session": _session}
"""What the events of each kind say of what is stored."""


def _details(stored: Mapping[str, Any]) -> dict[str, Any]:
    names = {"starts_at": "startsAt", "time_zone": "timeZone"}
    return {names.get(name, name): stored[name] for name in DETAILS}
