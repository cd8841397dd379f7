"""The steps of a checkout, and the actions that a cancelled order offers."""

import re
from typing import Any

import pytest

from contracts.api import Order, User
from tests.integration.web.page_client import PageClient, text_of
from tests.support.fakes.market import Market

MAIN_NAVIGATION = '<nav aria-label="Main"'


@pytest.fixture
def seller(market: Market) -> User:
    return market.user("seller@example.com")[0]


@pytest.fixture
def order(market: Market, buyer: User, seller: User) -> Order:
    return market.order(buyer, market.ticket(seller, quantity=2, category="music", seat="Row 3"))


@pytest.mark.parametrize(
    ("order_status", "payment_status", "query", "step"),
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
async def test_the_order_page_marks_the_current_step_unless_the_order_has_ended(
    client: PageClient,
    market: Market,
    order: Order,
    order_status: Any,
    payment_status: str | None,
    query: str,
    step: str | None,
) -> None:
    market.change_order(order.id, status=order_status, relisted=order_status == "refunded")
    if payment_status:
        market.payment(order, payment_status)
    page = (await client.get(f"/orders/{order.id}{query}")).text
    current = re.search(r'<li[^>]*aria-current="step">(.*?)</li>', page, re.DOTALL)
    assert (re.findall(r"Review|Pay|Ticket", current[1]) if current else None) == ([step] if step else None)
    assert ('<ol class="steps"' in page) is (step is not None)


async def test_the_review_shows_the_ticket_details_and_the_total_price(
    client: PageClient, order: Order
) -> None:
    page = await client.get(f"/orders/{order.id}")
    text = text_of(page)
    assert "Category Music Seat or area Row 3 Quantity 2 tickets together" in text
    assert "Price 2 \u00d7 $10.00 Fees for buyers None You pay $20.00" in text
    assert f'href="/orders/{order.id}?step=pay">Continue to payment</a>' in page.text
    assert 'name="token"' not in page.text


async def test_the_pay_step_has_its_own_address_which_later_requests_keep(
    client: PageClient, market: Market, order: Order
) -> None:
    market.change_order(order.id, can_extend=True)
    page = (await client.get(f"/orders/{order.id}?step=pay")).text
    assert 'name="token"' in page
    assert f'hx-get="/orders/{order.id}?step=pay"' in page
    assert f'<a href="/orders/{order.id}">Review</a>' in page
    extended = await client.submit(f"/orders/{order.id}/extend?step=pay")
    assert extended.headers["location"] == f"/orders/{order.id}?step=pay"


async def test_after_a_decline_the_buyer_stays_on_the_pay_step(
    client: PageClient, market: Market, order: Order
) -> None:
    market.decline = "Your card was declined."
    answer = await client.submit(f"/orders/{order.id}/pay", token="tok_chargeDeclined")
    assert answer.headers["location"] == f"/orders/{order.id}?step=pay"
    part = await client.submit(f"/orders/{order.id}/pay", target="article#order", token="tok_chargeDeclined")
    assert 'name="token"' in part.text


async def test_the_navigation_is_hidden_until_the_order_status_paid(
    client: PageClient, market: Market, order: Order
) -> None:
    page = (await client.get(f"/orders/{order.id}")).text
    assert MAIN_NAVIGATION not in page
    assert f'<a href="/tickets/{order.ticket.id}">Back to the ticket</a>' in page
    assert "Sandbox payments" in page
    part = await client.get(f"/orders/{order.id}", target="article#order")
    assert "masthead" not in part.text
    paid = await client.submit(f"/orders/{order.id}/pay", target="article#order", token="tok_visa")
    assert '<hx-partial hx-target=".masthead"' in paid.text
    assert MAIN_NAVIGATION in paid.text
    assert MAIN_NAVIGATION in (await client.get(f"/orders/{order.id}")).text


@pytest.mark.parametrize("reason", ["buyer", "expired"])
@pytest.mark.parametrize(
    ("ticket_status", "is_available"),
    [
        ("available", True),
        ("held by this order", True),
        ("reserved", False),
        ("sold", False),
        ("withdrawn", False),
    ],
)
async def test_a_cancelled_order_offers_its_ticket_again_or_other_tickets_if_it_is_unavailable(
    client: PageClient,
    market: Market,
    seller: User,
    order: Order,
    reason: Any,
    ticket_status: str,
    is_available: bool,
) -> None:
    market.ticket(seller, "Another night")
    market.change_order(order.id, status="cancelled", cancel_reason=reason)
    if ticket_status != "held by this order":  # otherwise tickets has not received the cancellation yet
        market.change_ticket(order.ticket.id, status=ticket_status, order_id="f" * 24)
    page = await client.get(f"/orders/{order.id}")
    assert ("Reserve it again" in text_of(page)) is is_available
    assert ("Another night" in text_of(page)) is not is_available
    assert f'data-live="ticket:{order.ticket.id}"' in page.text


async def test_reserving_a_released_ticket_again_creates_a_new_order(
    client: PageClient, market: Market, order: Order
) -> None:
    await client.submit(f"/orders/{order.id}/cancel")
    page = await client.submit(f"/tickets/{order.ticket.id}/buy", follow=True)
    assert page.url.path.startswith("/orders/")
    assert page.url.path != f"/orders/{order.id}"
    assert "Review your order" in text_of(page)


async def test_buying_the_same_ticket_twice_redirects_to_the_existing_order(
    client: PageClient, order: Order
) -> None:
    answer = await client.submit(f"/tickets/{order.ticket.id}/buy")
    assert answer.headers["location"] == f"/orders/{order.id}"


async def test_buying_a_ticket_again_that_was_just_paid_for_redirects_to_its_order(
    client: PageClient, market: Market, order: Order
) -> None:
    """The orders service refuses it, and the ticket isn't known to be sold yet."""
    market.change_order(order.id, status="complete")
    answer = await client.submit(f"/tickets/{order.ticket.id}/buy")
    assert (answer.status_code, answer.headers.get("location")) == (303, f"/orders/{order.id}")


async def test_a_paid_order_shows_the_details_that_prove_the_purchase(
    client: PageClient, market: Market, order: Order
) -> None:
    market.change_order(order.id, status="complete")
    market.change_ticket(order.ticket.id, notes="I send it by e-mail.")
    market.payment(order, "captured")
    text = text_of(await client.get(f"/orders/{order.id}"))
    details = ("Nick Cave", "Row 3", "2 tickets together", "Paid $20.00", str(order.code))
    for said in (*details, "What happens next?", "The seller says: I send it by e-mail."):
        assert said in text
