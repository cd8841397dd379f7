"""The page to search the tickets on sale. Without a filter, it is the home page."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from http import HTTPStatus
from itertools import islice
from typing import Any, TypedDict
from urllib.parse import urlencode

from litestar import Response, Router, get, post
from litestar.di import NamedDependency
from litestar.params import URLEncodedBody

from contracts.api import Facets, Highlights, Show, ShowOffer
from contracts.problems import Problem
from contracts.tickets import CATEGORIES
from web.api_client import ApiClient, Refused, ServiceDown, TicketPage
from web.forms import Fields, Form, plain_price
from web.page_cache.renderings import CATALOGUE
from web.page_context import Page
from web.pages.home import home_of
from web.remembered_city import MAX_LENGTH, PARAMETER, RememberedCity
from web.rendering import locales
from web.rendering.heads import Head
from web.rendering.isolation import isolated
from web.rendering.texts import N_, _, ngettext
from web.rendering.ticket_texts import category_label
from web.request import WebRequest

SORTS = {
    "": N_("Soonest first"),
    "price": N_("Cheapest first"),
    "-price": N_("Most expensive first"),
    "newest": N_("Newest first"),
}
"""The sort orders, by their names in the API. The first one is called "date" there."""
CUSTOM_DATES = "dates"
PERIODS = {
    "": N_("Any date"),
    "today": N_("Today"),
    "tomorrow": N_("Tomorrow"),
    "weekend": N_("This weekend"),
    "month": N_("This month"),
    CUSTOM_DATES: N_("Between two dates"),
}
DELIVERIES = {"": N_("Any delivery"), "instant": N_("Instant delivery")}
PRICES = ("minPrice", "maxPrice")
DAYS = ("from", "to")
FILTERS = Fields(
    ("q", "city", "category", "when", *DAYS, *PRICES, "delivery", "sort"),
    messages={
        **dict.fromkeys(PRICES, N_("Enter a price, such as 20 or 19.99")),
        **dict.fromkeys(DAYS, N_("Enter a day, such as 2026-12-24")),
        "category": N_("Choose one of the categories"),
        "when": N_("Choose one of the dates"),
        "delivery": N_("Choose one of the ways of delivery"),
        "sort": N_("Choose one of the sort orders"),
    },
)
PAGE_SIZE, MAX_SHOWN = 20, 100
"""How many tickets a page shows at first and adds with each "Show more", and the most that it shows."""

MIN_SUGGESTED_LETTERS = 2
MAX_SUGGESTIONS = 6
MAX_OTHERS = 4
"""Events that are shown instead of tickets if no ticket matches."""


@get(["/", "/results", "/results/rows"])
async def browse(page: NamedDependency[Page], request: WebRequest) -> Response[Any]:
    """Show the tickets that match the filters in the address, from the first ticket or after a cursor.

    htmx fetches the results alone. "Show more tickets" fetches the rows alone and appends them to the list.
    The address then contains the number of shown tickets, so that the same list appears again after a reload.
    """
    typed = _typed(request)
    home_city = None if any(typed.values()) else request.query_params.get(PARAMETER, "")[:MAX_LENGTH].strip()
    return await _show(page, request, typed, home_city)


@post("/city", status_code=200)
async def choose_city(
    page: NamedDependency[Page], request: WebRequest, data: URLEncodedBody[dict[str, str]]
) -> Response[Any]:
    """Remember a city, or forget it if it is empty, and show its home page."""
    city = data.get("city", "").strip()[:MAX_LENGTH]
    if page.request.wants_fragment:
        response = await _show(page, request, dict.fromkeys(FILTERS.names, ""), city)
    else:
        response = page.redirect("/")
    response.set_cookie(RememberedCity(is_secure=page.settings.cookie_secure).cookie(city))
    return response


async def _show(
    page: Page, request: WebRequest, typed: dict[str, str], home_city: str | None
) -> Response[Any]:
    """The page of a search, or the home page of a city if `home_city` isn't None."""
    typed["city"] = typed["city"] or home_city or ""
    wrong_days = _wrong_days(typed)
    search = _search({name: value for name, value in typed.items() if name not in wrong_days})
    after = request.query_params.get("after", "")[:200]
    shown = request.number("show", minimum=PAGE_SIZE, maximum=MAX_SHOWN)
    appends = request.scope["path"] == "/results/rows"
    if after:
        search["after"] = after
    elif shown > PAGE_SIZE:
        search["limit"] = str(shown)
    is_home = home_city is not None and not after and not appends
    found, highlights, offered = await asyncio.gather(
        _find(page.api, search, rows_only=appends),
        _highlights(page, home_city if is_home else None),
        _offered(page, {} if is_home or after or appends else search),
    )
    if after and found.refuses_cursor:
        return page.redirect(_address(typed))
    shown = min(shown + PAGE_SIZE, MAX_SHOWN) if appends else PAGE_SIZE if after else shown
    form = _form(typed, wrong_days, found.refusal)
    is_empty = not (is_home or after or appends or form.has_errors or found.page.tickets)
    others, popular = await _instead(page, typed) if is_empty else ([], [])
    chips = [] if is_home else list(_chips(form, found.facets, page))
    context = {
        "form": form,
        "prices": PRICES,
        "days": DAYS,
        "facets": found.facets,
        "choices": _choices(typed, found.facets),
        "tickets": [] if form.has_errors else found.page.tickets,
        "count": "" if form.has_errors else _count(found.total),
        "chips": chips,
        "filters": sum(chip.name != "q" for chip in chips),
        "removable": _removable(chips, found.facets),
        "elsewhere": _elsewhere(chips, found),
        "home": home_of(typed["city"], highlights, found.facets) if is_home else None,
        "offers": [] if form.has_errors or typed["sort"] else offered,
        "others": others,
        "popular": popular,
        "suggestions": _suggestions(typed, offered, found.facets),
        "corrected": found.facets.corrected if found.facets else None,
        "all_corrected": _all_corrected(typed, found.facets),
        "cleared": _address({"sort": typed["sort"]}),
        "first": _address(typed) if after else None,
        "more": None if form.has_errors or not found.page.after else _address(typed, found.page.after),
        "shown": shown,
    }
    fragment = "browse/_rows.html" if appends else "browse/_results.html"
    status = 422 if form.has_errors else 200
    if found.is_complete:
        page.share(CATALOGUE, differs_for={ticket.user_id for ticket in found.page.tickets})
    history = _history(request, typed, shown=shown, appends=appends)
    head = _head(typed)
    return page.render("browse/list.html", context, fragment=fragment, status=status, head=head, **history)


