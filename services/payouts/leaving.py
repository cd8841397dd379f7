"""What payouts knows of users who leave: what is open, and what is stored.

Nothing is forgotten when an account is deleted: the books need each sale, and it has neither the seller's
name nor address. A sale begins only with an order of a ticket, so it needs no guard: tickets has one.
"""

from contracts.api import OpenMatter
from contracts.export import ExportedPayout
from contracts.internal import Part
from kit.paging import newest_first
from services.payouts.documents import Sale
from services.payouts.views import view_of

MAX_MATTERS = 20
"""The most open sales of a kind that are listed."""

MAX_PAGE = 200


async def open_matters(seller: str) -> list[OpenMatter]:
    """The seller's sales whose money isn't paid yet, and those for which the seller owes money."""
    return [
        *[
            OpenMatter(kind="payout", order_id=sale.key, title=sale.title, until=sale.due_at)
            for sale in await Sale.open_of(seller, MAX_MATTERS)
        ],
        *[
            OpenMatter(kind="debt", order_id=sale.key, title=sale.title)
            for sale in await Sale.indebted_of(seller, MAX_MATTERS)
        ],
    ]


async def page_of_data(seller: str, after: str | None) -> Part[ExportedPayout]:
    """A part of what is stored about a seller.

    Raises:
        BadCursor: `after` isn't a cursor.
    """
    found, following = await newest_first(Sale, {"seller_id": seller}, {"outbox": 0}, after, MAX_PAGE)
    entries = [_exported(Sale.model_validate(raw)) for raw in found]
    return Part[ExportedPayout](entries=entries, after=following)


def _exported(sale: Sale) -> ExportedPayout:
    return ExportedPayout(**dict(view_of(sale)), transfers=[transfer.id for transfer in sale.transfers])
