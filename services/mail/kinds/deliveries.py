"""What buyers and sellers are told about deliveries after the payment."""

from datetime import timedelta

from contracts.events import OrderEvent
from kit.texts import _
from services.mail.kinds.base import Button, Content, Notice, Site
from services.mail.kinds.orders import BUYER, EXAMPLE, SELLER, OrderFacts, OrderKind, calendar_of
from services.mail.kinds.texts import short


class TicketReady(OrderKind):
    """Tells the buyer that the seller has delivered the ticket after the payment."""

    name = "ticket-ready"

    def notice(self, event: OrderEvent) -> Notice[OrderFacts] | None:
        at, paid_at = event.delivered_at, event.paid_at
        if event.status != "complete" or event.delivery != "delivered" or at is None:
            return None
        if paid_at is not None and at <= paid_at:  # the receipt says that the ticket is there
            return None
        return Notice(event.id, event.user_id, at, OrderFacts.of(event))

    def content(self, facts: OrderFacts, site: Site, url: str) -> Content:
        lead = (
            _("The seller has uploaded it. Nobody but you can download it.")
            if facts.is_promised
            else _("The seller has told us that it was handed over to you, or has uploaded its files.")
        )
        return Content(
            subject=_(
                "Your ticket is ready (%(order)s): %(title)s", order=facts.order, title=short(facts.title)
            ),
            heading=_("Your ticket is ready"),
            lead=lead,
            details=facts.details(),
            steps=[
                _("Open your order to download the ticket and check it.")
                if facts.is_promised
                else _(
                    "Open your order to find the files, or the seller's note for you with a transfer code."
                ),
                _("Do you have the ticket? Say so on the page of your order."),
            ],
            button=Button(_("Open your order"), f"{url}/orders/{facts.order_id}"),
            reason=_(BUYER),
        )

    def example(self) -> OrderEvent:
        return DELIVERED_EXAMPLE


class UploadReminder(OrderKind):
    """Reminds the seller of promised files when half of the time to upload them is over."""

    name = "upload-reminder"

    def notice(self, event: OrderEvent) -> Notice[OrderFacts] | None:
        is_due = event.status == "complete" and event.delivery == "due"
        if not is_due or event.reminded_at is None or event.seller_id is None:
            return None
        return Notice(event.id, event.seller_id, event.reminded_at, OrderFacts.of(event))

    def content(self, facts: OrderFacts, site: Site, url: str) -> Content:
        return Content(
            subject=_(
                "Upload your sold ticket (%(order)s): %(title)s", order=facts.order, title=short(facts.title)
            ),
            heading=_("Your buyer is waiting for the ticket"),
            lead=_(
                "You promised to upload it by %(deadline)s. After that, the buyer gets the money back.",
                deadline=facts.deadline,
            ),
            details=facts.details(),
            steps=[_("Upload the files of the ticket. The buyer gets them at once.")],
            button=Button(_("Upload the files"), f"{url}/tickets/{facts.ticket_id}/files"),
            reason=_(SELLER),
        )

    def example(self) -> OrderEvent:
        return REMINDED_EXAMPLE


class DateChanged(OrderKind):
    """Tells the buyer that the event was postponed, or that its date was wrong."""

    name = "date-changed"

    def notice(self, event: OrderEvent) -> Notice[OrderFacts] | None:
        if event.status != "complete" or event.date_changed_at is None:
            return None
        cause = f"{event.id}-{event.date_changes}"
        return Notice(cause, event.user_id, event.date_changed_at, OrderFacts.of(event))

    def content(self, facts: OrderFacts, site: Site, url: str) -> Content:
        return Content(
            subject=_("Another date (%(order)s): %(title)s", order=facts.order, title=short(facts.title)),
            heading=_("The date has changed"),
            lead=_("The event of your ticket has another date than when you bought it."),
            details=facts.details(),
            steps=[
                _("Add the event to your calendar again: your order has a new calendar file."),
                _("Can't you come? You may sell the ticket at Stagedoor."),
            ],
            button=Button(_("Open your order"), f"{url}/orders/{facts.order_id}"),
            notes=[
                _(
                    "The times to report a problem and to pay the seller count from the new date, "
                    "but never end earlier than you were told before."
                )
            ],
            reason=_(BUYER),
            attachments=calendar_of(facts, site),
        )

    def example(self) -> OrderEvent:
        return DATE_CHANGED_EXAMPLE


