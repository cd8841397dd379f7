"""Request and response bodies of the services' HTTP APIs, as listed in docs/api.md."""

import re
import unicodedata
from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field, StringConstraints, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError
from typing_extensions import TypeAliasType

from contracts.events import (
    CancelReason,
    DisputeStatus,
    OrderedTicket,
    OrderStatus,
    PaymentStatus,
    PublicTicket,
)
from contracts.identity import Email, EmailInput
from contracts.money import PriceInput
from contracts.passwords import NewPassword, TypedPassword
from contracts.text import line, schema
from contracts.tickets import (
    Category,
    CategoryInput,
    City,
    FaceValue,
    Notes,
    PrivateNote,
    Quantity,
    Seat,
    TicketDetails,
    TicketOffer,
    TimeZoneInput,
    Title,
    Venue,
)
from contracts.wire import Id, Moment, Wire, left_out_if_none

POSITION = "Stagedoor-Position"
"""A header of the tickets service for the web tier: the sequence number in the stream EVENTS up to which the
response contains the changes of all tickets. It is missing if that isn't known.
"""

VALID_UNTIL = "Stagedoor-Valid-Until"
"""A header of the tickets service for the web tier: when the response changes because time passes."""


MAX_FIELDS = 50
"""Maximum number of fields of a body. No body has as many known fields."""


class Body(Wire):
    """A request body. Unknown fields are rejected, so that a misspelled field name is reported."""

    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _check_number_of_fields(cls, value: Any) -> Any:
        # Reporting an error for each of thousands of unknown fields would take seconds.
        if isinstance(value, dict) and len(value) > MAX_FIELDS:
            raise PydanticCustomError("too_many_fields", "The body has too many fields")
        return value


Trimmed = Annotated[str, StringConstraints(strip_whitespace=True)]


class SignUp(Body):
    email: Email
    password: NewPassword


class SignIn(Body):
    email: EmailInput
    password: TypedPassword


class PasswordBody(Body):
    """A change of password, confirmed by the current one."""

    current_password: TypedPassword
    new_password: NewPassword


LinkText = Annotated[str, StringConstraints(max_length=200)]
"""The value of `link` in the address that a mail contains."""


class PasswordResetRequest(Body):
    """The address of the account whose password was forgotten."""

    email: EmailInput


class PasswordReset(Body):
    """A new password instead of a forgotten one."""

    link: LinkText
    new_password: NewPassword


class EmailChange(Body):
    """A new address, confirmed by the password."""

    email: Email
    current_password: TypedPassword


class LinkBody(Body):
    link: LinkText


class EmailChangeUndo(PasswordReset):
    """A new password for the account that returns to its address before."""


def _reject_address(name: str) -> str:
    if "@" in unicodedata.normalize("NFKC", name):
        raise PydanticCustomError("name_address", "Name must not be an email address: everybody can read it")
    return name


DisplayName = Annotated[str, line("Name", 50), AfterValidator(_reject_address), schema(50)]
"""The name that others see."""


class NameBody(Body):
    """The name that others see, or null to remove it."""

    name: DisplayName | None


class AccountDeletion(Body):
    """The deletion of the caller's account, confirmed by the password."""

    current_password: TypedPassword


MatterKind = TypeAliasType("MatterKind", Literal["reservation", "purchase", "payment", "listing", "sale"])
"""What is open: a hold that isn't paid, a paid ticket whose event hasn't begun, a payment that isn't settled,
a ticket on sale or reserved, or a sold one whose event hasn't begun or whose buyer disputes the payment."""


class OpenMatter(Wire):
    """Money or a ticket that is open, so that the account can't be deleted yet."""

    kind: MatterKind
    ticket_id: Id | None = None
    """The ticket, unless the kind is `payment`."""
    order_id: Id | None = None
    """The order, if the user is the buyer."""
    title: str | None = None
    """The ticket's title, if it is known."""
    starts_at: Moment | None = None
    """When the event begins, if it has a date."""
    until: Moment | None = None
    """When the matter ends by itself, if that is known."""


class User(Wire):
    id: Id
    email: str


class MyAccount(User):
    """What only the user sees."""

    name: str | None
    """The name that others see. Null if the user has chosen none."""
    since: Moment
    """When the user signed up."""
    confirmed: bool
    """Whether the user has proved to receive mail at the address."""
    restricted: bool
    """Whether the user can't list or pay until the address is confirmed."""


class SessionView(Wire):
    """A session of the user."""

    id: Id
    device: str | None
    """The browser and the operating system, such as `Firefox on Linux`. Null if they aren't known."""
    network: str | None
    """Roughly where the session started, such as `203.0.113.0/24`. Null for an address that isn't global."""
    started_at: Moment | None
    """Null for a session of an earlier version."""
    used_at: Moment
    """When the session was last used, within about five minutes."""
    current: bool
    """Whether this request belongs to the session."""


