"""That everybody was told the truth: yes is so, no isn't, and what wasn't answered is wholly one of them."""

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import groupby

from tests.chaos.history import DECLINED, History, Request, Said
from tests.chaos.invariants.things import by, by_key, key, minor, said_of

BEGUN_NOTHING = (400, 401, 403, 404, 422, 429)
"""Answers to who wants to pay that leave nothing. Of a declined payment something is there."""
OWNED = ("complete", "refunded")
Offer = tuple[str, int]
"""Title and price, in minor units."""


def accounts_are_as_told(history: History) -> Iterator[str]:
    """Who was signed up is there, under the id that they were told; nobody else is, and nobody twice."""
    users = by(history.users, lambda user: str(user["email"]))
    asked = by(_of(history, "sign up"), lambda request: request.user)
    for email, requests in asked.items():
        there = [key(user) for user in users.get(email, [])]
        told = {request.made for request in requests if request.is_done}
        if not told <= set(there):
            yield f"{email} was signed up as {told}, and {there} are there"
        if len(there) > _most(requests):
            yield f"{email} was refused, and {there} are there"
    for email, found in users.items():
        if len(found) > 1:
            yield f"{email} is there {len(found)} times"
        if email not in asked:
            yield f"{email} is there, and nobody asked for it"


def offers_are_as_told(history: History) -> Iterator[str]:
    """A ticket for each offer that was taken, with what was offered; one for all offers under one key."""
    said = said_of(history)
    there = by(history.tickets, lambda ticket: (ticket["user_id"], _first(said["ticket", key(ticket)])))
    asked = by(_of(history, "offer"), lambda request: (request.user, _offer(request)))
    for (user, offer), requests in asked.items():
        tickets = {key(ticket) for ticket in there.pop((user, offer), [])}
        told = {request.made for request in requests if request.is_done}
        if not told <= tickets:
            yield f"{user} was told of tickets {told} for {offer}, and {tickets} are there"
        for same in by(requests, lambda request: request.key).values():
            made = [request.made for request in same if request.is_done]
            distinct = 1 if same[0].key else len(made)
            if made and len(set(made)) != distinct:
                yield f"{user} was told of tickets {made} under the key {same[0].key!r}"
        if len(tickets) > _most(requests):
            yield f"{user} asked for {_most(requests)} tickets {offer} at most, and {tickets} are there"
    for (user, offer), unasked in there.items():
        yield f"{[key(ticket) for ticket in unasked]} of {user} are there, and nobody asked for {offer}"


def edits_are_as_told(history: History) -> Iterator[str]:
    """What was edited says so from then on, until the next edit; nothing else changes what a seller said."""
    said = said_of(history)
    sellers = {key(ticket): ticket["user_id"] for ticket in history.tickets}
    edits = by(_of(history, "edit"), lambda request: request.about)
    for ticket, seller in sellers.items():
        versions = said["ticket", ticket]
        runs = [offer for offer, _ in groupby(_said_offer(versions[each]) for each in sorted(versions))]
        asked = edits.get(ticket, [])
        possible = Counter(
            _offer(edit) for edit in asked if not edit.is_refused and edit.user == seller
        ) + Counter(runs[:1])
        for offer, times in (Counter(runs) - possible).items():
            yield f"ticket {ticket} became {offer} {times} times too often"
        for edit in asked:
            if not edit.is_done:
                continue
            shown = versions.get(edit.version) if edit.version is not None else None
            is_so = _said_offer(shown) == _offer(edit) if shown else edit.form and _offer(edit) in runs
            if not is_so:
                yield f"ticket {ticket} was edited to {_offer(edit)} at {edit.version}, and said {runs}"


def withdrawals_are_as_told(history: History) -> Iterator[str]:
    asked = by(_of(history, "withdraw"), lambda request: request.about)
    for ticket in history.tickets:
        requests = [each for each in asked.get(key(ticket), []) if each.user == ticket["user_id"]]
        if any(request.is_done for request in requests) and not ticket["withdrawn"]:
            yield f"ticket {key(ticket)} was withdrawn, as its seller was told, and isn't"
        if ticket["withdrawn"] and not _most(requests):
            yield f"ticket {key(ticket)} is withdrawn, and its seller never asked for it or was refused"


