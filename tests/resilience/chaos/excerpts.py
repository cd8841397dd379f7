"""Parts of histories, for tests that share a marketplace. Each test records only its own requests."""

from collections.abc import Collection
from dataclasses import replace

from tests.resilience.chaos.history import History


def about(tickets: Collection[str], history: History) -> History:
    """The part of a history about these tickets and the users who sent the requests.

    The part has no dead letters and no unprocessed messages, because these may belong to other tests.
    """
    emails = {request.user for request in history.requests if request.what == "sign up"}
    ended = {request.about for request in history.requests if request.what == "sign out"}
    sessions = ended | {request.session for request in history.requests if request.session}
    orders = [order for order in history.orders if order["ticket_id"] in tickets]
    of = {str(order["_id"]) for order in orders}
    payments = [payment for payment in history.payments if payment["order_id"] in of]
    mine = {*tickets, *of, *(str(payment["_id"]) for payment in payments)}
    return replace(
        history,
        users=[each for each in history.users if each["email"] in emails],
        sessions=[each for each in history.sessions if str(each["_id"]) in sessions],
        tickets=[each for each in history.tickets if str(each["_id"]) in tickets],
        orders=orders,
        payments=payments,
        sales=[sale for sale in history.sales if str(sale["_id"]) in of],
        ledger=[entry for entry in history.ledger if entry["order_id"] in of],
        webhooks=[each for each in history.webhooks if each["order_id"] in of],
        tickets_known_to_orders=[
            each for each in history.tickets_known_to_orders if str(each["_id"]) in mine
        ],
        orders_known_to_payments=[
            each for each in history.orders_known_to_payments if str(each["_id"]) in mine
        ],
        events=[event for event in history.events if event.about in mine | sessions],
        intents=[intent for intent in history.intents if intent["metadata"].get("order_id") in of],
        pages=[page for page in history.pages if page["client_reference_id"] in of],
        transfers=[each for each in history.transfers if each["metadata"].get("order_id") in of],
        timers=[timer for timer in history.timers if timer.order in of],
        unhandled={},
        dead=(),
        requests=[each for each in history.requests if each.what != "look" or each.about in mine],
    )
