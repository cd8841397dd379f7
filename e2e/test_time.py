"""The time to pay, as who hears the page is told of it."""

import pytest
from playwright.async_api import Route, expect

from e2e.visitors import House

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_time_is_announced_at_five_minutes_and_at_one_and_not_else(house: House) -> None:
    buyer = await house.member()
    await buyer.page.clock.install()
    await buyer.reserves(f"/tickets/{(await house.ticket())['id']}")
    await buyer.page.route("**/orders/*", _the_servers_clock_is_not_asked)
    said = buyer.page.locator("#announcement")
    await buyer.page.clock.fast_forward("09:30")
    await expect(said).to_be_empty()
    await buyer.page.clock.fast_forward("00:40")
    await expect(said).to_have_text("Five minutes left to pay")
    await buyer.page.clock.fast_forward("04:00")
    await expect(said).to_have_text("One minute left to pay")
    await buyer.page.close()
    buyer.errors.clear()  # a leap of the clock is a time-out to what was under way


async def _the_servers_clock_is_not_asked(route: Route) -> None:
    """It hasn't moved on."""
    await route.abort()
