"""What buyers and sellers are told about orders."""

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal

from contracts import guarantees
from contracts.events import DeliveryState, OrderedTicket, OrderEvent, OrderUpdated
from contracts.money import to_minor_units
from contracts.tickets import Delivery, TicketDetails
from contracts.wire import Moment
from kit.calendar import calendar
from kit.texts import N_, _
from services.mail.kinds.base import Attachment, Button, Content, Kind, Notice, Site
from services.mail.kinds.texts import day_and_time, money, one_line, price, short

BUYER = N_("You received this email because you bought a ticket at Stagedoor.")
SELLER = N_("You received this email because you sell tickets at Stagedoor.")


class OrderFacts(TicketDetails):
    """What messages say about an order."""

    order_id: str
    code: str | None
    ticket_id: str
    title: str
    price_minor: int
    paid_at: Moment | None
    refunded_minor: int = 0
    how: Delivery = "seller"
    """How the buyer was told to get the ticket."""
    delivery: DeliveryState | None = None
    deliver_by: Moment | None = None
    delivered_at: Moment | None = None

    @classmethod
    def of(cls, order: OrderEvent) -> "OrderFacts":
        ticket = order.ticket
        return cls(
            order_id=order.id,
            code=order.code,
            ticket_id=ticket.id,
            title=ticket.title,
            price_minor=to_minor_units(ticket.price),
            paid_at=order.paid_at,
            refunded_minor=order.refunded_amount,
            how=ticket.delivery,
            delivery=order.delivery,
            deliver_by=order.deliver_by,
            delivered_at=order.delivered_at,
            **ticket.model_dump(include=set(TicketDetails.model_fields)),
        )

    @property
    def order(self) -> str:
        """The order in a sentence: your order 7K3WPD9RXE."""
        return _("order %(code)s", code=self.code) if self.code else _("order")

    @property
    def is_promised(self) -> bool:
        """Whether the buyer gets files, or the money back."""
        return self.how != "seller"

    @property
    def deadline(self) -> str | None:
        """When the delivery has to be done, in a sentence."""
        return day_and_time(self.deliver_by, self.time_zone) if self.deliver_by else None

    @property
    def places(self) -> str:
        return ", ".join(place for place in (self.venue, self.city) if place)

    def details(self, *amounts: tuple[str, str]) -> list[tuple[str, str]]:
        """Names and values of what is known, and these amounts."""
        return [(name, one_line(value)) for name, value in self._details() if value] + list(amounts)

    def _details(self) -> Iterator[tuple[str, str | None]]:
        yield _("Event"), self.title
        yield _("When"), day_and_time(self.starts_at, self.time_zone) if self.starts_at else None
        yield _("Where"), self.places
        yield _("Seat"), self.seat
        yield _("Tickets"), str(self.quantity) if self.quantity > 1 else None
        yield _("Order"), self.code


class OrderKind(Kind[OrderEvent, OrderFacts]):
    """A kind of message about a change of an order."""

    events = (OrderUpdated,)
    facts = OrderFacts

    def example(self) -> OrderEvent:
        return EXAMPLE


class Receipt(OrderKind):
    """Tells the buyer that the ticket is paid for, and where it is."""

    name = "receipt"

    def notice(self, event: OrderEvent) -> Notice[OrderFacts] | None:
        if event.paid_at is None:
            return None
        return Notice(event.id, event.user_id, event.paid_at, OrderFacts.of(event))

    def content(self, facts: OrderFacts, site: Site, url: str) -> Content:
        return Content(
            subject=_("Your %(order)s is paid: %(title)s", order=facts.order, title=short(facts.title)),
            heading=_("The ticket is yours"),
            lead=_(
                "You paid %(amount)s. We have told the seller.",
                amount=money(facts.price_minor, site.currency),
            ),
            details=facts.details(
                (_("Price"), price(facts.price_minor, facts.quantity, site.currency)),
                (_("Fees"), _("None")),
                (_("Paid"), money(facts.price_minor, site.currency)),
            ),
            steps=[
                *_how_to_get(facts),
                _("Keep the order code. The seller sees the same one."),
                *([_("Add the attached event to your calendar.")] if facts.starts_at else []),
            ],
            button=Button(_("Open your order"), f"{url}/orders/{facts.order_id}"),
            notes=[
                _(guarantees.DELIVERY[facts.how].what, **site.numbers),
                _(
                    "What is guaranteed, by whom and until when: %(address)s",
                    address=f"{url}{guarantees.PAGE}",
                ),
            ],
            reason=_(BUYER),
            attachments=calendar_of(facts, site),
        )


