"""Request and response bodies of the services' HTTP APIs, as listed in docs/api.md."""

import re
import unicodedata
from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    StringConstraints,
    WithJsonSchema,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError
from typing_extensions import TypeAliasType

from contracts.events import (
    CancelReason,
    DeliveryState,
    DisputeStatus,
    OrderedTicket,
    OrderStatus,
    PaymentStatus,
    PayoutState,
    ProblemKind,
    ProblemState,
    PublicTicket,
)
from contracts.identity import Email, EmailInput
from contracts.languages import Language
from contracts.money import Price, PriceInput
from contracts.passwords import NewPassword, TypedPassword
from contracts.text import line, paragraphs, schema
from contracts.tickets import (
    Category,
    CategoryInput,
    City,
    CountryInput,
    Delivery,
    FaceValue,
    Notes,
    Performer,
    Performers,
    PrivateNote,
    Quantity,
    Seat,
    TicketDetails,
    TicketOffer,
    TimeZoneInput,
    Title,
    Venue,
    in_start_years,
)
from contracts.wire import Count, Id, Moment, Wire, left_out_if_none

POSITION = "Stagedoor-Position"
"""A header of the tickets service for the web tier: the sequence number in the stream EVENTS up to which the
response contains the changes of all tickets. It is missing if that isn't known.
"""

VALID_UNTIL = "Stagedoor-Valid-Until"
"""A header of the tickets service for the web tier: when the response changes because time passes."""


FileId = Annotated[str, StringConstraints(pattern="^[0-9a-f]{32}$")]
"""The random id of a file."""

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
    language: Language | None = None
    """The language of emails to the user. Null for English."""


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


class TraderDetails(Wire):
    """Who a trader is. Buyers read it before they buy (Digital Services Act, article 30)."""

    name: Annotated[str, line("Name", 120), schema(120)]
    """The name of the person or the company."""
    address: Annotated[str, paragraphs("Address", 300), schema(300)]
    """The postal address, with line breaks."""
    email: Email
    phone: Annotated[str, Trimmed, Field(pattern=r"^\+?[0-9][0-9 ()/.-]{4,38}$")]
    register_entry: Annotated[str, line("Register", 120), schema(120)] | None = None
    """The register of companies and the number in it, if there is one."""


class NameBody(Body):
    """What others see about the user, and the language of emails. A field that is left out stays as it is."""

    name: DisplayName | None = None
    """The name, or null to remove it."""
    trader: bool | None = None
    """Whether the user sells as a trader, which the law treats differently. Null to say neither."""
    trader_details: TraderDetails | None = None
    """Who the trader is. A trader has to state it."""
    language: Language | None = None
    """The language of emails to the user. Null for English."""

    @model_validator(mode="after")
    def _check_has_field(self) -> Self:
        if not self.model_fields_set:
            raise PydanticCustomError(
                "nothing_to_change", "Name, trader, traderDetails or language must be given"
            )
        return self


class AccountDeletion(Body):
    """The deletion of the caller's account, confirmed by the password."""

    current_password: TypedPassword


MatterKind = TypeAliasType(
    "MatterKind", Literal["reservation", "purchase", "payment", "listing", "sale", "payout", "debt"]
)
"""What is open: a hold that isn't paid, a paid ticket whose event hasn't begun, a payment that isn't settled,
a ticket on sale or reserved, a sold one whose event hasn't begun or whose buyer disputes the payment, money
for a sale that the user hasn't got yet, or money that the user owes after a refund."""


