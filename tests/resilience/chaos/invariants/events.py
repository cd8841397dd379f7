"""Every change was published as one event, and events match the documents."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

from tests.resilience.chaos.history import History, PublishedEvent, Stored
from tests.resilience.chaos.invariants.lookups import (
    by_key,
    documents,
    grouped_by,
    key,
    minor,
    published_of,
    way_of_delivery,
)
from tests.resilience.chaos.invariants.orders import DETAILS

DEDUPLICATED_WITHIN = timedelta(minutes=10)
"""The duplicate window of the stream."""

MAX_CLOCK_ERROR = timedelta(minutes=5)
"""By how much the fault `clock` shifts a clock."""

MOMENTS = {
    *("heldUntil", "startsAt", "filesReadyAt", "expiresAt", "endedAt", "authorizedAt"),
    *("paidAt", "refundedAt", "deliverBy", "deliveredAt", "confirmedAt", "overdueAt", "remindedAt"),
}
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
}
"""The states that may follow a state. States without an entry are final."""


def every_change_is_published_once(history: History) -> Iterator[str]:
    """The stream has one event for each version 0 … n of every document."""
    published = grouped_by(
        (event for event in history.events if not event.echo), lambda event: (event.kind, event.about)
    )
    for kind, document in documents(history):
        events = {event.message_id: event.version for event in published.pop((kind, key(document)), [])}
        if sorted(events.values()) != list(range(document["version"] + 1)):
            found = sorted(events.values())
            yield f"{kind} {key(document)} is at version {document['version']}, but published {found}"
    for kind, about in published:
        if kind != "expiration":
            yield f"{kind} {about} was published, but doesn't exist"


def message_ids_are_unique(history: History) -> Iterator[str]:
    """Events with the same message id are equal, and the time between them exceeds the duplicate window."""
    for message_id, events in grouped_by(history.events, lambda event: event.message_id).items():
        if not message_id:
            yield f"{len(events)} events have no id, such as {events[0].subject} of {events[0].about}"
            continue
        first = events[0]
        for again in events[1:]:
            if (again.subject, again.body) != (first.subject, first.body):
                yield f"{message_id} is {first.subject} of {first.about} and {again.subject} of {again.about}"
            if first.at and again.at and again.at - first.at < DEDUPLICATED_WITHIN:
                yield f"{message_id} is in the stream twice, {(again.at - first.at).total_seconds()} s apart"


def echoes_repeat_earlier_events(history: History) -> Iterator[str]:
    """Events that a fault published again equal an earlier event."""
    published = grouped_by(
        (event for event in history.events if not event.echo), lambda event: (event.kind, event.about)
    )
    for event in history.events:
        if event.echo and not any(
            (first.subject, first.body) == (event.subject, event.body)
            for first in published.get((event.kind, event.about), [])
        ):
            yield f"{event.subject} of {event.about} at version {event.version} repeats no earlier event"


def newest_event_matches_database(history: History) -> Iterator[str]:
    """The newest event about a document contains the document's current state."""
    published = published_of(history)
    for kind, document in documents(history):
        if (newest := published[kind, key(document)].get(document["version"])) is None:
            continue  # another invariant reports missing events
        expected, actual = BODIES[kind](document), _plain(newest.body)
        for field in expected.keys() | actual.keys():
            if expected.get(field) != actual.get(field):
                yield (
                    f"the event of {kind} {key(document)} has {field} {actual.get(field)!r};"
                    f" the document has {expected.get(field)!r}"
                )


def subjects_match_events(history: History) -> Iterator[str]:
    """The subject of an event matches its body."""
    for event in history.events:
        if event.subject != (expected := _subject(event)):
            yield f"{event.about} at version {event.version} has subject {event.subject} and not {expected}"


def final_states_stay_final(history: History) -> Iterator[str]:
    """Every state may follow the state before it, so a final state never changes."""
    for (kind, about), versions in published_of(history).items():
        states = [str(versions[version].body.get("status")) for version in sorted(versions)]
        for before, after in pairwise(states):
            if before != after and after not in NEXT.get((kind, before), set()):
                yield f"{kind} {about} was {before} and then {after}"


def holds_are_of_what_the_seller_offers(history: History) -> Iterator[str]:
    """An order gets a ticket only at the price and with the title that the seller offered just before."""
    for (kind, about), versions in published_of(history).items():
        states = [versions[version].body for version in sorted(versions)] if kind == "ticket" else []
        for before, after in pairwise(states):
            if after["orderId"] in (None, before["orderId"]):
                continue
            for name in ("price", "title"):
                if after[name] != before[name]:
                    yield (
                        f"order {after['orderId']} got ticket {about} with the {name} {after[name]!r};"
                        f" the seller offered {before[name]!r}"
                    )


