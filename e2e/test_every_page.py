"""Checks of every page: it fits a narrow window, uses no other host, and reports no error."""

import asyncio
from urllib.parse import urlsplit

from e2e.visitors import Member, Visitor, Visitors, some_title
from tests.support.stack import Stack

NARROWEST = {"width": 320, "height": 640}
"""The window of a small phone, or of a common phone with larger text."""
LONG_WORD = "Donaudampfschifffahrtsgesellschaftskapitänsmützenball" * 3


async def every_page(stack: Stack, seller: Member, buyer: Member) -> list[tuple[Visitor, str]]:
    """The paths of all pages, in several states, each with a visitor who may open it."""
    title = some_title()
    free = await seller.person.lists_ticket(999_999.99, f"{LONG_WORD} {title}", venue=LONG_WORD[:120])
    held, paid, *others = [await seller.person.lists_ticket(84.5, title) for _ in range(5)]
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
    shared += ["/how-it-works", "/help", "/terms", "/imprint", f"/tickets/{free['id']}/report"]
    tickets = [f"/tickets/{ticket['id']}" for ticket in (free, held, paid)]
    orders = [f"/orders/{order['id']}" for order in (waiting, complete, cancelled, asked, sent)]
    own = [f"{tickets[0]}/edit", f"{tickets[0]}/withdraw"]
    return [
        *((buyer, path) for path in [*shared, *tickets, "/orders", *orders, "/sell", "/no/such/page"]),
        *((seller, path) for path in [*tickets, *own, "/listings"]),
    ]


async def test_every_page_uses_only_its_own_host_reports_no_error_and_fits_a_narrow_phone(
    visitors: Visitors, stack: Stack
) -> None:
    seller, buyer, guest = await asyncio.gather(
        visitors.member(viewport=NARROWEST),
        visitors.member(viewport=NARROWEST),
        visitors.guest(viewport=NARROWEST),
    )
    pages = [
        *await every_page(stack, seller, buyer),
        *((guest, path) for path in ("/signin", "/signup", "/mail/unsubscribe?token=x", "/")),
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


async def test_a_violation_of_the_content_security_policy_is_reported(visitors: Visitors) -> None:
    """The control test of the console check with which each browser test ends."""
    visitor = await visitors.guest()
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
