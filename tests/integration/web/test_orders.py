"""The pages on which a buyer reserves a ticket and pays, without JavaScript and with htmx."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import get_args

import pytest

from contracts.api import Order, User
from contracts.events import CancelReason, OrderStatus, PaymentStatus
from contracts.wire import now
from tests.integration.web.page_client import PageClient, is_page, page_client, text_of
from tests.support.asgi import alive
from tests.support.fakes.market import Market
from tests.support.fakes.services import Services
from web.app import web_app
from web.order_stage import stage_of

REFRESH = '<noscript><meta http-equiv="refresh"'


@pytest.fixture
def seller(market: Market) -> User:
    return market.user("seller@example.com")[0]


@pytest.fixture
def order(market: Market, buyer: User, seller: User) -> Order:
    return market.order(buyer, market.ticket(seller))


async def test_buying_a_ticket_redirects_to_the_order_page(
    client: PageClient, market: Market, buyer: User, seller: User
) -> None:
    ticket = market.ticket(seller)
    page = await client.submit(f"/tickets/{ticket.id}/buy", follow=True)
    [order] = market.orders.values()
    assert page.url.path == f"/orders/{order.id}"
    assert "To pay" in text_of(page)
    assert "You pay $20.00" in text_of(page)


async def test_a_buyer_who_saw_another_price_reads_so_before_paying(
    client: PageClient, market: Market, buyer: User, seller: User
) -> None:
    ticket = market.ticket(seller, price="20")
    shown = await client.get(f"/tickets/{ticket.id}")
    assert '<input type="hidden" name="price" value="20.00">' in shown.text
    market.change_ticket(ticket.id, price=Decimal("25.50"))
    answer = await client.submit(f"/tickets/{ticket.id}/buy", price="20.00")
    [order] = market.orders.values()
    assert answer.headers["location"] == f"/orders/{order.id}?was=20.00"
    page = await client.get(answer.headers["location"])
    assert "The price has changed since you looked: it was $20.00, and now it is $25.50" in text_of(page)
    assert f'hx-get="/orders/{order.id}?was=20.00"' in page.text  # live updates keep it


@pytest.mark.parametrize("sent", ["20.00", "", "cheap", "1e9"])
async def test_a_buyer_who_saw_the_price_or_sends_none_reads_nothing_about_it(
    client: PageClient, market: Market, buyer: User, seller: User, sent: str
) -> None:
    ticket = market.ticket(seller, price="20")
    answer = await client.submit(f"/tickets/{ticket.id}/buy", price=sent)
    [order] = market.orders.values()
    assert answer.headers["location"] == f"/orders/{order.id}"
    for was in ("20.00", "x"):
        page = await client.get(f"/orders/{order.id}?was={was}")
        assert page.status_code == 200
        assert "The price has changed" not in text_of(page)


async def test_the_head_of_a_checkout_names_the_time_zone_of_the_event(
    client: PageClient, market: Market, buyer: User, seller: User
) -> None:
    starts_at = datetime(2036, 12, 12, 19, tzinfo=UTC)
    ticket = market.ticket(seller, starts_at=starts_at, time_zone="Europe/Berlin")
    page = await client.get(f"/orders/{market.order(buyer, ticket).id}")
    basket = page.text.partition('<aside class="basket"')[2].partition("</aside>")[0]
    assert "(Berlin time)" in basket


async def test_buying_while_signed_out_redirects_to_sign_in_and_then_back_to_the_ticket(
    client: PageClient, market: Market, seller: User
) -> None:
    ticket = market.ticket(seller)
    response = await client.submit(f"/tickets/{ticket.id}/buy")
    assert response.headers["location"] == f"/signin?next=/tickets/{ticket.id}"


async def test_a_buyer_of_a_ticket_that_was_just_reserved_sees_the_reason(
    client: PageClient, market: Market, buyer: User, seller: User
) -> None:
    ticket = market.ticket(seller)
    market.order(market.user("first@example.com")[0], ticket)
    response = await client.submit(f"/tickets/{ticket.id}/buy")
    assert response.status_code == 409
    assert "Ticket is already reserved" in text_of(response)
    assert "Somebody else has reserved" in text_of(response)


async def test_without_javascript_paying_waits_for_the_outcome_and_shows_it(
    client: PageClient, market: Market, order: Order
) -> None:
    market.settle_after = 0.2
    page = await client.submit(f"/orders/{order.id}/pay", token="tok_visa", follow=True)
    assert is_page(page)
    assert "The ticket is yours" in text_of(page)


async def test_without_javascript_the_page_of_a_slow_payment_reloads_itself(
    client: PageClient, market: Market, order: Order, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("web.pages.orders.OUTCOME_TIMEOUT", 0.2)
    market.settle_after = None
    page = await client.submit(f"/orders/{order.id}/pay", token="tok_visa", follow=True)
    assert "We are confirming that the ticket is yours" in text_of(page)
    assert f'{REFRESH} content="10">' in page.text


async def test_with_htmx_paying_answers_with_the_order_fragment(
    client: PageClient, market: Market, order: Order
) -> None:
    response = await client.submit(f"/orders/{order.id}/pay", target="article#order", token="tok_visa")
    assert response.status_code == 200
    assert response.text.strip().startswith("<article")
    assert "<title>Nick Cave: Paid" in response.text


@pytest.mark.parametrize("target", [None, "article#order"])
async def test_after_a_decline_the_buyer_sees_the_reason_and_can_pay_again(
    client: PageClient, market: Market, order: Order, target: str | None
) -> None:
    market.decline = "Your card has insufficient funds."
    page = await client.submit(
        f"/orders/{order.id}/pay", target=target, token="tok_chargeDeclined", follow=True
    )
    assert "Your card has insufficient funds." in text_of(page)
    assert "still held for you" in text_of(page)
    assert "Pay $20.00" in text_of(page)


async def test_paying_an_expired_order_shows_that_it_expired(
    client: PageClient, market: Market, order: Order
) -> None:
    deadline = now() - timedelta(seconds=1)
    market.change_order(order.id, status="cancelled", cancel_reason="expired", expires_at=deadline)
    page = await client.submit(f"/orders/{order.id}/pay", token="tok_visa", follow=True)
    assert "Not paid in time" in text_of(page)
    assert "been charged" in text_of(page)
    assert "Pay $" not in text_of(page)


async def test_paying_while_the_payments_service_is_down_answers_503_and_shows_the_order(
    client: PageClient, services: Services, order: Order
) -> None:
    await services.stop("payments")
    page = await client.submit(f"/orders/{order.id}/pay", token="tok_visa")
    assert page.status_code == 503
    assert "you won&#39;t be charged twice" in page.text
    assert "Nick Cave" in text_of(page)


async def test_cancelling_an_order_releases_the_ticket(
    client: PageClient, market: Market, order: Order
) -> None:
    page = await client.submit(f"/orders/{order.id}/cancel", follow=True)
    assert "You released this ticket" in text_of(page)
    assert market.tickets[order.ticket.id].status == "available"


async def test_releasing_a_ticket_is_confirmed_on_a_page_of_its_own(
    client: PageClient, market: Market, order: Order
) -> None:
    checkout = await client.get(f"/orders/{order.id}")
    assert f'<a href="/orders/{order.id}/cancel">Release ticket</a>' in checkout.text
    assert f'action="/orders/{order.id}/cancel"' not in checkout.text
    page = await client.get(f"/orders/{order.id}/cancel")
    assert "Release this ticket? Nick Cave $20.00 Time left" in text_of(page)
    assert f'<form class="actions" method="post" action="/orders/{order.id}/cancel">' in page.text
    assert f'<a class="button" href="/orders/{order.id}">Keep it</a>' in page.text
    assert market.orders[order.id].status == "created"


async def test_the_page_to_release_a_ticket_says_what_happens_during_a_bank_check(
    client: PageClient, market: Market, order: Order
) -> None:
    market.change_order(order.id, status="awaiting:payment")
    market.payment(order, "pending", action_url="https://bank.example/")
    text = text_of(await client.get(f"/orders/{order.id}/cancel"))
    assert "Your bank is waiting for your confirmation" in text


async def test_the_page_to_release_a_ticket_leads_back_if_the_order_can_not_be_cancelled(
    client: PageClient, market: Market, order: Order
) -> None:
    market.change_order(order.id, status="complete")
    answer = await client.get(f"/orders/{order.id}/cancel")
    assert answer.headers["location"] == f"/orders/{order.id}"


async def test_an_order_cancelled_by_the_buyer_is_not_shown_as_expired_later(
    client: PageClient, market: Market, order: Order
) -> None:
    await client.submit(f"/orders/{order.id}/cancel")
    market.change_order(order.id, expires_at=now() - timedelta(seconds=1))
    page = text_of(await client.get(f"/orders/{order.id}"))
    assert "You released this ticket" in page
    assert "Not paid in time" not in page


async def test_an_order_whose_hold_was_refused_says_why_and_offers_the_ticket_as_it_is_now(
    client: PageClient, market: Market, order: Order
) -> None:
    market.change_order(order.id, status="cancelled", hold_refused=True)
    market.change_ticket(order.ticket.id, status="available", order_id=None, price=Decimal(900))
    page = text_of(await client.get(f"/orders/{order.id}"))
    assert "The seller changed or withdrew this ticket just before you reserved it" in page
    assert "It is available as it is now: “Nick Cave” for $900.00." in page
    market.payment(order, "authorized")
    assert "the amount is being released" in text_of(await client.get(f"/orders/{order.id}"))
    market.change_ticket(order.ticket.id, status="withdrawn")
    assert "The seller withdrew the ticket." in text_of(await client.get(f"/orders/{order.id}"))


async def test_an_order_that_an_operator_cancelled_says_that_nobody_is_charged(
    client: PageClient, market: Market, order: Order
) -> None:
    market.change_order(order.id, status="cancelled", cancelled_by_operator=True)
    page = text_of(await client.get(f"/orders/{order.id}"))
    assert "We cancelled this order." in page
    assert "Reserve it again" in page


async def test_cancelling_a_complete_order_is_refused(
    client: PageClient, market: Market, order: Order
) -> None:
    market.change_order(order.id, status="complete")
    market.payment(order, "captured")
    page = await client.submit(f"/orders/{order.id}/cancel")
    assert page.status_code == 409
    assert "A completed order can&#39;t be cancelled" in page.text
    assert "The ticket is yours" in text_of(page)


ORDER_STATES: list[tuple[OrderStatus, CancelReason | None]] = [
    ("created", None),
    ("awaiting:payment", None),
    ("complete", None),
    ("cancelled", "buyer"),
    ("cancelled", "expired"),
    ("refunded", None),
]


@pytest.mark.parametrize(("status", "reason"), ORDER_STATES)
@pytest.mark.parametrize("paid", [None, *get_args(PaymentStatus.__value__)])
async def test_every_order_state_has_a_text_and_the_live_updates_and_actions_of_its_stage(
    client: PageClient,
    market: Market,
    order: Order,
    status: OrderStatus,
    reason: CancelReason | None,
    paid: PaymentStatus | None,
) -> None:
    market.change_order(order.id, status=status, cancel_reason=reason)
    payment = market.payment(order, paid) if paid else None
    page = await client.get(f"/orders/{order.id}?step=pay")
    stage = stage_of(market.orders[order.id], payment, now())
    assert page.status_code == 200
    assert stage.label in text_of(page)
    status_text = page.text.partition('class="status')[2].partition("</div>")[0]
    assert "<p" in status_text, f"{stage.name} has no text"
    assert (f'data-live="order:{order.id}' in page.text) is stage.listens
    assert (f'{REFRESH} content="{stage.reload_after}">' in page.text) is stage.is_waiting
    assert ("Pay $20.00" in text_of(page)) is stage.can_pay


async def test_a_payment_that_needs_the_banks_confirmation_links_to_the_bank(
    client: PageClient, market: Market, order: Order
) -> None:
    market.payment(order, "pending", action_url="https://bank.test/ask?x=1&y=2")
    page = await client.get(f"/orders/{order.id}")
    assert 'href="https://bank.test/ask?x=1&amp;y=2"' in page.text
    assert "Confirm with your bank" in text_of(page)
    assert "The ticket is held for you in the meantime" in text_of(page)
    assert "check extends the reservation to at most 30 minutes" in text_of(page)


async def test_with_thirty_minutes_to_pay_the_page_offers_no_extension(
    services: Services, market: Market, tmp_path: Path
) -> None:
    buyer, token = market.user("ann@example.com")
    order = market.order(buyer, market.ticket(market.user("bob@example.com")[0]))
    market.payment(order, "pending", action_url="https://bank.test/ask")
    no_server = "nats://127.0.0.1:9"
    app = web_app(services.settings(data_dir=tmp_path, nats_url=no_server, expiration_window_seconds=1800))
    async with alive(app), page_client(app) as client:
        client.sign_in_as(token)
        page = text_of(await client.get(f"/orders/{order.id}"))
    assert "Your bank asks you to confirm the payment" in page
    assert "more time" not in page


async def test_a_javascript_address_of_the_banks_page_is_not_shown(
    client: PageClient, market: Market, order: Order
) -> None:
    market.payment(order, "pending", action_url="javascript:alert(1)")
    assert "javascript:" not in (await client.get(f"/orders/{order.id}")).text


@pytest.mark.usefixtures("stopped_clock")
async def test_the_countdown_starts_with_the_remaining_time_according_to_the_server(
    client: PageClient, market: Market, buyer: User, seller: User
) -> None:
    order = market.order(buyer, market.ticket(seller), seconds=125)
    page = await client.get(f"/orders/{order.id}")
    assert 'data-remaining="125">2:05</span>' in page.text
    assert f'{REFRESH} content="12' in page.text


async def test_only_the_buyer_can_see_an_order(client: PageClient, market: Market, order: Order) -> None:
    _, token = market.user("other@example.com")
    client.sign_in_as(token)
    page = await client.get(f"/orders/{order.id}")
    assert page.status_code == 403
    assert "Nick Cave" not in text_of(page)
    assert "Nick Cave" not in text_of(await client.get("/orders"))


async def test_an_order_is_shown_while_the_payments_service_is_down(
    client: PageClient, services: Services, order: Order
) -> None:
    await services.stop("payments")
    page = await client.get(f"/orders/{order.id}")
    assert page.status_code == 200
    assert "Nick Cave" in text_of(page)


async def test_the_list_of_orders_has_live_updates_for_orders_that_may_still_change(
    client: PageClient, market: Market, buyer: User, seller: User
) -> None:
    waiting = market.order(buyer, market.ticket(seller))
    cancelled = market.order(buyer, market.ticket(seller), status="cancelled")
    page = await client.get("/orders")
    assert f"order:{waiting.id}" in page.text
    assert f"order:{cancelled.id}" not in page.text


async def test_a_form_without_a_card_says_that_one_is_required(client: PageClient, order: Order) -> None:
    page = await client.submit(f"/orders/{order.id}/pay")
    assert page.status_code == 422
    assert "Token is required" in text_of(page)