class OpenMatter(Wire):
    """Money or a ticket that is open, so that the account can't be deleted yet."""

    kind: MatterKind
    ticket_id: Id | None = None
    """The ticket, unless the kind is `payment`, `payout` or `debt`."""
    order_id: Id | None = None
    """The order, if the user is the buyer, or if the kind is `payout` or `debt`."""
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
    trader: bool | None = None
    """Whether the user sells as a trader, as stated by the user. Null if the user has said neither."""
    trader_details: TraderDetails | None = None
    """Who the trader is, as stated by the user. Null for others, and for traders who haven't said it yet."""
    language: Language | None = None
    """The language of emails to the user. Null if the user has chosen none."""


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
    trader: bool | None = None
    """Whether the user sells as a trader, as stated by the user. Null if the user has said neither."""
    trader_details: TraderDetails | None = None
    """Who the trader is, as stated by the user. Null for others, and for traders who haven't said it yet."""


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
    country: CountryInput | None = None
    show_id: Id | None = None
    """An event that exists. Its date and place then replace those in the body."""
    performers: Performers | None = None
    """Who performs at an event that this listing is the first for."""
    category: CategoryInput | None = None
    seat: Seat | None = None
    quantity: Quantity = 1
    face_value: FaceValue | None = None
    """The original price of all tickets of the listing together."""
    notes: Notes | None = None
    """Everybody can read them."""
    private_note: PrivateNote | None = None
    """Only the seller can read it, and the buyer after paying."""
    promised: bool = False
    """Whether the seller promises to upload the files later, if they aren't uploaded yet."""

    _starts_in_time = field_validator("starts_at")(in_start_years)


AlertKindName = Literal["alert", "favorite"]
AlertKind = TypeAliasType("AlertKind", AlertKindName)
"""`favorite` is told of every ticket. `alert` is for one event, and may have conditions."""


class AlertBody(Body):
    """What the caller wants to be told of: tickets for an event, or for all events of a performer."""

    kind: AlertKind = "alert"
    show_id: Id | None = None
    performer: Performer | None = None
    """Only for a favorite. Case, accents and punctuation don't matter."""
    price_to: PriceInput | None = None
    """The highest price per ticket. Only for an alert."""
    quantity: Quantity | None = None
    """How many adjacent tickets are wanted. Without it, any number. Only for an alert."""

    @model_validator(mode="after")
    def _names_one_thing(self) -> Self:
        if (self.show_id is None) == (self.performer is None):
            raise PydanticCustomError("alert_target", "Give either showId or performer")
        if self.kind == "alert" and self.show_id is None:
            raise PydanticCustomError("alert_target", "An alert is for an event: give showId")
        if self.kind == "favorite" and (self.price_to is not None or self.quantity is not None):
            raise PydanticCustomError("alert_conditions", "Only an alert has conditions")
        return self


class PrivateNoteBody(Body):
    """The new private note of a ticket, or null to remove it."""

    private_note: PrivateNote | None


class Ticket(PublicTicket):
    model_config = ConfigDict(
        json_schema_extra=left_out_if_none("privateNote", "refundedAmount", "dispute", "removedReason")
    )

    category: Category | None = None
    order_code: str | None = None
    """The number of the order `orderId`. Like the id, only the seller and the buyer see it."""
    refunded_amount: int | None = None
    """How much of the price the buyer of a sold ticket got back, in minor units. Only the seller sees it."""
    dispute: DisputeStatus | None = None
    """The state of the dispute, if the buyer disputed the payment. Only the seller sees it."""
    removed_reason: str | None = None
    """Why operators have removed the listing after reports. Only the seller sees it."""
    private_note: str | None = None
    """Only in the seller's own ticket, and in a ticket that the caller bought. Lists never contain it."""

    def to_json(self) -> str:
        """The ticket as camelCase JSON, without the fields that only some callers see and that are empty."""
        unset = {name for name in _PERSONAL if getattr(self, name) is None}
        return self.model_dump_json(by_alias=True, exclude=unset)


class TicketFile(Wire):
    """A sealed file of a ticket, without its content."""

    id: FileId
    kind: Literal["pdf", "png", "jpeg", "pkpass"]
    size: Annotated[int, Field(ge=0)]
    """In bytes."""
    seats: Count
    """For how many persons it is: the number of its barcodes, or of its pages if it has none."""
    code_found: bool
    """Whether it has a barcode. Without one, nobody can check that it isn't in another listing."""
    uploaded_at: Moment
    reads: Annotated[int, Field(ge=0)]
    """How often the buyer has received it."""


