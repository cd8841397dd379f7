"""The spans of a purchase and of a reservation that expires, on real processes."""

import re
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from settings import SERVICES
from tests.support.collector import Collector, Span, collecting
from tests.support.people import signed_up
from tests.support.polling import until
from tests.support.stack import Stack, stagedoor

ALL_PROCESSES = {*SERVICES, "web"}


class Story:
    """A marketplace whose spans are collected.

    There are a complete purchase, a payment that waits for a bank check, and a reservation that expired.
    """

    def __init__(self, stack: Stack, collector: Collector) -> None:
        self.stack = stack
        self.collector = collector
        self.order: dict[str, str] = {}
        self.expired: dict[str, str] = {}
        self.checked: dict[str, str] = {}
        self.emails: list[str] = []

    async def span(self, text: str, **attributes: str) -> Span:
        """Wait for a span by `process: name`."""

        async def found() -> list[Span]:
            return self.collector.named(text, **attributes)

        return (await until(found, bool))[0]

    async def path(self, span: Span) -> list[str]:
        """Wait for all parents of a span, which other processes send in their own time.

        The path names the span and its parents, without the spans of HTTP clients and database drivers.
        """

        async def parents() -> list[Span]:
            return self.collector.parents(span)

        whole = await until(parents, lambda found: not (found or [span])[-1].parent)
        return [str(each) for each in (span, *whole) if each.kind != "client"]

    def to_stripe(self) -> list[Span]:
        """The requests of payments to Stripe."""
        return [
            span
            for span in self.collector.spans
            if str(span).startswith("payments: ")
            and span.kind == "client"
            and "/v1/" in span.attributes.get("http.url", span.attributes.get("url.full", ""))
        ]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def story(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Story]:
    folder = tmp_path_factory.mktemp("telemetry")
    with collecting() as collector, pytest.MonkeyPatch.context() as patch:
        patch.setenv("OTEL_BSP_SCHEDULE_DELAY", "200")
        async with stagedoor(
            folder,
            variants=False,
            OTEL_EXPORTER_OTLP_ENDPOINT=collector.url,
            EXPIRATION_WINDOW_SECONDS="10",
        ) as stack:
            story = Story(stack, collector)
            async with signed_up(stack.web, 2) as (seller, buyer):
                story.emails = [seller.email, buyer.email]
                expiring = await seller.lists_ticket()
                story.expired = await buyer.reserves(expiring["id"])
                bought = await seller.lists_ticket()
                checked = await seller.lists_ticket()
                story.checked = await buyer.reserves(checked["id"])
                assert (await buyer.pays(story.checked["id"], "tok_threeDSecure2Required")).status_code < 300
                order = story.order = await buyer.reserves(bought["id"])
                await until(lambda: buyer.ticket(bought["id"]), lambda seen: seen["status"] == "reserved")
                assert (await buyer.pays(order["id"])).status_code == 201
                await until(lambda: buyer.payment(order["id"]), lambda seen: seen["status"] == "captured")
                await until(lambda: buyer.ticket(bought["id"]), lambda seen: seen["status"] == "sold")
                await until(
                    lambda: buyer.order(story.expired["id"]), lambda seen: seen["status"] == "cancelled"
                )
            yield story


async def test_a_reservation_is_one_trace_from_the_request_to_the_handlers_of_all_services(
    story: Story,
) -> None:
    order_id = story.order["id"]
    request = ["orders: POST /api/orders", "web: POST /api/orders"]
    handlers = {}
    for service in ("tickets", "expiration", "payments"):
        handler = await story.span(f"{service}: process order.created", stagedoor_order_id=order_id)
        handlers[service] = handler
        path = await story.path(handler)
        assert path == [f"{service}: process order.created", "orders: send order.created", *request]
    timer = await story.span("expiration: send timers.set", stagedoor_order_id=order_id)
    assert (await story.path(timer))[1] == "expiration: process order.created"
    updated = await story.span("orders: process ticket.updated", stagedoor_order_id=order_id)
    assert (await story.path(updated))[1:3] == [
        "tickets: send ticket.updated",
        "tickets: process order.created",
    ]
    assert {handler.trace for handler in handlers.values()} == {timer.trace, updated.trace}