def _head(typed: Mapping[str, str]) -> Head:
    """Search engines list the lists of cities and categories. Other filters lead to the same tickets."""
    kept = {name: typed[name] for name in ("city", "category")}
    description = _("Buy and sell tickets. You see the full price up front, and pay after you reserve.")
    return Head(_("Tickets on sale"), _address(kept), description)


@dataclass(frozen=True)
class SearchResult:
    page: TicketPage
    facets: Facets | None
    """The facets; None if they weren't requested or are unavailable. The page works without them."""
    refusal: Problem | None = None
    rows_only: bool = False
    """Whether only rows were requested, without facets."""

    @property
    def is_complete(self) -> bool:
        """Whether all services answered."""
        return self.refusal is None and (self.facets is not None or self.rows_only)

    @property
    def refuses_cursor(self) -> bool:
        """Whether the tickets service rejected the cursor in the address."""
        return self.refusal is not None and self.refusal.type == "/problems/bad-cursor"

    @property
    def total(self) -> int | None:
        return self.facets.total if self.page.total is None and self.facets else self.page.total


@dataclass(frozen=True)
class Chip:
    """An active filter, shown with a link that removes it."""

    name: str
    text: str
    without: str
    """The address of the same search without this filter."""


async def _find(api: ApiClient, search: Mapping[str, str], *, rows_only: bool) -> SearchResult:
    if rows_only:
        tickets, facets = await _tickets(api, search), None
    else:
        tickets, facets = await asyncio.gather(_tickets(api, search), _facets(api, search))
    if isinstance(tickets, TicketPage):
        return SearchResult(tickets, facets, rows_only=rows_only)
    wrong = {item.field for item in tickets.errors}
    right = {name: value for name, value in search.items() if name not in wrong}
    return SearchResult(TicketPage([], None), await _facets(api, right), tickets)


async def _tickets(api: ApiClient, search: Mapping[str, str]) -> TicketPage | Problem:
    try:
        return await api.tickets(search)
    except Refused as refused:
        if refused.status != HTTPStatus.BAD_REQUEST:
            raise
        return refused.problem


async def _facets(api: ApiClient, search: Mapping[str, str]) -> Facets | None:
    try:
        return await api.facets(_without_order(search))
    except (Refused, ServiceDown):
        return None


def _typed(request: WebRequest) -> dict[str, str]:
    """The values that the user entered. The first and last day are ignored if the form hides their fields."""
    given = request.query_params
    typed = {name: given.get(name, "")[:200].strip() for name in FILTERS.names}
    if typed["sort"] == "date":
        typed["sort"] = ""
    if "when" not in given and (typed["from"] or typed["to"]):
        typed["when"] = CUSTOM_DATES
    if typed["when"] != CUSTOM_DATES:
        typed.update(dict.fromkeys(DAYS, ""))
    return typed


