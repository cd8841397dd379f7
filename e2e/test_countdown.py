"""The countdown of the time left to pay, on screen and for screen readers."""

import asyncio
import re
from datetime import UTC, datetime, timedelta

from playwright.async_api import Route, expect

from e2e.visitors import Visitor, Visitors
from tests.support.polling import until

SCRIPT_DELAY = 2.5
"""Seconds by which the delivery of the countdown's script is delayed."""


async def has_started(visitor: Visitor) -> None:
    """Wait until the countdown's script runs."""
    await expect(visitor.page.get_by_role("timer")).not_to_have_attribute("data-remaining", re.compile(""))


async def seconds_shown(visitor: Visitor) -> int:
    """The seconds that the countdown shows as left."""
    minutes, seconds = (await visitor.page.get_by_role("timer").inner_text()).split(":")
    return int(minutes) * 60 + int(seconds)


async def test_the_countdown_agrees_with_the_server_even_if_its_script_loads_late(visitors: Visitors) -> None:
    buyer = await visitors.member()
    order = await buyer.person.reserves((await visitors.ticket())["id"])
    expires_at = datetime.fromisoformat(order["expiresAt"])
    await buyer.page.route("**/static/countdown.*.js", _deliver_late)
    await buyer.open(f"/orders/{order['id']}")
    await has_started(buyer)

    async def difference() -> float:
        """Difference in seconds between the time that the countdown shows and the time until the deadline."""
        return await seconds_shown(buyer) - (expires_at - datetime.now(UTC)).total_seconds()

    # The countdown rounds up to whole seconds. Reading it takes time, and more time on a busy machine.
    await until(difference, lambda seconds: abs(seconds) < 1.5)


async def _deliver_late(route: Route) -> None:
    await asyncio.sleep(SCRIPT_DELAY)
    await route.continue_()


async def test_the_time_left_is_announced_at_five_minutes_and_at_one_minute_only(visitors: Visitors) -> None:
    buyer = await visitors.member()
    order = await buyer.person.reserves((await visitors.ticket())["id"])
    await buyer.page.route("**/orders/*", _only_the_page_itself)
    await buyer.page.clock.install()
    await buyer.open(f"/orders/{order['id']}")
    await has_started(buyer)
    announcement = buyer.page.locator("#announcement")
    await buyer.page.clock.pause_at(datetime.now(UTC) + timedelta(minutes=1))
    await buyer.page.clock.fast_forward((await seconds_shown(buyer) - 330) * 1000)
    await expect(announcement).to_be_empty()
    await buyer.page.clock.fast_forward("00:40")
    await expect(announcement).to_have_text("Five minutes left to pay")
    await buyer.page.clock.fast_forward("04:00")
    await expect(announcement).to_have_text("One minute left to pay")
    await buyer.page.close()
    buyer.errors.clear()  # requests in progress time out when the clock jumps


async def _only_the_page_itself(route: Route) -> None:
    """Abort the refreshes of the page, because they would reset the countdown to the real time."""
    await (route.abort() if "hx-request" in route.request.headers else route.continue_())


async def test_an_open_order_page_warns_when_the_event_starts(visitors: Visitors) -> None:
    buyer = await visitors.member()
    starts_at = datetime.now(UTC) + timedelta(seconds=10)
    ticket = await visitors.ticket(startsAt=starts_at.isoformat())
    order = await buyer.person.reserves(ticket["id"])
    await buyer.open(f"/orders/{order['id']}")
    await buyer.marks_the_page()
    await expect(buyer.main).not_to_contain_text("The event has started")
    assert datetime.now(UTC) < starts_at
    await expect(buyer.main).to_contain_text("The event has started")
    assert datetime.now(UTC) >= starts_at
    assert await buyer.has_not_reloaded()
