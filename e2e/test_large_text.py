"""Pages with text of twice the size, as WCAG 1.4.4 asks for."""

from typing import Any

import pytest

from e2e.visitors import Member, Visitors, some_title

DOUBLE = "document.documentElement.style.fontSize = '200%'"
WIDER_THAN_THE_WINDOW = "document.documentElement.scrollWidth - innerWidth"
OVERLAPS = """() => {
    const shown = [...document.querySelectorAll(".masthead a, .masthead button")]
        .map((element) => [element.textContent.trim(), element.getBoundingClientRect()])
        .filter(([, box]) => box.width && box.height);
    const overlap = (one, other) =>
        Math.min(one.right, other.right) - Math.max(one.left, other.left) > 1 &&
        Math.min(one.bottom, other.bottom) - Math.max(one.top, other.top) > 1;
    const rest = ([, box], index) => shown.slice(index + 1).filter(([, other]) => overlap(box, other));
    return shown.flatMap((each, index) => rest(each, index).map(([other]) => `${each[0]} / ${other}`));
}"""
"""The names of links and buttons at the top of the page that cover each other."""


async def paths(visitors: Visitors, member: Member) -> list[str]:
    event: dict[str, Any] = {"startsAt": "2036-06-05T18:30:00Z", "venue": "Harpa", "city": "Reykjavík"}
    ticket = await visitors.ticket(1234.5, quantity=4, **event)
    order = await member.person.reserves((await visitors.ticket(title=some_title(), **event))["id"])
    await member.person.lists_ticket(45, some_title())
    checkout = f"/orders/{order['id']}"
    pages = ["/", f"/tickets/{ticket['id']}", checkout, f"{checkout}?step=pay"]
    return [*pages, f"{checkout}/cancel", "/sell", "/listings", "/orders"]


@pytest.mark.parametrize("width", [390, 640, 900, 1280])
async def test_with_text_of_twice_the_size_no_page_scrolls_sideways_and_no_header_overlaps_itself(
    visitors: Visitors, width: int
) -> None:
    member = await visitors.member(viewport={"width": width, "height": 800})
    too_wide, covered = [], []
    for path in await paths(visitors, member):
        await member.open(path)
        await member.page.evaluate(DOUBLE)
        excess = await member.page.evaluate(WIDER_THAN_THE_WINDOW)
        if excess > 0:
            too_wide.append((path, excess))
        covered += [(path, names) for names in await member.page.evaluate(OVERLAPS)]
    assert too_wide == []
    assert covered == []
