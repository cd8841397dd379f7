"""The steps of a checkout, and what is left to do where it ended without the ticket."""

import re
from typing import Any

import pytest

from contracts.api import Order, User
from tests.web.conftest import Browser, text_of
from tests.web.market import Market


@pytest.fixture
def seller(market: Market) -> User:
    return market.user("seller@example.com")[0]


@pytest.fixture
def order(market: Market, buyer: User, seller: User) -> Order:
    return market.order(buyer, market.ticket(seller, quantity=2, category="music", seat="Row 3"))


@pytest.mark.parametrize(
    ("order_is", "payment_is", "query", "step"),
    [
        ("created", None, "", "Review"),
        ("created", None, "?step=pay", "Pay"),
        ("created", "failed", "", "Review"),
        ("created", "failed", "?step=pay", "Pay"),
        ("awaiting:payment", "pending", "", "Pay"),
        ("complete", "authorized", "", "Ticket"),
        ("complete", "captured", "?step=pay", "Ticket"),
        ("cancelled", None, "", None),
        ("refunded", "refunded", "", None),
    ],
)
async def test_each_stage_is_one_of_three_steps_or_none(
    browser: Browser,
    market: Market,
    order: Order,
    order_is: Any,
    payment_is: str | None,
    query: str,
    step: str | None,
) -> None:
    market.change_order(order.id, status=order_is, relisted=order_is == "refunded")
    if payment_is:
        market.payment(order, payment_is)
    page = (await browser.get(f"/orders/{order.id}{query}")).text
    current = re.search(r'<li[^>]*aria-current="step">(.*?)</li>', page, re.DOTALL)
    assert (re.findall(r"Review|Pay|Ticket", current[1]) if current else None) == ([step] if step else None)
    assert ('<ol class="steps"' in page) is (step is not None)


async def test_the_review_says_what_one_gets_and_all_of_what_it_costs(browser: Browser, order: Order) -> None:
    page = await browser.get(f"/orders/{order.id}")
    text = text_of(page)
    assert "Category Music Seat or area Row 3 Quantity 2 tickets together" in text
    assert "Price for both tickets $20.00 Fees None You pay $20.00" in text
    assert f'href="/orders/{order.id}?step=pay">Continue to payment</a>' in page.text
    assert 'name="token"' not in page.text


async def test_paying_is_a_page_of_its_own_that_stays_one(
    browser: Browser, market: Market, order: Order
) -> None:
    market.change_order(order.id, can_extend=True)
    page = (await browser.get(f"/orders/{order.id}?step=pay")).text
    assert 'name="token"' in page
    assert f'hx-get="/orders/{order.id}?step=pay"' in page
    assert f'<a href="/orders/{order.id}">Review</a>' in page
    longer = await browser.submit(f"/orders/{order.id}/extend?step=pay")
    assert longer.headers["location"] == f"/orders/{order.id}?step=pay"


async def test_who_was_declined_is_still_where_one_pays(
    browser: Browser, market: Market, order: Order
) -> None:
    market.decline = "Your card was declined."
    answer = await browser.submit(f"/orders/{order.id}/pay", token="tok_chargeDeclined")
    assert answer.headers["location"] == f"/orders/{order.id}?step=pay"
    part = await browser.submit(f"/orders/{order.id}/pay", target="article#order", token="tok_chargeDeclined")
    assert 'name="token"' in part.text


async def test_there_is_no_navigation_until_it_is_finished(
    browser: Browser, market: Market, order: Order
) -> None:
    page = (await browser.get(f"/orders/{order.id}")).text
    assert "<nav" not in page
    assert f'<a href="/tickets/{order.ticket.id}">Back to the ticket</a>' in page
    assert "Sandbox payments" in page
    part = await browser.get(f"/orders/{order.id}", target="article#order")
    assert "masthead" not in part.text
    done = await browser.submit(f"/orders/{order.id}/pay", target="article#order", token="tok_visa")
    assert '<hx-partial hx-target=".masthead"' in done.text
    assert "<nav" in done.text
    assert "<nav" in (await browser.get(f"/orders/{order.id}")).text


@pytest.mark.parametrize("reason", ["buyer", "expired"])
@pytest.mark.parametrize(
    ("ticket_is", "is_free"),
    [("available", True), ("its own", True), ("reserved", False), ("sold", False), ("withdrawn", False)],
)
async def test_a_ticket_that_was_let_go_is_reserved_again_if_its_free_and_otherwise_others_are_shown(
    browser: Browser, market: Market, seller: User, order: Order, reason: Any, ticket_is: str, is_free: bool
) -> None:
    market.ticket(seller, "Another night")
    market.change_order(order.id, status="cancelled", cancel_reason=reason)
    if ticket_is != "its own":  # which it is until tickets has heard that the order is over
        market.change_ticket(order.ticket.id, status=ticket_is, order_id="f" * 24)
    page = await browser.get(f"/orders/{order.id}")
    assert ("Reserve it again" in text_of(page)) is is_free
    assert ("Another night" in text_of(page)) is not is_free
    assert f'data-live="ticket:{order.ticket.id}"' in page.text


async def test_reserving_again_leads_to_a_new_order(browser: Browser, market: Market, order: Order) -> None:
    await browser.submit(f"/orders/{order.id}/cancel")
    page = await browser.submit(f"/tickets/{order.ticket.id}/buy", follow=True)
    assert page.url.path.startswith("/orders/")
    assert page.url.path != f"/orders/{order.id}"
    assert "Is this the one?" in text_of(page)


async def test_who_presses_buy_twice_gets_to_the_order_that_is_there(browser: Browser, order: Order) -> None:
    answer = await browser.submit(f"/tickets/{order.ticket.id}/buy")
    assert answer.headers["location"] == f"/orders/{order.id}"


async def test_a_ticket_that_one_owns_has_all_thats_needed_at_the_door(
    browser: Browser, market: Market, order: Order
) -> None:
    market.change_order(order.id, status="complete")
    market.change_ticket(order.ticket.id, notes="I send it by e-mail.")
    market.payment(order, "captured")
    text = text_of(await browser.get(f"/orders/{order.id}"))
    proof = ("Nick Cave", "Row 3", "2 tickets together", "Paid $20.00", order.id[-8:])
    for said in (*proof, "What now?", "The seller says: I send it by e-mail."):
        assert said in text