class FileList(Wire):
    """The sealed files of a ticket, which only its seller and its buyer see."""

    delivery: Delivery
    files_ready_at: Moment | None
    """When the files of all seats were complete. None while a file is missing."""
    quantity: Count
    """For how many persons the listing is."""
    seats: Annotated[int, Field(ge=0)]
    """For how many persons the files are."""
    can_upload: bool
    """Whether the caller may add files."""
    can_remove: bool
    """Whether the caller may remove files."""
    can_read: bool
    """Whether the caller may read the files: only the buyer after paying."""
    files: Sequence[TicketFile]


_PERSONAL = ("private_note", "refunded_amount", "dispute", "removed_reason")


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
    corrected: str | None = None
    """The words that were searched instead of misspelled ones. Null if they were searched as typed."""


class Show(Wire):
    """An event, which the listings for it share."""

    id: Id
    title: str
    performers: Sequence[str]
    """Who performs, the most important first. Empty if nobody has said it."""
    venue: str
    city: str
    country: str | None
    """Two capital letters (ISO 3166-1). Null if it isn't known."""
    time_zone: str | None
    """The IANA time zone of the venue."""
    starts_at: Moment
    """When the event begins."""
    category: str | None
    picture: str | None
    """Name of the picture in /api/tickets/pictures/{name}/small and …/large."""


class Alert(Wire):
    """What the caller wants to be told of."""

    id: Id
    kind: AlertKind
    show: Show | None
    """The event. Null if this is for a performer."""
    performer: str | None
    """The performer. Null if this is for an event."""
    price_to: Price | None
    """The highest price per ticket. Null for any price."""
    quantity: int | None
    """How many adjacent tickets are wanted. Null for any number."""
    created_at: Moment
    """When the caller asked first. Of several people, the first to ask is told first."""


class AlertMatch(Wire):
    """A ticket that the caller was told of, as it was then."""

    id: Id
    ticket_id: Id
    title: str
    price: Price
    """The price of all tickets of the listing together."""
    quantity: int
    seat: str | None
    starts_at: Moment | None
    time_zone: str | None
    matched_at: Moment


class AlertList(Wire):
    """What the caller wants to be told of, and the tickets that the caller was told of, newest first."""

    alerts: Sequence[Alert]
    matches: Sequence[AlertMatch]


class AlertNews(Wire):
    """Tickets that the caller was told of, and that no open page has shown."""

    matches: Sequence[AlertMatch]


class ShowGroup(Wire):
    """Tickets for one area of an event that are sold in the same number of adjacent seats."""

    area: str | None
    """The leading part of the seats, such as `Block A`. Null if the seats don't name an area."""
    quantity: int
    """Number of tickets in each listing."""
    lowest: Price | None
    """The lowest price per ticket of those on sale. Null if none is."""
    tickets: Sequence[Ticket]
    """Those on sale come first, then the reserved and the sold ones; each by their prices per ticket."""

    def to_json(self) -> str:
        """The group as camelCase JSON, without the fields of tickets that only some callers see."""
        return self.model_dump_json(by_alias=True, exclude={"tickets": {"__all__": set(_PERSONAL)}})


class ShowPage(Show):
    """An event with its tickets."""

    lowest: Price | None
    """The lowest price per ticket of all that are on sale. Null if none is."""
    highest: Price | None
    """The highest price per ticket of all that are on sale."""
    on_sale: int
    """Number of listings that can be bought."""
    groups: Sequence[ShowGroup]
    """At most 500 listings that are on sale or reserved, and the newest 50 that are sold. The group with the
    lowest price comes first."""
    other_dates: Sequence[Show]
    """Later events with the same title, the soonest first. At most 6."""
    at_venue: Sequence[Show]
    """Other events at the venue that haven't begun, the soonest first. At most 6."""

    def to_json(self) -> str:
        """The page as camelCase JSON, without the fields of tickets that only some callers see."""
        tickets = {"__all__": set(_PERSONAL)}
        return self.model_dump_json(by_alias=True, exclude={"groups": {"__all__": {"tickets": tickets}}})