def reservations_are_as_told(history: History) -> Iterator[str]:
    """An order for each reservation that was taken; none where all were refused."""
    there = by(history.orders, lambda order: (str(order["user_id"]), str(order["ticket_id"])))
    asked = by(_of(history, "reserve"), lambda request: (request.user, request.about))
    for pair in asked.keys() | there.keys():
        requests, orders = asked.get(pair, []), {key(order) for order in there.get(pair, [])}
        told = Counter(request.made for request in requests if request.is_done and not request.form)
        led_to = {request.made for request in requests if request.is_done and request.form}
        user, ticket = pair
        if not (told.keys() | led_to) <= orders:
            yield f"{user} was told of orders {told.keys() | led_to} of {ticket}, and {orders} are there"
        if told.total() > len(told):
            yield f"{user} was told of an order of {ticket} twice, as if it were two: {told}"
        if len(orders) > _most(requests):
            yield f"{user} asked for {_most(requests)} orders of {ticket} at most, and {orders} are there"


def cancellations_are_as_told(history: History) -> Iterator[str]:
    """What was cancelled is; nobody's reservation is let go of without being asked for."""
    asked = by(_of(history, "cancel"), lambda request: request.about)
    more_time = by(_of(history, "extend"), lambda request: request.about)
    for order in history.orders:
        requests = [each for each in asked.get(key(order), []) if each.user == order["user_id"]]
        if any(request.is_done for request in requests) and order["status"] != "cancelled":
            yield f"order {key(order)} was cancelled, as its buyer was told, and is {order['status']}"
        if order["cancel_reason"] == "buyer" and not _most(requests):
            yield f"order {key(order)} was cancelled, and its buyer never asked for it or was refused"
        if (order["cancel_reason"] is None) == (order["status"] == "cancelled"):
            yield f"order {key(order)} is {order['status']}, for the reason {order['cancel_reason']}"
        given, granted = order["extensions"], more_time.get(key(order), [])
        if not sum(request.is_done for request in granted) <= given <= _most(granted):
            yield f"order {key(order)} got more time {given} times; its buyer was told otherwise"
    yield from _of_nothing(history, asked.keys() | more_time.keys())


def payments_are_as_told(history: History) -> Iterator[str]:
    """Who was told that it's paid has paid; nobody pays by a card that was declined, or without asking."""
    asked = by(_of(history, "pay"), lambda request: request.about)
    buyers = {key(order): order["user_id"] for order in history.orders}
    ends = {key(payment): payment["status"] for payment in history.payments}
    paying = {payment["order_id"]: key(payment) for payment in history.payments}
    for order, requests in asked.items():
        for request in requests:
            if request.is_done and request.made != paying.get(order):
                yield f"order {order} was paid by {request.made}, as its buyer was told, and not so"
            if request.is_done and not _may_become(request.told, ends.get(request.made)):
                yield f"order {order} was told to be {request.told}, and is {ends.get(request.made)}"
    for order in paying:
        own = [each for each in asked.get(order, []) if each.user == buyers.get(order)]
        if all(request.status in BEGUN_NOTHING for request in own):
            yield f"order {order} has a payment, and its buyer never asked for it or was refused"
    taken = {order["_id"]: order for order in history.orders if order["status"] in OWNED}
    charged = {intent["metadata"].get("order_id") for intent in history.intents if intent["amount_received"]}
    for order in {str(each) for each in taken} | {str(each) for each in charged}:
        own = [each for each in asked.get(order, []) if each.user == buyers.get(order)]
        if not any(not each.is_refused and each.asked.get("card") not in DECLINED for each in own):
            yield f"order {order} was paid, and every card of its buyer was refused"
    yield from _of_nothing(history, asked.keys())


def refunds_are_as_told(history: History) -> Iterator[str]:
    """Who was told that the money goes back has it; nobody else's order is refunded, or ticket relisted."""
    asked = by(_of(history, "refund"), lambda request: request.about)
    orders = by_key(history.orders)
    for order_id, requests in asked.items():
        order = orders.get(order_id)
        status = order and order["status"]
        if status != "refunded" and any(request.is_done for request in requests):
            yield f"order {order_id} was refunded, as an operator was told, and is {status}"
    for order_id, order in orders.items():
        taken = [request for request in asked.get(order_id, []) if not request.is_refused]
        if order["status"] == "refunded" and not taken:
            yield f"order {order_id} is refunded, and nobody asked for it"
        if order["relisted"] and not any(request.asked["relist"] for request in taken):
            yield f"the ticket of order {order_id} is on sale again, and nobody asked for it"


