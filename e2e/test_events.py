"""The page of an event, and choosing an event while listing a ticket."""

import re
from typing import Any

from playwright.async_api import expect

from e2e.visitors import WITH_AND_WITHOUT_JAVASCRIPT, Visitors, some_title
from tests.support.polling import until

WHERE: dict[str, Any] = {
    "startsAt": "2036-06-05T18:30:00Z",
    "timeZone": "Europe/Berlin",
    "venue": "Tempodrom",
    "city": "Berlin",
}


async def test_the_page_of_an_event_follows_its_tickets_without_a_reload(visitors: Visitors) -> None:
    title = some_title()
    ticket = await visitors.ticket(30, title, quantity=2, seat="Block A, row 4", **WHERE)
    onlooker, buyer = await visitors.guest(), await visitors.person()
    await onlooker.open(f"/tickets/{ticket['id']}")
    await onlooker.link("All tickets for this event").click()
    await expect(onlooker.heading(title)).to_be_visible()
    assert onlooker.path == f"/events/{ticket['showId']}"
    await onlooker.marks_the_page()
    await onlooker.sees("$15.00 per ticket")
    await onlooker.sees("Tempodrom, Berlin, Germany")

    await visitors.ticket(40, title, seat="Balcony", **WHERE)
    await onlooker.sees("$15.00\u2013$40.00 per ticket")
    rows = onlooker.main.get_by_role("link", name=re.compile("per ticket"))
    await expect(rows).to_have_count(2)
    await expect(rows.first).to_contain_text("Block A, row 4")

    order = await buyer.reserves(ticket["id"])
    await expect(rows.filter(has_text="Reserved")).to_have_count(1)
    await until(lambda: buyer.pays(order["id"]), lambda answer: answer.status_code == 201)
    sold = rows.filter(has_text="Sold")
    await expect(sold).to_contain_text("Block A, row 4")
    await expect(rows.first).to_contain_text("Balcony")
    await onlooker.sees("$40.00 per ticket")
    assert await onlooker.has_not_reloaded()
    await sold.click()
    await onlooker.sees("This ticket was sold to somebody else.")
    similar = onlooker.main.locator(".similar-ticket")
    await expect(similar.first).to_contain_text(title)


@WITH_AND_WITHOUT_JAVASCRIPT
async def test_a_seller_chooses_an_event_from_suggestions(
    visitors: Visitors, java_script_enabled: bool
) -> None:
    title = some_title()
    other = await visitors.ticket(30, title, **WHERE)
    seller = await visitors.member(java_script_enabled=java_script_enabled)
    await seller.open("/sell")
    await seller.page.get_by_label("Find the event").fill(title.rpartition(" ")[2])
    if not java_script_enabled:
        await seller.button("Find").click()
    await seller.link(re.compile(re.escape(title))).click()
    await expect(seller.link("Choose another event")).to_be_visible()
    await expect(seller.page.get_by_label("Venue")).to_have_count(0)
    await seller.page.get_by_label("Price").fill("cheap")
    await seller.button("List ticket").click()
    await expect(seller.main.get_by_role("alert")).to_contain_text("Price must be a number")
    await seller.page.get_by_label("Price").fill("25")
    await seller.button("List ticket").click()
    await expect(seller.heading(title)).to_be_visible()
    await seller.sees("Tempodrom, Berlin")
    await seller.link("All tickets for this event").click()
    await expect(seller.main.get_by_role("link", name=re.compile("per ticket"))).to_have_count(2)
    assert seller.path == f"/events/{other['showId']}"


@WITH_AND_WITHOUT_JAVASCRIPT
async def test_the_form_asks_for_date_venue_and_city(visitors: Visitors, java_script_enabled: bool) -> None:
    seller = await visitors.member(java_script_enabled=java_script_enabled)
    await seller.open("/sell")
    await seller.page.get_by_label("What is the ticket for?").fill(some_title())
    await seller.page.get_by_label("Price").fill("25")
    await seller.button("List ticket").click()
    for said in ("Enter a date and a time", "Enter the venue", "Enter the city"):
        await expect(seller.main.get_by_role("alert")).to_contain_text(said)
