"""What is on sale."""

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from litestar import Response, Router, get
from litestar.di import NamedDependency

from contracts.api import Facets
from contracts.problems import Problem
from contracts.tickets import CATEGORIES
from web.forms import Fields, Form, plain_price
from web.page import Page, WebRequest, how_many
from web.services import Refused, ServiceDown, Services, TicketPage

SORTS = {"": "Newest first", "price": "Cheapest first", "-price": "Dearest first", "date": "Soonest first"}
OWN_DATES = "dates"
PAGE, MOST_SHOWN = 20, 100
"""Tickets: of a page, and of what one comes back to after having asked for more."""
DAYS = {
    "": "Any date",
    "today": "Today",
    "tomorrow": "Tomorrow",
    "weekend": "This weekend",
    "month": "This month",
    OWN_DATES: "Between two dates",
}
PRICES = {"minPrice": "Price from", "maxPrice": "Price to"}
DATES = {"from": "First day", "to": "Last day"}
PLACES = {"city": "City", "category": "Category"}
FILTERS = Fields(
    {"q": "Search", **PLACES, "when": "Date", **DATES, **PRICES, "sort": "Sort by"},
    words={
        **dict.fromkeys(PRICES, "Type a price such as 20 or 19.99"),
        **dict.fromkeys(DATES, "Choose a day, such as 2026-12-24"),
        "category": "Choose one of the categories",
        "when": "Choose one of the dates",
        "sort": "Choose one of the orders",
    },
)


@get("/")
async def browse(page: NamedDependency[Page], request: WebRequest) -> Response[Any]:
    """Filters live in the address, so a search can be shared; paging is by key.

    With a script more tickets are put below those that are there. Then the address says how many are shown:
    who comes back to it, or is sent it, sees them all.
    """
    typed = _typed(request)
    wrong_days = _wrong_days(typed)
    search = _search({name: value for name, value in typed.items() if name not in wrong_days})
    after = request.query_params.get("after", "")[:200]
    shown = how_many(request.query_params.get("show", ""), PAGE, MOST_SHOWN)
    appends = page.target == "li#more"
    if after:
        search["after"] = after
    elif shown > PAGE:
        search["limit"] = str(shown)
    found = await page.load(_find(page.services, search, rows_alone=appends))
    if after and found.refuses_key:
        return page.go(_address(typed))
    shown = min(shown + PAGE, MOST_SHOWN) if appends else PAGE if after else shown
    form = _form(typed, wrong_days, found.refusal)
    chips = list(_chips(form, found.facets))
    context = {
        "form": form,
        "prices": PRICES,
        "dates": DATES,
        "days": DAYS,
        "sorts": SORTS,
        "facets": found.facets,
        "choices": _choices(typed, found.facets),
        "tickets": [] if form.is_wrong else found.page.tickets,
        "total": None if form.is_wrong else found.total,
        "chips": chips,
        "filters": sum(chip.name != "q" for chip in chips),
        "tries": _tries(chips, found.facets),
        "cleared": _address({"sort": typed["sort"]}),
        "first": _address(typed) if after else None,
        "more": None if form.is_wrong or not found.page.after else _address(typed, found.page.after),
        "shown": shown,
    }
    fragment = "browse/_rows.html" if appends else "browse/_results.html"
    answer = page.render("browse/list.html", context, fragment=fragment, status=422 if form.is_wrong else 200)
    if appends:
        answer.headers["HX-Replace-Url"] = _address(typed, show=shown)
    elif page.is_partial:
        answer.headers[_history(request, typed)] = _address(typed)
    return answer


@dataclass(frozen=True)
class Found:
    page: TicketPage
    facets: Facets | None
    """None: they can't be had, and the page does without."""
    refusal: Problem | None = None

    @property
    def refuses_key(self) -> bool:
        """Whether there is no such place to go on from: somebody changed the address."""
        return self.refusal is not None and self.refusal.type == "/problems/bad-cursor"

    @property
    def total(self) -> int | None:
        return self.facets.total if self.page.total is None and self.facets else self.page.total


@dataclass(frozen=True)
class Chip:
    """A filter that is on."""

    name: str
    words: str
    without: str
    """The address of the search without it."""
    amount: Decimal | None = None


async def _find(services: Services, search: Mapping[str, str], *, rows_alone: bool) -> Found:
    if rows_alone:
        tickets, facets = await _tickets(services, search), None
    else:
        tickets, facets = await asyncio.gather(_tickets(services, search), _facets(services, search))
    if isinstance(tickets, TicketPage):
        return Found(tickets, facets)
    wrong = {item.field for item in tickets.errors}
    right = {name: value for name, value in search.items() if name not in wrong}
    return Found(TicketPage([], None), await _facets(services, right), tickets)


async def _tickets(services: Services, search: Mapping[str, str]) -> TicketPage | Problem:
    try:
        return await services.tickets(search)
    except Refused as refused:
        if refused.status != HTTPStatus.BAD_REQUEST:
            raise
        return refused.problem


async def _facets(services: Services, search: Mapping[str, str]) -> Facets | None:
    try:
        return await services.facets(
            {name: value for name, value in search.items() if name not in {"sort", "after", "limit"}}
        )
    except (Refused, ServiceDown):
        return None


