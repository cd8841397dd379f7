"""The time to pay, as one sees it and as who hears the page is told of it."""

import asyncio
import re
from datetime import UTC, datetime, timedelta

import pytest
from playwright.async_api import Route, expect

from e2e.visitors import House, Visitor
from tests.people import until

pytestmark = pytest.mark.asyncio(loop_scope="session")

SLOW = 2.5
"""Seconds that a script takes to arrive."""


async def runs(visitor: Visitor) -> None:
    """The countdown's script has come, and counts."""
    await expect(visitor.page.get_by_role("timer")).not_to_have_attribute("data-remaining", re.compile(""))


async def shown(visitor: Visitor) -> int:
    """The seconds that are left, as the countdown has it."""
    minutes, seconds = (await visitor.page.get_by_role("timer").inner_text()).split(":")
    return int(minutes) * 60 + int(seconds)


async def test_a_countdown_agrees_with_the_server_however_late_its_script_comes(house: House) -> None:
    buyer = await house.member()
    order = await buyer.person.reserves((await house.ticket())["id"])
    expires_at = datetime.fromisoformat(order["expiresAt"])
    await buyer.page.route("**/static/app.*.js", _comes_late)
    await buyer.open(f"/orders/{order['id']}")
    await runs(buyer)

    async def ahead() -> float:
        """By how many seconds the countdown is, once it was read."""
        return await shown(buyer) - (expires_at - datetime.now(UTC)).total_seconds()

    # A whole second, rounded up, and the way here; which takes longer, now and then, on a busy machine.
    await until(ahead, lambda seconds: abs(seconds) < 1.5)


async def _comes_late(route: Route) -> None:
    await asyncio.sleep(SLOW)
    await route.continue_()


async def test_time_is_announced_at_five_minutes_and_at_one_and_not_else(house: House) -> None:
    buyer = await house.member()
    order = await buyer.person.reserves((await house.ticket())["id"])
    await buyer.page.route("**/orders/*", _only_the_page_itself)
    await buyer.page.clock.install()
    await buyer.open(f"/orders/{order['id']}")
    await runs(buyer)
    said = buyer.page.locator("#announcement")
    await buyer.page.clock.pause_at(datetime.now(UTC) + timedelta(minutes=1))
    await buyer.page.clock.fast_forward((await shown(buyer) - 330) * 1000)
    await expect(said).to_be_empty()
    await buyer.page.clock.fast_forward("00:40")
    await expect(said).to_have_text("Five minutes left to pay")
    await buyer.page.clock.fast_forward("04:00")
    await expect(said).to_have_text("One minute left to pay")
    await buyer.page.close()
    buyer.errors.clear()  # a leap of the clock is a time-out to what was under way


async def _only_the_page_itself(route: Route) -> None:
    """What is fetched anew would say how late it is by the server's clock, which doesn't leap."""
    await (route.abort() if "hx-request" in route.request.headers else route.continue_())
