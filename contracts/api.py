"""Request and response bodies of the services' HTTP APIs, as listed in docs/api.md."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated, Any

from pydantic import AfterValidator, ConfigDict, Field, StringConstraints, WithJsonSchema
from pydantic_core import PydanticCustomError

from contracts.events import CancelReason, OrderedTicket, OrderStatus, PaymentStatus, TicketStatus
from contracts.identity import Email, EmailGiven
from contracts.money import Price, PriceGiven
from contracts.tickets import (
    NOT_BLANK,
    Category,
    CategoryGiven,
    FaceValue,
    Notes,
    Quantity,
    Seat,
    TimeZoneGiven,
)
from contracts.wire import Id, Moment, Wire


class Body(Wire):
    """Unknown fields are refused: a mistyped name must not be lost without a word."""

    model_config = ConfigDict(extra="forbid")


def _password(value: str) -> str:
    if not 8 <= len(value) <= 128:
        raise PydanticCustomError("password_length", "Password must be between 8 and 128 characters")
    return value


def _title(value: str) -> str:
    if not value:
        raise PydanticCustomError("title_required", "Title is required")
    if len(value) > 200:
        raise PydanticCustomError("title_long", "Title must be at most 200 characters")
    return value


Trimmed = Annotated[str, StringConstraints(strip_whitespace=True)]
Place = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=120), NOT_BLANK]
NewPassword = Annotated[
    str,
    AfterValidator(_password),
    WithJsonSchema({"type": "string", "minLength": 8, "maxLength": 128, "format": "password"}),
]
Title = Annotated[
    Trimmed,
    AfterValidator(_title),
    WithJsonSchema({"type": "string", "minLength": 1, "maxLength": 200, "pattern": r"\S"}),
]


class SignUp(Body):
    email: Email
    password: NewPassword


class SignIn(Body):
    email: EmailGiven
    password: Annotated[str, StringConstraints(max_length=1024)]


class PasswordBody(Body):
    """A new password, from who knows the present one."""

    current_password: Annotated[str, StringConstraints(max_length=1024)]
    new_password: NewPassword


class User(Wire):
    id: Id
    email: str


class Profile(Wire):
    """What anybody may know of a user."""

    id: Id
    since: Moment
    """When they signed up."""


class CurrentUser(Wire):
    current_user: User | None


class TicketBody(Body):
    """What a seller says of a ticket. Only title and price are required."""

    title: Title
    price: PriceGiven
    starts_at: Moment | None = None
    """When the event begins."""
    venue: Place | None = None
    city: Place | None = None
    time_zone: TimeZoneGiven | None = None
    """Where the event is, as in Europe/Berlin."""
    category: CategoryGiven | None = None
    seat: Seat | None = None
    """Or area."""
    quantity: Quantity = 1
    """How many are sold together: the price is of all of them."""
    face_value: FaceValue | None = None
    """What all of them cost when they were new."""
    notes: Notes | None = None


class Ticket(Wire):
    id: Id
    title: str
    price: Price
    user_id: Id
    """The seller."""
    version: int
    status: TicketStatus
    order_id: Id | None = None
    """The order that holds or bought it."""
    held_until: Moment | None = None
    """Of a reserved ticket: when the hold ends, unless the buyer pays or gets more time."""
    refunded: bool = False
    """Of a sold ticket: the buyer got the money back, and the ticket stays sold."""
    starts_at: Moment | None = None
    venue: str | None = None
    city: str | None = None
    time_zone: str | None = None
    category: Category | None = None
    seat: str | None = None
    quantity: int = 1
    face_value: Price | None = None
    notes: str | None = None
    picture: str | None = None
    """The name of its picture: /api/tickets/pictures/{name}/small and …/large show it."""


class Facet(Wire):
    """A value of a filter, and how many tickets it would leave."""

    value: str
    label: str
    count: int


class Facets(Wire):
    """What a list of tickets can be narrowed down to. Each filter's own choice doesn't narrow its values."""

    total: int
    """How many tickets match now."""
    cities: Sequence[Facet]
    """At most a hundred, those with most tickets first."""
    categories: Sequence[Facet]


class Seller(Wire):
    id: Id
    sold: int
    """How many of their tickets were sold."""


class Sum(Wire):
    """So many tickets, and the sum of their prices."""

    count: int
    amount: int
    """In minor units."""


class SalesSummary(Wire):
    """What a seller offered, by what became of it."""

    available: Sum
    reserved: Sum
    sold: Sum
    withdrawn: Sum
    refunded: Sum
    """Those of the sold whose buyers got the money back."""


def _ticket_id(value: str) -> str:
    if not value:
        raise PydanticCustomError("ticket_id", "TicketId must be provided")
    return value


def _needs_a_ticket(schema: dict[str, Any]) -> None:
    """The default is refused, in the words of the first version of this API: the field is required."""
    schema["required"] = ["ticketId"]
    del schema["properties"]["ticketId"]["default"]


class OrderBody(Body):
    model_config = ConfigDict(json_schema_extra=_needs_a_ticket)

    ticket_id: Annotated[
        Trimmed,
        AfterValidator(_ticket_id),
        Field(validate_default=True),
        WithJsonSchema({"type": "string", "minLength": 1, "pattern": r"\S"}),
    ] = ""


LONGEST_HOLD = timedelta(minutes=30)
"""From the reservation on, however often more time is given. A longer time to pay stands as it is."""


class OrderTicket(OrderedTicket):
    """A ticket as it was when it was reserved."""

    version: int


class Order(Wire):
    id: Id
    status: OrderStatus
    user_id: Id
    """The buyer."""
    expires_at: Moment
    version: int
    cancel_reason: CancelReason | None = None
    """Why a cancelled order is: the buyer let go of it, or didn't pay in time."""
    relisted: bool = False
    """Of a refunded order: its ticket is on sale again."""
    can_extend: bool = False
    """Whether the buyer may ask for more time to pay."""
    ticket: OrderTicket


class PaymentBody(Body):
    order_id: Annotated[str, Field(min_length=1, max_length=64)]
    token: Annotated[str, StringConstraints(pattern=r"^(tok|pm)_[A-Za-z0-9_]{1,200}$")] | None = None
    """A Stripe card token or payment method; `tok_visa` if none is given. Not where one pays at Stripe."""


class PaymentResult(Wire):
    id: Id
    status: PaymentStatus
    page_url: str | None = None
    """Of a pending payment on Stripe's page: where that is."""


class RefundBody(Body):
    order_id: Annotated[str, Field(min_length=1, max_length=64)]
    relist: bool = False
    """Whether the ticket goes on sale again."""


class Payment(Wire):
    id: Id
    order_id: Id
    status: PaymentStatus
    amount: int
    """In minor units."""
    currency: str
    decline_message: str | None = None
    """Of a failed payment: Stripe's words to the buyer."""
    action_url: str | None = None
    """Of a pending payment: where the buyer's bank asks for confirmation."""
    page_url: str | None = None
    """Of a pending payment on Stripe's page: where that is."""
