"""What an event changes in the web tier: open streams, shared pages, known buyers and ended sessions."""

from dataclasses import dataclass

from contracts.events import (
    AlertMatched,
    Event,
    OrderEvent,
    PaymentEvent,
    PayoutEvent,
    SessionEnded,
    TicketEvent,
)
from kit.sessions import EndedSessions
from web.live.buyers import Buyers
from web.live.changes import Change
from web.live.hub import Hub
from web.page_cache.cards import Cards
from web.page_cache.store import Store


@dataclass(frozen=True)
class Feed:
    """Applies events to everything in the process that follows them."""

    hub: Hub
    pages: Store
    cards: Cards
    buyers: Buyers
    ended: EndedSessions

    def apply(self, event: Event | None, number: int) -> None:
        """Apply an event with its sequence number; None for an unknown or malformed one.

        Pages come before signals, so that a browser that follows a signal doesn't receive an obsolete page.
        """
        if self.hub.misses_events_before(number):
            self.forget()
        if isinstance(event, OrderEvent):
            self.buyers.add(event)
        change = change_of(event, number, self.buyers)
        self.pages.invalidate(change)
        match event:
            case TicketEvent():
                self.cards.renew(event, number)
            case SessionEnded():
                self.ended.add(event.session_id, event.ended_at)
        self.hub.publish(change)

    def resync(self) -> None:
        """Forget what may be obsolete, and have browsers fetch everything again."""
        self.forget()
        self.hub.resync()

    def forget(self) -> None:
        """Forget what depends on having received every event."""
        self.pages.clear()
        self.cards.forget()
        self.buyers.forget()


def change_of(event: Event | None, number: int, buyers: Buyers) -> Change:
    """The topics of an event. Tickets are public. Only the buyer receives signals about orders and payments.

    A payment's buyer is known from the earlier event of its order.
    """
    match event:
        case TicketEvent():
            show = (("show", event.show_id),) if event.show_id is not None else ()
            return Change(number, (("ticket", event.id), ("seller", event.user_id), *show))
        case OrderEvent():
            return Change(number, (("order", event.id), ("buyer", event.user_id)), event.user_id)
        case PaymentEvent():
            buyer = buyers.of_order(event.order_id)
            mine = (("buyer", buyer),) if buyer is not None else ()
            return Change(number, (("order", event.order_id), *mine), buyer)
        case PayoutEvent():
            return Change(number, (("seller", event.seller_id),))
        case AlertMatched():
            return Change(number, (("alerts", event.user_id),))
        case SessionEnded():
            return Change(number, (("session", event.session_id),))
    return Change(number)
