"""Searching, filtering and paging through the list of tickets."""

import asyncio
import re

import pytest
from playwright.async_api import Route, expect

from e2e.visitors import IN_MOTION, Visitor, Visitors
from tests.support.people import random_word


async def list_tour(visitors: Visitors) -> str:
    """List 22 tickets in Malmö and two in Tromsø. Return a word that occurs only in their titles."""
    word = f"tour{random_word()}"
    seller = await visitors.person()
    for start in range(0, 22, 11):
        await asyncio.gather(
            *(
                seller.lists_ticket(20 + number, f"{word} no {number}", city="Malmö", category="music")
                for number in range(start, start + 11)
            )
        )
    await seller.lists_ticket(70, f"{word} far away", city="Tromsø", category="music")
    await seller.lists_ticket(80, f"{word} in words", city="Tromsø", category="theatre")
    return word


async def sees_cards(visitor: Visitor, number: int) -> None:
    await expect(visitor.main.locator(".card")).to_have_count(number)


async def test_an_invalid_cursor_shows_the_first_page(visitors: Visitors) -> None:
    word = await list_tour(visitors)
    visitor = await visitors.guest()
    await visitor.open(f"/?q={word}&after=nowhere")
    await sees_cards(visitor, 20)
    assert visitor.page.url.endswith(f"/?q={word}")


async def test_results_update_during_typing_and_the_back_button_undoes_each_filter(
    visitors: Visitors,
) -> None:
    word = await list_tour(visitors)
    visitor = await visitors.guest()
    await visitor.open("/")
    await visitor.marks_the_page()
    search = visitor.page.get_by_role("searchbox", name="Search")
    city = visitor.page.get_by_label("City")
    await search.press_sequentially(word, delay=20)
    await expect(visitor.main.get_by_role("status")).to_have_text("24 listings")
    await expect(search).to_be_focused()
    await sees_cards(visitor, 20)
    await visitor.link("Show more tickets").click()
    await sees_cards(visitor, 24)
    await expect(visitor.main.locator(".card a").nth(20)).to_be_focused()

    await city.select_option(label="Tromsø (2)")
    await expect(visitor.main.get_by_role("status")).to_have_text("2 listings")
    await visitor.page.get_by_label("Category").select_option(label="Theatre (1)")
    await expect(visitor.main.get_by_role("status")).to_have_text("1 listing")
    assert await visitor.has_not_reloaded()
    assert visitor.page.url.endswith(f"/?q={word}&city=tromso&category=theatre")

    await visitor.page.go_back()
    await visitor.page.wait_for_url(f"**/?q={word}&city=tromso")
    await expect(visitor.main.get_by_role("status")).to_have_text("2 listings")
    await expect(visitor.page.get_by_label("Category")).to_have_value("")
    await expect(city).to_have_value("tromso")
    await visitor.page.go_forward()
    await expect(visitor.main.get_by_role("status")).to_have_text("1 listing")
    await expect(visitor.page.get_by_label("Category")).to_have_value("theatre")

    await visitor.link("Remove filter: Tromsø").click()
    await expect(visitor.main.get_by_role("status")).to_have_text("1 listing")
    await expect(city).to_have_value("")
    await expect(visitor.link("Remove filter: Theatre")).to_be_focused()
    await visitor.link("Remove filter: Theatre").click()
    await expect(visitor.main.get_by_role("status")).to_have_text("24 listings")
    await expect(visitor.link(f"Remove filter: “{word}”")).to_be_focused()
    await visitor.page.go_back()
    await expect(visitor.page.get_by_label("Category")).to_have_value("theatre")
    await visitor.link("Clear all").click()
    await expect(search).to_have_value("")
    await expect(visitor.main.locator("#count")).to_be_focused()


async def test_removing_a_filter_does_not_load_the_page_again(visitors: Visitors) -> None:
    word = await list_tour(visitors)
    visitor = await visitors.guest()
    await visitor.open(f"/?q={word}&to=2099-12-24&sort=price")
    await visitor.marks_the_page()
    await visitor.link("Remove filter: Until Dec 24, 2099").click()
    await visitor.page.wait_for_url(f"**/?q={word}&sort=price")
    await expect(visitor.page.get_by_label("Last day")).to_be_hidden()
    await visitor.link(f"Remove filter: “{word}”").click()
    await visitor.page.wait_for_url("**/?sort=price")
    await expect(visitor.page.get_by_role("searchbox", name="Search")).to_have_value("")
    await expect(visitor.main.locator("#count")).to_be_focused()
    assert await visitor.has_not_reloaded()


