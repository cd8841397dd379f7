"""What pages say about the price and the face value of a ticket: the only place that computes it.

Prices and face values are totals for all tickets of a listing. Pages show them per ticket: "4 x $15.00".
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

from contracts.money import price_per_ticket
from web.rendering import locales
from web.rendering.texts import _, ngettext


class Priced(Protocol):
    """A listing, or the ticket of an order. An order's ticket has no face value."""

    @property
    def price(self) -> Decimal:
        """The price of all tickets together."""

    @property
    def quantity(self) -> int:
        """Number of tickets."""


def is_divisible(total: Decimal, quantity: int) -> bool:
    """Whether each of the tickets costs the same whole number of minor units."""
    return price_per_ticket(total, quantity) * quantity == total


@dataclass(frozen=True)
class Prices:
    """Filters for amounts of the marketplace's currency."""

    currency: str

    def text(self, ticket: Priced) -> str:
        """The price of a listing: $20.00, 4 x $15.00, or 3 for $50.00 if it can't be divided."""
        return self._amount(ticket.price, ticket.quantity)

    def total(self, ticket: Priced) -> str:
        """The total after the price of several tickets. Empty if the price is the total already."""
        if ticket.quantity == 1 or not is_divisible(ticket.price, ticket.quantity):
            return ""
        return _("%(price)s in total", price=self._money(ticket.price))

    def each(self, ticket: Priced) -> str:
        """The price of one ticket, rounded if several can't be divided: $15.00 or about $16.67."""
        each = self._money(price_per_ticket(ticket.price, ticket.quantity))
        return each if is_divisible(ticket.price, ticket.quantity) else _("about %(price)s", price=each)

    def face_value(self, ticket: Priced) -> str:
        """The face value in a table: $12.00, 4 x $12.00, or that it isn't stated."""
        stated = _face_value(ticket)
        return _("Not stated") if stated is None else self._amount(stated, ticket.quantity)

    def face_value_line(self, ticket: Priced) -> str:
        """The face value on a card, per ticket. Empty if nobody knows it, as for the ticket of an order."""
        if not hasattr(ticket, "face_value"):
            return ""
        stated = _face_value(ticket)
        if stated is None:
            return _("Face value not stated")
        if ticket.quantity == 1:
            return _("Face value %(price)s", price=self._money(stated))
        if is_divisible(stated, ticket.quantity):
            each = self._money(price_per_ticket(stated, ticket.quantity))
            return _("Face value %(price)s each", price=each)
        return _("Face value %(price)s in total", price=self._money(stated))

    def _amount(self, total: Decimal, quantity: int) -> str:
        if quantity == 1:
            return self._money(total)
        if is_divisible(total, quantity):
            each = self._money(price_per_ticket(total, quantity))
            return _("%(count)s × %(price)s", count=quantity, price=each)  # noqa: RUF001 - times
        return ngettext("%(num)s for %(price)s", "%(num)s for %(price)s", quantity, price=self._money(total))

    def _money(self, amount: Decimal) -> str:
        return locales.money(amount, self.currency, locales.current())


def _face_value(ticket: Priced) -> Decimal | None:
    value: Decimal | None = getattr(ticket, "face_value", None)
    return value
