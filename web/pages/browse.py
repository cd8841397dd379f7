"""What is on sale."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from litestar import Response, Router, get
from litestar.di import NamedDependency

from contracts.problems import Problem
from web.forms import Fields, Form, plain_price
from web.page import Page, WebRequest
from web.services import Refused, TicketPage

SORTS = {"": "Newest first", "price": "Cheapest first", "-price": "Dearest first", "date": "Soonest first"}
PRICES = {"minPrice": "Price from", "maxPrice": "Price to"}
FILTERS = Fields(
    {"q": "Search", **PRICES, "sort": "Order"},
    words=dict.fromkeys(PRICES, "Type a price such as 20 or 19.99"),
)


@get("/")
async def browse(page: NamedDependency[Page], request: WebRequest) -> Response[Any]:
    """Filters live in the address, so a search can be shared; paging is by key."""
    typed = {name: request.query_params.get(name, "")[:200] for name in FILTERS.labels}
    search = _search(typed)
    if after := request.query_params.get("after", "")[:200]:
        search["after"] = after
    form, found, status = Form(typed), TicketPage([], None), 200
    try:
        found = await page.load(page.services.tickets(search))
    except Refused as refused:
        if refused.status != 400:
            raise
        form, status = _wrong(typed, refused.problem), 422
    context = {
        "form": form,
        "prices": PRICES,
        "sorts": SORTS,
        "tickets": found.tickets,
        "searching": any(typed.values()),
        "more": _address(typed, found.after) if found.after else None,
    }
    appends = page.target == "li#more"
    fragment = "browse/_rows.html" if appends else "browse/_results.html"
    answer = page.render("browse/list.html", context, fragment=fragment, status=status)
    if page.is_partial and not appends:
        answer.headers["HX-Push-Url"] = _address(typed)
    return answer


def _search(typed: Mapping[str, str]) -> dict[str, str]:
    """As the API takes it: nothing for a filter that is empty."""
    given = {name: value.strip() for name, value in typed.items() if value.strip()}
    return {name: plain_price(value) if name in PRICES else value for name, value in given.items()}


def _wrong(typed: Mapping[str, str], problem: Problem) -> Form:
    form = FILTERS.refused(typed, problem)
    return form if form.is_wrong else Form(typed, general=(problem.title,))


def _address(typed: Mapping[str, str], after: str | None = None) -> str:
    given = {name: value for name, value in typed.items() if value}
    if after is not None:
        given["after"] = after
    return f"/?{urlencode(given)}" if given else "/"


router = Router("/", route_handlers=[browse])