async def test_a_payment_is_one_trace_from_the_request_to_the_capture_at_stripe(story: Story) -> None:
    order_id = story.order["id"]
    capture = await story.span("payments: process order.updated", stagedoor_order_id=order_id)
    path = await story.path(capture)
    assert path == [
        "payments: process order.updated",
        "orders: send order.updated",
        "orders: process payment.updated",
        "payments: send payment.updated",
        "payments: POST /api/payments",
        "web: POST /api/payments",
    ]
    callers = {(await story.path(span))[0] for span in story.to_stripe() if span.trace == capture.trace}
    assert callers == {"payments: POST /api/payments", "payments: process order.updated"}
    assert {span.process for span in story.collector.spans if span.trace == capture.trace} >= {
        *("web", "orders", "payments", "tickets", "expiration")
    }


async def test_a_timer_starts_a_trace_that_is_linked_to_the_reservation(story: Story) -> None:
    order_id = story.expired["id"]
    due = await story.span("expiration: process timers.due", stagedoor_order_id=order_id)
    reservation = await story.span("expiration: process order.created", stagedoor_order_id=order_id)
    assert due.parent == ""
    assert due.links == (reservation.trace,)
    assert due.trace != reservation.trace
    released = await story.span("tickets: process order.cancelled", stagedoor_order_id=order_id)
    assert await story.path(released) == [
        "tickets: process order.cancelled",
        "orders: send order.cancelled",
        "orders: process expiration.complete",
        "expiration: send expiration.complete",
        "expiration: process timers.due",
    ]


async def test_a_look_of_the_reconciler_is_one_trace_that_is_linked_to_the_request_to_pay(
    story: Story,
) -> None:
    order_id = story.checked["id"]
    look = await story.span("payments: look at payment", stagedoor_order_id=order_id)
    payment_id = look.attributes["stagedoor.payment.id"]
    request = await story.span("payments: send payment.created", stagedoor_payment_id=payment_id)
    assert (look.kind, look.parent, look.links) == ("internal", "", (request.trace,))
    assert look.trace != request.trace


async def test_processing_a_webhook_continues_the_trace_of_its_request(story: Story) -> None:
    processing = await story.span("payments: process webhook", stagedoor_order_id=story.order["id"])
    assert processing.kind == "consumer"
    path = await story.path(processing)
    assert path[:2] == ["payments: process webhook", "payments: POST /api/payments/webhook"]


async def test_each_request_to_stripe_is_below_the_work_that_caused_it(story: Story) -> None:
    await story.span("payments: look at payment", stagedoor_order_id=story.checked["id"])
    callers = {(await story.path(span) or ["none"])[0] for span in story.to_stripe()}
    assert callers >= {"payments: look at payment", "payments: POST /api/payments"}
    assert callers <= {
        *("payments: look at payment", "payments: process webhook"),
        *("payments: POST /api/payments", "payments: GET /api/payments"),
        *("payments: process order.updated", "payments: process order.cancelled"),
    }


async def test_sending_an_email_starts_a_trace_that_is_linked_to_the_purchase(story: Story) -> None:
    order_id = story.order["id"]
    sending = await story.span("mail: send mail", stagedoor_mail_cause=order_id)
    handler = await story.span("mail: process order.updated", stagedoor_order_id=order_id)
    assert sending.parent == ""
    assert sending.links == (handler.trace,)


async def test_names_of_spans_contain_no_ids_and_no_span_contains_an_address(story: Story) -> None:
    names = {span.name for span in story.collector.spans}
    assert [name for name in names if re.search("[0-9a-f]{8}", name)] == []
    assert not any(
        email in str(span) + repr(span) for email in story.emails for span in story.collector.spans
    )
    assert {span.process for span in story.collector.spans} == ALL_PROCESSES


async def test_only_database_commands_of_requests_and_messages_are_exported(story: Story) -> None:
    commands = [span for span in story.collector.spans if "db.system" in span.attributes]
    assert commands
    assert all(span.parent for span in commands)