PasskeyName = Annotated[str, line("Name", 50), schema(50)]

Base64Url = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]+$", max_length=10_000)]
"""Bytes as base64url without padding, as in WebAuthn's JSON."""


class PasswordProof(Body):
    """The caller's password, before something that a stolen session must not be able to do."""

    current_password: TypedPassword


class PasskeyOptions(Wire):
    """What the browser needs to make or use a passkey."""

    public_key: dict[str, Any]
    """The options in WebAuthn's JSON, as `PublicKeyCredential.parseCreationOptionsFromJSON()` and
    `parseRequestOptionsFromJSON()` read them."""


class Attestation(Wire):
    client_data_json: Base64Url = Field(alias="clientDataJSON")
    attestation_object: Base64Url
    transports: Annotated[list[Annotated[str, StringConstraints(max_length=50)]], Field(max_length=10)]
    """How browsers reach the authenticator, such as `internal`. May be empty."""


class NewCredential(Wire):
    """`RegistrationResponseJSON` of WebAuthn. Other fields are ignored."""

    id: Base64Url
    response: Attestation


class Assertion(Wire):
    client_data_json: Base64Url = Field(alias="clientDataJSON")
    authenticator_data: Base64Url
    signature: Base64Url
    user_handle: Base64Url
    """The id of the user, which the authenticator stores with the passkey."""


class UsedCredential(Wire):
    """`AuthenticationResponseJSON` of WebAuthn. Other fields are ignored."""

    id: Base64Url
    response: Assertion


class NewPasskey(Body):
    """A passkey that the browser has made."""

    name: PasskeyName | None = None
    """How the user recognizes it. Without a name it is called after the browser."""
    credential: NewCredential


class PasskeyNameBody(Body):
    name: PasskeyName


class PasskeySignIn(Body):
    """A passkey that the browser has used."""

    credential: UsedCredential


class RecoveredUser(User):
    """The user whose password was reset."""

    passkeys: int
    """How many passkeys the account has. They still work."""


class PasskeyView(Wire):
    """A passkey of the user."""

    id: Id
    name: str
    created_at: Moment
    used_at: Moment | None
    """When somebody last signed in with it. Null if nobody has."""


class SignedInUser(User):
    """The user who signed up or in."""

    model_config = ConfigDict(json_schema_extra=left_out_if_none("token"))

    token: str | None = None
    """The session token, for the header `Authorization: Bearer …`. Only if the request has `token=true`."""

    def to_json(self) -> str:
        return self.model_dump_json(by_alias=True, exclude_none=True)


class Profile(Wire):
    """The public profile of a user."""

    id: Id
    since: Moment
    """When the user signed up."""
    name: str | None = None
    """The name that the user has chosen. Null if there is none. It is never derived from the address."""
    deleted: bool = False
    """Whether the user has deleted the account."""


MAX_REASON = 500
"""Maximum number of characters of an operator's reason."""

Reason = Annotated[str, line("Reason", MAX_REASON), schema(MAX_REASON)]
"""Why an operator does something, for other operators. The reason of a suspension is stored with the account.
Others are in the security log."""


class SuspensionBody(Body):
    reason: Reason


class Account(Wire):
    """A user's account, as operators see it."""

    id: Id
    suspended_at: Moment | None
    """Since when the user can't sign in."""
    suspension_reason: str | None
    ended_sessions: Annotated[int, Field(ge=0)]
    """How many sessions this request has ended."""


class CurrentUserResult(Wire):
    current_user: User | None


class TicketBody(TicketDetails, TicketOffer, Body):
    """A ticket as its seller describes it. Only title and price are required."""

    title: Title
    price: PriceInput
    venue: Venue | None = None
    city: City | None = None
    time_zone: TimeZoneInput | None = None
    category: CategoryInput | None = None
    seat: Seat | None = None
    quantity: Quantity = 1
    face_value: FaceValue | None = None
    """The original price of all tickets of the listing together."""
    notes: Notes | None = None
    """Everybody can read them."""
    private_note: PrivateNote | None = None
    """Only the seller can read it, and the buyer after paying."""


class PrivateNoteBody(Body):
    """The new private note of a ticket, or null to remove it."""

    private_note: PrivateNote | None


class Ticket(PublicTicket):
    model_config = ConfigDict(json_schema_extra=left_out_if_none("privateNote", "refundedAmount", "dispute"))

    category: Category | None = None
    order_code: str | None = None
    """The number of the order `orderId`. Like the id, only the seller and the buyer see it."""
    refunded_amount: int | None = None
    """How much of the price the buyer of a sold ticket got back, in minor units. Only the seller sees it."""
    dispute: DisputeStatus | None = None
    """The state of the dispute, if the buyer disputed the payment. Only the seller sees it."""
    private_note: str | None = None
    """Only in the seller's own ticket, and in a ticket that the caller bought. Lists never contain it."""

    def to_json(self) -> str:
        """The ticket as camelCase JSON, without the fields that only some callers see and that are empty."""
        unset = {name for name in _PERSONAL if getattr(self, name) is None}
        return self.model_dump_json(by_alias=True, exclude=unset)


