"""Another user signs in in a second tab of the same browser."""

from playwright.async_api import expect

from e2e.visitors import WITH_AND_WITHOUT_JAVASCRIPT, Visitor, Visitors
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

    await first.button("Buy").click()
    await expect(first.page.get_by_text(f"You are now signed in as {other.email}")).to_be_visible()
    assert (await other.ticket(ticket["id"]))["status"] == "available"

    await first.link(f"Continue as {other.email}").click()
    await expect(first.page.get_by_role("banner")).to_contain_text(other.email)
    await first.buys()
    assert (await other.order(first.path.removeprefix("/orders/")))["status"] == "created"
