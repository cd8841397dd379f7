"""What people are told about tickets that they have waited for."""

from datetime import UTC, datetime
from decimal import Decimal

from contracts.events import AlertedTicket, AlertMatched
from contracts.money import to_minor_units
from contracts.tickets import Delivery, TicketDetails
from kit.texts import N_, _
from services.mail.kinds.base import Button, Content, Kind, Notice, Site
from services.mail.kinds.texts import day_and_time, one_line, price, short

HOW: dict[Delivery, str] = {
    "instant": N_("Instant download after payment"),
    "promised": N_("The seller uploads the ticket after the sale"),
    "seller": N_("Handed over by the seller"),
}
"""How the buyer would get the ticket."""


class AlertFacts(TicketDetails):
    """What messages say about a ticket on sale."""

    ticket_id: str
    title: str
    price_minor: int
    face_value_minor: int | None = None
    how: Delivery | None = None
    """How a buyer gets the ticket. Messages that were stored before this field existed don't say it."""

    @classmethod
    def of(cls, ticket: AlertedTicket) -> "AlertFacts":
        return cls(
            ticket_id=ticket.id,
            title=ticket.title,
            price_minor=to_minor_units(ticket.price),
            face_value_minor=None if ticket.face_value is None else to_minor_units(ticket.face_value),
            how=ticket.delivery,
            **ticket.model_dump(include=set(TicketDetails.model_fields)),
        )

    def details(self, currency: str) -> list[tuple[str, str]]:
        """Names and values of what is known."""
        places = ", ".join(place for place in (self.venue, self.city) if place)
        known = [
            (_("Event"), one_line(self.title)),
            (_("When"), day_and_time(self.starts_at, self.time_zone) if self.starts_at else ""),
            (_("Where"), one_line(places)),
            (_("Seat"), one_line(self.seat or "")),
            (_("Tickets"), str(self.quantity) if self.quantity > 1 else ""),
            (_("Delivery"), _(HOW[self.how]) if self.how else ""),
            (_("Price"), price(self.price_minor, self.quantity, currency)),
            (_("Face value"), self._face_value(currency)),
        ]
        return [(name, value) for name, value in known if value]

    def _face_value(self, currency: str) -> str:
        known = self.face_value_minor
        return "" if known is None else price(known, self.quantity, currency)


class TicketAlert(Kind[AlertMatched, AlertFacts]):
    """Tells a user that a ticket is on sale that the user has asked for."""

    name = "ticket-alert"
    events = (AlertMatched,)
    facts = AlertFacts
    is_optional = True

    def notice(self, event: AlertMatched) -> Notice[AlertFacts] | None:
        return Notice(event.ticket.id, event.user_id, event.matched_at, AlertFacts.of(event.ticket))

    def content(self, facts: AlertFacts, site: Site, url: str) -> Content:
        return Content(
            subject=_("On sale now: %(title)s", title=short(facts.title)),
            heading=_("A ticket that you waited for is on sale"),
            lead=_("You asked us to tell you. We tell those who asked first before others."),
            details=facts.details(site.currency),
            steps=[
                _("Open the page of the ticket, and press Buy if you want it."),
                _("Until then, nobody holds the ticket for you."),
            ],
            button=Button(_("See the ticket"), f"{url}/tickets/{facts.ticket_id}"),
            notes=[_("Change or stop single alerts: %(address)s", address=f"{url}/account/alerts")],
            reason=_("You received this email because you have an alert or a favorite at Stagedoor."),
        )

    def example(self) -> AlertMatched:
        return EXAMPLE


EXAMPLE = AlertMatched(
    id="65f0c0ffee000000000000a1",
    user_id="65f0c0ffee0000000000000f",
    matched_at=datetime(2027, 3, 1, 18, 30, tzinfo=UTC),
    ticket=AlertedTicket(
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
