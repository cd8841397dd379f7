"""Pages that change by themselves: all tabs over one connection, through breaks, and on request."""

import asyncio
import re
from urllib.parse import urlsplit

import httpx
import pytest
from playwright.async_api import Request, Route, expect

from e2e.visitors import House, Visitor, some_title
from tests.people import PATIENCE

pytestmark = pytest.mark.asyncio(loop_scope="session")


class Streams:
    """The streams of signals that a browser asks for, and how many are open at the server."""

    def __init__(self, visitor: Visitor) -> None:
        self._metrics = f"{visitor.site}/metrics"
        self._asked = ""
        visitor.page.context.on("request", self._note)

    def _note(self, request: Request) -> None:
        if urlsplit(request.url).path == "/live":
            self._asked = request.url

    async def settle(self, *topics: str) -> None:
        """Until there is one, and it is about these."""
        async with asyncio.timeout(PATIENCE), httpx.AsyncClient(timeout=PATIENCE) as http:
            while await self._open(http) != 1 or not all(topic in self._asked for topic in topics):
                pass

    async def _open(self, http: httpx.AsyncClient) -> float:
        metrics = (await http.get(self._metrics)).text
        return float(re.findall("^web_live_streams (.*)$", metrics, re.MULTILINE)[0])


async def another_tab(visitor: Visitor) -> Visitor:
    return Visitor(await visitor.page.context.new_page(), visitor.site)


async def test_tabs_share_a_connection_and_the_others_go_on_when_one_is_closed(house: House) -> None:
    buyer = await house.person()
    titles = some_title(), some_title()
    tickets = [await house.ticket(title=title) for title in titles]
    first = await house.guest()
    second = await another_tab(first)
    streams = Streams(first)
    for tab, ticket in zip((first, second), tickets, strict=True):
        await tab.open(f"/tickets/{ticket['id']}")
        await tab.marks_the_page()
    await streams.settle(*(ticket["id"] for ticket in tickets))
    orders = [await buyer.reserves(ticket["id"]) for ticket in tickets]
    for tab in (first, second):
        await tab.sees("Held by someone")
    await first.page.close()
    await buyer.cancels(orders[1]["id"])
    await expect(second.button("Buy").or_(second.link("Sign in to buy"))).to_be_visible()
    await streams.settle(tickets[1]["id"])
    assert await second.still_has_the_mark()


async def test_what_happened_during_a_break_is_on_the_page_after_it(house: House) -> None:
    """A quiet sign says that the page may be behind, and goes by itself."""
    buyer = await house.person()
    ticket = await house.ticket()
    visitor = await house.guest()
    streams = Streams(visitor)
    sign = visitor.page.get_by_text("Reconnecting…")
    await visitor.open(f"/tickets/{ticket['id']}")
    await streams.settle(ticket["id"])
    await visitor.marks_the_page()
    await visitor.page.context.set_offline(True)
    await expect(sign).to_be_visible()
    await buyer.reserves(ticket["id"])
    await visitor.page.context.set_offline(False)
    await visitor.sees("Held by someone")
    await expect(sign).to_have_count(0)
    assert await visitor.still_has_the_mark()


async def test_a_page_that_cannot_be_kept_up_to_date_says_so(house: House) -> None:
    ticket = await house.ticket()
    visitor = await house.guest()
    sign = visitor.page.get_by_text("Reconnecting…")
    await visitor.page.route("**/live?*", lambda route: route.abort())
    await visitor.open(f"/tickets/{ticket['id']}")
    await expect(sign).to_be_visible()
    await visitor.page.unroute("**/live?*")
    await expect(sign).to_have_count(0)


async def test_who_is_signed_out_elsewhere_is_told_so_and_comes_back_to_the_page(house: House) -> None:
    visitor = await house.member()
    streams = Streams(visitor)
    await visitor.open("/orders?x=1")
    await streams.settle("buyer=me")
    await visitor.page.context.request.post(f"{visitor.site}/api/users/signout", data={})
    await expect(visitor.notice).to_have_text("You were signed out. Sign in to go on.")
    await expect(visitor.page.get_by_text("Reconnecting…")).to_have_count(0)
    await visitor.notice.get_by_role("link", name="Sign in").click()
    await expect(visitor.page).to_have_url(f"{visitor.site}/signin?next=%2Forders%3Fx%3D1")