class ShowOffer(Show):
    """An event with tickets on sale."""

    lowest: Price
    """The lowest price per ticket."""
    on_sale: int
    """Number of listings that can be bought."""
    tickets: Sequence[Ticket]
    """The cheapest of them, by their prices per ticket. Empty in highlights."""

    def to_json(self) -> str:
        """The event as camelCase JSON, without the fields of tickets that only some callers see."""
        return self.model_dump_json(by_alias=True, exclude={"tickets": {"__all__": set(_PERSONAL)}})


class Highlights(Wire):
    """Events for the home page. Each list has at most 8, none of which has begun."""

    weekend: Sequence[ShowOffer]
    """On the current or the next weekend, the soonest first."""
    upcoming: Sequence[ShowOffer]
    """The soonest ones."""
    recent: Sequence[ShowOffer]
    """Those with the newest listings."""
    popular: Sequence[ShowOffer]
    """Those of which most tickets were sold within two weeks, or are held."""


class ShowMergeBody(Body):
    """Two events that are the same."""

    show_id: Id
    other_id: Id
    reason: Reason


class ShowCorrectionBody(Body):
    """What is wrong about an event. Fields that aren't given stay as they are."""

    show_id: Id
    title: Title | None = None
    performers: Performers | None = None
    venue: Venue | None = None
    city: City | None = None
    country: CountryInput | None = None
    time_zone: TimeZoneInput | None = None
    starts_at: Moment | None = None
    category: CategoryInput | None = None
    picture: Annotated[str, StringConstraints(pattern=r"^[0-9A-Za-z_-]{1,100}$")] | None = None
    """The name of a picture of a ticket."""
    reason: Reason

    _starts_in_time = field_validator("starts_at")(in_start_years)


class Seller(Wire):
    id: Id
    sold: int
    """Number of tickets that this seller sold."""
    upheld_problems: int = 0
    """For how many of them an operator decided that the buyer gets money back, after a report."""
    failed_deliveries: int = 0
    """How many promised tickets didn't arrive in time."""


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
    files_required_until: Moment | None = None
    """Until when new listings need sealed files, because sales have failed. Null if they don't."""


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


MAX_PROBLEM = 2000


class ReportedProblem(Wire):
    """What the buyer of an order reported, and what became of it. Buyer and seller see the same."""

    kind: ProblemKind
    text: str
    """What the buyer says."""
    reported_at: Moment
    state: ProblemState
    answer_by: Moment
    """Until when the seller may answer."""
    answer: str | None = None
    """What the seller says."""
    answered_at: Moment | None = None
    refunded: int = 0
    """How much the decision returns to the buyer, in minor units, such as cents."""
    reason: str | None = None
    """Why an operator decided so."""
    decided_at: Moment | None = None


ProblemText = Annotated[str, paragraphs("Text", MAX_PROBLEM), schema(MAX_PROBLEM)]


MAX_PHOTOS = 3
"""The most photos that each side adds to a problem."""

PhotoSide = TypeAliasType("PhotoSide", Literal["buyer", "seller"])


class ReportPhoto(Wire):
    """A photo that belongs to a report or to its answer, without its content."""

    id: FileId
    by: PhotoSide
    size: Annotated[int, Field(ge=0)]
    """In bytes."""
    uploaded_at: Moment


class ProblemBody(Body):
    kind: ProblemKind
    text: ProblemText


class ProblemAnswerBody(Body):
    text: ProblemText


class ProblemDecisionBody(Body):
    order_id: Annotated[str, Field(min_length=1, max_length=64)]
    decision: Literal["refund", "partial-refund", "reject"]
    amount: Price | None = None
    """What a partial refund returns."""
    seen: ProblemState | None = None
    """The state that the operator has read. If the seller has answered meanwhile, nothing is decided."""
    reason: Reason
    """Why. Buyer and seller read it."""


