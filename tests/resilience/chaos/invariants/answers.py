"""Every answer is true. Accepted requests took effect and refused requests had no effect. Requests without an
answer took effect either completely or not at all."""

from collections import Counter
from collections.abc import Iterable, Iterator
from http import HTTPStatus
from itertools import groupby

from tests.resilience.chaos.history import DECLINED, ON_STRIPE_PAGE, History, PublishedEvent, Request
from tests.resilience.chaos.invariants.lookups import by_key, grouped_by, key, minor, published_of

WITHOUT_PAYMENT = (400, 401, 403, 404, 422, 429)
"""Statuses of refused requests to pay that created no payment. A declined request creates one."""
OWNED = ("complete", "refunded")
Listing = tuple[str, int]
"""The title of a ticket, and its price in minor units."""


def accounts_match_responses(history: History) -> Iterator[str]:
    """Every signed-up user has one account, with the id from the answer. There are no other accounts."""
    users = grouped_by(history.users, lambda user: str(user["email"]))
    asked = grouped_by(_of(history, "sign up"), lambda request: request.user)
    for email, requests in asked.items():
        there = [key(user) for user in users.get(email, [])]
        answered = {request.made for request in requests if request.is_done}
        if not answered <= set(there):
            yield f"{email} was signed up as {answered}, but the accounts are {there}"
        if len(there) > _most(requests):
            yield f"{email} was refused, but the accounts are {there}"
    for email, found in users.items():
        if len(found) > 1:
            yield f"{email} has {len(found)} accounts"
        if email not in asked:
            yield f"{email} has an account that nobody requested"


def listings_match_responses(history: History) -> Iterator[str]:
    """Each accepted listing has a ticket with its title and price. Listings with one key have one ticket."""
    published = published_of(history)
    there = grouped_by(
        history.tickets, lambda ticket: (ticket["user_id"], _first(published["ticket", key(ticket)]))
    )
    asked = grouped_by(_of(history, "list"), lambda request: (request.user, _listing(request)))
    for (user, listing), requests in asked.items():
        tickets = {key(ticket) for ticket in there.pop((user, listing), [])}
        answered = {request.made for request in requests if request.is_done}
        if not answered <= tickets:
            yield f"{user} got the tickets {answered} for {listing}, but the tickets are {tickets}"
        for same in grouped_by(requests, lambda request: request.key).values():
            made = [request.made for request in same if request.is_done]
            distinct = 1 if same[0].key else len(made)
            if made and len(set(made)) != distinct:
                yield f"{user} got the tickets {made} under the key {same[0].key!r}"
        if len(tickets) > _most(requests):
            yield f"{user} requested {_most(requests)} tickets like {listing} at most, but has {tickets}"
    for (user, listing), unasked in there.items():
        yield f"{[key(ticket) for ticket in unasked]} of {user} exist, but nobody requested {listing}"


def edits_match_responses(history: History) -> Iterator[str]:
    """A ticket has the title and price of its last accepted edit. Only edits by its seller change them.

    A ticket that is held or sold can't be edited, and has the price of its order meanwhile.
    """
    published = published_of(history)
    sellers = {key(ticket): ticket["user_id"] for ticket in history.tickets}
    edits = grouped_by(_of(history, "edit"), lambda request: request.about)
    for ticket, seller in sellers.items():
        versions = published["ticket", ticket]
        free = [versions[each] for each in sorted(versions) if versions[each].body.get("orderId") is None]
        runs = [listing for listing, _ in groupby(map(_published_listing, free))]
        asked = edits.get(ticket, [])
        possible = Counter(
            _listing(edit) for edit in asked if not edit.is_refused and edit.user == seller
        ) + Counter(runs[:1])
        for listing, times in (Counter(runs) - possible).items():
            yield f"ticket {ticket} changed to {listing} {times} times too often"
        for edit in asked:
            if not edit.is_done:
                continue
            shown = versions.get(edit.version) if edit.version is not None else None
            is_true = (
                _published_listing(shown) == _listing(edit) if shown else edit.form and _listing(edit) in runs
            )
            if not is_true:
                yield f"ticket {ticket} was edited to {_listing(edit)} at {edit.version}, but became {runs}"


def withdrawals_match_responses(history: History) -> Iterator[str]:
    """A ticket is withdrawn if and only if its seller withdrew it."""
    asked = grouped_by(_of(history, "withdraw"), lambda request: request.about)
    for ticket in history.tickets:
        requests = [each for each in asked.get(key(ticket), []) if each.user == ticket["user_id"]]
        if any(request.is_done for request in requests) and not ticket["withdrawn"]:
            yield f"ticket {key(ticket)} isn't withdrawn, but the request was accepted"
        if ticket["withdrawn"] and not _most(requests):
            yield f"ticket {key(ticket)} is withdrawn, but its seller sent no such request or was refused"


