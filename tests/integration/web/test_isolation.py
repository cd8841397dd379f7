"""People's texts can't change the direction of the texts around them, on any page."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from html.parser import HTMLParser

import pytest

from contracts.api import Order, Ticket, User
from tests.integration.web.page_client import PageClient
from tests.support.fakes.market import Market
from tests.support.fakes.services import Services

MARK = "שלום"
"""A Hebrew word that all texts of people contain here."""

BROKEN = f"\u202e{MARK}\u2069 \u0007x"
"""A text from before the contract refused controls: it overrides the direction, and ends an isolation."""

FILLED = {
    "venue": f"Venue {MARK}",
    "city": f"City {MARK}",
    "seat": f"Seat {MARK}",
    "notes": f"Notes {MARK}",
    "private_note": f"Private note {MARK}",
    "starts_at": datetime(2036, 12, 12, 19, 0, tzinfo=UTC),
    "picture": "ab" * 32,
}

VOID = {"meta", "link", "img", "input", "br", "use", "path", "circle"}


@dataclass
class Scene:
    """Tickets and orders whose texts contain `MARK`, and the two users."""

    market: Market
    seller: User
    buyer: User
    on_sale: Ticket
    orders: dict[str, Order]


@pytest.fixture(params=[f"Title {MARK}", BROKEN])
def scene(request: pytest.FixtureRequest, services: Services, market: Market) -> Scene:
    seller, _ = market.user("seller@example.com")
    buyer, _ = market.user(f"{MARK}@example.com")

    def order(status: str, payment: str | None = None) -> Order:
        made = market.order(buyer, market.ticket(seller, request.param, **FILLED), status=status)
        if payment:
            market.payment(made, payment)
        return made

    orders = {
        "unpaid": order("created"),
        "declined": order("created", "failed"),
        "paid": order("complete", "captured"),
        "cancelled": order("cancelled"),
        "refunded": order("refunded", "refunded"),
    }
    return Scene(market, seller, buyer, market.ticket(seller, request.param, **FILLED), orders)


PAGES: dict[str, Callable[[Scene], tuple[str, User | None]]] = {
    "the list of tickets": lambda scene: ("/", None),
    "a search": lambda scene: (f"/?q={MARK}&city={MARK}", None),
    "a search without results": lambda scene: (f"/?q={MARK}-nothing&city={MARK}&category=art", None),
    "a ticket": lambda scene: (f"/tickets/{scene.on_sale.id}", None),
    "a card": lambda scene: (f"/tickets/{scene.on_sale.id}/card", None),
    "a reserved ticket": lambda scene: (f"/tickets/{scene.orders['unpaid'].ticket.id}", None),
    "the seller's ticket": lambda scene: (f"/tickets/{scene.on_sale.id}", scene.seller),
    "the form to edit": lambda scene: (f"/tickets/{scene.on_sale.id}/edit", scene.seller),
    "the page to withdraw": lambda scene: (f"/tickets/{scene.on_sale.id}/withdraw", scene.seller),
    "the private note": lambda scene: (f"/tickets/{scene.on_sale.id}/private-note", scene.seller),
    "my sales": lambda scene: ("/listings", scene.seller),
    "my orders": lambda scene: ("/orders", scene.buyer),
    "my account": lambda scene: ("/account", scene.buyer),
    "the review of an order": lambda scene: (f"/orders/{scene.orders['unpaid'].id}", scene.buyer),
    "the payment": lambda scene: (f"/orders/{scene.orders['unpaid'].id}?step=pay", scene.buyer),
    "the page to release": lambda scene: (f"/orders/{scene.orders['unpaid'].id}/cancel", scene.buyer),
    "a declined order": lambda scene: (f"/orders/{scene.orders['declined'].id}", scene.buyer),
    "a paid order": lambda scene: (f"/orders/{scene.orders['paid'].id}", scene.buyer),
    "a cancelled order": lambda scene: (f"/orders/{scene.orders['cancelled'].id}", scene.buyer),
    "a refunded order": lambda scene: (f"/orders/{scene.orders['refunded'].id}", scene.buyer),
}


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("target", [None, "x"])
async def test_each_text_of_a_person_is_isolated(
    client: PageClient, scene: Scene, name: str, target: str | None
) -> None:
    address, user = PAGES[name](scene)
    if user is not None:
        client.sign_in_as(scene.market.token_of(user.id))
    response = await client.get(address, target=target)
    assert response.status_code == 200
    page = _Page(response.text)
    assert page.found > 0 or (target and name in {"my account"})
    assert not page.exposed


def test_a_text_that_is_not_isolated_is_found() -> None:
    paragraph = f'<p title="{MARK}">{MARK}<bdi>{MARK}</bdi><input value="{MARK}"></p>'
    html = f"{paragraph}<title>\u2068{MARK}\u2069</title>"
    page = _Page(html)
    assert page.found == 5
    assert page.exposed == ["title of p", "text in p", "value of input"]


class _Page(HTMLParser):
    """Collects where a page contains `MARK`."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found = 0
        self.exposed: list[str] = []
        """The places at which the text isn't isolated."""
        self._open: list[tuple[str, bool]] = []
        """The elements around the current position, and whether each isolates its content."""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        isolates = tag == "bdi" or given.get("dir") == "auto"
        for name, value in _shown(tag, given):
            is_safe = _is_isolated(value) or (tag == "input" and isolates)
            self._add(f"{name} of {tag}", is_safe=is_safe)
        if tag not in VOID:
            self._open.append((tag, isolates))

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop()[0] != tag:
            pass

    def handle_data(self, data: str) -> None:
        # JSON for programs contains the mark as an escape, without controls.
        if MARK in data:
            inside = any(isolates for _, isolates in self._open)
            self._add(f"text in {self._open[-1][0]}", is_safe=inside or _is_isolated(data))

    def _add(self, place: str, *, is_safe: bool) -> None:
        self.found += 1
        if not is_safe:
            self.exposed.append(place)


def _shown(tag: str, attributes: dict[str, str]) -> Iterator[tuple[str, str]]:
    """The attributes with the mark that people see or hear, unlike values of options and hidden fields."""
    is_hidden = tag == "option" or attributes.get("aria-hidden") == "true"
    for name, value in attributes.items():
        if MARK in value and not (is_hidden and name == "value"):
            yield name, value


def _is_isolated(text: str) -> bool:
    """Whether the mark is within characters that isolate it, and no control is beside it."""
    before, _, after = text.partition(MARK)
    return (
        before.rpartition("\u2068")[1] != ""
        and after.partition("\u2069")[1] != ""
        and not {"\u202e", "\u0007"} & set(text)
        and text.count("\u2068") == text.count("\u2069")
    )
