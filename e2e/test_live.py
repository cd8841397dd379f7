"""Live updates: one connection for all tabs, and recovery after a disconnection."""

import re
from functools import partial
from urllib.parse import urlsplit

import httpx
from playwright.async_api import Request, Route, expect

from e2e.visitors import Visitor, Visitors, some_title
from tests.support.people import PASSWORD
from tests.support.polling import TIMEOUT, until


class Streams:
    """Observes the latest stream that a browser requested, and how many streams are open at the server."""

    def __init__(self, visitor: Visitor) -> None:
        self._metrics = f"{visitor.site}/metrics"
        self._asked = ""
        visitor.page.context.on("request", self._note)

    def _note(self, request: Request) -> None:
        if urlsplit(request.url).path == "/live":
            self._asked = request.url

    async def settle(self, *topics: str) -> None:
        """Wait until exactly one stream is open and covers these topics."""
        async with httpx.AsyncClient(timeout=TIMEOUT) as http:
            await until(
                lambda: self._open(http),
                lambda count: count == 1 and all(topic in self._asked for topic in topics),
            )

    async def _open(self, http: httpx.AsyncClient) -> float:
        metrics = (await http.get(self._metrics)).text
        return float(re.findall("^stagedoor_web_live_streams (.*)$", metrics, re.MULTILINE)[0])


async def another_tab(visitor: Visitor) -> Visitor:
    return Visitor(await visitor.page.context.new_page(), visitor.site)


async def test_tabs_share_one_connection_and_updates_continue_after_a_tab_is_closed(
    visitors: Visitors,
) -> None:
    buyer = await visitors.person()
    titles = some_title(), some_title()
    tickets = [await visitors.ticket(title=title) for title in titles]
    first = await visitors.guest()
    second = await another_tab(first)
    streams = Streams(first)
    for tab, ticket in zip((first, second), tickets, strict=True):
        await tab.open(f"/tickets/{ticket['id']}")
        await tab.marks_the_page()
    await streams.settle(*(ticket["id"] for ticket in tickets))
    orders = [await buyer.reserves(ticket["id"]) for ticket in tickets]
    for tab in (first, second):
        await tab.sees("Somebody else has reserved")
    await first.page.close()
    await buyer.cancels(orders[1]["id"])
    await expect(second.button("Buy").or_(second.link("Sign in to buy"))).to_be_visible()
    await streams.settle(tickets[1]["id"])
    assert await second.has_not_reloaded()


async def test_a_page_catches_up_after_a_disconnection(visitors: Visitors) -> None:
    """The page shows an indicator while it is disconnected, and no longer after the reconnection."""
    buyer = await visitors.person()
    ticket = await visitors.ticket()
    visitor = await visitors.guest()
    streams = Streams(visitor)
    indicator = visitor.page.get_by_text("Reconnecting…")
    await visitor.open(f"/tickets/{ticket['id']}")
    await streams.settle(ticket["id"])
    await visitor.marks_the_page()
    await visitor.page.context.set_offline(True)
    await expect(indicator).to_be_visible()
    await buyer.reserves(ticket["id"])
    await visitor.page.context.set_offline(False)
    await visitor.sees("Somebody else has reserved")
    await expect(indicator).to_have_count(0)
    assert await visitor.has_not_reloaded()


async def test_a_page_without_a_live_connection_shows_an_indicator(visitors: Visitors) -> None:
    ticket = await visitors.ticket()
    visitor = await visitors.guest()
    indicator = visitor.page.get_by_text("Reconnecting…")
    await visitor.page.route("**/live?*", lambda route: route.abort())
    await visitor.open(f"/tickets/{ticket['id']}")
    await expect(indicator).to_be_visible()
    await visitor.page.unroute("**/live?*")
    await expect(indicator).to_have_count(0)