def reservations_match_responses(history: History) -> Iterator[str]:
    """Each accepted reservation has one order. If all reservations were refused, there is no order.

    A buyer who reserves a ticket again while holding it is answered 200 with the same order.
    """
    there = grouped_by(history.orders, lambda order: (str(order["user_id"]), str(order["ticket_id"])))
    asked = grouped_by(_of(history, "reserve"), lambda request: (request.user, request.about))
    for pair in asked.keys() | there.keys():
        requests, orders = asked.get(pair, []), {key(order) for order in there.get(pair, [])}
        done = [request for request in requests if request.is_done]
        answered = Counter(each.made for each in done if each.status == HTTPStatus.CREATED and not each.form)
        led_to = {each.made for each in done if each.status != HTTPStatus.CREATED or each.form}
        user, ticket = pair
        if not (answered.keys() | led_to) <= orders:
            yield f"{user} got the orders {answered.keys() | led_to} of {ticket}, but the orders are {orders}"
        if answered.total() > len(answered):
            yield f"{user} got one order of {ticket} for two reservations: {answered}"
        if len(orders) > _most(requests):
            yield f"{user} requested at most {_most(requests)} orders of {ticket}, but has {orders}"


def cancellations_match_responses(history: History) -> Iterator[str]:
    """Every accepted cancellation and extension took effect. No order is cancelled or extended in its buyer's
    name without a request."""
    asked = grouped_by(_of(history, "cancel"), lambda request: request.about)
    more_time = grouped_by(_of(history, "extend"), lambda request: request.about)
    for order in history.orders:
        requests = [each for each in asked.get(key(order), []) if each.user == order["user_id"]]
        if any(request.is_done for request in requests) and order["status"] != "cancelled":
            yield f"order {key(order)} is {order['status']}, but its cancellation was accepted"
        if order["cancel_reason"] == "buyer" and not _most(requests):
            yield f"order {key(order)} was cancelled, but its buyer sent no such request or was refused"
        has_reason = order["cancel_reason"] is not None or order["hold_refused"]
        has_reason |= order["cancelled_by_operator"]
        if has_reason != (order["status"] == "cancelled"):
            yield f"order {key(order)} is {order['status']} with the reason {order['cancel_reason']}"
        given, granted = order["extensions"], more_time.get(key(order), [])
        if not sum(request.is_done for request in granted) <= given <= _most(granted):
            yield f"order {key(order)} was extended {given} times, which contradicts the answers to its buyer"
    yield from _of_missing_orders(history, asked.keys() | more_time.keys())


def payments_match_responses(history: History) -> Iterator[str]:
    """Every accepted payment exists, with a status that may follow the one in the answer. No order is paid
    without a request or with a declined card."""
    asked = grouped_by(_of(history, "pay"), lambda request: request.about)
    on_page = grouped_by(_of(history, "pay on page"), lambda request: request.about)
    buyers = {key(order): order["user_id"] for order in history.orders}
    ends = {key(payment): payment["status"] for payment in history.payments}
    paying = {payment["order_id"]: key(payment) for payment in history.payments}
    for order, requests in asked.items():
        for request in requests:
            if request.is_done and request.made != paying.get(order):
                yield f"order {order} isn't paid by {request.made}, but the payment was accepted"
            if request.is_done and not _may_become(request.state, ends.get(request.made)):
                yield f"the payment of {order} was shown as {request.state}, but is {ends.get(request.made)}"
    for order in paying:
        own = [each for each in asked.get(order, []) if each.user == buyers.get(order)]
        if all(request.status in WITHOUT_PAYMENT for request in own):
            yield f"order {order} has a payment, but its buyer sent no such request or was refused"
    taken = {order["_id"]: order for order in history.orders if order["status"] in OWNED}
    charged = {intent["metadata"].get("order_id") for intent in history.intents if intent["amount_received"]}
    for order in {str(each) for each in taken} | {str(each) for each in charged}:
        own = [*asked.get(order, []), *on_page.get(order, [])]
        if not any(each.user == buyers.get(order) and _may_be_charged(each) for each in own):
            yield f"order {order} was paid, but every card of its buyer was refused"
    yield from _of_missing_orders(history, asked.keys())


def _may_be_charged(request: Request) -> bool:
    """Whether a request may have charged a card."""
    return not request.is_refused and request.asked["card"] not in (*DECLINED, ON_STRIPE_PAGE)


def refunds_match_responses(history: History) -> Iterator[str]:
    """Every accepted refund was made. No other order is refunded, and no other ticket is relisted.

    An order whose promised files don't arrive in time is refunded without a request.
    """
    asked = grouped_by(_of(history, "refund"), lambda request: request.about)
    orders = by_key(history.orders)
    for order_id, requests in asked.items():
        order = orders.get(order_id)
        status = order and order["status"]
        if status != "refunded" and any(request.is_done for request in requests):
            yield f"order {order_id} is {status}, but its refund was accepted"
    for order_id, order in orders.items():
        taken = [request for request in asked.get(order_id, []) if not request.is_refused]
        if order["status"] == "refunded" and not taken and order["delivery"] != "failed":
            yield f"order {order_id} is refunded, but nobody requested it"
        if order["relisted"] and not any(request.asked["relist"] for request in taken):
            yield f"the ticket of order {order_id} is on sale again, but nobody requested it"


