"""The start of an event, as sellers in all parts of the world enter it."""

import re

import pytest
from playwright.async_api import expect

from e2e.visitors import Visitors, some_title

TWICE = "2035-10-28T02:30"
"""Clocks in Berlin show this time twice."""


@pytest.mark.parametrize(
    ("own_zone", "option"),
    [
        ("Australia/Adelaide", "Australia/Adelaide"),
        ("Asia/Kuala_Lumpur", "Asia/Kuala_Lumpur"),
        ("Asia/Kathmandu", "Asia/Kathmandu"),  # Chromium reports Asia/Katmandu
        ("Asia/Calcutta", "Asia/Kolkata"),
        ("America/Buenos_Aires", "America/Argentina/Buenos_Aires"),
        ("America/Atikokan", "America/Atikokan"),  # Chromium reports America/Coral_Harbour
    ],
)
async def test_the_time_zone_of_the_browser_is_preselected(
    visitors: Visitors, own_zone: str, option: str
) -> None:
    seller = await visitors.member(timezone_id=own_zone)
    await seller.open("/sell")
    await expect(seller.page.get_by_label("Time zone")).to_have_value(option)


async def test_typing_the_name_of_a_place_finds_its_time_zone(visitors: Visitors) -> None:
    seller = await visitors.member(timezone_id="Europe/Madrid")
    await seller.open("/sell")
    zone = seller.page.get_by_label("Time zone")
    await seller.page.get_by_label("City").fill("Córdoba")  # the one in Spain
    await expect(zone).to_have_value("Europe/Madrid")
    await zone.focus()
    await seller.page.keyboard.type("kath")
    await expect(zone).to_have_value("Asia/Kathmandu")


@pytest.mark.parametrize("java_script_enabled", [True, False])
async def test_a_seller_chooses_one_of_two_equal_times(visitors: Visitors, java_script_enabled: bool) -> None:
    seller = await visitors.member(java_script_enabled=java_script_enabled, locale="en-DE")
    title = some_title()
    await seller.open("/sell")
    await seller.page.get_by_label("What is the ticket for?").fill(title)
    await seller.page.get_by_label("Price").fill("20")
    await seller.page.get_by_label("Time zone").select_option("Berlin")
    start = seller.page.get_by_label("Start of the event")
    await seller.page.get_by_label("Venue").fill("Astra")
    await seller.page.get_by_label("City").fill("Berlin")
    await start.fill("2035-03-25T02:30")
    await seller.button("List ticket").click()
    await expect(start).to_have_accessible_description(
        re.compile("Clocks go forward and skip this time. The next valid time is .* 03:00 \\(Berlin time\\) ")
    )

    await start.fill(TWICE)
    await seller.button("List ticket").click()
    choice = seller.page.get_by_role("group", name=re.compile("^Clocks go back at that time"))
    first, second = (choice.get_by_role("radio", name=re.compile(name)) for name in ("first", "second"))
    await expect(choice).to_have_accessible_description("Choose the first or the second time")
    await seller.link("Choose the first or the second time").click()
    await expect(first).to_be_focused()
    for radio in (first, second):
        await expect(radio).not_to_be_checked()
    await second.check()
    await seller.button("List ticket").click()
    await expect(seller.heading(title)).to_be_visible()
    ticket = await seller.person.ticket(seller.path.rpartition("/")[2])
    assert ticket["startsAt"] == "2035-10-28T01:30:00.000Z"

    await seller.link("Edit").click()
    await expect(second).to_be_checked()
    await expect(start).to_have_value(TWICE)
