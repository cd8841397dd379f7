"""Listing, editing and withdrawing tickets, as sellers and visitors see it."""

import io
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from playwright.async_api import expect

from e2e.visitors import Visitors, some_title
from tests.support.polling import until


async def test_a_new_price_appears_at_once_on_open_pages_of_the_ticket(visitors: Visitors) -> None:
    seller, onlooker = await visitors.member(), await visitors.guest()
    ticket = await seller.person.lists_ticket(45, some_title(), venue="Harpa")
    path = f"/tickets/{ticket['id']}"
    await onlooker.open(path)
    await onlooker.marks_the_page()
    await seller.open(path)
    await seller.link("Edit").click()
    await expect(seller.page.get_by_label("Venue")).to_have_value("Harpa")
    await seller.page.get_by_label("Price").fill("39,50")
    await seller.page.get_by_label("Start of the event").fill("2027-06-05T20:30")
    await seller.page.get_by_label("City").fill("Reykjavík")
    await seller.button("Save").click()
    await seller.page.wait_for_url(f"**{path}")
    await expect(seller.main).to_contain_text("$39.50")
    await expect(onlooker.main).to_contain_text("$39.50")
    await expect(onlooker.notice).to_have_text("The price has changed from $45.00 to $39.50.")
    await expect(onlooker.main).to_contain_text("before: $45.00")
    await expect(onlooker.main).to_contain_text("Sat, Jun 5, 2027, 8:30\u202fPM UTC")
    assert await onlooker.has_not_reloaded()


async def test_an_invalid_edit_changes_nothing_and_keeps_the_input(visitors: Visitors) -> None:
    seller = await visitors.member()
    ticket = await seller.person.lists_ticket(45, some_title())
    await seller.open(f"/tickets/{ticket['id']}/edit")
    await seller.page.get_by_label("Price").fill("free")
    await seller.button("Save").click()
    await expect(seller.main.get_by_role("alert")).to_be_focused()
    await expect(seller.page.get_by_label("Price")).to_have_value("free")
    assert (await seller.person.ticket(ticket["id"]))["price"] == ticket["price"]


async def test_a_withdrawn_ticket_is_off_sale_on_every_open_page(visitors: Visitors) -> None:
    seller, onlooker = await visitors.member(), await visitors.member()
    title = some_title()
    ticket = await seller.person.lists_ticket(45, title)
    await onlooker.open(f"/tickets/{ticket['id']}")
    await expect(onlooker.button("Buy")).to_be_visible()
    await onlooker.marks_the_page()
    await seller.open("/listings")
    await seller.link(f"Withdraw {title}").click()
    await expect(seller.heading("Withdraw this ticket?")).to_be_visible()
    await seller.button("Withdraw ticket").click()
    await seller.sees("You withdrew this ticket. Nobody can buy it.")
    await onlooker.sees("The seller withdrew this ticket.")
    await expect(onlooker.button("Buy")).to_have_count(0)
    assert await onlooker.has_not_reloaded()


async def test_a_reserved_ticket_cannot_be_edited_or_withdrawn(visitors: Visitors) -> None:
    seller, buyer = await visitors.member(), await visitors.person()
    ticket = await seller.person.lists_ticket(45, some_title())
    path = f"/tickets/{ticket['id']}"
    await seller.open(path)
    await buyer.reserves(ticket["id"])
    await seller.sees("A buyer has reserved your ticket")
    for name in ("Edit", "Withdraw"):
        await expect(seller.link(name)).to_have_count(0)
    for action in ("edit", "withdraw"):
        await seller.open(f"{path}/{action}")
        assert seller.path == path  # redirected to the ticket