class ReportedOrder(Wire):
    """An order whose buyer reported a problem, for operators."""

    id: Id
    ticket_id: Id
    title: str
    status: OrderStatus
    user_id: Id
    seller_id: Id | None
    price: Price
    refunded_amount: int
    """What the buyer got back already, in minor units."""
    dispute: DisputeStatus | None
    delivery: DeliveryState | None
    delivered_at: Moment | None
    starts_at: Moment | None
    time_zone: str | None = None
    """The time zone of the event."""
    seat: str | None = None
    code: str | None = None
    """The order number."""
    unanswered: bool
    """Whether the seller's time to answer is over."""
    problem: ReportedProblem
    photos: list[ReportPhoto] = []
    """The photos of both sides."""


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
    delivery: DeliveryState | None = None
    """How far the delivery is. Null until the order is paid, unless sealed files are stored already."""
    deliver_by: Moment | None = None
    """When the delivery has to be done."""
    delivered_at: Moment | None = None
    """When the buyer could read the files, or the seller marked the handover."""
    confirmed_at: Moment | None = None
    """When the buyer confirmed to have the ticket, or the time to report a problem was over."""
    confirmed_by_buyer: bool = False
    """Whether the buyer confirmed it, as far as known."""
    overdue_at: Moment | None = None
    """The deadline that passed without a delivery, if it did."""
    problem: ReportedProblem | None = None
    """The problem that the buyer reported."""
    problem_until: Moment | None = None
    """Until when the buyer may report a problem. Null if that isn't possible, or not limited yet."""
    can_report: bool = False
    """Whether the buyer may report a problem now."""
    refund_due: int = 0
    """How much of the price the buyer gets back by an operator's decision, in minor units, such as cents."""
    photos: list[ReportPhoto] = []
    """The buyer's photos of the problem, and after the answer those of the seller."""
    former_starts_at: Moment | None = None
    """The start of the event at the time of the reservation, if it has changed since."""
    ticket: OrderTicket


class SoldOrder(Wire):
    """How far the delivery of an order is, for its seller. It doesn't say who the buyer is."""

    id: Id
    ticket_id: Id
    ticket: OrderTicket | None = None
    """The ticket as it was at the time of the reservation. Orders of an older version leave it out."""
    code: str | None = None
    """The order number."""
    status: OrderStatus
    delivery: DeliveryState | None
    deliver_by: Moment | None
    delivered_at: Moment | None
    confirmed_at: Moment | None
    overdue_at: Moment | None
    problem: ReportedProblem | None = None
    """The problem that the buyer reported."""
    can_answer: bool = False
    """Whether the seller may answer it now."""
    photos: list[ReportPhoto] = []
    """The buyer's photos of the problem, and those that the seller has added."""


TOKEN = re.compile(r"^(tok|pm)_[A-Za-z0-9_]{1,200}$", re.ASCII)


class PaymentBody(Body):
    order_id: Annotated[str, Field(min_length=1, max_length=64)]
    token: Annotated[str, WithJsonSchema({"type": "string", "pattern": TOKEN.pattern})] | None = None
    """A Stripe card token or payment method. Required if buyers pay on our page, else it must be omitted."""
    # The payments service checks its format, because the order has to be checked first.


class Payout(Wire):
    """What a seller gets for one sale. Amounts are in minor units, such as cents."""

    order_id: Id
    title: str
    code: str | None = None
    """The order number. Null for a sale that was made before payouts kept it, like the next four."""
    ticket_id: Id | None = None
    seat: str | None = None
    starts_at: Moment | None = None
    """When the event starts."""
    time_zone: str | None = None
    state: PayoutState
    amount: int
    """What the buyer paid."""
    fee: int
    """What the platform keeps of its fee."""
    refunded_amount: int
    """What the buyer got back."""
    net: int
    """What the seller gets altogether."""
    paid_out: int
    """What was transferred to the seller's account at Stripe and not reversed."""
    held: int
    """What isn't transferred yet."""
    owed: int
    """What the seller owes, because the buyer got money back after the transfer. Later sales settle it."""
    settled_amount: int
    """How much of the net settles debts from other sales."""
    currency: str
    due_at: Moment | None = None
    """When the money is due. None if that isn't known yet."""
    paid_at: Moment | None = None
    """When the money was transferred first."""
    needs_account: bool = False
    """Whether the money is due, but the seller has no account that may receive it."""


