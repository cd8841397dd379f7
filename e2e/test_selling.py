"""What a seller may do with a ticket, and when no longer."""

import io
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from playwright.async_api import expect

from e2e.visitors import House, some_title
from tests.people import until

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_new_price_shows_at_once_to_who_looks_at_the_ticket(house: House) -> None:
    seller, onlooker = await house.member(), await house.guest()
    ticket = await seller.person.offers(45, some_title(), venue="Harpa")
    path = f"/tickets/{ticket['id']}"
    await onlooker.open(path)
    await onlooker.marks_the_page()
    await seller.open(path)
    await seller.link("Edit").click()
    await expect(seller.page.get_by_label("Venue")).to_have_value("Harpa")
    await seller.page.get_by_label("Price").fill("39,50")
    await seller.page.get_by_label("When does it start").fill("2027-06-05T20:30")
    await seller.button("Save").click()
    await seller.page.wait_for_url(f"**{path}")
    await expect(seller.main).to_contain_text("$39.50")
    await expect(onlooker.main).to_contain_text("$39.50")
    await expect(onlooker.main).to_contain_text("Sat, Jun 5, 2027, 8:30\u202fPM UTC")
    assert await onlooker.still_has_the_mark()


async def test_an_edit_with_errors_changes_nothing_and_keeps_what_was_typed(house: House) -> None:
    seller = await house.member()
    ticket = await seller.person.offers(45, some_title())
    await seller.open(f"/tickets/{ticket['id']}/edit")
    await seller.page.get_by_label("Price").fill("free")
    await seller.button("Save").click()
    await expect(seller.main.get_by_role("alert")).to_be_focused()
    await expect(seller.page.get_by_label("Price")).to_have_value("free")
    assert (await seller.person.ticket(ticket["id"]))["price"] == ticket["price"]


async def test_a_withdrawn_ticket_is_off_sale_on_every_open_page(house: House) -> None:
    seller, onlooker = await house.member(), await house.member()
    title = some_title()
    ticket = await seller.person.offers(45, title)
    await onlooker.open(f"/tickets/{ticket['id']}")
    await expect(onlooker.button("Buy")).to_be_visible()
    await onlooker.marks_the_page()
    await seller.open("/listings")
    await seller.link(f"Withdraw {title}").click()
    await expect(seller.heading("Withdraw this ticket?")).to_be_visible()
    await seller.button("Withdraw it").click()
    await seller.sees("You withdrew this ticket. Nobody can buy it.")
    await onlooker.sees("The seller withdrew this ticket.")
    await expect(onlooker.button("Buy")).to_have_count(0)
    assert await onlooker.still_has_the_mark()


async def test_a_ticket_that_somebody_holds_cannot_be_edited_or_withdrawn(house: House) -> None:
    seller, buyer = await house.member(), await house.person()
    ticket = await seller.person.offers(45, some_title())
    path = f"/tickets/{ticket['id']}"
    await seller.open(path)
    await buyer.reserves(ticket["id"])
    await seller.sees("Somebody holds your ticket and is about to pay")
    for name in ("Edit", "Withdraw"):
        await expect(seller.link(name)).to_have_count(0)
    for action in ("edit", "withdraw"):
        await seller.open(f"{path}/{action}")
        assert seller.path == path  # sent back to what can be seen


async def test_lists_of_seller_and_buyer_change_by_themselves_as_a_ticket_is_held_and_let_go(
    house: House,
) -> None:
    seller, buyer = await house.member(), await house.member()
    title = some_title()
    ticket = await seller.person.offers(45, title)
    await seller.open("/listings?status=reserved")
    await seller.sees("Nobody is about to buy right now.")
    await buyer.open("/orders")
    await buyer.sees("No orders yet")
    for visitor in (seller, buyer):
        await visitor.marks_the_page()
    order = await buyer.person.reserves(ticket["id"])
    await expect(seller.main.get_by_role("listitem")).to_contain_text("left for the buyer")
    await expect(seller.link(re.compile("^Held"))).to_contain_text("1")
    await expect(buyer.main.get_by_role("region", name="Waiting for you")).to_contain_text(title)
    await buyer.person.cancels(order["id"])
    await seller.sees("Nobody is about to buy right now.")
    await buyer.sees("Cancelled and refunded")
    for visitor in (seller, buyer):
        assert await visitor.still_has_the_mark()


@pytest.mark.parametrize(
    ("action", "button"), [("edit", "Save"), ("withdraw", "Withdraw it")], ids=["edit", "withdraw"]
)
@pytest.mark.parametrize("java_script_enabled", [True, False])
async def test_who_edits_or_withdraws_a_moment_after_a_reservation_is_told(
    house: House, action: str, button: str, java_script_enabled: bool
) -> None:
    seller = await house.member(java_script_enabled=java_script_enabled)
    buyer = await house.person()
    ticket = await seller.person.offers(45, some_title())
    await seller.open(f"/tickets/{ticket['id']}/{action}")
    onlooker = await house.guest()
    await onlooker.open(f"/tickets/{ticket['id']}")
    await buyer.reserves(ticket["id"])
    await onlooker.sees("Held by someone")
    await seller.button(button).click()
    await expect(seller.main.get_by_role("alert")).to_contain_text("reserved")
    await until(lambda: seller.person.ticket(ticket["id"]), lambda seen: seen["status"] == "reserved")


def a_picture() -> bytes:
    file = io.BytesIO()
    Image.effect_mandelbrot((1600, 1200), (-2, -1.5, 1, 1.5), 40).convert("RGB").save(file, "JPEG")
    return file.getvalue()


