"""Reported problems with photos: the buyer reports, the seller answers, and both see all photos."""

from playwright.async_api import FilePayload, expect

from e2e.visitors import WITH_AND_WITHOUT_JAVASCRIPT, Member, Visitors, some_title
from tests.support.crafted_pictures import png
from tests.support.polling import until

SIDE = 60


def photo(gray: int) -> FilePayload:
    rows = bytes([0, *[gray] * (3 * SIDE)]) * SIDE
    return {"name": "photo.png", "mimeType": "image/png", "buffer": png(SIDE, SIDE, rows=rows)}


async def sees_photos(visitor: Member, count: int) -> None:
    """Check that so many photos are shown, and that the browser can decode each."""
    photos = visitor.page.locator(".photos img")
    await expect(photos).to_have_count(count)
    for number in range(count):
        await photos.nth(number).scroll_into_view_if_needed()
        assert await photos.nth(number).evaluate("image => image.decode().then(() => image.naturalWidth)")


@WITH_AND_WITHOUT_JAVASCRIPT
async def test_both_sides_send_photos_and_what_is_typed_is_kept(
    visitors: Visitors, java_script_enabled: bool
) -> None:
    buyer = await visitors.member(java_script_enabled=java_script_enabled)
    seller = await visitors.member(java_script_enabled=java_script_enabled)
    ticket = (await seller.person.lists_ticket(45, some_title()))["id"]
    order = (await buyer.person.reserves(ticket))["id"]
    await buyer.person.pays(order)
    await until(lambda: buyer.person.order(order), lambda seen: seen["canReport"])

    await buyer.open(f"/orders/{order}/problem")
    await buyer.page.get_by_label("What is wrong?").select_option("invalid")
    await buyer.page.get_by_label("What happened?").fill("They sent me away")
    broken: FilePayload = {"name": "photo.png", "mimeType": "image/png", "buffer": b"no photo"}
    await buyer.page.locator("#photo").set_input_files(broken)
    await buyer.button("Report the problem").click()
    await expect(buyer.page.locator("#photo-error")).to_have_text("The picture must be a JPEG, PNG or WebP")
    await expect(buyer.page.get_by_label("What happened?")).to_have_value("They sent me away")

    await buyer.page.locator("#photo").set_input_files(photo(10))
    await buyer.button("Add another photo").click()
    await sees_photos(buyer, 1)
    await expect(buyer.page.get_by_label("What happened?")).to_have_value("They sent me away")
    await buyer.page.locator("#photo").set_input_files(photo(200))
    await buyer.button("Report the problem").click()
    await buyer.sees("They sent me away")
    assert buyer.path == f"/orders/{order}"
    await sees_photos(buyer, 2)

    await seller.open(f"/orders/{order}/problem/answer")
    await sees_photos(seller, 2)
    await seller.page.get_by_label("Your answer").fill("It was valid")
    await seller.page.locator("#photo").set_input_files(photo(90))
    await seller.button("Send the answer").click()
    await seller.sees("It was valid")
    await sees_photos(seller, 3)
    await buyer.open(f"/orders/{order}")
    await sees_photos(buyer, 3)
