"""The user of a page signs out, or another one signs in, in a second tab of the same browser."""

import pytest
from playwright.async_api import expect

from e2e.visitors import WITH_AND_WITHOUT_JAVASCRIPT, Visitor, Visitors, some_title
from tests.support.people import PASSWORD


@WITH_AND_WITHOUT_JAVASCRIPT
async def test_the_first_tab_does_not_act_for_the_user_of_the_second(
    visitors: Visitors, java_script_enabled: bool
) -> None:
    first = await visitors.member(java_script_enabled=java_script_enabled)
    other = await visitors.person()
    ticket = await visitors.ticket()
    await first.open(f"/tickets/{ticket['id']}")

    second = Visitor(await first.page.context.new_page(), first.site)
    await second.open("/")
    await second.button("Sign out").click()
    await second.page.get_by_role("banner").get_by_role("link", name="Sign in").click()
    await second.page.get_by_label("Email").fill(other.email)
    await second.page.get_by_label("Password").fill(PASSWORD)
    await second.button("Sign in").click()
    await expect(second.page.get_by_role("banner")).to_contain_text(other.email)

    if java_script_enabled:  # the page was left when its user signed out
        await first.link("Sign in to buy").click()
    else:
        await first.button("Buy").click()
        await expect(first.page.get_by_text(f"You are now signed in as {other.email}")).to_be_visible()
        assert (await other.ticket(ticket["id"]))["status"] == "available"
        await first.link(f"Continue as {other.email}").click()
    await expect(first.page.get_by_role("banner")).to_contain_text(other.email)
    await first.buys()
    assert (await other.order(first.path.removeprefix("/orders/")))["status"] == "created"


@pytest.mark.parametrize("path", ["/orders", "/listings", "/account"])
async def test_signing_out_in_another_tab_removes_private_data_from_the_page(
    visitors: Visitors, path: str
) -> None:
    first = await visitors.member()
    await first.open(path)
    await expect(first.page.get_by_role("banner")).to_contain_text(first.person.email)
    second = Visitor(await first.page.context.new_page(), first.site)
    await second.open("/")
    await second.button("Sign out").click()
    await expect(first.heading("Sign in")).to_be_visible()
    await expect(first.page.locator("body")).not_to_contain_text(first.person.email)


async def test_a_form_of_a_listing_is_kept_while_its_seller_signs_in_again(visitors: Visitors) -> None:
    seller = await visitors.member()
    title = some_title()
    await seller.open("/sell")
    await seller.page.get_by_label("What is the ticket for?").fill(title)
    await seller.page.get_by_label("Price in USD").fill("19.99")
    await seller.page.get_by_label("Quantity").select_option("2")
    await seller.describes_event()
    await seller.page.get_by_label("Time zone").select_option("Atlantic/Reykjavik")
    await seller.page.get_by_text("More details").click()
    await seller.page.get_by_label("Restrictions and notes").fill("Row 4\nRow 5")
    await seller.page.context.request.post(f"{seller.site}/api/users/signout", data={})
    await seller.button("List ticket").click()
    await expect(seller.heading("Sign in")).to_be_visible()
    await seller.page.get_by_label("Email").fill(seller.person.email)
    await seller.page.get_by_label("Password").fill(PASSWORD)
    await seller.button("Sign in").click()

    message = seller.main.get_by_text("What you typed is here again.")
    await expect(message).to_be_focused()
    await expect(seller.page.get_by_label("What is the ticket for?")).to_have_value(title)
    await expect(seller.page.get_by_label("Quantity")).to_have_value("2")
    await expect(seller.page.get_by_label("Time zone")).to_have_value("Atlantic/Reykjavik")
    await expect(seller.page.get_by_label("Restrictions and notes")).to_have_value("Row 4\nRow 5")
    await seller.button("List ticket").click()
    await expect(seller.heading(title)).to_be_visible()
    await seller.open("/sell")
    await expect(seller.page.get_by_label("What is the ticket for?")).to_have_value("")


async def test_the_form_of_a_listing_is_not_shown_to_another_user(visitors: Visitors) -> None:
    seller, other = await visitors.member(), await visitors.person()
    await seller.open("/sell")
    title = seller.page.get_by_label("What is the ticket for?")
    await title.fill(some_title())
    await seller.page.context.request.post(f"{seller.site}/api/users/signout", data={})
    await seller.button("List ticket").click()
    await expect(seller.heading("Sign in")).to_be_visible()
    await seller.page.get_by_label("Email").fill(other.email)
    await seller.page.get_by_label("Password").fill(PASSWORD)
    await seller.button("Sign in").click()
    await expect(title).to_have_value("")
    assert await seller.page.evaluate("sessionStorage.getItem('listing-draft')") is None


async def test_a_draft_is_deleted_after_an_hour_even_if_nobody_signs_in(visitors: Visitors) -> None:
    seller = await visitors.member()
    await seller.open("/sell")
    await seller.page.evaluate("""() => {
        const owner = document.querySelector(".account").dataset.viewer;
        const draft = { owner, values: [["title", "Secret"]], address: "/sell", at: Date.now() - 3600001 };
        sessionStorage.setItem("listing-draft", JSON.stringify(draft));
    }""")
    await seller.page.context.request.post(f"{seller.site}/api/users/signout", data={})
    await seller.open("/how-it-works")
    assert await seller.page.evaluate("sessionStorage.getItem('listing-draft')") is None


async def test_a_draft_does_not_load_a_page_without_the_form_again_and_again(visitors: Visitors) -> None:
    seller = await visitors.member()
    await seller.open("/account")
    await seller.page.evaluate("""() => {
        const owner = document.querySelector(".account").dataset.viewer;
        const draft = { owner, values: [], address: "/account", at: Date.now() };
        sessionStorage.setItem("listing-draft", JSON.stringify(draft));
    }""")
    opened: list[str] = []
    seller.page.on("framenavigated", lambda frame: opened.append(frame.url))
    await seller.open("/account")
    await seller.open("/how-it-works")
    assert len(opened) == 2