class PayoutSums(Wire):
    """A seller's sales in one currency, in minor units."""

    currency: str
    sold: int
    """What buyers paid."""
    refunded: int
    """What they got back."""
    fees: int
    held: int
    """What isn't due yet, or is frozen."""
    due: int
    """What is due and on its way."""
    waiting: int = 0
    """How much of that waits until the seller has an account that may receive it."""
    paid: int
    """What was transferred and not reversed."""
    owed: int
    """What the seller owes."""


class PayoutList(Wire):
    """A page of the caller's sales, newest first, and on the first page the sums of all of them."""

    payouts: Sequence[Payout]
    sums: Sequence[PayoutSums]
    """One entry for each currency. Empty on pages after the first."""
    after: str | None = None
    """The cursor of the next page, if any."""


class PayoutAccount(Wire):
    """The caller's account at Stripe, which receives the money, and what holds for new sales."""

    state: Literal["none", "incomplete", "checking", "active", "restricted", "rejected"]
    """`none`: the caller hasn't begun. `incomplete` and `restricted`: Stripe needs details. `checking`: it
    checks them. `rejected`: it refuses the caller for good."""
    country: str | None = None
    payout_failed: bool = False
    """Whether the seller's bank has refused the last payout."""
    countries: Sequence[str]
    """Countries whose sellers can be paid."""
    fee_percent: float
    """The platform's share of new sales."""
    payout_hours: float
    """Hours after the event's start at which money is due."""


class PayoutAccountBody(Body):
    country: Annotated[str, Field(max_length=64)]
    """Where the seller lives, as an ISO 3166-1 code of two letters."""


class PayoutAccountLink(Wire):
    """Stripe's page on which the seller gives or corrects the details. It works once, for a few minutes."""

    url: str


class WriteOffBody(Body):
    order_id: Annotated[str, Field(min_length=1, max_length=64)]
    reason: Reason
    owed: Annotated[int, Field(gt=0)] | None = None
    """The debt that the operator has read, in minor units. If it is another one now, nothing is given up."""


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


MAX_EVIDENCE = 10_000


class EvidenceBody(Body):
    """What an operator tells the bank about a disputed payment."""

    order_id: Annotated[str, Field(min_length=1, max_length=64)]
    text: Annotated[str, paragraphs("Text", MAX_EVIDENCE), schema(MAX_EVIDENCE)]


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


ListingReportKind = TypeAliasType(
    "ListingReportKind", Literal["fraud", "not-as-described", "price", "illegal", "other"]
)
"""What is wrong with a listing: it seems to be forged or stolen, its facts are wrong, its price isn't allowed
or its content is illegal."""

ListingReportState = TypeAliasType("ListingReportState", Literal["open", "removed", "kept"])

ListingDecision = TypeAliasType("ListingDecision", Literal["remove", "keep"])


class ListingReportBody(Body):
    kind: ListingReportKind
    text: ProblemText


class ListingReport(Wire):
    """What somebody reported about a listing."""

    kind: ListingReportKind
    text: str
    reported_at: Moment
    state: ListingReportState
    reason: str | None = None
    """Why an operator decided so."""
    decided_at: Moment | None = None


class ReceivedReport(ListingReport):
    """A report, for operators."""

    reporter_id: Id | None
    """Null if the account is deleted."""


class ReportedListing(Wire):
    """A listing with its reports, for operators."""

    ticket_id: Id
    seller_id: Id
    open_since: Moment | None
    """When the oldest open report was made. Null if none is open."""
    further: int
    """Number of further reports that weren't stored."""
    removing: bool
    """Whether the removal is decided but not carried out, because the ticket is reserved."""
    reports: Sequence[ReceivedReport]
    """The oldest first."""


class ListingDecisionBody(Body):
    ticket_id: Annotated[str, Field(min_length=1, max_length=64)]
    decision: ListingDecision
    reason: Reason
    seen: Sequence[Moment] = ()
    """When the reports were made that the operator has read. Empty for all."""


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
