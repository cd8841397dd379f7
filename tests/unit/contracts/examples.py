"""One example of every event and API body. The folder golden/ contains the JSON of each."""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

from contracts.api import (
    CurrentUser,
    Facet,
    Facets,
    Order,
    OrderBody,
    OrderTicket,
    PasswordBody,
    Payment,
    PaymentBody,
    PaymentResult,
    PrivateNoteBody,
    Profile,
    RefundBody,
    SalesSummary,
    Seller,
    SignIn,
    SignUp,
    Sum,
    Ticket,
    TicketBody,
    User,
)
from contracts.events import (
    Event,
    ExpirationComplete,
    OrderCancelled,
    OrderCreated,
    OrderedTicket,
    OrderUpdated,
    PaymentCreated,
    PaymentUpdated,
    SessionEnded,
    TicketCreated,
    TicketUpdated,
)
from contracts.problems import Problem, ProblemItem
from contracts.wire import Wire

GOLDEN = Path(__file__).parent / "golden"

TICKET = "65f0c0ffee0000000000000a"
ORDER = "65f0c0ffee0000000000000b"
PAYMENT = "65f0c0ffee0000000000000c"
SESSION = "65f0c0ffee0000000000000d"
SELLER = "65f0c0ffee0000000000000e"
BUYER = "65f0c0ffee0000000000000f"

PICTURE = "5eed" * 16
CODE = "7K3WPD9RXE"

DEADLINE = datetime(2027, 3, 1, 18, 45, tzinfo=UTC)
AUTHORIZED_AT = datetime(2027, 3, 1, 18, 29, 59, tzinfo=UTC)
STARTS_AT = datetime(2027, 6, 12, 19, 30, 0, 250_000, tzinfo=UTC)
PRICE = Decimal("19.99")

EVENTS: tuple[Event, ...] = (
    TicketCreated(id=TICKET, version=0, title="Row 4", price=PRICE, user_id=SELLER, status="available"),
    TicketUpdated(
        id=TICKET,
        version=3,
        title="Row 4",
        price=Decimal(20),
        user_id=SELLER,
        order_id=ORDER,
        hold=7,
        status="reserved",
        held_until=DEADLINE,
        starts_at=STARTS_AT,
        venue="Old Mill",
        city="Köln",
        time_zone="Europe/Berlin",
        category="music",
        seat="Row 4, seats 7 and 8",
        quantity=2,
        face_value=Decimal("17.5"),
        notes="By the aisle",
        picture=PICTURE,
    ),
    OrderCreated(
        id=ORDER,
        version=0,
        status="created",
        user_id=BUYER,
        expires_at=DEADLINE,
        hold=1,
        ticket=OrderedTicket(id=TICKET, title="Row 4", price=PRICE),
    ),
    OrderUpdated(
        id=ORDER,
        version=1,
        status="awaiting:payment",
        user_id=BUYER,
        expires_at=DEADLINE,
        hold=1,
        code=CODE,
        ticket=OrderedTicket(
            id=TICKET,
            title="Row 4",
            price=PRICE,
            starts_at=STARTS_AT,
            venue="Old Mill",
            city="Köln",
            time_zone="Europe/Berlin",
            category="music",
            seat="Row 4, seats 7 and 8",
            quantity=2,
            picture=PICTURE,
        ),
    ),
    OrderCancelled(
        id=ORDER,
        version=2,
        status="cancelled",
        user_id=BUYER,
        cancel_reason="expired",
        expires_at=DEADLINE,
        hold=7,
        ticket=OrderedTicket(id=TICKET, title="Row 4", price=Decimal("0.01")),
    ),
    PaymentCreated(id=PAYMENT, version=0, order_id=ORDER, status="pending", amount=1999, currency="usd"),
    PaymentUpdated(
        id=PAYMENT,
        version=1,
        order_id=ORDER,
        status="captured",
        amount=1999,
        currency="usd",
        stripe_id="pi_3Example",
        authorized_at=AUTHORIZED_AT,
    ),
    ExpirationComplete(order_id=ORDER, expires_at=DEADLINE),
    SessionEnded(session_id=SESSION, ended_at=DEADLINE),
)

BODIES: tuple[Wire, ...] = (
    SignUp(email="ada@example.com", password="correct horse"),
    SignIn(email="ada@example.com", password="correct horse"),
    PasswordBody(current_password="correct horse", new_password="battery staple"),
    User(id=BUYER, email="ada@example.com"),
    Profile(id=SELLER, since=DEADLINE),
    CurrentUser(current_user=User(id=BUYER, email="ada@example.com")),
    TicketBody(
        title="Row 4",
        price=PRICE,
        starts_at=STARTS_AT,
        venue="Old Mill",
        city="Köln",
        time_zone="Europe/Berlin",
        category="music",
        seat="Row 4, seats 7 and 8",
        quantity=2,
        face_value=Decimal("17.5"),
        notes="By the aisle",
        private_note="Transfer code AB12CD34",
    ),
    PrivateNoteBody(private_note="Transfer code AB12CD34"),
    Ticket(
        id=TICKET,
        title="Row 4",
        price=PRICE,
        user_id=SELLER,
        version=2,
        status="sold",
        order_id=ORDER,
        order_code=CODE,
        refunded=True,
        starts_at=STARTS_AT,
        venue="Old Mill",
        city="Köln",
        time_zone="Europe/Berlin",
        category="music",
        seat="Row 4, seats 7 and 8",
        quantity=2,
        face_value=Decimal("17.5"),
        notes="By the aisle",
        private_note="Transfer code AB12CD34",
        picture=PICTURE,
    ),
    Facet(value="koln", label="Köln", count=3),
    Facets(
        total=4,
        cities=[Facet(value="koln", label="Köln", count=3)],
        categories=[Facet(value="music", label="music", count=4)],
    ),
    Seller(id=SELLER, sold=12),
    Sum(count=2, amount=3998),
    SalesSummary(
        available=Sum(count=2, amount=3998),
        reserved=Sum(count=0, amount=0),
        sold=Sum(count=3, amount=5997),
        withdrawn=Sum(count=1, amount=1999),
        refunded=Sum(count=1, amount=1999),
    ),
    OrderBody(ticket_id=TICKET),
    OrderTicket(
        id=TICKET,
        title="Row 4",
        price=PRICE,
        version=0,
        starts_at=STARTS_AT,
        venue="Old Mill",
        city="Köln",
        time_zone="Europe/Berlin",
        category="music",
        seat="Row 4, seats 7 and 8",
        quantity=2,
        picture=PICTURE,
    ),
    Order(
        id=ORDER,
        status="created",
        user_id=BUYER,
        expires_at=DEADLINE,
        version=0,
        code=CODE,
        ticket=OrderTicket(id=TICKET, title="Row 4", price=PRICE, version=0),
    ),
    PaymentBody(order_id=ORDER, token="tok_visa"),
    PaymentResult(id=PAYMENT, status="authorized"),
    RefundBody(order_id=ORDER, relist=True),
    Payment(
        id=PAYMENT,
        order_id=ORDER,
        status="failed",
        amount=1999,
        currency="usd",
        decline_message="Your card was declined.",
    ),
)

PROBLEM = Problem(
    type="/problems/validation",
    title="Some fields are wrong",
    status=400,
    errors=[ProblemItem(message="Title is required", field="title"), ProblemItem(message="Nothing is right")],
)

EXAMPLES: Mapping[Path, Wire] = {
    **{GOLDEN / "events" / f"{event.subject}.json": event for event in EVENTS},
    **{GOLDEN / "api" / f"{type(body).__name__}.json": body for body in (*BODIES, PROBLEM)},
}