def shown_states_are_true(history: History) -> Iterator[str]:
    """Every state in an answer was published. A buyer who was shown a complete order owns the ticket."""
    published = {
        about: versions for (kind, about), versions in published_of(history).items() if kind != "expiration"
    }
    orders, payments = by_key(history.orders), by_key(history.payments)
    for request in history.requests:
        about = request.made or request.about
        if request.version is not None:
            event = published.get(about, {}).get(request.version)
            if event is None:
                yield f"{request.user} was shown version {request.version} of {about}, which is unpublished"
            elif request.state != event.body["status"]:
                shown = f"{request.state} at version {request.version} of {about}"
                yield f"{request.user} was shown {shown}, but the event says {event.body['status']}"
        if request.state == "complete" and about in orders:
            order = orders[about]
            if order["status"] not in OWNED or order["user_id"] != request.user:
                yield f"{request.user} was shown that order {about} is complete, but it is {order['status']}"
        end = payments[about]["status"] if about in payments else None
        if request.what == "look" and end and not _may_become(request.state, end):
            yield f"{request.user} was shown {request.state}, but payment {about} is {end}"


def session_starts_match_responses(history: History) -> Iterator[str]:
    """Every user who was signed in has a new session of their own account."""
    users = {str(user["email"]): key(user) for user in history.users}
    sessions = by_key(history.sessions)
    seen = set[str]()
    for request in (*_of(history, "sign up"), *_of(history, "sign in")):
        if not request.is_done:
            continue
        account = users.get(request.user)
        if account != request.made:
            yield f"{request.user} was signed in as {request.made}, but the account is {account}"
        session = sessions.get(request.session)
        if session is None:
            yield f"{request.user} was signed in with session {request.session!r}, which doesn't exist"
        elif session["user_id"] != account:
            yield f"{request.user} was signed in with session {request.session} of {session['user_id']}"
        if request.session in seen:
            yield f"{request.user} was signed in with session {request.session} twice"
        seen.add(request.session)


def session_ends_match_responses(history: History) -> Iterator[str]:
    """Sessions that were signed out have ended in every service. All other sessions are still valid."""
    sessions = by_key(history.sessions)
    asked = grouped_by(_of(history, "sign out"), lambda request: request.about)
    for session_id, requests in asked.items():
        session = sessions.get(session_id)
        if any(each.is_done for each in requests) and (session is None or session["ended_at"] is None):
            yield f"session {session_id} hasn't ended, but the sign-out of {requests[0].user} was accepted"
    for session_id, session in sessions.items():
        if session["ended_at"] is not None and not _most(asked.get(session_id, [])):
            yield f"session {session_id} has ended, but nobody requested it"
    for session_id, uses in grouped_by(
        _of(history, "use an ended session"), lambda request: request.about
    ).items():
        if uses[-1].status != 401:
            yield f"the token of session {session_id} was still accepted: {uses[-1].status}"


def _of(history: History, what: str) -> Iterator[Request]:
    return (request for request in history.requests if request.what == what)


def _most(requests: Iterable[Request]) -> int:
    """The maximum number of resources that `requests` created. Requests with the same key create one."""
    possible = [request for request in requests if not request.is_refused]
    keys = {request.key for request in possible if request.key}
    return len(keys) + sum(not request.key for request in possible)


def _listing(request: Request) -> Listing:
    return str(request.asked["title"]), minor(request.asked["price"])


def _published_listing(event: PublishedEvent) -> Listing:
    return str(event.body["title"]), minor(event.body["price"])


def _first(versions: dict[int, PublishedEvent]) -> Listing:
    return _published_listing(versions[0]) if 0 in versions else ("", 0)


def _may_become(shown: str, end: str | None) -> bool:
    """Whether a payment that was shown in the state `shown` may end in the state `end`."""
    match shown:
        case "captured" | "refunding" | "refunded":
            return end in ("captured", "refunding", "refunded")
        case "authorized":
            return end in ("captured", "voided", "refunding", "refunded")
        case "voided":
            return end == "voided"
        case _:
            return end is not None


def _of_missing_orders(history: History, asked: Iterable[str]) -> Iterator[str]:
    """Accepted requests about orders that don't exist."""
    orders = by_key(history.orders)
    missing = {order for order in asked if order not in orders}
    for request in history.requests:
        if request.about in missing and request.is_done and request.what in ("cancel", "extend", "pay"):
            yield f"{request.what} of {request.user} was accepted, but order {request.about} doesn't exist"