async def test_the_sign_goes_when_nothing_on_the_page_can_change_any_more(house: House) -> None:
    ticket = await house.ticket()
    visitor = await house.guest()
    sign = visitor.page.get_by_text("Reconnecting…")
    await visitor.page.route("**/live?*", lambda route: route.abort())
    await visitor.open(f"/tickets/{ticket['id']}")
    await expect(sign).to_be_visible()
    await visitor.page.evaluate("""() => {
        for (const element of document.querySelectorAll("[data-live]")) element.removeAttribute("data-live");
        document.dispatchEvent(new CustomEvent("htmx:after:swap"));
    }""")
    await expect(sign).to_have_count(0)


async def test_what_cant_be_fetched_is_asked_for_less_and_less_often(house: House) -> None:
    """A service that comes back would be asked by all browsers at once, for all cards on their pages."""
    ticket = await house.ticket()
    visitor = await house.guest()
    asked: list[str] = []

    async def refuse(route: Route) -> None:
        asked.append(route.request.url)
        await route.fulfill(status=503)

    await visitor.page.clock.install()
    await visitor.open(f"/tickets/{ticket['id']}")
    await visitor.page.route(f"**/tickets/{ticket['id']}", refuse)
    await visitor.page.evaluate(
        "document.querySelector('#ticket').dispatchEvent(new CustomEvent('live:changed'))"
    )
    for _ in range(60):
        await visitor.page.clock.run_for(1000)
    assert 3 <= len(asked) <= 12, "once every other second would be 24 times and more"


async def test_a_change_leaves_the_focus_the_place_and_what_is_typed_alone(house: House) -> None:
    buyer = await house.person()
    title = some_title()
    tickets = [await house.ticket(title=title) for _ in range(2)]
    visitor = await house.guest(viewport={"width": 390, "height": 500}, reduced_motion="reduce")
    await visitor.open(f"/?q={title.rpartition(' ')[2]}")
    cards = [visitor.page.locator(f"#ticket-{ticket['id']}") for ticket in tickets]
    search = visitor.page.get_by_role("searchbox", name="Search")
    await search.press("End")
    await buyer.reserves(tickets[0]["id"])
    await expect(cards[0]).to_contain_text("Reserved")
    await expect(search).to_be_focused()
    await expect(search).to_have_value(title.rpartition(" ")[2])
    link = cards[1].get_by_role("link")
    await link.focus()
    place = await visitor.page.evaluate("scrollY")
    assert place > 0
    await buyer.reserves(tickets[1]["id"])
    await expect(cards[1]).to_contain_text("Reserved")
    await expect(link).to_be_focused()
    assert await visitor.page.evaluate("scrollY") == place


async def test_who_asks_to_be_told_hears_on_another_page_that_a_ticket_is_free_again(house: House) -> None:
    buyer = await house.person()
    title = some_title()
    ticket = await house.ticket(title=title)
    order = await buyer.reserves(ticket["id"])
    visitor = await house.guest()
    await visitor.open(f"/tickets/{ticket['id']}")
    tell_me = visitor.button("Tell me")
    await tell_me.click()
    await expect(tell_me).to_have_attribute("aria-pressed", "true")
    await visitor.page.evaluate("document.querySelectorAll('[data-live]').forEach(stagedoor.refresh)")
    await visitor.page.wait_for_load_state("networkidle")
    await expect(tell_me).to_have_attribute("aria-pressed", "true")
    await visitor.open("/signup")
    await visitor.fills_in_sign_up()
    await visitor.open("/developers")
    await visitor.marks_the_page()
    await buyer.cancels(order["id"])
    await expect(visitor.notice).to_contain_text(f"{title} is free again")
    await expect(visitor.page).to_have_title("Free again: Developers · Stagedoor")
    assert await visitor.still_has_the_mark()
    await visitor.notice.get_by_role("link", name="Have a look").click()
    await expect(visitor.heading(title)).to_be_visible()


async def test_what_one_asked_to_be_told_is_forgotten_on_signing_out(house: House) -> None:
    ticket = await house.ticket()
    await (await house.person()).reserves(ticket["id"])
    visitor = await house.member()
    await visitor.open(f"/tickets/{ticket['id']}")
    await visitor.button("Tell me").click()
    await visitor.button("Sign out").click()
    await expect(visitor.link("Sign in")).to_be_visible()
    assert not await visitor.page.evaluate("sessionStorage.getItem('tell')")
