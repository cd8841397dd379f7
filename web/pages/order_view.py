"""The order as its page shows it: the data for the templates."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal
from urllib.parse import urlencode, urlsplit

from contracts.api import Order, Payment, Profile, Ticket
from contracts.money import from_minor_units
from web.order_stage import Stage, Step
from web.rendering.problem_texts import ShownProblem
from web.rendering.texts import N_
from web.rendering.ticket_texts import has_begun, places

Layout = Literal["checkout", "owned", "ended"]
Delivery = Literal[
    "files-due", "files", "files-confirmed", "handover-due", "overdue", "handed-over", "confirmed"
]

STEPS: dict[Step, str] = {"review": N_("Review"), "pay": N_("Pay"), "ticket": N_("Ticket")}


@dataclass(frozen=True)
class ProgressStep:
    """One of the steps that are shown above a checkout."""

    label: str
    is_passed: bool
    is_current: bool
    address: str | None
    """The address of the step if the buyer can return to it, else None."""


@dataclass(frozen=True)
class NextLink:
    """The link that leads the buyer to the next step."""

    label: str
    address: str
    is_external: bool


@dataclass(frozen=True)
class OrderView:
    order: Order
    payment: Payment | None
    stage: Stage
    step: Step | None
    remaining: int
    """Whole seconds left to pay, by the server's clock."""
    page_url: str | None
    """The address of Stripe's payment page, if there is one."""
    until_start: int | None = None
    """Whole seconds until the event starts, 0 if it has started. None if the ticket has no date."""
    pays_at_checkout: bool = False
    came_back: bool = False
    """Whether the buyer has returned from the bank or from Stripe's page before the outcome is known."""
    goes_to_pay: bool = False
    """Whether the buyer has reviewed the order and goes on to the payment."""
    was: Decimal | None = None
    """The price that the buyer saw before the reservation, if it was another one."""
    ticket: Ticket | None = None
    """The current state of the ticket. None while the order is live, or if the tickets service is down."""
    similar: Sequence[Ticket] = ()
    listing: Ticket | None = None
    """What the seller says about the ticket, while the buyer reviews the order."""
    seller: Profile | None = None
    """Who sells the ticket, while the buyer reviews the order."""

    @property
    def number(self) -> str | None:
        """The order number that the buyer sees."""
        return self.order.code

    @property
    def refunded(self) -> Decimal | None:
        """How much of the price was refunded, if anything was."""
        amount = self.payment.refunded_amount if self.payment else 0
        return from_minor_units(amount) if amount else None

    @property
    def query(self) -> str:
        """The query in the addresses of the forms and of live updates, which keeps what the page shows."""
        if self.came_back:
            return "?paid"
        if self.goes_to_pay:
            return "?step=pay"
        return f"?was={self.was}" if self.was is not None else ""

    @property
    def address(self) -> str:
        return f"/orders/{self.order.id}{self.query}"

    @property
    def is_checkout(self) -> bool:
        """Whether the buyer still has to review or pay the order."""
        return self.step in {"review", "pay"}

    @property
    def layout(self) -> Layout:
        """The name of the template that shows the order."""
        if self.step is None:
            return "ended"
        return "owned" if self.step == "ticket" else "checkout"

    @property
    def topics(self) -> str:
        """The live topics that can change the page, separated by spaces."""
        order = f"order:{self.order.id}" if self.stage.listens else ""
        ticket = f"ticket:{self.order.ticket.id}" if self.ticket else ""
        return " ".join(filter(None, (order, ticket)))

    @property
    def reload_after(self) -> int | None:
        """Seconds until a page without JavaScript reloads. None if the stage won't change by itself."""
        if self.stage.is_waiting:
            return self.stage.reload_after
        if not self.stage.has_deadline:
            return None
        return (self.until_start or self.remaining if self.starts_before_deadline else self.remaining) + 2

    @property
    def has_begun(self) -> bool:
        """Whether the buyer has to decide whether to pay although the event has started."""
        return self.stage.has_deadline and self.until_start == 0

    @property
    def starts_before_deadline(self) -> bool:
        """Whether the event will start before the time to pay is over."""
        return self.stage.has_deadline and 0 < (self.until_start or 0) < self.remaining

    @property
    def refresh_at(self) -> list[int]:
        """The seconds left to pay at which the event has just started, if it starts before the deadline."""
        starts_at = self.order.ticket.starts_at
        if starts_at is None or not self.starts_before_deadline:
            return []
        return [int((self.order.expires_at - starts_at).total_seconds())]

    @property
    def progress(self) -> Sequence[ProgressStep]:
        if self.step is None or self.stage.name == "refunded":
            return ()
        steps = list(STEPS)
        current = steps.index(self.step)
        can_review = self.step == "pay" and self.stage.can_pay
        return [
            ProgressStep(
                label,
                is_passed=number < current or self.step == "ticket",
                is_current=number == current,
                address=f"/orders/{self.order.id}" if step == "review" and can_review else None,
            )
            for number, (step, label) in enumerate(STEPS.items())
        ]

    @property
    def link(self) -> NextLink | None:
        """The link to the next step. None if the next step is a form, or if there is no next step."""
        if self.step == "review" and not self.pays_at_checkout:
            return NextLink(N_("Continue to payment"), f"/orders/{self.order.id}?step=pay", False)
        if self.stage.name == "bank-check" and self.action_url:
            return NextLink(N_("Confirm with your bank"), self.action_url, True)
        if self.stage.name == "at-stripe" and self.page_url:
            return NextLink(N_("Continue to payment"), self.page_url, True)
        return None

    @property
    def can_reserve_again(self) -> bool:
        return self.ticket is not None and is_free(self.ticket, self.order)

    @property
    def lost_ticket(self) -> Ticket | None:
        """The ticket of an ended order, if the buyer neither owns it nor can reserve it again."""
        if self.ticket is None or self.can_reserve_again:
            return None
        is_sold_to_buyer = self.ticket.status == "sold" and self.ticket.order_id == self.order.id
        return None if is_sold_to_buyer else self.ticket

    @property
    def delivery(self) -> Delivery | None:
        """What is said about the delivery. None if the order is too old to say it."""
        order = self.order
        was_uploaded = self.ticket is not None and self.ticket.delivery == "instant"
        has_files = order.ticket.delivery != "seller" or was_uploaded
        match order.delivery:
            case "due" if order.ticket.delivery != "seller":
                return "files-due"
            case "due":
                return "overdue" if order.overdue_at else "handover-due"
            case "delivered":
                return "files" if has_files else "handed-over"
            case "confirmed":
                return "files-confirmed" if has_files else "confirmed"
        return None

    @property
    def has_ticket(self) -> bool:
        """Whether the buyer should have the ticket by now, and hasn't reported a problem with it."""
        return self.delivery not in {"files-due", "handover-due", "overdue"} and not self.order.problem

    @property
    def can_confirm(self) -> bool:
        """Whether the buyer may say to have the ticket."""
        can = {"files", "handed-over", "handover-due", "overdue"}
        return self.order.status == "complete" and self.delivery in can

    @property
    def problem(self) -> ShownProblem | None:
        """The problem that the buyer reported, if any."""
        return ShownProblem.of(self.order)

    @property
    def shows_problem(self) -> bool:
        """Whether there is a report, or the buyer may make one."""
        return self.order.problem is not None or self.order.can_report

    @property
    def map_address(self) -> str | None:
        """The address of a map with the venue, which is asked for only when the buyer follows it."""
        query = ", ".join(places(self.order.ticket))
        return f"https://www.openstreetmap.org/search?{urlencode({'query': query})}" if query else None

    @property
    def action_url(self) -> str | None:
        """The address of the bank's page. None if a link to the address would be unsafe."""
        url = self.payment.action_url if self.payment else None
        return url if url and urlsplit(url).scheme in {"https", "http"} else None


def is_free(ticket: Ticket, order: Order) -> bool:
    """Whether the ticket of an ended order can be reserved.

    A ticket that is still reserved for the ended order counts as free: the tickets service will release it.
    """
    is_held_by_order = ticket.status == "reserved" and ticket.order_id == order.id
    return (ticket.status == "available" or is_held_by_order) and not has_begun(ticket.starts_at)
