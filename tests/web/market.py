"""What the services know, in memory. Tests set it as they need it."""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from aiohttp import web

from contracts.api import Order, OrderTicket, Payment, Ticket, User
from contracts.identity import SESSION_COOKIE
from contracts.problems import Problem
from contracts.wire import now

PASSWORD = "a good password"


class Refusal(Exception):
    def __init__(self, problem: Problem, retry_after: int | None = None) -> None:
        self.problem = problem
        self.retry_after = retry_after


def no(status: int, title: str, retry_after: int | None = None, *, code: str | None = None) -> Refusal:
    return Refusal(Problem.of(status, title, code=code), retry_after)


@dataclass
class Market:
    """The state of all services. Tests set it as they need it."""

    users: dict[str, tuple[User, str]] = field(default_factory=dict)
    """By session token: who, and with which password they signed up."""
    tickets: dict[str, Ticket] = field(default_factory=dict)
    orders: dict[str, Order] = field(default_factory=dict)
    payments: dict[str, Payment] = field(default_factory=dict)
    """By order."""
    decline: str | None = None
    """Stripe's words, when the next payment is declined."""
    page: str | None = None
    """Stripe's page, where one pays there."""
    settle_after: float | None = 0.0
    """Seconds from a payment until the order is complete; None is never."""
    page_size: int = 20
    has_facets: bool = True
    offers: dict[tuple[str, str], tuple[str, Ticket]] = field(default_factory=dict)
    """By seller and key: what was said, and the ticket that was made of it."""
    pictures: dict[str, bytes] = field(default_factory=dict)
    """By name: what was uploaded."""
    seen: list[web.Request] = field(default_factory=list)
    _ids: int = 0

    def new_id(self) -> str:
        self._ids += 1
        return f"{self._ids:024x}"

    def user(self, email: str, password: str = PASSWORD) -> tuple[User, str]:
        """Somebody who is signed in, and their session token."""
        token = "token-of-" + email.partition("@")[0]
        self.users[token] = (User(id=self.new_id(), email=email), password)
        return self.users[token][0], token

    def ticket(self, seller: User, title: str = "Nick Cave", **changes: Any) -> Ticket:
        values: dict[str, Any] = {"status": "available", "price": "20.00", "version": 0, **changes}
        ticket = Ticket(id=self.new_id(), title=title, user_id=seller.id, **values)
        self.tickets[ticket.id] = ticket
        return ticket

    def order(self, buyer: User, ticket: Ticket, seconds: float = 900, **changes: Any) -> Order:
        inside = OrderTicket.model_validate(ticket.model_dump(include=set(OrderTicket.model_fields)))
        values: dict[str, Any] = {"status": "created", "version": 0, **changes}
        if values["status"] == "cancelled":
            values.setdefault("cancel_reason", "buyer")
        expires_at = now() + timedelta(seconds=seconds)
        order = Order(id=self.new_id(), user_id=buyer.id, expires_at=expires_at, ticket=inside, **values)
        self.orders[order.id] = order
        status = "sold" if order.status == "complete" else "reserved"
        if order.status not in {"cancelled", "refunded"}:
            self.change_ticket(ticket.id, status=status, order_id=order.id)
        return order

    def payment(self, order: Order, status: str, **changes: Any) -> Payment:
        minor = int(order.ticket.price * 100)
        values: dict[str, Any] = {"status": status, "amount": minor, "currency": "usd", **changes}
        payment = Payment(id=self.new_id(), order_id=order.id, **values)
        self.payments[order.id] = payment
        return payment

    def change_ticket(self, ticket_id: str, **changes: Any) -> None:
        ticket = self.tickets[ticket_id]
        self.tickets[ticket_id] = ticket.model_copy(update={**changes, "version": ticket.version + 1})

    def change_order(self, order_id: str, **changes: Any) -> None:
        order = self.orders[order_id]
        self.orders[order_id] = order.model_copy(update={**changes, "version": order.version + 1})

    def caller(self, request: web.Request) -> User | None:
        return self.users.get(request.cookies.get(SESSION_COOKIE, ""), (None, ""))[0]

    def signed_in(self, request: web.Request) -> User:
        if (user := self.caller(request)) is None:
            raise no(401, "Sign in first")
        return user
