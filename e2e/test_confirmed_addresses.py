"""A marketplace in which new users confirm their address before they list or pay."""

import re
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import expect

from e2e.visitors import Visitor, Visitors, some_title
from tests.support.links import link_in_mail, secret_in
from tests.support.mailbox import Mailbox
from tests.support.people import Person, signed_up
from tests.support.polling import until
from tests.support.stack import Stack, stagedoor

CONFIRM = "Confirm your email address"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    folder = tmp_path_factory.mktemp("confirmed") / "data"
    async with stagedoor(folder, variants=False, CONFIRM_ADDRESSES="true") as stack:
        yield stack


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def seller(stack: Stack) -> AsyncIterator[Person]:
    """A seller who has confirmed the address."""
    async with signed_up(stack.web, 1) as (seller,):
        link = secret_in(await link_in_mail(stack, "confirm-email", seller.email))
        answer = await seller.client.post("/api/users/confirmation/complete", json={"link": link})
        seller.client.headers["Authorization"] = f"Bearer {answer.cookies['session']}"
        yield seller


async def signs_up(visitor: Visitor) -> str:
    await visitor.open("/")
    return await visitor.signs_up()


async def confirms(visitor: Visitor, link: str) -> None:
    """Open the link of the mail, and confirm."""
    await visitor.page.goto(link)
    await visitor.button("Yes, confirm it").click()
    await visitor.sees(re.compile("Your address .* is confirmed"))


async def test_a_new_user_lists_a_ticket_after_opening_the_link_in_the_mail(
    visitors: Visitors, stack: Stack
) -> None:
    visitor = await visitors.guest()
    email = await signs_up(visitor)
    await visitor.page.get_by_role("navigation").get_by_role("link", name="Sell", exact=True).click()
    await expect(visitor.heading(CONFIRM)).to_be_visible()
    await visitor.sees(re.compile(f"Open the link in the email that we sent to .*{email}"))
    await expect(visitor.button("Send a link")).to_be_visible()

    await confirms(visitor, (await Mailbox(stack.settings).message(email, CONFIRM)).link)
    await visitor.lists(some_title(), "45")
    await visitor.sees("This is your listing. Anybody can buy it now.")


async def test_a_new_user_holds_one_ticket_and_pays_after_opening_the_link_in_the_mail(
    visitors: Visitors, stack: Stack
) -> None:
    held, other = await visitors.ticket(), await visitors.ticket()
    visitor, mailbox = await visitors.guest(), Mailbox(stack.settings)
    email = await signs_up(visitor)
    first = await mailbox.message(email, CONFIRM)
    order = await visitor.reserves(f"/tickets/{held['id']}")
    await visitor.open(f"/tickets/{other['id']}")
    await visitor.button("Buy").click()
    await expect(visitor.page.get_by_role("alert").first).to_contain_text(
        "Confirm your email address to hold more than one ticket"
    )

    await visitor.open(order)
    await visitor.link("Continue to payment").click()
    await visitor.sees("Confirm your email address to pay. Your ticket stays reserved meanwhile.")
    await expect(visitor.button(re.compile("^Pay "))).to_have_count(0)
    await visitor.link("Confirm my address").click()
    await visitor.button("Send a link").click()
    await visitor.sees("We sent you a new link.")
    await until(lambda: mailbox.subjects(email), lambda seen: seen == [CONFIRM, CONFIRM])

    await confirms(visitor, first.link)
    await visitor.open(order)
    await visitor.pays()
    await visitor.sees(re.compile("The ticket is yours"))
    await mailbox.message(email, "is paid")


async def test_the_api_refuses_to_list_and_to_pay_until_the_address_is_confirmed(
    visitors: Visitors,
) -> None:
    """The pages show no such form, but anybody can send one."""
    ticket, person = await visitors.ticket(), await visitors.person()
    order = await person.reserves(ticket["id"])
    listed = await person.client.post("/api/tickets", json={"title": some_title(), "price": 45})
    paid = await person.pays(order["id"])
    for refused in (listed, paid):
        assert refused.status_code == 403
        assert "Confirm your email address first" in refused.text
