"""The archive with everything that the marketplace stores about a person, as docs/api.md describes it."""

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import ConfigDict

from contracts.api import (
    AlertKind,
    AlertMatch,
    FileId,
    ListingReportKind,
    ListingReportState,
    MyAccount,
    Order,
    PasskeyView,
    Payment,
    Payout,
    SessionView,
    Ticket,
)
from contracts.events import LinkKind
from contracts.money import Price
from contracts.wire import Id, Moment, Wire


class ExportedAccount(MyAccount):
    """The person's account. The hash of the password is left out, because it is a secret."""

    confirmed_at: Moment | None
    password_changed_at: Moment | None
    email_changed_at: Moment | None


class ExportedSession(SessionView):
    """A session that has not expired, or did so within a day."""

    ended_at: Moment | None
    expires_at: Moment


class ExportedLink(Wire):
    """A one-time link that was mailed. What makes it work is left out, because it is a secret."""

    id: Id
    kind: LinkKind
    email: str
    """The address to which the link was sent."""
    created_at: Moment
    expires_at: Moment
    used_at: Moment | None


class ExportedTicket(Ticket):
    """A ticket that the person listed, with the private note."""

    model_config = ConfigDict(json_schema_extra={})  # unlike in other responses, no field is left out

    listed_at: Moment
    """To the second."""
    updated_at: Moment
    idempotency_key: str | None
    """The key that the person's program sent with the listing."""

    def to_json(self) -> str:
        return self.model_dump_json(by_alias=True)


class ExportedOrder(Order):
    """A hold of a ticket, which the person paid for or not."""

    reserved_at: Moment
    """To the second."""
    ended_at: Moment | None
    """When the hold of a cancelled order ended."""
    paid_at: Moment | None
    refunded_at: Moment | None
    network: str | None
    """A keyed hash of the network from which the ticket was reserved."""
    wide_network: str | None


class ExportedPayment(Payment):
    """A payment. Card numbers are known to Stripe only."""

    began_at: Moment
    authorized_at: Moment | None
    stripe_id: str | None
    """The id of Stripe's PaymentIntent."""
    decline_code: str | None
    """Stripe's reason for a decline."""


class ExportedPayout(Payout):
    """What the person got or gets for a sale."""

    transfers: Sequence[str]
    """The ids of Stripe's transfers."""


class ExportedMessage(Wire):
    """An email of the last 90 days. Its address isn't stored, and its text is made from the facts."""

    kind: str
    cause: str
    """What the email is about: the id of an order, a link or a session, or the user's id and a time."""
    facts: dict[str, Any]
    """What the email says, in addition to the texts of its kind."""
    status: Literal["queued", "sent", "failed", "dropped"]
    created_at: Moment
    sent_at: Moment | None


class ExportedOptOut(Wire):
    """The person's wish not to get emails of a kind."""

    kind: str
    created_at: Moment


class ExportedAlert(Wire):
    """What the person wants to be told of."""

    id: Id
    kind: AlertKind
    show_id: Id | None
    performer: str | None
    price_to: Price | None
    quantity: int | None
    created_at: Moment


class ExportedMatch(AlertMatch):
    """A ticket that the person was told of, as it was then."""

    seen_at: Moment | None
    """When an open page showed it."""


class ExportedListingReport(Wire):
    """What the person reported about a listing. Why it was decided so is written for the listing's seller."""

    ticket_id: Id
    kind: ListingReportKind
    text: str
    reported_at: Moment
    state: ListingReportState
    decided_at: Moment | None


class ExportedPhoto(Wire):
    """A photo that the person added to a report of a problem, or to an answer."""

    id: FileId
    order_id: Id
    size: int
    """In bytes. The photo itself is at `/api/orders/<orderId>/problem/photos/<id>`."""
    created_at: Moment


class ExportHead(Wire):
    """How to read the archive."""

    format: Literal["stagedoor-export-1"] = "stagedoor-export-1"
    created_at: Moment


class Export(ExportHead):
    """Everything about one person. Others appear in it only as far as the person sees them anyway."""

    account: ExportedAccount
    sessions: Sequence[ExportedSession]
    passkeys: Sequence[PasskeyView]
    """The keys themselves are left out: they are of no use to the person."""
    links: Sequence[ExportedLink]
    tickets: Sequence[ExportedTicket]
    orders: Sequence[ExportedOrder]
    payments: Sequence[ExportedPayment]
    payouts: Sequence[ExportedPayout] = ()
    messages: Sequence[ExportedMessage]
    opt_outs: Sequence[ExportedOptOut]
    photos: Sequence[ExportedPhoto] = ()
    alerts: Sequence[ExportedAlert] = ()
    matches: Sequence[ExportedMatch] = ()
    listing_reports: Sequence[ExportedListingReport] = ()
    incomplete: Sequence[str]
    """The lists of which only the newest entries are in the archive, because there are too many."""