class _OverdueKind(OrderKind):
    """A handover that isn't marked by the start of the event. Nobody is refunded for it automatically."""

    def example(self) -> OrderEvent:
        return OVERDUE_EXAMPLE


class Overdue(_OverdueKind):
    """Tells the buyer that the seller hasn't marked the handover in time."""

    name = "overdue"

    def notice(self, event: OrderEvent) -> Notice[OrderFacts] | None:
        if not _is_overdue(event) or event.overdue_at is None:
            return None
        return Notice(event.id, event.user_id, event.overdue_at, OrderFacts.of(event))

    def content(self, facts: OrderFacts, site: Site, url: str) -> Content:
        return Content(
            subject=_(
                "Do you have your ticket (%(order)s)? %(title)s", order=facts.order, title=short(facts.title)
            ),
            heading=_("Do you have your ticket?"),
            lead=_("The event starts, and the seller hasn't told us that the ticket was handed over to you."),
            details=facts.details(),
            steps=[_("If you have the ticket, say so on the page of your order.")],
            button=Button(_("Open your order"), f"{url}/orders/{facts.order_id}"),
            reason=_(BUYER),
        )


class OverdueSale(_OverdueKind):
    """Tells the seller that the handover isn't marked."""

    name = "overdue-sale"

    def notice(self, event: OrderEvent) -> Notice[OrderFacts] | None:
        if not _is_overdue(event) or event.overdue_at is None or event.seller_id is None:
            return None
        return Notice(event.id, event.seller_id, event.overdue_at, OrderFacts.of(event))

    def content(self, facts: OrderFacts, site: Site, url: str) -> Content:
        return Content(
            subject=_(
                "Did you hand the ticket over (%(order)s)? %(title)s",
                order=facts.order,
                title=short(facts.title),
            ),
            heading=_("Did you hand the ticket over?"),
            lead=_("The event starts, and you haven't told us that the buyer has the ticket."),
            details=facts.details(),
            steps=[_("If you handed the ticket over, press “I handed it over” under My sales.")],
            button=Button(_("My sales"), f"{url}/listings?status=sold"),
            reason=_(SELLER),
        )


def _is_overdue(event: OrderEvent) -> bool:
    return event.status == "complete" and event.delivery == "due" and event.overdue_at is not None


assert EXAMPLE.paid_at is not None
DELIVERED_EXAMPLE = EXAMPLE.model_copy(
    update={
        "version": 4,
        "delivery": "delivered",
        "delivered_at": EXAMPLE.paid_at + timedelta(hours=3),
        "ticket": EXAMPLE.ticket.model_copy(update={"delivery": "promised"}),
    }
)
REMINDED_EXAMPLE = EXAMPLE.model_copy(
    update={
        "version": 4,
        "delivery": "due",
        "deliver_by": EXAMPLE.paid_at + timedelta(hours=24),
        "reminded_at": EXAMPLE.paid_at + timedelta(hours=12),
        "ticket": EXAMPLE.ticket.model_copy(update={"delivery": "promised"}),
    }
)
OVERDUE_EXAMPLE = EXAMPLE.model_copy(
    update={
        "version": 4,
        "delivery": "due",
        "deliver_by": EXAMPLE.ticket.starts_at,
        "overdue_at": EXAMPLE.ticket.starts_at,
    }
)
DATE_CHANGED_EXAMPLE = EXAMPLE.model_copy(
    update={
        "version": 4,
        "date_changes": 1,
        "date_changed_at": EXAMPLE.paid_at + timedelta(hours=3),
        "former_starts_at": EXAMPLE.paid_at + timedelta(days=30),
        "latest_starts_at": EXAMPLE.ticket.starts_at,
    }
)
