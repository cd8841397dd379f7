"""The home page: a city that the browser remembers, its events, and a search with suggestions."""

from typing import Any

from playwright.async_api import expect

from e2e.visitors import WITH_AND_WITHOUT_JAVASCRIPT, Visitors, some_title
from tests.support.people import random_word

WHERE: dict[str, Any] = {
    "startsAt": "2036-06-05T18:30:00Z",
    "timeZone": "Europe/Berlin",
    "venue": "Tempodrom",
}


@WITH_AND_WITHOUT_JAVASCRIPT
async def test_a_visitor_chooses_a_city_and_finds_its_events_again_later(
    visitors: Visitors, java_script_enabled: bool
) -> None:
    title, city = some_title(), random_word().title()
    await visitors.ticket(30, title, quantity=2, city=city, **WHERE)
    visitor = await visitors.guest(java_script_enabled=java_script_enabled)
    await visitor.open("/")
    select = visitor.page.get_by_label("Events in")
    await select.select_option(label=city)
    if not java_script_enabled:
        await visitor.page.get_by_role("button", name="Show", exact=True).click()
    upcoming = visitor.main.get_by_role("region", name="Upcoming")
    await expect(upcoming.get_by_role("link")).to_have_count(1)
    await expect(select).to_have_value(city.lower())

    await visitor.open("/how-it-works")
    await visitor.open("/")
    await expect(select).to_have_value(city.lower())
    tile = upcoming.get_by_role("link", name=title)
    await expect(tile).to_contain_text("from $15.00 per ticket")
    await tile.click()
    await expect(visitor.heading(title)).to_be_visible()


async def test_a_misspelled_search_finds_the_event_and_suggests_it(visitors: Visitors) -> None:
    title = some_title()
    ticket = await visitors.ticket(30, title, seat="Block A", city="Berlin", **WHERE)
    word = title.rpartition(" ")[2]
    misspelled = f"{word[:4]}{word[5:]}"
    visitor = await visitors.guest()
    await visitor.open("/")
    await visitor.marks_the_page()
    await visitor.page.get_by_role("searchbox", name="Search").press_sequentially(misspelled, delay=20)
    await visitor.sees(f"These are the results for “{word}”")
    events = visitor.main.get_by_role("region", name="Matching events")
    await expect(events.get_by_role("link")).to_have_count(1)
    await events.get_by_text("Cheapest tickets").click()
    await expect(events.get_by_role("link", name="Block A")).to_have_attribute(
        "href", f"/tickets/{ticket['id']}"
    )
    suggestion = visitor.page.get_by_role("list", name="Suggestions").get_by_role("link", name=title)
    assert await visitor.has_not_reloaded()
    await suggestion.click()
    await expect(visitor.page.get_by_role("searchbox", name="Search")).to_have_value(title)
    await expect(visitor.main.locator(".card")).to_have_count(1)