def _search(typed: Mapping[str, str]) -> dict[str, str]:
    """The query of the request to the API, without empty filters."""
    given = {name: value for name, value in typed.items() if value and value != CUSTOM_DATES}
    given.setdefault("sort", "date")
    for name in given.keys() & set(PRICES):
        given[name] = plain_price(given[name])
    for name in given.keys() & set(DAYS):
        given[name] = date.fromisoformat(given[name]).isoformat()
    return given


def _wrong_days(typed: Mapping[str, str]) -> dict[str, str]:
    """Error messages about invalid days, by field name."""
    wrong = {name: _(FILTERS.messages[name]) for name in DAYS if typed[name] and _day(typed[name]) is None}
    first, last = _day(typed["from"]), _day(typed["to"])
    if first and last and last < first:
        wrong["to"] = _("The last day is before the first day. Choose a later day")
    return wrong


def _day(typed: str) -> date | None:
    try:
        return date.fromisoformat(typed)
    except ValueError:
        return None


def _form(typed: Mapping[str, str], wrong_days: Mapping[str, str], refusal: Problem | None) -> Form:
    if refusal is None:
        return Form(typed, wrong_days)
    refused = FILTERS.with_errors(typed, refusal)
    general = refused.general if refused.has_errors else (refusal.title,)
    return Form(typed, {**refused.errors, **wrong_days}, general)


def _count(total: int | None) -> str:
    if total is None:
        return ""
    return (
        ngettext(
            "%(count)s listing", "%(count)s listings", total, count=locales.number(total, locales.current())
        )
        if total
        else _("No tickets")
    )


def _choices(typed: Mapping[str, str], facets: Facets | None) -> dict[str, dict[str, str]]:
    """The options of each select, as text by value. Cities and categories include their number of listings.

    Without facets there are no options for cities, so that the form contains a text field instead.
    """
    choices = {
        "when": {value: _(label) for value, label in PERIODS.items()},
        "delivery": {value: _(label) for value, label in DELIVERIES.items()},
        "sort": {value: _(label) for value, label in SORTS.items()},
    }
    categories = {"": _("Any category")}
    if facets is None:
        categories |= {category: category_label(category) for category in CATEGORIES}
        return {**choices, "category": categories}
    cities = {"": _("Any city")} | {
        facet.value: f"{isolated(facet.label)} ({facet.count})" for facet in facets.cities
    }
    cities.setdefault(typed["city"], f"{isolated(_city(typed['city'], facets))} (0)")
    categories |= {
        facet.value: f"{category_label(facet.value)} ({facet.count})" for facet in facets.categories
    }
    if typed["category"] in CATEGORIES:
        categories.setdefault(typed["category"], f"{category_label(typed['category'])} (0)")
    return {**choices, "city": cities, "category": categories}


def _chips(form: Form, facets: Facets | None, page: Page) -> Iterator[Chip]:
    """The active filters, without invalid ones."""
    for name, value in form.values.items():
        if not value or name in form.errors or name == "sort" or value == CUSTOM_DATES:
            continue
        without = {**form.values, name: ""}
        if name == "when" or not (without["from"] or without["to"]):
            without["when"] = "" if name in {"when", *DAYS} else form["when"]
        address = _address(without)
        if name == "city" and address == "/":
            address = f"/?{PARAMETER}="  # the address without a city shows the remembered one
        yield Chip(name, _chip_text(name, value, facets, page), address)


def _chip_text(name: str, value: str, facets: Facets | None, page: Page) -> str:
    match name:
        case "q":
            return _("“%(search)s”", search=value)
        case "city":
            return _city(value, facets)
        case "category":
            return category_label(value)
        case "when":
            return _(PERIODS.get(value, value))
        case "delivery":
            return _(DELIVERIES.get(value, value))
        case "from":
            return _("From %(day)s", day=_day_text(value))
        case "to":
            return _("Until %(day)s", day=_day_text(value))
        case "minPrice":
            return _("From %(price)s", price=_price_text(value, page))
        case _:
            return _("Up to %(price)s", price=_price_text(value, page))


def _day_text(value: str) -> str:
    return locales.day(date.fromisoformat(value), locales.current())


def _price_text(value: str, page: Page) -> str:
    """The price in the user's format, or the input itself if it is no price."""
    try:
        amount = Decimal(plain_price(value))
    except InvalidOperation:
        return value
    return locales.money(amount, page.settings.currency, locales.current())


def _city(value: str, facets: Facets | None) -> str:
    """The name of the city with this slug. If the city has no tickets, the name is guessed from the slug."""
    cities = facets.cities if facets else ()
    guess = value.replace("-", " ").title() if value.islower() else value
    return next((city.label for city in cities if city.value == value), guess)