def _typed(request: WebRequest) -> dict[str, str]:
    """Days are of use only where no other date is chosen: the form sends them also when it hides them."""
    given = request.query_params
    typed = {name: given.get(name, "")[:200].strip() for name in FILTERS.labels}
    if typed["sort"] == "newest":
        typed["sort"] = ""
    if "when" not in given and (typed["from"] or typed["to"]):
        typed["when"] = OWN_DATES
    if typed["when"] != OWN_DATES:
        typed.update(dict.fromkeys(DATES, ""))
    return typed


def _search(typed: Mapping[str, str]) -> dict[str, str]:
    """As the API takes it: nothing for a filter that is empty."""
    given = {name: value for name, value in typed.items() if value and value != OWN_DATES}
    for name in PRICES.keys() & given.keys():
        given[name] = plain_price(given[name])
    for name in DATES.keys() & given.keys():
        given[name] = date.fromisoformat(given[name]).isoformat()
    return given


def _wrong_days(typed: Mapping[str, str]) -> dict[str, str]:
    """By field, what is wrong with it."""
    wrong = {name: FILTERS.words[name] for name in DATES if typed[name] and _day(typed[name]) is None}
    first, last = _day(typed["from"]), _day(typed["to"])
    if first and last and last < first:
        wrong["to"] = "The last day is before the first. Choose a later one"
    return wrong


def _day(typed: str) -> date | None:
    try:
        return date.fromisoformat(typed)
    except ValueError:
        return None


def _form(typed: Mapping[str, str], wrong_days: Mapping[str, str], refusal: Problem | None) -> Form:
    if refusal is None:
        return Form(typed, wrong_days)
    refused = FILTERS.refused(typed, refusal)
    general = refused.general if refused.is_wrong else (refusal.title,)
    return Form(typed, {**refused.errors, **wrong_days}, general)


def _choices(typed: Mapping[str, str], facets: Facets | None) -> dict[str, dict[str, str]]:
    """The cities and categories to choose from, with how many tickets each has. Without facets there are no
    cities: they are typed."""
    cities = {"": "Any city"}
    categories = {"": "Any category"}
    if facets is None:
        categories |= {category: category.capitalize() for category in CATEGORIES}
        return {"category": categories}
    cities |= {facet.value: f"{facet.label} ({facet.count})" for facet in facets.cities}
    categories |= {facet.value: f"{facet.label.capitalize()} ({facet.count})" for facet in facets.categories}
    cities.setdefault(typed["city"], f"{_city(typed['city'], facets)} (0)")
    if typed["category"] in CATEGORIES:
        categories.setdefault(typed["category"], f"{typed['category'].capitalize()} (0)")
    return {"city": cities, "category": categories}


def _chips(form: Form, facets: Facets | None) -> Iterator[Chip]:
    """The filters that are on and that mean something."""
    for name, value in form.values.items():
        if not value or name in form.errors or name == "sort" or value == OWN_DATES:
            continue
        without = {**form.values, name: ""}
        if name == "when" or not (without["from"] or without["to"]):
            without["when"] = "" if name in {"when", *DATES} else form["when"]
        words, amount = _said(name, value, facets)
        yield Chip(name, words, _address(without), amount)


def _said(name: str, value: str, facets: Facets | None) -> tuple[str, Decimal | None]:
    match name:
        case "q":
            return f"“{value}”", None
        case "city":
            return _city(value, facets), None
        case "category":
            return value.capitalize(), None
        case "when":
            return DAYS.get(value, value), None
        case "from" | "to":
            day = date.fromisoformat(value)
            return f"{'From' if name == 'from' else 'Until'} {day.day} {day:%b %Y}", None
        case _:
            words = "From" if name == "minPrice" else "Up to"
            try:
                return words, Decimal(plain_price(value))
            except InvalidOperation:
                return f"{words} {value}", None


def _city(value: str, facets: Facets | None) -> str:
    """A city that has no tickets now is known by no other name than its slug."""
    cities = facets.cities if facets else ()
    guess = value.replace("-", " ").title() if value.islower() else value
    return next((city.label for city in cities if city.value == value), guess)


def _tries(chips: list[Chip], facets: Facets | None) -> list[Chip]:
    """What to leave out where nothing is found: first what is known to help, never what is known not to."""
    known = {"city": facets.cities, "category": facets.categories} if facets else {}
    some = {name: sum(facet.count for facet in values) > 0 for name, values in known.items()}
    helpful = [chip for chip in chips if some.get(chip.name, True)]
    return sorted(helpful, key=lambda chip: not some.get(chip.name, False))


def _history(request: WebRequest, typed: Mapping[str, str]) -> str:
    """What htmx does with the address. Who types on doesn't have to go back letter by letter."""
    before = dict(parse_qsl(urlsplit(request.headers.get("hx-current-url", "")).query))
    after = dict(parse_qsl(urlsplit(_address(typed)).query))
    words, more_words = before.pop("q", ""), after.pop("q", "")
    types_on = bool(words and more_words) and before == after
    return "HX-Replace-Url" if types_on else "HX-Push-Url"


def _address(typed: Mapping[str, str], after: str | None = None, show: int = 0) -> str:
    given = {name: value for name, value in typed.items() if value}
    if given.get("when") == OWN_DATES and DATES.keys() & given.keys():
        del given["when"]
    if after is not None:
        given["after"] = after
    if show > PAGE:
        given["show"] = str(show)
    return f"/?{urlencode(given)}" if given else "/"


router = Router("/", route_handlers=[browse])
