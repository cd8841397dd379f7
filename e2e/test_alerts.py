"""Alerts and favorites: a user is told of a ticket on any open page and by email, once."""

import re
from typing import Any

from playwright.async_api import expect

from e2e.test_accessibility import SCHEMES, violations
from e2e.visitors import WITH_AND_WITHOUT_JAVASCRIPT, Visitors, some_title
from tests.support.mailbox import Mailbox
from tests.support.stack import Stack

WHERE: dict[str, Any] = {
    "startsAt": "2036-06-05T18:30:00Z",
    "timeZone": "Europe/Berlin",
    "venue": "Tempodrom",
    "city": "Berlin",
}


async def test_a_user_who_waits_is_told_of_a_ticket_on_any_page_and_by_email(
    visitors: Visitors, stack: Stack
) -> None:
    title = some_title()
    first = await visitors.ticket(60, title, **WHERE)
    fan = await visitors.member()
    await fan.open(f"/events/{first['showId']}")
    await fan.link("Notify me").click()
    await fan.page.get_by_label("At most, per ticket").fill("50")
    await fan.page.get_by_label("How many together").select_option("2")
    await fan.button("Notify me").click()
    await expect(fan.heading("Alerts and favorites")).to_be_visible()
    await fan.sees("At most $50.00 per ticket")
    await fan.open("/developers")
    await fan.marks_the_page()

    await visitors.ticket(40, title, seat="Balcony", **WHERE)
    ticket = await visitors.ticket(90, title, seat="Block A, row 4", quantity=2, **WHERE)
    await expect(fan.notice).to_contain_text(f"A ticket that you waited for is on sale: {title}.")
    await expect(fan.page).to_have_title("On sale: Developers · Stagedoor")
    assert await fan.has_not_reloaded()
    await fan.notice.get_by_role("link", name="View ticket").click()
    await expect(fan.button("Buy")).to_be_visible()
    assert fan.path == f"/tickets/{ticket['id']}"
    await fan.open("/account/alerts")
    await fan.sees("What we told you")
    await expect(fan.notice).to_be_empty()

    message = await Mailbox(stack.settings).message(fan.person.email, title)
    assert "nobody holds the ticket for you" in message.text
    assert "Price: 2 \u00d7 $45.00" in message.text
    await fan.page.goto(message.link)
    assert fan.path == f"/tickets/{ticket['id']}"


@WITH_AND_WITHOUT_JAVASCRIPT
async def test_favorites_are_added_and_removed_without_errors_of_axe(
    visitors: Visitors, java_script_enabled: bool
) -> None:
    title = some_title()
    ticket = await visitors.ticket(60, title, performers=["Nick Cave"], **WHERE)
    fan = await visitors.member(java_script_enabled=java_script_enabled)
    await fan.open(f"/account/alerts/new?event={ticket['showId']}")
    if java_script_enabled:
        for scheme, rules in SCHEMES.items():
            await fan.page.emulate_media(color_scheme=scheme)
            assert await violations(fan.page, rules) == []
    await fan.button("Add to favorites").last.click()
    await expect(fan.heading("Alerts and favorites")).to_be_visible()
    await fan.sees("Nick Cave")
    if java_script_enabled:
        for scheme, rules in SCHEMES.items():
            await fan.page.emulate_media(color_scheme=scheme)
            assert await violations(fan.page, rules) == []
    await fan.button("Remove").click()
    await fan.sees(re.compile("Nothing yet"))
