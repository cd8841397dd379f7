"""Buy a ticket with a client that openapi-python-client generated: `buy.py http://localhost:3500`."""

import secrets
import sys
import time
from string import ascii_lowercase

from marketplace_client import AuthenticatedClient, Client
from marketplace_client.api.orders import reserve_ticket, show_order
from marketplace_client.api.payments import pay
from marketplace_client.api.tickets import list_tickets, offer_ticket
from marketplace_client.api.users import sign_up
from marketplace_client.models import (
    Order,
    OrderBody,
    OrderStatus,
    PaymentBody,
    PaymentResult,
    SignedInUser,
    SignUp,
    Ticket,
    TicketBody,
)
from marketplace_client.types import Unset

SECONDS = 30
"""How long the order may take to complete after the payment."""


def main(web: str) -> None:
    seller, buyer = signed_up(web), signed_up(web)
    title = "".join(secrets.choice(ascii_lowercase) for _ in range(12))  # digits could be a code
    ticket = offer_ticket.sync(client=seller, body=TicketBody(title=title, price=19.99))
    assert isinstance(ticket, Ticket), ticket
    assert (ticket.price, ticket.starts_at, ticket.status) == (19.99, None, "available")
    found: list[str] = []
    deadline = time.monotonic() + SECONDS
    while ticket.id not in found:
        assert time.monotonic() < deadline, "the ticket isn't in the list"
        listed = list_tickets.sync(client=buyer, q=title)
        assert isinstance(listed, list), listed
        found = [each.id for each in listed]
    order = reserve_ticket.sync(client=buyer, body=OrderBody(ticket_id=ticket.id))
    assert isinstance(order, Order), order
    assert order.expires_at.tzinfo is not None
    payment = pay.sync(client=buyer, body=PaymentBody(order_id=order.id, token="tok_visa"))
    assert isinstance(payment, PaymentResult), payment
    while order.status != OrderStatus.COMPLETE:
        assert time.monotonic() < deadline, f"the order is {order.status}"
        time.sleep(0.2)
        read = show_order.sync(order.id, client=buyer)
        assert isinstance(read, Order), read
        order = read
    sys.stdout.write(f"bought {ticket.id} with order {order.code}\n")


def signed_up(web: str) -> AuthenticatedClient:
    body = SignUp(email=f"{secrets.token_hex(8)}@example.com", password=secrets.token_hex(16))
    user = sign_up.sync(client=Client(base_url=web, raise_on_unexpected_status=True), body=body, token=True)
    assert isinstance(user, SignedInUser), user
    assert not isinstance(user.token, Unset)
    return AuthenticatedClient(base_url=web, token=user.token, raise_on_unexpected_status=True)


main(sys.argv[1])