_PERSONAL = ("private_note", "refunded_amount", "dispute")


class Facet(Wire):
    """A filter value, such as a city, and the number of tickets that match it."""

    value: str
    label: str
    count: int


class Facets(Wire):
    """The filter values for a list of tickets. A chosen city or category doesn't hide the others."""

    total: int
    """Number of tickets that match all filters."""
    cities: Sequence[Facet]
    """At most 100 cities, those with the most tickets first."""
    categories: Sequence[Facet]


class Seller(Wire):
    id: Id
    sold: int
    """Number of tickets that this seller sold."""


class Sum(Wire):
    """A number of tickets and the sum of their prices."""

    count: int
    amount: int
    """The sum in minor units, such as cents."""


class SalesSummary(Wire):
    """Number and total price of a seller's tickets, by state."""

    available: Sum
    reserved: Sum
    sold: Sum
    withdrawn: Sum
    refunded: Sum
    """Sold tickets whose buyers were refunded, which `sold` includes. The amount includes partial refunds."""


def _ticket_id(value: str) -> str:
    if not value:
        raise PydanticCustomError("ticket_id", "TicketId must be provided")
    return value


def _needs_a_ticket(schema: dict[str, Any]) -> None:
    """Document `ticketId` as required. Its default exists only to give a missing id the error message of the
    Node version.
    """
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


MAX_HOLD = timedelta(minutes=30)
"""Maximum time from the reservation to an extended deadline. An extension never shortens a longer time to
pay."""


class OrderTicket(OrderedTicket):
    """The ticket as it was at the time of the reservation."""

    version: int


class Order(Wire):
    id: Id
    status: OrderStatus
    user_id: Id
    """The buyer's id."""
    expires_at: Moment
    version: int
    cancel_reason: CancelReason | None = None
    """Whether the buyer cancelled the order (`buyer`) or didn't pay in time (`expired`)."""
    hold_refused: bool = False
    """Whether the order was cancelled because the seller had changed or withdrawn the ticket before."""
    cancelled_by_operator: bool = False
    """Whether an operator of the marketplace cancelled the order."""
    relisted: bool = False
    """Whether the ticket of a refunded order is on sale again."""
    can_extend: bool = False
    """Whether the buyer may ask for more time to pay."""
    code: str | None = None
    """The order number: the proof of purchase. Only the buyer and the seller see it."""
    ticket: OrderTicket


TOKEN = re.compile(r"^(tok|pm)_[A-Za-z0-9_]{1,200}$", re.ASCII)


class PaymentBody(Body):
    order_id: Annotated[str, Field(min_length=1, max_length=64)]
    token: Annotated[str, WithJsonSchema({"type": "string", "pattern": TOKEN.pattern})] | None = None
    """A Stripe card token or payment method. Required if buyers pay on our page, else it must be omitted."""
    # The payments service checks its format, because the order has to be checked first.


class PaymentResult(Wire):
    id: Id
    status: PaymentStatus
    page_url: str | None = None
    """Address of the Stripe Checkout page of a pending payment."""
    refund_failed: bool = False
    """Whether the refund failed, so that an operator has to act."""


class RefundBody(Body):
    order_id: Annotated[str, Field(min_length=1, max_length=64)]
    relist: bool = False
    """Whether the ticket goes on sale again."""
    again: bool = False
    """After a refund that failed, try once more."""
    returned: bool = False
    """After a refund that failed, record that the money was returned in another way."""


class CancellationBody(Body):
    order_id: Annotated[str, Field(min_length=1, max_length=64)]
    reason: Reason


class ExtensionBody(Body):
    order_id: Annotated[str, Field(min_length=1, max_length=64)]
    expires_at: Moment
    """The new deadline. It is a time, not a number of minutes, so that a repetition changes nothing."""
    reason: Reason | None = None


class WithdrawalBody(Body):
    ticket_id: Annotated[str, Field(min_length=1, max_length=64)]
    reason: Reason


class Payment(Wire):
    id: Id
    order_id: Id
    status: PaymentStatus
    amount: int
    """The amount in minor units, such as cents."""
    currency: str
    decline_message: str | None = None
    """Why a payment failed: Stripe's message for the buyer."""
    action_url: str | None = None
    """Address where the buyer confirms a pending payment to their bank."""
    page_url: str | None = None
    """Address of the Stripe Checkout page of a pending payment."""
    processing: bool = False
    """Whether the bank takes its time to approve a pending payment."""
    refunded_amount: int = 0
    """How much of the amount the buyer got back."""
    refund_failed: bool = False
    """Whether the refund failed, so that an operator has to act."""
    dispute: DisputeStatus | None = None
    """The state of the dispute, if the buyer disputed the payment."""
