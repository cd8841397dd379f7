"""HTTP API of events with tickets on sale: those that match a search, and those for the home page."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from litestar import Response, Router, get

from contracts.api import Highlights, ShowOffer
from contracts.api import Ticket as TicketView
from contracts.money import from_minor_units
from contracts.wire import now
from kit.http.responses import ModelResponse
from services.tickets.browse_api import (
    SEARCHES,
    City,
    Days,
    From,
    InjectedCatalogue,
    MaxPrice,
    MinPrice,
    OfCategory,
    OfDelivery,
    Text,
    To,
    bound,
)
from services.tickets.query import Query
from services.tickets.responses import freshness
from services.tickets.search_index import SearchIndex
from services.tickets.search_shows import Offer, newest, offers, soonest, still_offered
from services.tickets.shows import finding, rules
from services.tickets.shows.api import KEPT
from services.tickets.shows.documents import Show

MAX_FOUND = 6
MAX_TICKETS = 3
MAX_HIGHLIGHTS = 8
"""Events in each list of the home page."""


@get(
    "/search",
    exclude_from_auth=True,
    guards=[SEARCHES],
    summary="Events with tickets that can be bought",
)
async def search_shows(
    catalogue: InjectedCatalogue,
    text: Text = "",
    city: City = "",
    category: OfCategory = None,
    starts_from: From = None,
    starts_to: To = None,
    when: Days = None,
    min_price: MinPrice = None,
    max_price: MaxPrice = None,
    delivery: OfDelivery = None,
) -> Response[list[ShowOffer]]:
    """At most 6 events of tickets that match these filters, the soonest first, each with its 3 cheapest
    tickets within the bounds of date, price and delivery. Takes the same filters as the list of tickets."""
    dates = bound("starts_from", starts_from), bound("starts_to", starts_to)
    query = Query(text, city, category, *dates, when, min_price, max_price, delivery is not None)
    moment = now()

    def search(index: SearchIndex) -> tuple[list[Offer], float]:
        shows = soonest(index, index.corrected(query), MAX_FOUND, moment)
        return offers(index, shows, query, MAX_TICKETS, moment), index.changes_at(query, moment)

    position = catalogue.position
    found, changes_at = await catalogue.search(search, moment)
    described = await _described(found, moment)
    limit = min(changes_at, (moment + KEPT).timestamp())
    return ModelResponse(list(described.values()), headers=freshness(position, limit))


@get(
    "/highlights",
    exclude_from_auth=True,
    guards=[SEARCHES],
    summary="Events for the home page",
)
async def show_highlights(catalogue: InjectedCatalogue, city: City = "") -> Response[Highlights]:
    """This weekend's, the soonest, the most recently listed and the most popular events with tickets on sale,
    in a city or anywhere. Each list has at most 8."""
    moment = now()
    weekend, anytime = Query(city=city, when="weekend"), Query(city=city)
    popular = catalogue.popular

    def search(index: SearchIndex) -> tuple[list[list[str]], list[Offer], float]:
        lists = [
            soonest(index, weekend, MAX_HIGHLIGHTS, moment),
            soonest(index, anytime, MAX_HIGHLIGHTS, moment),
            newest(index, city, MAX_HIGHLIGHTS),
            still_offered(index, popular, city, MAX_HIGHLIGHTS),
        ]
        shows = dict.fromkeys(show for each in lists for show in each)
        return lists, offers(index, shows, Query(), 1, moment), index.changes_at(weekend, moment)

    position = catalogue.position
    lists, found, changes_at = await catalogue.search(search, moment)
    known = await _described(found, moment)
    shown = {key: offer.model_copy(update={"tickets": []}) for key, offer in known.items()}
    weekend_, upcoming, recent, popular_ = ([shown[key] for key in each if key in shown] for each in lists)
    page = Highlights(weekend=weekend_, upcoming=upcoming, recent=recent, popular=popular_)
    limit = min(changes_at, (moment + KEPT).timestamp())
    return ModelResponse(page, headers=freshness(position, limit))


async def _described(found: Iterable[Offer], moment: datetime) -> dict[str, ShowOffer]:
    """The offers with the facts of their events, by id. Events that have begun are left out."""
    offered = {offer.show_id: offer for offer in found}
    shows = await finding.known(offered)
    described = {}
    for key, offer in offered.items():
        tickets = [TicketView.model_validate_json(body) for body in offer.cheapest]
        facts = _facts(shows.get(key), tickets)
        if facts is not None and facts.starts_at > moment:
            described[key] = ShowOffer(
                id=key,
                **facts.model_dump(),
                lowest=from_minor_units(offer.lowest),
                on_sale=offer.on_sale,
                tickets=tickets,
            )
    return described


def _facts(show: Show | None, tickets: Sequence[TicketView]) -> rules.ShowFacts | None:
    """The facts of an event as its show says, or as its cheapest ticket says while the database is
    unavailable. Its picture is that of a ticket if operators have chosen none."""
    if show is None:
        facts = rules.described(dict(tickets[0]))
    else:
        facts = rules.ShowFacts.model_validate(show.model_dump(include=set(rules.ShowFacts.model_fields)))
    picture = next((ticket.picture for ticket in tickets if ticket.picture), None)
    if facts is None or facts.picture is not None or picture is None:
        return facts
    return facts.model_copy(update={"picture": picture})


OFFERS_API = [Router("/api/shows", route_handlers=[search_shows, show_highlights], tags=["shows"])]
