"""The price cap as a seller meets it, and the price as a buyer reads it."""

from playwright.async_api import expect

from e2e.visitors import WITH_AND_WITHOUT_JAVASCRIPT, Visitors, some_title


@WITH_AND_WITHOUT_JAVASCRIPT
async def test_a_seller_reads_the_cap_before_and_after_a_price_above_it(
    visitors: Visitors, java_script_enabled: bool
) -> None:
    seller = await visitors.member(java_script_enabled=java_script_enabled)
    buyer = await visitors.member(java_script_enabled=java_script_enabled)
    form, title = seller.page, some_title()
    await seller.open("/sell")
    await form.get_by_text("How high may the price be?").click()
    await seller.sees("Belgium, France, Norway, Portugal")
    await form.get_by_label("What is the ticket for?").fill(title)
    await form.get_by_label("Price").fill("60.01")
    await form.get_by_label("Face value").fill("60")
    await form.get_by_label("Quantity").select_option("4")
    await seller.describes_event("Arena", "Lyon")
    await form.get_by_label("Country").select_option("France")
    await seller.button("List ticket").click()
    price = form.get_by_label("Price")
    await expect(price).to_have_attribute("aria-invalid", "true")
    await expect(price).to_have_accessible_description(
        "Price must be at most $60.00: "
        "the limit in the event's country, France, is 0\u00a0% above the face value "
        "For all tickets together"
    )
    await expect(form.locator("#payout")).to_be_hidden()
    await seller.sees("Belgium, France, Norway, Portugal")
    await price.fill("60")
    await expect(form.locator("#payout")).to_be_visible(visible=java_script_enabled)
    await seller.button("List ticket").click()
    await expect(seller.heading(title)).to_be_visible()

    await buyer.open(seller.path)
    for said in (
        "4 \u00d7 $15.00",
        "$60.00 in total",
        "Fees for buyers",
        "The seller mentions no restrictions.",
    ):
        await buyer.sees(said)
    await buyer.link("What is guaranteed, by whom and until when").click()
    await expect(buyer.heading("How it works")).to_be_visible()
