"""What every page keeps to, whoever looks and at whatever size."""

import asyncio
from urllib.parse import urlsplit

import pytest

from e2e.visitors import House, Member, Visitor, some_title
from tests.stack import Stack

pytestmark = pytest.mark.asyncio(loop_scope="session")

NARROWEST = {"width": 320, "height": 640}
"""A small phone, or a usual one at a larger text size."""
LONG_WORD = "Donaudampfschifffahrtsgesellschaftskapitänsmützenball" * 3


async def every_page(stack: Stack, seller: Member, buyer: Member) -> list[tuple[Visitor, str]]:
    """Each page of ours in its states, and who may see it."""
    title = some_title()
    free = await seller.person.offers(999_999.99, f"{LONG_WORD} {title}", venue=LONG_WORD[:120])
    held, paid, *others = [await seller.person.offers(84.5, title) for _ in range(5)]
    waiting, complete, cancelled, asked, sent = [
        await buyer.person.reserves(ticket["id"]) for ticket in (held, paid, *others)
    ]
    await buyer.person.pays(waiting["id"], "tok_chargeDeclined")
    await buyer.person.pays(complete["id"])
    await buyer.person.cancels(cancelled["id"])
    await buyer.person.pays(asked["id"], "tok_threeDSecure2Required")
    opened = f"{stack.checkout_payments}/api/payments"
    await buyer.person.client.post(opened, json={"orderId": sent["id"]})
    shared = ["/", f"/?q={title.rpartition(' ')[2]}", "/?q=nothing+like+this", "/?minPrice=x", "/developers"]
    tickets = [f"/tickets/{ticket['id']}" for ticket in (free, held, paid)]
    orders = [f"/orders/{order['id']}" for order in (waiting, complete, cancelled, asked, sent)]
    own = [f"{tickets[0]}/edit", f"{tickets[0]}/withdraw"]
    return [
        *((buyer, path) for path in [*shared, *tickets, "/orders", *orders, "/sell", "/no/such/page"]),
        *((seller, path) for path in [*tickets, *own, "/listings"]),
    ]


async def test_no_page_asks_another_host_breaks_its_own_rules_or_is_wider_than_the_narrowest_phone(
    house: House, stack: Stack
) -> None:
    seller, buyer, guest = await asyncio.gather(
        house.member(viewport=NARROWEST), house.member(viewport=NARROWEST), house.guest(viewport=NARROWEST)
    )
    pages = [
        *await every_page(stack, seller, buyer),
        *((guest, path) for path in ("/signin", "/signup", "/")),
    ]
    too_wide = []
    for visitor, path in pages:
        await visitor.open(path)
        width = await visitor.page.evaluate("document.documentElement.scrollWidth")
        if width > NARROWEST["width"]:
            too_wide.append((path, width))
    assert not too_wide
    for visitor in (seller, buyer, guest):
        assert visitor.hosts == {urlsplit(stack.web).netloc}
        assert visitor.errors == []


async def test_what_violates_the_content_security_policy_is_noticed(house: House) -> None:
    """The control of all the other tests: each of them ends with a look at the console."""
    visitor = await house.guest()
    await visitor.open("/")
    await visitor.page.evaluate(
        """() => {
            const script = document.createElement("script");
            script.textContent = "window.ran = true";
            document.head.append(script);
        }"""
    )
    await visitor.page.evaluate("new Promise(requestAnimationFrame)")
    assert await visitor.page.evaluate("window.ran") is None
    assert any("Content Security Policy" in error for error in visitor.errors)
    visitor.errors.clear()