async def test_the_lists_of_seller_and_buyer_update_when_a_ticket_is_reserved_and_released(
    visitors: Visitors,
) -> None:
    seller, buyer = await visitors.member(), await visitors.member()
    title = some_title()
    ticket = await seller.person.lists_ticket(45, title)
    await seller.open("/listings?status=reserved")
    await seller.sees("No buyer is about to pay right now.")
    await buyer.open("/orders")
    await buyer.sees("No orders yet")
    for visitor in (seller, buyer):
        await visitor.marks_the_page()
    announcement = seller.page.locator("#sales-announcement")
    await announcement.evaluate("(region) => { region.isTheSame = true; }")
    order = await buyer.person.reserves(ticket["id"])
    await expect(seller.main.get_by_role("listitem")).to_contain_text("left for the buyer")
    await expect(announcement).to_have_text("0 on sale, 1 reserved, 0 sold")
    assert await announcement.evaluate("(region) => region.isTheSame")  # a new one would be silent
    await expect(seller.link(re.compile("^Reserved"))).to_contain_text("1")
    await expect(buyer.main.get_by_role("region", name="Unpaid")).to_contain_text(title)
    await buyer.person.cancels(order["id"])
    await seller.sees("No buyer is about to pay right now.")
    await buyer.sees("Cancelled and refunded")
    for visitor in (seller, buyer):
        assert await visitor.has_not_reloaded()


@pytest.mark.parametrize(
    ("action", "button"), [("edit", "Save"), ("withdraw", "Withdraw ticket")], ids=["edit", "withdraw"]
)
@pytest.mark.parametrize("java_script_enabled", [True, False])
async def test_editing_or_withdrawing_just_after_a_reservation_shows_an_error(
    visitors: Visitors, action: str, button: str, java_script_enabled: bool
) -> None:
    seller = await visitors.member(java_script_enabled=java_script_enabled)
    buyer = await visitors.person()
    event = {"startsAt": "2036-06-05T18:30:00Z", "venue": "Harpa", "city": "Reykjavík"}
    ticket = await seller.person.lists_ticket(45, some_title(), **event)
    await seller.open(f"/tickets/{ticket['id']}/{action}")
    await buyer.reserves(ticket["id"])
    await until(lambda: seller.person.ticket(ticket["id"]), lambda seen: seen["status"] == "reserved")
    await seller.button(button).click()
    await expect(seller.main.get_by_role("alert")).to_contain_text("reserved")
    assert (await seller.person.ticket(ticket["id"]))["status"] == "reserved"


def a_picture() -> bytes:
    file = io.BytesIO()
    Image.effect_mandelbrot((1600, 1200), (-2, -1.5, 1, 1.5), 40).convert("RGB").save(file, "JPEG")
    return file.getvalue()


async def test_the_total_is_shown_while_the_price_is_typed_and_announced_once(visitors: Visitors) -> None:
    seller = await visitors.member(locale="en-DE", timezone_id="Europe/Vienna")
    await seller.page.clock.install()
    await seller.open("/sell")
    payout, sum_ = seller.page.locator("#payout"), re.compile(r"^Buyer pays 19,90\sUS\$")
    await expect(payout).to_be_hidden()
    zone = seller.page.get_by_label("Time zone")
    await expect(zone).to_have_value("Europe/Vienna")
    await seller.page.get_by_label("City").fill("sao paulo")
    await expect(zone).to_have_value("America/Sao_Paulo")
    await zone.select_option("Europe/Lisbon")
    await seller.page.get_by_label("City").fill("Berlin")
    await expect(zone).to_have_value("Europe/Lisbon")
    await seller.page.evaluate(
        """() => {
            window.said = [];
            const output = document.querySelector("#payout output");
            const listener = new MutationObserver(() => window.said.push(output.textContent));
            listener.observe(output, {childList: true});
        }"""
    )
    await seller.page.clock.pause_at(datetime.now(UTC) + timedelta(hours=1))  # no pause during typing
    await seller.page.get_by_label("Price").press_sequentially("19,9")
    await expect(payout.get_by_role("paragraph", include_hidden=True)).to_contain_text(sum_)
    assert await seller.page.evaluate("window.said") == []
    await seller.page.clock.resume()
    await expect(payout.get_by_role("status")).to_have_text(
        re.compile(r"^Buyer pays 19,90\sUS\$. You receive 19,90\sUS\$.$")
    )
    assert len(await seller.page.evaluate("window.said")) == 1
    await seller.page.get_by_label("Quantity").select_option("2")
    await expect(payout.get_by_role("status")).to_contain_text("for both tickets")
    await seller.page.get_by_label("Price").fill("19,900")
    await expect(payout).to_be_hidden()