def what_was_shown_was_so(history: History) -> Iterator[str]:
    """Every state that an answer shows is one that was said, and who was shown that they own it does."""
    said = {about: versions for (kind, about), versions in said_of(history).items() if kind != "expiration"}
    orders, payments = by_key(history.orders), by_key(history.payments)
    for request in history.requests:
        about = request.made or request.about
        if request.version is not None:
            event = said.get(about, {}).get(request.version)
            if event is None:
                yield f"{request.user} was shown version {request.version} of {about}, which was never said"
            elif request.told != event.body["status"]:
                shown = f"{request.told} at version {request.version} of {about}"
                yield f"{request.user} was shown {shown}, which was {event.body['status']}"
        if request.told == "complete" and about in orders:
            order = orders[about]
            if order["status"] not in OWNED or order["user_id"] != request.user:
                yield f"{request.user} was shown that order {about} is theirs; it is {order['status']}"
        end = payments[about]["status"] if about in payments else None
        if request.what == "look" and end and not _may_become(request.told, end):
            yield f"{request.user} was shown {request.told}, and payment {about} is {end}"


def sessions_begin_as_told(history: History) -> Iterator[str]:
    """Who was let in has a session of their own, and their own account."""
    users = {str(user["email"]): key(user) for user in history.users}
    sessions = by_key(history.sessions)
    seen = set[str]()
    for request in (*_of(history, "sign up"), *_of(history, "sign in")):
        if not request.is_done:
            continue
        account = users.get(request.user)
        if account != request.made:
            yield f"{request.user} was let in as {request.made}, and is {account}"
        session = sessions.get(request.session)
        if session is None:
            yield f"{request.user} was let in with session {request.session!r}, which isn't there"
        elif session["user_id"] != account:
            yield f"{request.user} was let in with session {request.session}, of {session['user_id']}"
        if request.session in seen:
            yield f"{request.user} was let in with session {request.session}, which had begun before"
        seen.add(request.session)


def sessions_end_as_told(history: History) -> Iterator[str]:
    """Who signed out is out everywhere; nobody else is."""
    sessions = by_key(history.sessions)
    asked = by(_of(history, "sign out"), lambda request: request.about)
    for session_id, requests in asked.items():
        session = sessions.get(session_id)
        if any(each.is_done for each in requests) and (session is None or session["ended_at"] is None):
            yield f"session {session_id} was ended, as {requests[0].user} was told, and isn't"
    for session_id, session in sessions.items():
        if session["ended_at"] is not None and not _most(asked.get(session_id, [])):
            yield f"session {session_id} is ended, and nobody asked for it"
    for session_id, uses in by(_of(history, "use an ended session"), lambda request: request.about).items():
        if uses[-1].status != 401:
            yield f"the token of session {session_id} was still taken: {uses[-1].status}"


def _of(history: History, what: str) -> Iterator[Request]:
    return (request for request in history.requests if request.what == what)


def _most(requests: Iterable[Request]) -> int:
    """How many things there are at most for what was asked: one for all that have the same key."""
    possible = [request for request in requests if not request.is_refused]
    keys = {request.key for request in possible if request.key}
    return len(keys) + sum(not request.key for request in possible)


def _offer(request: Request) -> Offer:
    return str(request.asked["title"]), minor(request.asked["price"])


def _said_offer(event: Said) -> Offer:
    return str(event.body["title"]), minor(event.body["price"])


def _first(versions: dict[int, Said]) -> Offer:
    return _said_offer(versions[0]) if 0 in versions else ("", 0)


def _may_become(told: str, end: str | None) -> bool:
    """Whether a payment that was shown in a state may have ended so."""
    match told:
        case "captured" | "refunding" | "refunded":
            return end in ("captured", "refunding", "refunded")
        case "authorized":
            return end in ("captured", "voided", "refunding", "refunded")
        case "voided":
            return end == "voided"
        case _:
            return end is not None


def _of_nothing(history: History, asked: Iterable[str]) -> Iterator[str]:
    """Nobody is told yes about an order that isn't there."""
    orders = by_key(history.orders)
    missing = {order for order in asked if order not in orders}
    for request in history.requests:
        if request.about in missing and request.is_done and request.what in ("cancel", "extend", "pay"):
            yield f"{request.user} was told that they {request.what} order {request.about}, which isn't there"