async def test_a_visitor_signed_out_elsewhere_sees_nothing_private_and_can_return_to_the_page(
    visitors: Visitors,
) -> None:
    visitor = await visitors.member()
    streams = Streams(visitor)
    await visitor.open("/orders?x=1")
    await streams.settle("buyer=me")
    await visitor.page.context.request.post(f"{visitor.site}/api/users/signout", data={})
    await visitor.sees("You were signed out. Sign in to continue.")
    await expect(visitor.page).to_have_url(f"{visitor.site}/signin?next=%2Forders%3Fx%3D1&ended")
    await expect(visitor.page.get_by_role("banner")).not_to_contain_text("@example.com")
    await visitor.page.get_by_label("Email").fill(visitor.person.email)
    await visitor.page.get_by_label("Password").fill(PASSWORD)
    await visitor.button("Sign in").click()
    await expect(visitor.page).to_have_url(f"{visitor.site}/orders?x=1")


async def test_the_indicator_disappears_when_the_page_has_no_live_element_left(visitors: Visitors) -> None:
    ticket = await visitors.ticket()
    visitor = await visitors.guest()
    indicator = visitor.page.get_by_text("Reconnecting…")
    await visitor.page.route("**/live?*", lambda route: route.abort())
    await visitor.open(f"/tickets/{ticket['id']}")
    await expect(indicator).to_be_visible()
    await visitor.page.evaluate("""() => {
        for (const element of document.querySelectorAll("[data-live]")) element.removeAttribute("data-live");
        document.dispatchEvent(new CustomEvent("htmx:after:swap"));
    }""")
    await expect(indicator).to_have_count(0)


async def test_failed_refreshes_are_retried_with_growing_delays(visitors: Visitors) -> None:
    """Without the delays, all browsers would request all their cards at once when a service has restarted."""
    ticket = await visitors.ticket()
    visitor = await visitors.guest()
    asked: list[str] = []

    async def refuse(route: Route) -> None:
        asked.append(route.request.url)
        await route.fulfill(status=503)

    await visitor.page.clock.install()
    await visitor.open(f"/tickets/{ticket['id']}")
    await visitor.page.route(f"**/tickets/{ticket['id']}/offer", refuse)
    await visitor.page.evaluate(
        "document.querySelector('#ticket').dispatchEvent(new CustomEvent('live:changed'))"
    )
    for _ in range(60):
        await visitor.page.clock.run_for(1000)
    assert 3 <= len(asked) <= 12, "once every other second would be 24 times and more"


async def test_an_update_preserves_the_focus_the_scroll_position_and_the_input(visitors: Visitors) -> None:
    buyer = await visitors.person()
    title = some_title()
    tickets = [await visitors.ticket(title=title) for _ in range(2)]
    visitor = await visitors.guest(viewport={"width": 390, "height": 500}, reduced_motion="reduce")
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


SEND_SIGNALS = """
ticketIds => {
  for (const id of ticketIds) {
    document.dispatchEvent(new CustomEvent("live:signal", { detail: `ticket:${id}` }));
  }
}
"""


async def test_a_list_fetches_all_cards_that_change_together_in_one_request(visitors: Visitors) -> None:
    buyer = await visitors.person()
    title = some_title()
    ticket_ids = [(await visitors.ticket(title=title))["id"] for _ in range(3)]
    guest = await visitors.guest()
    await guest.page.route("**/live?*", lambda route: route.abort())  # the test sends the signals
    await guest.open(f"/?q={title}")
    for ticket_id in ticket_ids:
        await buyer.reserves(ticket_id)
        await until(partial(buyer.ticket, ticket_id), lambda ticket: ticket["status"] == "reserved")
    paths: list[str] = []
    guest.page.on("request", lambda request: paths.append(urlsplit(request.url).path))
    await guest.page.evaluate(SEND_SIGNALS, ticket_ids)
    await expect(guest.page.locator(".card").get_by_text("Reserved")).to_have_count(3)
    assert [path for path in paths if path != "/live"] == ["/cards"]