@pytest.mark.parametrize("java_script_enabled", [True, False])
async def test_going_back_from_a_ticket_restores_the_scroll_position(
    visitors: Visitors, java_script_enabled: bool
) -> None:
    word = await list_tour(visitors)
    visitor = await visitors.member(
        viewport={"width": 390, "height": 844}, java_script_enabled=java_script_enabled, **IN_MOTION
    )
    await visitor.open(f"/?q={word}")
    await visitor.link("Show more tickets").click()
    await sees_cards(visitor, 24 if java_script_enabled else 4)
    card = visitor.main.locator(".card a").last
    await card.scroll_into_view_if_needed()
    await card.click()
    await visitor.page.wait_for_url("**/tickets/*")
    await visitor.page.go_back()
    await sees_cards(visitor, 24 if java_script_enabled else 4)
    await expect(card).to_be_in_viewport()
    if java_script_enabled:
        assert visitor.page.url.endswith(f"/?q={word}&show=40")


async def test_a_response_to_an_outdated_search_is_ignored(visitors: Visitors) -> None:
    word = await list_tour(visitors)
    visitor = await visitors.guest()
    held, let_go = asyncio.Event(), asyncio.Event()

    async def slowly(route: Route) -> None:
        held.set()
        await let_go.wait()
        await route.continue_()

    await visitor.page.route(re.compile(rf"[?&]q={word}(&|$)"), slowly)
    await visitor.open("/")
    search = visitor.page.get_by_role("searchbox", name="Search")
    await search.fill(word)
    await held.wait()
    await search.fill(f"{word} far")
    await expect(visitor.main.get_by_role("status")).to_have_text("1 listing")
    let_go.set()
    await visitor.page.wait_for_load_state("networkidle")
    await expect(visitor.main.get_by_role("status")).to_have_text("1 listing")
    await expect(search).to_have_value(f"{word} far")
    assert visitor.page.url.endswith(f"/?q={word}+far")


async def test_a_slow_search_says_that_it_is_under_way(visitors: Visitors) -> None:
    visitor = await visitors.guest()
    held, let_go = asyncio.Event(), asyncio.Event()

    async def slowly(route: Route) -> None:
        held.set()
        await let_go.wait()
        await route.continue_()

    await visitor.open("/")
    await visitor.page.route("**/results?*", slowly)
    announcement = visitor.page.locator("#announcement")
    await visitor.page.get_by_role("searchbox", name="Search").fill(f"slow{random_word()}")
    await held.wait()
    await visitor.sees("Searching…")
    await expect(announcement).to_have_text("Searching…")
    let_go.set()
    await expect(visitor.main.get_by_role("status")).to_have_text("No tickets")
    await expect(visitor.main.get_by_text("Searching…")).to_have_count(0)
    await expect(announcement).to_be_empty()


async def test_search_and_filters_work_without_javascript(visitors: Visitors) -> None:
    word = await list_tour(visitors)
    visitor = await visitors.guest(java_script_enabled=False)
    await visitor.open("/")
    await visitor.page.get_by_role("searchbox", name="Search").fill(word)
    await visitor.button("Search").click()
    await visitor.sees("24 listings")
    await sees_cards(visitor, 20)
    await visitor.link("Show more tickets").click()
    await sees_cards(visitor, 4)
    await visitor.link("Back to the first tickets").click()
    await visitor.page.get_by_label("City").select_option(label="Tromsø (2)")
    await visitor.page.get_by_label("Date").select_option(label="Between two dates")
    await visitor.page.get_by_label("Last day").fill("2099-12-24")
    await visitor.button("Search").click()
    await visitor.sees("No tickets")
    await visitor.link("Remove filter: Until Dec 24, 2099").click()
    await visitor.sees("2 listings")
    await visitor.page.go_back()
    await expect(visitor.page.get_by_label("Last day")).to_have_value("2099-12-24")
    await visitor.link("Search without: Until Dec 24, 2099").click()
    await visitor.sees("2 listings")
    await expect(visitor.page.get_by_label("City")).to_have_value("tromso")


async def test_date_fields_appear_only_for_a_custom_date_range(visitors: Visitors) -> None:
    visitor = await visitors.guest()
    await visitor.open("/")
    first = visitor.page.get_by_label("First day")
    await expect(first).to_be_hidden()
    await visitor.page.get_by_label("Date").select_option(label="Between two dates")
    await first.fill("2099-12-24")
    await visitor.page.wait_for_url(re.compile(r"\?from=2099-12-24$"))
    await visitor.page.get_by_label("Date").select_option(label="Any date")
    await expect(first).to_be_hidden()
    await visitor.page.wait_for_url(re.compile(r"/$"))


async def test_a_long_venue_does_not_hide_the_city_on_a_card(visitors: Visitors) -> None:
    word = f"venue{random_word()}"
    await visitors.ticket(
        title=word, venue="The Great Hall of the Old Harbor Customs House " * 2, city="Malmö"
    )
    for width in (320, 1280):
        visitor = await visitors.guest(viewport={"width": width, "height": 800})
        await visitor.open(f"/?q={word}")
        city = visitor.main.locator(".stub-place bdi", has_text="Malmö")
        inside = """(city) => {
            const line = city.parentElement.getBoundingClientRect();
            const box = city.getBoundingClientRect();
            return box.right <= line.right + 1 && city.scrollWidth <= city.clientWidth;
        }"""
        assert await city.evaluate(inside)
