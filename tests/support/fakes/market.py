"""The state of the fake services."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from contracts.api import (
    Alert,
    AlertMatch,
    ListingReportBody,
    Order,
    OrderTicket,
    Payment,
    Payout,
    Show,
    Ticket,
    TicketFile,
    TraderDetails,
    User,
)
from contracts.identity import SECURE_SESSION_COOKIE, SESSION_COOKIE, Identity
from contracts.languages import Language
from contracts.problems import Problem
from contracts.wire import now
from kit.tokens import Signer

PASSWORD = "a good password"
SIGNER = Signer(Ed25519PrivateKey.generate())
"""The signer of session tokens. The fake auth service serves its public key."""


class Refusal(Exception):
    def __init__(self, problem: Problem, retry_after: int | None = None) -> None:
        self.problem = problem
        self.retry_after = retry_after


def refusal(
    status: int,
    title: str,
    retry_after: int | None = None,
    *,
    code: str | None = None,
    field: str | None = None,
) -> Refusal:
    return Refusal(Problem.of(status, title, code=code, field=field), retry_after)


@dataclass
class Market:
    """The state of all fake services. Tests change it directly."""

    users: dict[str, tuple[User, str]] = field(default_factory=dict)
    """Users and their passwords by session token."""
    tickets: dict[str, Ticket] = field(default_factory=dict)
    shows: dict[str, Show] = field(default_factory=dict)
    alerts: list[tuple[str, Alert]] = field(default_factory=list)
    """Each alert or favorite with its user's id."""
    matches: list[AlertMatch] = field(default_factory=list)
    """What everybody was told of."""
    refuses_alert: str | None = None
    """Why each new alert is refused, if it is."""
    merged: dict[str, str] = field(default_factory=dict)
    """The shows into which others were merged."""
    orders: dict[str, Order] = field(default_factory=dict)
    payments: dict[str, Payment] = field(default_factory=dict)
    """Payments by order id."""
    payouts: list[tuple[str, Payout]] = field(default_factory=list)
    """Each sale with its seller's id."""
    signed_in_long_ago: bool = False
    """Whether what needs a fresh sign-in is refused."""
    payout_account: Any = "none"
    """The state of everybody's account at Stripe."""
    onboarding_page: str = "http://localhost:12111/connect/1"
    decline: str | None = None
    """Stripe's message if the next payment is to be declined."""
    page: str | None = None
    """The address of Stripe's page, if buyers pay there."""
    settle_after: float | None = 0.0
    """Seconds from a payment until the order is complete, or None for never."""
    page_size: int = 20
    has_facets: bool = True
    listings: dict[tuple[str, str], tuple[str, Ticket]] = field(default_factory=dict)
    """Request body and created ticket by seller and idempotency key."""
    records: dict[str, dict[str, int]] = field(default_factory=dict)
    """What is known of sellers besides the number of their sales, by seller."""
    files_required_until: dict[str, datetime] = field(default_factory=dict)
    """Until when new listings of sellers need sealed files, by seller."""
    pictures: dict[str, bytes] = field(default_factory=dict)
    """Uploaded pictures by name."""
    files: dict[str, list[TicketFile]] = field(default_factory=dict)
    """Files by ticket."""
    reports: dict[tuple[str, str], ListingReportBody] = field(default_factory=dict)
    """What was reported about listings, by user and ticket."""
    refuses_price: str | None = None
    """Why the price of each listing is above the cap, if it is."""
    traders: dict[str, bool] = field(default_factory=dict)
    """Whether users sell as traders, as far as they have said so, by their ids."""
    trader_details: dict[str, TraderDetails] = field(default_factory=dict)
    """Who traders are, by their ids."""
    languages: dict[str, Language] = field(default_factory=dict)
    """The languages of emails that users have chosen, by their ids."""
    seen: list[web.Request] = field(default_factory=list)
    position: int | None = None
    """The position of the responses of tickets. Without one, web doesn't keep pages."""
    valid_until: datetime | None = None
    """When the responses of tickets change without an event."""
    _ids: int = 0

    def reset(self) -> None:
        """Forget everything except which ids are taken."""
        vars(self).update(vars(Market(_ids=self._ids)))

    def new_id(self) -> str:
        self._ids += 1
        return f"{self._ids:024x}"

    def user(self, email: str, password: str = PASSWORD) -> tuple[User, str]:
        """A signed-in user and their session token."""
        user = User(id=self.new_id(), email=email)
        return user, self.sign_in(user, self.new_id(), password)

    def sign_in(
        self,
        user: User,
        session_id: str,
        password: str = PASSWORD,
        lifetime: timedelta = timedelta(hours=1),
    ) -> str:
        """Start a session, and return its token."""
        identity = Identity(id=user.id, email=user.email, session_id=session_id)
        token = SIGNER.sign(identity, now() + lifetime)
        self.users[token] = (user, password)
        return token

    def token_of(self, user_id: str) -> str:
        return next(token for token, (user, _) in self.users.items() if user.id == user_id)

    def ticket(self, seller: User, title: str = "Nick Cave", **changes: Any) -> Ticket:
        values: dict[str, Any] = {"status": "available", "price": "20.00", "version": 0, **changes}
        ticket = Ticket(id=self.new_id(), title=title, user_id=seller.id, **values)
        self.tickets[ticket.id] = ticket
        return ticket

    def show(self, title: str = "Nick Cave", **changes: Any) -> Show:
        values: dict[str, Any] = {
            "performers": [],
            "venue": "Tempodrom",
            "city": "Berlin",
            "country": "DE",
            "time_zone": "Europe/Berlin",
            "starts_at": datetime(2036, 12, 12, 19, 0, tzinfo=UTC),
            "category": "music",
            "picture": None,
            **changes,
        }
        show = Show(id=self.new_id(), title=title, **values)
        self.shows[show.id] = show
        return show

    def order(self, buyer: User, ticket: Ticket, seconds: float = 900, **changes: Any) -> Order:
        inside = OrderTicket.model_validate(ticket.model_dump(include=set(OrderTicket.model_fields)))
        values: dict[str, Any] = {"status": "created", "version": 0, **changes}
        if values["status"] == "cancelled":
            values.setdefault("cancel_reason", "buyer")
        expires_at = now() + timedelta(seconds=seconds)
        values.setdefault("code", f"CODE{self._ids:06}")
        order = Order(id=self.new_id(), user_id=buyer.id, expires_at=expires_at, ticket=inside, **values)
        self.orders[order.id] = order
        status = "sold" if order.status == "complete" else "reserved"
        if order.status not in {"cancelled", "refunded"}:
            self.change_ticket(ticket.id, status=status, order_id=order.id, order_code=order.code)
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
        token = request.cookies.get(SECURE_SESSION_COOKIE) or request.cookies.get(SESSION_COOKIE, "")
        return self.users.get(token, (None, ""))[0]

    def signed_in(self, request: web.Request) -> User:
        if (user := self.caller(request)) is None:
            raise refusal(401, "Sign in first")
        return user