async def _highlights(page: Page, city: str | None) -> Highlights | None:
    """The events of the home page of a city. None of another page, or if they are unavailable."""
    return None if city is None else await page.optional(page.api.highlights(city))


async def _offered(page: Page, search: Mapping[str, str]) -> list[ShowOffer]:
    """The events of a search, the soonest first. They are shown if the tickets have this order too, and
    suggested while words are typed.
    """
    filters = _without_order(search)
    if not filters or (search["sort"] != "date" and "q" not in filters):
        return []
    return await page.optional(page.api.offered_shows(filters)) or []


async def _instead(page: Page, typed: Mapping[str, str]) -> tuple[list[Show], Sequence[ShowOffer]]:
    """What a search without results shows: events with the words, whose tickets may be reserved or have
    other prices, or else popular events.
    """
    shows = await page.optional(page.api.shows(typed["q"])) if typed["q"] else None
    if shows:
        return shows[:MAX_OTHERS], []
    highlights = await page.optional(page.api.highlights(""))
    return [], highlights.popular[:MAX_OTHERS] if highlights else []


def _without_order(search: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in search.items() if name not in {"sort", "after", "limit"}}


def _suggestions(
    typed: Mapping[str, str], offered: Sequence[ShowOffer], facets: Facets | None
) -> dict[str, str]:
    """Other searches that the user may have in mind while typing, as addresses by text."""
    search = typed["q"].casefold()
    if len(search) < MIN_SUGGESTED_LETTERS:
        return {}
    names = dict.fromkeys(
        name for offer in offered for name in (offer.title, *offer.performers) if name.casefold() != search
    )
    found = {name: _address({**typed, "q": name}) for name in names}
    cities = facets.cities if facets and not typed["city"] else ()
    for city in cities:
        if city.label.casefold().startswith(search):
            found[_("All events in %(city)s", city=isolated(city.label))] = _address(
                {**typed, "q": "", "city": city.value}
            )
    categories = facets.categories if facets and not typed["category"] else ()
    for category in categories:
        if (label := category_label(category.value)).casefold().startswith(search):
            found[_("All events: %(category)s", category=label)] = _address(
                {**typed, "q": "", "category": category.value}
            )
    return dict(islice(found.items(), MAX_SUGGESTIONS))


@dataclass(frozen=True)
class Elsewhere:
    """The matches of a search in other cities, if there are none in the chosen one."""

    city: str
    count: int
    """The number of listings."""
    address: str


def _elsewhere(chips: Sequence[Chip], found: SearchResult) -> Elsewhere | None:
    chosen = next((chip for chip in chips if chip.name == "city"), None)
    if chosen is None or found.total or found.facets is None:
        return None
    count = sum(city.count for city in found.facets.cities)
    return Elsewhere(chosen.text, count, chosen.without) if count else None


def _all_corrected(typed: Mapping[str, str], facets: Facets | None) -> str | None:
    """The address of the results of corrected words without other filters. Words are corrected only to some
    that have such results.
    """
    corrected = facets.corrected if facets else None
    return _address({"q": corrected, "sort": typed["sort"]}) if corrected else None


def _removable(chips: list[Chip], facets: Facets | None) -> list[Chip]:
    """The filters that the user could remove from a search without results.

    If the removal of a filter certainly leads to results, the filter comes first. If the removal certainly
    leads to no results, the filter is left out.
    """
    if len(chips) < 2:
        return []
    known = {"city": facets.cities, "category": facets.categories} if facets else {}
    some = {name: sum(facet.count for facet in values) > 0 for name, values in known.items()}
    helpful = [chip for chip in chips if some.get(chip.name, True)]
    return sorted(helpful, key=lambda chip: not some.get(chip.name, False))


class History(TypedDict, total=False):
    """How htmx changes the address in the browser and the browser's history."""

    push_url: str
    replace_url: str


def _history(request: WebRequest, typed: Mapping[str, str], *, shown: int, appends: bool) -> History:
    """A script keeps typing in the search field from adding to the history (static/js/forms/search.js)."""
    if request.method == "POST":  # the browser remembers the city
        return {"replace_url": "/"}
    if appends:
        return {"replace_url": _address(typed, show=shown)}
    return {"push_url": _address(typed)} if request.wants_fragment else {}


def _address(typed: Mapping[str, str], after: str | None = None, show: int = 0) -> str:
    given = {name: value for name, value in typed.items() if value}
    if given.get("when") == CUSTOM_DATES and given.keys() & set(DAYS):
        del given["when"]
    if after is not None:
        given["after"] = after
    if show > PAGE_SIZE:
        given["show"] = str(show)
    return f"/?{urlencode(given)}" if given else "/"


router = Router("/", route_handlers=[browse, choose_city])
