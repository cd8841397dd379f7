"""What makes a marketplace trustworthy: people report listings, and traders say who they are."""

from playwright.async_api import expect

from e2e.visitors import WITH_AND_WITHOUT_JAVASCRIPT, Visitors, some_title


@WITH_AND_WITHOUT_JAVASCRIPT
async def test_somebody_reports_a_listing_once(visitors: Visitors, java_script_enabled: bool) -> None:
    seller = await visitors.member()
    reader = await visitors.member(java_script_enabled=java_script_enabled)
    ticket = (await seller.person.lists_ticket(45, some_title()))["id"]
    await reader.open(f"/tickets/{ticket}")
    await reader.link("Report this listing").click()
    await reader.page.get_by_label("What is wrong?").select_option("fraud")
    await reader.page.get_by_label("Why do you think so?").fill("The picture is of another ticket")
    await reader.button("Report the listing").click()
    await reader.sees("We look at every report")

    await reader.open(f"/tickets/{ticket}/report")
    await reader.page.get_by_label("What is wrong?").select_option("price")
    await reader.page.get_by_label("Why do you think so?").fill("And it is too expensive")
    await reader.button("Report the listing").click()
    await reader.sees("You have reported this listing already")
    await expect(reader.page.get_by_label("Why do you think so?")).to_have_value("And it is too expensive")


@WITH_AND_WITHOUT_JAVASCRIPT
async def test_a_trader_says_who_they_are_and_buyers_read_it(
    visitors: Visitors, java_script_enabled: bool
) -> None:
    trader = await visitors.member(java_script_enabled=java_script_enabled)
    ticket = (await trader.person.lists_ticket(45, some_title()))["id"]
    await trader.open("/account#trader-form")
    form = trader.page.locator("#trader-form")
    await form.get_by_label("As a trader").check()
    await form.get_by_role("button", name="Save").click()
    await trader.sees("Enter a phone number, such as")
    await form.get_by_label("Name of the person or company").fill("Ada Tickets GmbH")
    await form.get_by_label("Address").fill("Mühlenweg 1\n50667 Köln")
    await form.get_by_label("Contact email").fill("info@example.com")
    await form.get_by_label("Phone number").fill("+49 221 555010")
    await form.get_by_role("button", name="Save").click()
    await trader.sees("Buyers now see how you sell.")

    guest = await visitors.guest()
    await guest.open(f"/tickets/{ticket}")
    await guest.sees("Ada Tickets GmbH")
    await guest.sees("+49 221 555010")


async def test_help_and_terms_are_reached_from_every_page(visitors: Visitors) -> None:
    guest = await visitors.guest()
    for name, heading in (("Help", "Help"), ("Terms", "Terms of use"), ("Imprint", "Imprint")):
        await guest.open("/")
        await guest.page.get_by_role("contentinfo").get_by_role("link", name=name).click()
        await expect(guest.heading(heading).first).to_be_visible()