def calendar_of(facts: OrderFacts, site: Site) -> list[Attachment]:
    """The event as a file for calendars, if it has a date."""
    if facts.starts_at is None:
        return []
    order = f"{site.url}/orders/{facts.order_id}"
    texts = {
        "SUMMARY": one_line(facts.title),
        "LOCATION": one_line(facts.places),
        "DESCRIPTION": "\n".join(filter(None, [facts.code and _("Order %(code)s", code=facts.code), order])),
    }
    text = calendar(
        uid=f"{facts.order_id}@{site.host}",
        stamp=facts.paid_at or facts.starts_at,
        starts_at=facts.starts_at,
        texts={name: value for name, value in texts.items() if value},
        url=order,
    )
    return [Attachment("event.ics", "text/calendar; method=PUBLISH", text)]


class Sold(OrderKind):
    """Tells the seller that a ticket is sold, and what to do by when."""

    name = "sold"

    def notice(self, event: OrderEvent) -> Notice[OrderFacts] | None:
        # After a refund, the seller must not hand the ticket over any more.
        if event.paid_at is None or event.seller_id is None or event.status != "complete":
            return None
        if event.delivery == "failed":
            return None
        return Notice(event.id, event.seller_id, event.paid_at, OrderFacts.of(event))

    def content(self, facts: OrderFacts, site: Site, url: str) -> Content:
        amount = money(facts.price_minor, site.currency)
        return Content(
            subject=_(
                "You sold a ticket (%(order)s): %(title)s", order=facts.order, title=short(facts.title)
            ),
            heading=_("Your ticket is sold"),
            lead=_("A buyer paid %(amount)s for it.", amount=amount),
            details=facts.details((_("Price"), price(facts.price_minor, facts.quantity, site.currency))),
            steps=[
                *_what_to_do(facts),
                _("Don't sell the ticket anywhere else."),
                _("Read what you receive for it, and when: %(address)s", address=f"{url}/account/payouts"),
            ],
            button=_to_do(facts, url),
            reason=_(SELLER),
        )


def _how_to_get(facts: OrderFacts) -> Iterator[str]:
    """The steps of a buyer to the ticket."""
    if facts.is_promised and facts.delivery == "due":
        yield (
            _(
                "The seller has to upload the ticket by %(deadline)s. We tell you when it is there."
                " If it isn't there in time, you get your money back, without doing anything.",
                deadline=facts.deadline,
            )
        )
    elif facts.is_promised:
        yield _("Open your order to download your ticket.")
    else:
        yield _("Open your order to find the seller's note for you, such as a transfer code.")
        yield _("As soon as you have the ticket, say so on the page of your order.")


def _what_to_do(facts: OrderFacts) -> Iterator[str]:
    """The steps of a seller."""
    if facts.is_promised and facts.delivery == "due":
        yield (
            _(
                "Upload the ticket by %(deadline)s. If it isn't there in time, the buyer gets the"
                " money back, and you don't get it.",
                deadline=facts.deadline,
            )
        )
    elif facts.is_promised:
        yield _("You don't need to do anything: the buyer has the files that you uploaded.")
    else:
        if facts.starts_at is not None:
            before = day_and_time(facts.starts_at, facts.time_zone)
            yield _("Hand the ticket over before %(time)s.", time=before)
        else:
            yield _("Hand the ticket over soon.")
        yield (
            _(
                "Write what the buyer needs, such as a transfer code, into the private note of the ticket."
                " Only you and the buyer can read it."
            )
        )
        yield _("Then press “I handed it over” under My sales.")


def _to_do(facts: OrderFacts, url: str) -> Button:
    if facts.is_promised and facts.delivery == "due":
        return Button(_("Upload the ticket"), f"{url}/tickets/{facts.ticket_id}/files")
    return Button(_("Open the ticket"), f"{url}/tickets/{facts.ticket_id}")


