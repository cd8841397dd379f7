"""Refunds on the buyer's pages, which also tell whether the buyer keeps the ticket."""

import pytest

from contracts.api import Order, ReportedProblem, User
from contracts.wire import now
from tests.integration.web.page_client import PageClient, text_of
from tests.support.fakes.market import Market

PROBLEM = ReportedProblem(
    kind="not-received",
    text="Nothing came",
    reported_at=now(),
    state="refunded",
    answer_by=now(),
    refunded=2000,
    decided_at=now(),
)


@pytest.fixture
def order(market: Market, buyer: User) -> Order:
    """A complete order whose payment is captured."""
    seller, _ = market.user("seller@example.com")
    order = market.order(buyer, market.ticket(seller), status="complete")
    market.payment(order, "captured")
    return order


async def test_a_paid_order_has_live_updates_because_it_may_be_refunded(
    client: PageClient, order: Order
) -> None:
    for path in (f"/orders/{order.id}", "/orders"):
        page = await client.get(path)
        assert "Paid" in text_of(page)
        assert f"order:{order.id}" in page.text


async def test_a_requested_refund_is_shown_as_in_progress(
    client: PageClient, market: Market, order: Order
) -> None:
    market.payment(order, "refunding")
    page = text_of(await client.get(f"/orders/{order.id}"))
    assert "Refund in progress" in page
    assert "We are refunding $20.00. Your bank may take a few days to show the refund." in page
    assert "sold to somebody else" not in page
    assert "Refund in progress" in text_of(await client.get("/orders"))


@pytest.mark.parametrize(
    ("relisted", "message"),
    [(False, "The ticket is still yours."), (True, "The ticket is on sale again")],
)
async def test_a_refunded_order_shows_whether_the_ticket_is_still_the_buyers(
    client: PageClient, market: Market, order: Order, relisted: bool, message: str
) -> None:
    market.payment(order, "refunded")
    market.change_order(order.id, status="refunded", relisted=relisted)
    page = await client.get(f"/orders/{order.id}")
    assert "Refunded" in text_of(page)
    assert "We refunded $20.00. Your bank may take a few days to show the refund." in text_of(page)
    assert message in text_of(page)
    assert (f"order:{order.id}" in page.text) is not relisted
    assert "Refunded" in text_of(await client.get("/orders"))


@pytest.mark.parametrize(
    ("delivery", "problem", "message"),
    [
        ("instant", None, "You can no longer download the ticket."),
        ("seller", PROBLEM, None),
    ],
)
async def test_a_refunded_order_does_not_say_that_a_ticket_is_the_buyers_who_has_none(
    client: PageClient,
    market: Market,
    order: Order,
    delivery: str,
    problem: ReportedProblem | None,
    message: str | None,
) -> None:
    market.payment(order, "refunded")
    ticket = order.ticket.model_copy(update={"delivery": delivery})
    market.change_order(order.id, status="refunded", ticket=ticket, problem=problem)
    page = text_of(await client.get(f"/orders/{order.id}"))
    assert "We refunded $20.00." in page
    assert "still yours" not in page
    assert message is None or message in page


async def test_the_limited_live_updates_of_the_list_include_unpaid_orders_first(
    client: PageClient, market: Market, buyer: User, order: Order
) -> None:
    seller, _ = market.user("another@example.com")
    unpaid = market.order(buyer, market.ticket(seller))
    paid = [market.order(buyer, market.ticket(seller), status="complete") for _ in range(25)]
    page = await client.get("/orders")
    topics = page.text.partition('data-live="')[2].partition('"')[0].split()
    assert topics[:2] == ["buyer:me", f"order:{unpaid.id}"]
    assert len(topics) == 21
    assert f"order:{paid[-1].id}" in topics


async def test_a_sold_ticket_has_live_updates_because_it_may_go_on_sale_again(
    client: PageClient, market: Market, order: Order
) -> None:
    page = await client.get(f"/tickets/{order.ticket.id}")
    assert "This ticket is yours" in text_of(page)
    assert f'data-live="ticket:{order.ticket.id}"' in page.text


async def test_a_partial_refund_is_shown_with_its_amount(
    client: PageClient, market: Market, order: Order
) -> None:
    market.payment(order, "captured", refunded_amount=500)
    page = text_of(await client.get(f"/orders/{order.id}"))
    assert "You paid $20.00, of which $5.00 was refunded." in page


@pytest.mark.parametrize("status", ["complete", "refunded"])
async def test_a_refund_that_the_bank_rejected_is_not_shown_as_done(
    client: PageClient, market: Market, order: Order, status: str
) -> None:
    market.payment(order, "refunding", refund_failed=True)
    market.change_order(order.id, status=status)
    page = text_of(await client.get(f"/orders/{order.id}"))
    assert "Your bank rejected the refund of $20.00." in page
    assert "We refunded" not in page
    assert "Refund failed" in text_of(await client.get("/orders"))


async def test_a_partial_refund_that_the_bank_rejected_is_shown(
    client: PageClient, market: Market, order: Order
) -> None:
    market.payment(order, "captured", refund_failed=True)
    page = text_of(await client.get(f"/orders/{order.id}"))
    assert "You paid $20.00. Enjoy the event!" in page
    assert "Your bank rejected a refund." in page


@pytest.mark.parametrize(
    ("dispute", "payment", "status", "message"),
    [
        ("open", "captured", "complete", "You asked your bank to take back the $20.00 that you paid."),
        ("won", "captured", "complete", "Your bank has closed your dispute, and the payment stands."),
        ("lost", "refunded", "refunded", "Your bank took back the payment and returns $20.00 to you."),
    ],
)
async def test_the_page_of_a_disputed_order_says_what_the_bank_decided(
    client: PageClient, market: Market, order: Order, dispute: str, payment: str, status: str, message: str
) -> None:
    market.payment(order, payment, dispute=dispute)
    market.change_order(order.id, status=status)
    assert message in text_of(await client.get(f"/orders/{order.id}"))
    assert ("Disputed" in text_of(await client.get("/orders"))) == (dispute == "open")


async def test_the_seller_sees_partial_refunds_and_disputes(
    client: PageClient, market: Market, buyer: User
) -> None:
    market.ticket(buyer, "Partly", status="sold", refunded_amount=500)
    market.ticket(buyer, "Contested", status="sold", dispute="open")
    page = text_of(await client.get("/listings"))
    assert "2 sold, $5.00 refunded" in page
    assert "$5.00 refunded to the buyer" in page
    assert "Partly refunded" in page
    assert "Disputed" in page


async def test_a_payment_that_the_bank_processes_needs_no_second_one(
    client: PageClient, market: Market, buyer: User
) -> None:
    seller, _ = market.user("another@example.com")
    waiting = market.order(buyer, market.ticket(seller), status="awaiting:payment")
    market.payment(waiting, "pending", processing=True)
    page = text_of(await client.get(f"/orders/{waiting.id}"))
    assert "Your bank is processing the payment." in page