async def test_a_large_picture_is_previewed_and_resized_before_the_upload(
    visitors: Visitors, tmp_path: Path
) -> None:
    seller = await visitors.member(viewport={"width": 390, "height": 844}, has_touch=True)
    title = some_title()
    await seller.open("/sell")
    await seller.page.get_by_label("What is the ticket for?").fill(title)
    await seller.page.get_by_label("Price").fill("twenty")
    await seller.describes_event()
    picture = seller.page.locator("input[name=picture]")
    large = tmp_path / "a.jpg"
    Image.effect_noise((3000, 2200), 90).convert("RGB").save(large, quality=96)
    assert large.stat().st_size > 6_000_000
    await picture.set_input_files(large)
    preview = seller.page.get_by_role("img", name="Your picture as it will be shown")
    await expect(preview).to_be_visible()
    await expect(picture).to_have_js_property("value", "C:\\fakepath\\picture.jpg")
    await seller.button("List ticket").click()
    await expect(seller.main.get_by_role("alert")).to_contain_text("Price must be a number")
    await expect(preview).to_be_visible()
    await seller.page.get_by_label("Price").fill("20")
    await seller.button("List ticket").click()
    await expect(seller.heading(title)).to_be_visible()
    await expect(seller.page.get_by_role("img", name=f"Picture of {title}")).to_be_visible()


async def test_without_javascript_a_picture_that_is_too_large_shows_an_error_in_the_form(
    visitors: Visitors, tmp_path: Path
) -> None:
    large = tmp_path / "a.jpg"
    large.write_bytes(bytes(9_000_000))
    seller = await visitors.member(java_script_enabled=False)
    ticket = await seller.person.lists_ticket(45, some_title())
    for form, button in ((f"/tickets/{ticket['id']}/edit", "Add picture"), ("/sell", "List ticket")):
        await seller.open(form)
        await seller.page.locator("input[name=picture]").set_input_files(large)
        await seller.button(button).click()
        await expect(seller.main.get_by_role("alert")).to_contain_text("at most 5 MB")
        assert seller.path == form


@pytest.mark.parametrize("java_script_enabled", [True, False])
async def test_a_buyer_sees_everything_that_the_seller_entered_on_a_phone(
    visitors: Visitors, java_script_enabled: bool
) -> None:
    phone: dict[str, Any] = {
        "viewport": {"width": 390, "height": 844},
        "has_touch": True,
        "java_script_enabled": java_script_enabled,
    }
    seller, buyer = await visitors.member(**phone), await visitors.member(**phone)
    title = some_title()
    await seller.open("/sell")
    form = seller.page
    await form.get_by_label("What is the ticket for?").fill(title)
    await form.get_by_label("Price").fill("90,50")
    await form.get_by_label("Start of the event").fill("2027-06-05T20:30")
    await form.get_by_label("Time zone").select_option("Europe/Berlin")
    await form.get_by_label("Venue").fill("Astra")
    await form.get_by_label("City").fill("Berlin")
    await form.get_by_label("Quantity").select_option("2")
    await form.get_by_label("Category").select_option("Music")
    await form.get_by_text("More details").click()
    await form.get_by_label("Seat or area").fill("Row 3")
    await form.get_by_label("Face value").fill("100")
    await form.get_by_label("Notes").fill("On paper, sent by post.")
    picture = form.locator("input[name=picture]")
    await picture.set_input_files({"name": "a.txt", "mimeType": "text/plain", "buffer": b"no picture"})
    await seller.button("List ticket").click()
    await seller.sees("Your ticket is on sale. Only its picture is missing")
    await expect(seller.main.get_by_role("alert")).to_contain_text("The picture can't be used")
    await picture.set_input_files({"name": "a.jpg", "mimeType": "image/jpeg", "buffer": a_picture()})
    await seller.button("Add picture").click()
    await expect(seller.heading(title)).to_be_visible()
    path = seller.path

    await buyer.open(path)
    for said in (
        "Sat, Jun 5, 2027, 8:30\u202fPM (Berlin time)",
        "Astra, Berlin",
        "Music",
        "Row 3",
        "2 tickets together",
        "2 \u00d7 $45.25",
        "$90.50 in total",
        "2 \u00d7 $50.00",
        "On paper, sent by post.",
        "No sales yet",
    ):
        await buyer.sees(said)
    picture = buyer.page.get_by_role("img", name=f"Picture of {title}")
    await expect(picture).to_be_visible()
    assert await picture.evaluate("image => image.decode().then(() => image.naturalWidth > 0)")
    assert await buyer.page.evaluate("document.documentElement.scrollWidth") == 390
