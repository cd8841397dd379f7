"""Pages can be used with the keyboard alone."""

import re

from playwright.async_api import Locator, expect

from e2e.visitors import Visitor, Visitors, some_title
from tests.support.people import PASSWORD

MAX_TABS = 40
"""Number of presses of Tab that reach every element of any page."""


async def tab_to(visitor: Visitor, wanted: Locator) -> None:
    for _ in range(MAX_TABS):
        await visitor.page.keyboard.press("Tab")
        if await wanted.evaluate("element => element === document.activeElement"):
            return
    raise AssertionError(f"{MAX_TABS} presses of Tab don't reach {wanted}")


async def press(visitor: Visitor, wanted: Locator, key: str = "Enter") -> None:
    await tab_to(visitor, wanted)
    await visitor.page.keyboard.press(key)


async def choose(visitor: Visitor, card: str) -> None:
    """Select a card with the keyboard: Tab focuses the selected card, and the arrow keys select another."""
    wanted = visitor.page.get_by_role("radio", name=card)
    await tab_to(visitor, visitor.page.get_by_role("radio", checked=True))
    while not await wanted.is_checked():
        await visitor.page.keyboard.press("ArrowDown")


async def test_the_first_tab_stop_skips_the_navigation(visitors: Visitors) -> None:
    visitor = await visitors.guest()
    await visitor.open("/")
    skip = visitor.link("Skip to the content")
    await visitor.page.keyboard.press("Tab")
    await expect(skip).to_be_focused()
    await expect(skip).to_be_in_viewport()
    await visitor.page.keyboard.press("Enter")
    await expect(visitor.main).to_be_focused()
    await visitor.page.keyboard.press("Tab")
    await expect(visitor.page.get_by_role("searchbox", name="Search")).to_be_focused()


async def test_signing_in_buying_and_paying_work_with_the_keyboard(visitors: Visitors) -> None:
    buyer = await visitors.guest()
    ticket = await visitors.ticket()
    await buyer.open("/")
    email = await buyer.signs_up()
    await press(buyer, buyer.button("Sign out"))
    await expect(buyer.page.get_by_role("banner").get_by_role("link", name="Sign in")).to_be_visible()

    await buyer.open("/")
    await tab_to(buyer, buyer.page.get_by_role("searchbox", name="Search"))
    await buyer.page.keyboard.type(ticket["title"])
    await expect(buyer.main.get_by_role("status")).to_have_text("1 listing")
    await press(buyer, buyer.main.get_by_role("link", name=re.compile(f"^{ticket['title']}")))
    await press(buyer, buyer.link("Sign in to buy"))
    await expect(buyer.heading("Sign in")).to_be_visible()
    await tab_to(buyer, buyer.page.get_by_label("Email"))
    await buyer.page.keyboard.type(email)
    await buyer.page.keyboard.press("Tab")
    await buyer.page.keyboard.type(PASSWORD)
    await buyer.page.keyboard.press("Enter")

    await expect(buyer.button("Buy")).to_be_visible()
    await press(buyer, buyer.button("Buy"))
    await expect(buyer.heading("Review your order")).to_be_visible()
    await press(buyer, buyer.link("Continue to payment"))
    await expect(buyer.heading("How do you want to pay?")).to_be_visible()
    await choose(buyer, "Declined card")
    await press(buyer, buyer.button(re.compile("^Pay")))
    await buyer.sees("Your card was declined.")
    await choose(buyer, "Visa")
    await press(buyer, buyer.button(re.compile("^Pay")))
    await buyer.sees(re.compile("You paid \\$45.00"))
    await press(buyer, buyer.main.get_by_role("link", name="My orders").last)
    await expect(buyer.heading("My orders")).to_be_visible()


async def test_the_focus_moves_to_the_outcome_of_the_payment(visitors: Visitors) -> None:
    buyer = await visitors.member()
    await buyer.reserves(f"/tickets/{(await visitors.ticket())['id']}")
    await buyer.goes_to_pay()
    await buyer.page.get_by_role("radio", name="Declined card").check()
    await buyer.button(re.compile("^Pay")).press("Enter")
    await expect(buyer.main.locator(":focus")).to_contain_text("Your card was declined.")


async def test_sticky_elements_on_a_phone_do_not_cover_the_focused_element(visitors: Visitors) -> None:
    # Without reduced motion, elementFromPoint finds nothing during a page transition.
    buyer = await visitors.member(viewport={"width": 390, "height": 560}, reduced_motion="reduce")
    ticket = await visitors.ticket(title=some_title() + " and friends" * 12, notes="Paper tickets. " * 20)
    await buyer.open(f"/tickets/{ticket['id']}")
    said = buyer.main.get_by_text("held for you for 15 minutes").locator("xpath=ancestor::div[@tabindex]")
    await said.evaluate("element => scrollBy(0, element.getBoundingClientRect().bottom - innerHeight + 10)")
    await said.focus()
    assert await is_fully_visible(said)

    await buyer.buys()
    await expect(buyer.link("Continue to payment")).to_be_in_viewport(ratio=1)
    await buyer.goes_to_pay()
    await expect(buyer.button(re.compile("^Pay"))).to_be_in_viewport(ratio=1)
    card = buyer.page.get_by_role("radio", name="Visa")
    await buyer.link("Review").focus()
    await card.evaluate("element => scrollBy(0, element.getBoundingClientRect().top - 10)")
    await buyer.page.keyboard.press("Tab")
    await expect(card).to_be_focused()
    assert await is_fully_visible(card)


async def is_fully_visible(focused: Locator) -> bool:
    seen: bool = await focused.evaluate(
        """async (element) => {
            await new Promise(requestAnimationFrame);
            const { x, width, top, bottom } = element.getBoundingClientRect();
            const shows = (y) => element.contains(document.elementFromPoint(x + width / 2, y));
            return shows(top + 1) && shows(bottom - 2);
        }"""
    )
    return seen


async def test_the_focused_element_has_a_visible_outline(visitors: Visitors) -> None:
    visitor = await visitors.member()
    ticket = await visitors.ticket()
    for path in ("/", "/signin", f"/tickets/{ticket['id']}", "/sell"):
        await visitor.open(path)
        for _ in range(12):
            await visitor.page.keyboard.press("Tab")
            unseen = await visitor.page.evaluate(
                """() => {
                    const element = document.activeElement;
                    if (element === document.body) return null;
                    const {outlineStyle, outlineWidth} = getComputedStyle(element);
                    const seen = outlineStyle !== "none" && outlineWidth !== "0px";
                    return seen ? null : element.outerHTML;
                }"""
            )
            assert unseen is None, f"on {path}"