def orders_complete_after_their_holds(history: History) -> Iterator[str]:
    """Every order that was completed had a confirmed hold before: its ticket was reserved for it."""
    confirmed = {
        event.body["orderId"]
        for event in history.events
        if event.kind == "ticket" and event.body.get("status") == "reserved"
    }
    for order in history.orders:
        if order["status"] in ("complete", "refunded") and key(order) not in confirmed:
            yield f"order {key(order)} was completed, but its hold wasn't confirmed"


def orders_expire_after_their_deadline(history: History) -> Iterator[str]:
    """An order that expired has an expiration event for its deadline, or was swept after the deadline, by a
    clock that may be wrong. Expiration events belong to existing orders."""
    orders = by_key(history.orders)
    fired = grouped_by(
        (each for each in history.events if each.kind == "expiration"), lambda each: each.about
    )
    ended = {each.about: each.at for each in history.events if each.subject == "order.cancelled"}
    for order in history.orders:
        if order["cancel_reason"] == "expired":
            times = [moment(each.body["expiresAt"]) for each in fired.get(key(order), [])]
            swept = ended.get(key(order))
            if swept is not None:
                times.append(swept + MAX_CLOCK_ERROR)
            if not any(time >= order["expires_at"] for time in times):
                yield f"order {key(order)} expired before its deadline"
    for about, events in fired.items():
        if about not in orders:
            yield f"order {about} has an expiration event, but doesn't exist"
        ids = {event.message_id for event in events if not event.echo}
        if len(ids) > len({event.body["expiresAt"] for event in events}):
            yield f"order {about} has {len(ids)} expiration events"


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def _subject(event: PublishedEvent) -> str:
    if event.kind == "session":
        return "session.ended"
    if event.kind == "expiration":
        return "expiration.complete"
    if event.kind == "order" and event.body.get("status") == "cancelled":
        return "order.cancelled"
    return f"{event.kind}.{'created' if event.version == 0 else 'updated'}"


def _plain(body: Mapping[str, Any]) -> dict[str, Any]:
    """The body with comparable times, and prices in minor units."""

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
        "hold": stored["hold"] or None,
        "faceValue": stored["face_value_minor"],
        "notes": stored["notes"],
        "delivery": way_of_delivery(stored),
        "filesReadyAt": stored["files_ready_at"],
        "awaitsFiles": stored["awaits_files"],
        "dateChanges": 0,
        **_details(stored),
    }


DELIVERY = {
    "delivery": "delivery",
    "deliverBy": "deliver_by",
    "deliveredAt": "delivered_at",
    "confirmedAt": "confirmed_at",
    "overdueAt": "overdue_at",
    "remindedAt": "reminded_at",
}
"""The names of an order's fields about its delivery in events and in the database."""

PROBLEM = (
    *("problem", "problemKind", "problemAt"),
    *("problemAnswerBy", "problemAnsweredAt", "problemDecidedAt"),
)
"""An order's fields about a reported problem. Nobody reports one in the load."""

NEW_DATE = ("dateChangedAt", "formerStartsAt", "latestStartsAt")
"""An order's fields about a new date of its event. No date changes in the load."""


def _order(stored: Stored) -> dict[str, Any]:
    ticket = {
        "id": stored["ticket_id"],
        "title": stored["ticket_title"],
        "price": stored["price_minor"],
        "delivery": stored["details"]["delivery"],
        **_details(stored["details"]),
    }
    return {
        "id": key(stored),
        "version": stored["version"],
        "status": stored["status"],
        "userId": stored["user_id"],
        "sellerId": stored["seller_id"],
        "paidAt": stored["paid_at"],
        "refundedAt": stored["refunded_at"],
        "cancelReason": stored["cancel_reason"],
        "holdRefused": stored["hold_refused"],
        "cancelledByOperator": stored["cancelled_by_operator"],
        "relisted": stored["relisted"],
        "refundedAmount": stored["refunded_minor"],
        "dispute": stored["dispute"],
        **{name: stored[field] for name, field in DELIVERY.items()},
        **dict.fromkeys((*PROBLEM, *NEW_DATE)),
        "dateChanges": 0,
        "refundDue": 0,
        "expiresAt": stored["expires_at"],
        "hold": stored["hold"],
        "code": stored["code"],
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
        "refundedAmount": sum(each["amount"] for each in stored["refunds"] if each["status"] == "succeeded"),
        "lostAmount": 0,
        "refundFailed": False,  # the load uses no card whose bank rejects refunds
        "dispute": None,
        "stripeId": stored["intent_id"],
        "authorizedAt": stored["authorized_at"],
    }


def _session(stored: Stored) -> dict[str, Any]:
    return {"sessionId": key(stored), "endedAt": stored["ended_at"]}


BODIES = {"ticket": _ticket, "order": _order, "payment": _payment, "session": _session}
"""For each kind of document, a function that returns the expected body of its newest event."""


def _details(stored: Mapping[str, Any]) -> dict[str, Any]:
    names = {"starts_at": "startsAt", "time_zone": "timeZone", "show_id": "showId"}
    return {names.get(name, name): stored[name] for name in DETAILS}
