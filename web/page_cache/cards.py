"""Renders the cards of changed tickets before browsers ask for them.

When a popular ticket changes, all browsers that show it ask for its card within a moment. The event contains
everything on the card, so the card can be ready before the first browser asks.
"""

import logging
from collections import OrderedDict
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from babel import Locale

from contracts.api import Ticket
from contracts.events import TicketEvent
from contracts.wire import now
from web.page_cache.renderings import MAX_SHARED_SECONDS, Headers, Rendering, Sharing
from web.page_cache.store import Key, Store

log = logging.getLogger(__name__)

MAX_TICKETS = 2_000
"""Tickets whose cards are renewed: those whose cards were rendered most recently."""
MAX_LOCALES = 4
"""The most locales for which the card of a ticket is renewed. Each takes about a millisecond."""


@dataclass
class _Card:
    """The card of a ticket that a browser has asked for."""

    version: int
    """The newest version of the ticket that was rendered."""
    headers: dict[Key, Headers] = field(default_factory=dict)
    """The headers of the app's responses, by key of the rendering: one for each locale."""


class Cards:
    """Cards that browsers have asked for.

    Args:
        render: the HTML of a ticket's card in a locale, for users who didn't list the ticket.
    """

    def __init__(self, pages: Store, render: Callable[[Ticket, Locale], str]) -> None:
        self._pages = pages
        self._render = render
        self._cards: OrderedDict[str, _Card] = OrderedDict()
        """By id of the ticket, the least recently rendered first."""

    def add(self, ticket_id: str, version: int, key: Key, headers: Headers) -> None:
        """Renew this card from now on. The app has rendered it from this version of the ticket, the newest of
        which an event has arrived.
        """
        card = self._cards.setdefault(ticket_id, _Card(version))
        self._cards.move_to_end(ticket_id)
        card.version = max(card.version, version)
        card.headers.pop(key, None)
        card.headers[key] = headers
        if len(card.headers) > MAX_LOCALES:
            del card.headers[next(iter(card.headers))]
        if len(self._cards) > MAX_TICKETS:
            self._cards.popitem(last=False)

    def forget(self) -> None:
        """Renew no card any more, because newer versions of tickets may have been missed."""
        self._cards.clear()

    def keys_of(self, ticket_id: str) -> Collection[Key]:
        """The keys of the cards of a ticket that are renewed."""
        card = self._cards.get(ticket_id)
        return () if card is None else card.headers.keys()

    def renew(self, event: TicketEvent, number: int) -> None:
        """Store the cards of a ticket as of an event with this sequence number.

        Events may arrive twice, or in the wrong order if several processes publish them. The app renders the
        card after an event that isn't newer than the last card. It also renders a card that can't be renewed.
        """
        card = self._cards.get(event.id)
        if card is None or event.version <= card.version:
            return
        card.version = event.version
        self._cards.move_to_end(event.id)
        try:
            self._store(card, event, number)
        except Exception:  # browsers must get the signal of the event even if no card can be rendered
            log.exception("the card of ticket %s can't be renewed", event.id)

    def _store(self, card: _Card, event: TicketEvent, number: int) -> None:
        ticket = Ticket.model_validate({**dict(event), "order_id": None})
        sharing = Sharing(
            topics=frozenset({("ticket", ticket.id)}),
            position=number,
            seconds=_seconds_until_start(ticket),
            differs_for={ticket.user_id},
        )
        for key, headers in card.headers.items():
            content = self._render(ticket, Locale.parse(key.locale)).encode()
            self._pages.put(key, Rendering(content, headers, sharing))


def _seconds_until_start(ticket: Ticket) -> float:
    """How long a card stays the same without an event. It says when the event has begun."""
    if ticket.starts_at is None or (ahead := (ticket.starts_at - now()).total_seconds()) <= 0:
        return MAX_SHARED_SECONDS
    return min(MAX_SHARED_SECONDS, ahead)