async def test_what_the_buyer_pays_is_shown_while_the_price_is_typed_and_read_out_once(house: House) -> None:
    seller = await house.member(locale="de-DE", timezone_id="Europe/Vienna")
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
    await seller.page.clock.pause_at(datetime.now(UTC) + timedelta(hours=1))  # typed without a pause
    await seller.page.get_by_label("Price").press_sequentially("19,9")
    await expect(payout.get_by_role("paragraph", include_hidden=True)).to_contain_text(sum_)
    assert await seller.page.evaluate("window.said") == []
    await seller.page.clock.resume()
    await expect(payout.get_by_role("status")).to_have_text(
        re.compile(r"^Buyer pays 19,90\sUS\$. You receive 19,90\sUS\$.$")
    )
    assert len(await seller.page.evaluate("window.said")) == 1
    await seller.page.get_by_label("How many?").select_option("2")
    await expect(payout.get_by_role("status")).to_contain_text("for both tickets")
    await seller.page.get_by_label("Price").fill("19,900")
    await expect(payout).to_be_hidden()


async def test_a_phones_large_picture_is_seen_and_made_to_fit_before_it_is_sent(
    house: House, tmp_path: Path
) -> None:
    seller = await house.member(viewport={"width": 390, "height": 844}, has_touch=True)
    title = some_title()
    await seller.open("/sell")
    await seller.page.get_by_label("What is it a ticket for?").fill(title)
    await seller.page.get_by_label("Price").fill("twenty")
    picture = seller.page.get_by_label("Picture", exact=False).and_(seller.page.locator("input"))
    large = tmp_path / "a.jpg"
    Image.effect_noise((3000, 2200), 90).convert("RGB").save(large, quality=96)
    assert large.stat().st_size > 6_000_000
    await picture.set_input_files(large)
    preview = seller.page.get_by_role("img", name="Your picture as it will be shown")
    await expect(preview).to_be_visible()
    await expect(picture).to_have_js_property("value", "C:\\fakepath\\picture.jpg")
    await seller.button("Put it on sale").click()
    await expect(seller.main.get_by_role("alert")).to_contain_text("Price must be a number")
    await expect(preview).to_be_visible()
    await seller.page.get_by_label("Price").fill("20")
    await seller.button("Put it on sale").click()
    await expect(seller.heading(title)).to_be_visible()
    await expect(seller.page.get_by_role("img", name=f"Picture for {title}")).to_be_visible()


async def test_without_scripts_a_picture_that_is_far_too_large_leads_back_to_its_field(
    house: House, tmp_path: Path
) -> None:
    large = tmp_path / "a.jpg"
    large.write_bytes(bytes(9_000_000))
    seller = await house.member(java_script_enabled=False)
    ticket = await seller.person.offers(45, some_title())
    for form, button in ((f"/tickets/{ticket['id']}/edit", "Add the picture"), ("/sell", "Put it on sale")):
        await seller.open(form)
        await seller.page.locator("input[name=picture]").set_input_files(large)
        await seller.button(button).click()
        await expect(seller.main.get_by_role("alert")).to_contain_text("at most 5 MB")
        assert seller.path == form


@pytest.mark.parametrize("java_script_enabled", [True, False])
async def test_all_that_is_said_on_a_phone_is_seen_by_a_buyer(
    house: House, java_script_enabled: bool
) -> None:
    phone: dict[str, Any] = {
        "viewport": {"width": 390, "height": 844},
        "has_touch": True,
        "java_script_enabled": java_script_enabled,
    }
    seller, buyer = await house.member(**phone), await house.member(**phone)
    title = some_title()
    await seller.open("/sell")
    form = seller.page
    await form.get_by_label("What is it a ticket for?").fill(title)
    await form.get_by_label("Price").fill("90,50")
    await form.get_by_label("When does it start").fill("2027-06-05T20:30")
    await form.get_by_label("Time zone").select_option("Europe/Berlin")
    await form.get_by_label("Venue").fill("Astra")
    await form.get_by_label("City").fill("Berlin")
    await form.get_by_label("How many?").select_option("2")
    await form.get_by_label("Category").select_option("Music")
    await form.get_by_text("More about it").click()
    await form.get_by_label("Seat or area").fill("Row 3")
    await form.get_by_label("Face value").fill("100")
    await form.get_by_label("Notes").fill("On paper, sent by post.")
    picture = form.locator("input[name=picture]")
    await picture.set_input_files({"name": "a.txt", "mimeType": "text/plain", "buffer": b"no picture"})
    await seller.button("Put it on sale").click()
    await seller.sees("Your ticket is on sale, only its picture is missing")
    await expect(seller.main.get_by_role("alert")).to_contain_text("The picture can't be used")
    await picture.set_input_files({"name": "a.jpg", "mimeType": "image/jpeg", "buffer": a_picture()})
    await seller.button("Add the picture").click()
    await expect(seller.heading(title)).to_be_visible()
    path = seller.path

    await buyer.open(path)
    for said in (
        "Sat, Jun 5, 2027, 8:30\u202fPM (Berlin time)",
        "Astra, Berlin",
        "Music",
        "Row 3",
        "2 tickets together",
        "Price for both tickets",
        "$100.00",
        "On paper, sent by post.",
        "no sales yet",
    ):
        await buyer.sees(said)
    picture = buyer.page.get_by_role("img", name=f"Picture for {title}")
    await expect(picture).to_be_visible()
    assert await picture.evaluate("image => image.decode().then(() => image.naturalWidth > 0)")
    assert await buyer.page.evaluate("document.documentElement.scrollWidth") == 390