class Refunded(OrderKind):
    """Tells the buyer that the money comes back."""

    name = "refunded"

    def notice(self, event: OrderEvent) -> Notice[OrderFacts] | None:
        if event.refunded_at is None:
            return None
        return Notice(event.id, event.user_id, event.refunded_at, OrderFacts.of(event))

    def content(self, facts: OrderFacts, site: Site, url: str) -> Content:
        amount = money(facts.refunded_minor or facts.price_minor, site.currency)
        title = short(facts.title)
        if facts.delivery == "failed":
            subject = _(
                "Your %(order)s wasn't delivered and is refunded: %(title)s", order=facts.order, title=title
            )
            lead = _(
                "Your ticket wasn't uploaded by %(deadline)s. We refunded %(amount)s to the card"
                " that you paid with.",
                deadline=facts.deadline,
                amount=amount,
            )
        else:
            subject = _("Your %(order)s is refunded: %(title)s", order=facts.order, title=title)
            lead = _("We refunded %(amount)s to the card that you paid with.", amount=amount)
        return Content(
            subject=subject,
            heading=_("Your money is on its way back"),
            lead=lead,
            details=facts.details((_("Refunded"), amount)),
            steps=[_("Your bank may take a few days to show the refund. You don't need to do anything.")],
            button=Button(_("Open your order"), f"{url}/orders/{facts.order_id}"),
            reason=_(BUYER),
        )

    def example(self) -> OrderEvent:
        return REFUNDED_EXAMPLE


class SaleRefunded(OrderKind):
    """Tells the seller that the buyer of a ticket got the money back."""

    name = "sale-refunded"

    def notice(self, event: OrderEvent) -> Notice[OrderFacts] | None:
        if event.refunded_at is None or event.seller_id is None:
            return None
        return Notice(event.id, event.seller_id, event.refunded_at, OrderFacts.of(event))

    def content(self, facts: OrderFacts, site: Site, url: str) -> Content:
        amount = money(facts.refunded_minor or facts.price_minor, site.currency)
        title = short(facts.title)
        if facts.delivery == "failed":
            subject = _(
                "You didn't deliver, so a sale was refunded (%(order)s): %(title)s",
                order=facts.order,
                title=title,
            )
            lead = _(
                "The ticket wasn't uploaded by %(deadline)s. The buyer got %(amount)s back, so you"
                " don't get the money for this ticket.",
                deadline=facts.deadline,
                amount=amount,
            )
        else:
            subject = _("A sale was refunded (%(order)s): %(title)s", order=facts.order, title=title)
            lead = _(
                "The buyer got %(amount)s back, so you don't get the money for this ticket.", amount=amount
            )
        return Content(
            subject=subject,
            heading=_("A sale of yours was refunded"),
            lead=lead,
            details=facts.details((_("Refunded"), amount)),
            steps=[_("If you haven't handed the ticket over yet, don't do it.")],
            button=Button(_("Open the ticket"), f"{url}/tickets/{facts.ticket_id}"),
            reason=_(SELLER),
        )

    def example(self) -> OrderEvent:
        return REFUNDED_EXAMPLE


EXAMPLE = OrderUpdated(
    id="65f0c0ffee0000000000000b",
    version=3,
    status="complete",
    user_id="65f0c0ffee0000000000000f",
    seller_id="65f0c0ffee0000000000000e",
    paid_at=datetime(2027, 3, 1, 18, 30, tzinfo=UTC),
    expires_at=datetime(2027, 3, 1, 18, 45, tzinfo=UTC),
    hold=1,
    code="7K3WPD9RXE",
    ticket=OrderedTicket(
        id="65f0c0ffee0000000000000a",
        title="Low Roar: the last concert",
        price=Decimal("59.90"),
        starts_at=datetime(2027, 6, 12, 18, 30, tzinfo=UTC),
        venue="Old Mill",
        city="Köln",
        time_zone="Europe/Berlin",
        category="music",
        seat="Row 4, seats 7 and 8",
        quantity=2,
    ),
)
REFUNDED_EXAMPLE = EXAMPLE.model_copy(
    update={
        "version": 4,
        "status": "refunded",
        "refunded_at": datetime(2027, 3, 2, 9, 0, tzinfo=UTC),
        "refunded_amount": 5990,
    }
)
