"""What operators may do with orders and tickets of others, and the races between that and everybody else."""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from datetime import datetime, timedelta
from itertools import count
from typing import Any
from unittest.mock import patch

import httpx
import pytest

from contracts.events import GRACE, ExpirationComplete
from contracts.wire import now
from kit.aggregates import Aggregate
from kit.errors import ServiceError
from kit.secrets import operator_token
from services.orders import actions
from services.orders.documents import Order
from services.orders.rules import MAX_OPERATOR_HOLD
from services.tickets import actions as tickets_actions
from tests.support.events import WINDOW, an_order, confirm_hold, fire_timer, on_sale, payment_of
from tests.support.service import Served, SettingsWith, messages, new_id, refusal, serving

ANN, BOB = new_id(), new_id()

CANCELLATIONS = "/api/orders/cancellations"
EXTENSIONS = "/api/orders/extensions"
WITHDRAWALS = "/api/tickets/withdrawals"
WHY = "the buyer phoned"


async def act(served: Served, path: str, *, token: str | None = None, **body: Any) -> httpx.Response:
    """Send a request as an operator."""
    secret = operator_token(served.app.state.settings) if token is None else token
    headers = {"Authorization": f"Bearer {secret}"} if secret else {}
    return await served.ask("POST", path, json=body, headers=headers)


async def cancel(orders: Served, order: dict[str, Any]) -> httpx.Response:
    return await act(orders, CANCELLATIONS, orderId=order["id"], reason=WHY)


async def extend(orders: Served, order: dict[str, Any], until: datetime) -> httpx.Response:
    return await act(orders, EXTENSIONS, orderId=order["id"], expiresAt=until.isoformat())


async def withdraw(tickets: Served, ticket: dict[str, Any]) -> httpx.Response:
    return await act(tickets, WITHDRAWALS, ticketId=ticket["id"], reason=WHY)


async def reserve(orders: Served, *, ticket: str | None = None) -> dict[str, Any]:
    """An order of Ann whose hold tickets has confirmed."""
    body = {"ticketId": ticket or await on_sale()}
    answer = await orders.ask("POST", "/api/orders", by=ANN, json=body)
    assert answer.status_code == 201, answer.text
    order: dict[str, Any] = answer.json()
    await confirm_hold(order)
    return order


async def shown(orders: Served, order: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = (await orders.ask("GET", f"/api/orders/{order['id']}", by=ANN)).json()
    return found


async def list_ticket(tickets: Served) -> dict[str, Any]:
    answer = await tickets.ask("POST", "/api/tickets", by=ANN, json={"title": "Hamlet", "price": 19.99})
    ticket: dict[str, Any] = answer.json()
    return ticket


def deadline_of(order: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(order["expiresAt"])


async def test_an_order_that_an_operator_cancels_frees_its_ticket_and_says_who_cancelled_it(
    orders: Served,
) -> None:
    ticket = await on_sale()
    order = await reserve(orders, ticket=ticket)
    answers = [await cancel(orders, order) for _ in range(2)]
    assert [(answer.status_code, answer.json()["status"]) for answer in answers] == [(200, "cancelled")] * 2
    seen = await shown(orders, order)
    assert (seen["cancelledByOperator"], seen["cancelReason"]) == (True, None)
    _, (subject, event) = await orders.outbox("orders", order["id"])  # one cancellation
    assert (subject, event["cancelledByOperator"], event["cancelReason"]) == ("order.cancelled", True, None)
    answer = await orders.ask("POST", "/api/orders", by=BOB, json={"ticketId": ticket})
    assert answer.status_code == 201


async def test_an_order_that_ended_before_is_not_cancelled_by_an_operator(orders: Served) -> None:
    order = await reserve(orders)
    await orders.ask("DELETE", f"/api/orders/{order['id']}", by=ANN)
    answer = await cancel(orders, order)
    seen = answer.json()
    assert (answer.status_code, seen["cancelReason"], seen["cancelledByOperator"]) == (200, "buyer", False)


async def test_an_operator_has_to_refund_a_paid_order_instead_of_cancelling_it(orders: Served) -> None:
    order = await reserve(orders)
    await actions.follow_payment(payment_of(order, "authorized"), WINDOW)
    refused = messages(await cancel(orders, order), 409)
    assert refused == ["A completed order can't be cancelled. Refund it instead"]
    assert (await shown(orders, order))["status"] == "complete"


async def test_an_extension_moves_the_deadline_and_a_repetition_or_an_earlier_time_does_not(
    orders: Served,
) -> None:
    order = await reserve(orders)
    later = deadline_of(order) + timedelta(hours=1)
    for until in (later, later, later - timedelta(minutes=30)):
        answer = await extend(orders, order, until)
        assert (answer.status_code, deadline_of(answer.json())) == (200, later)
    events = await orders.outbox("orders", order["id"])
    assert [(subject, body["expiresAt"]) for subject, body in events] == [
        ("order.created", order["expiresAt"]),
        ("order.updated", answer.json()["expiresAt"]),
    ]
    await fire_timer(order)
    assert (await shown(orders, order))["status"] == "created"
    await fire_timer(answer.json())
    assert (await shown(orders, order))["cancelReason"] == "expired"


async def test_an_extension_is_at_most_a_day_and_only_for_an_unpaid_order(orders: Served) -> None:
    order = await reserve(orders)
    day = now() + MAX_OPERATOR_HOLD
    ((field, message),) = refusal(await extend(orders, order, day + timedelta(minutes=1)), 400)
    assert (field, message) == (
        "expiresAt",
        "The new deadline must be at most 24 hours after the reservation",
    )
    ((field, _),) = refusal(await extend(orders, order, now()), 400)
    assert field == "expiresAt"
    await actions.follow_payment(payment_of(order, "authorized"), WINDOW)
    later = deadline_of(order) + timedelta(minutes=5)
    refused = messages(await extend(orders, order, later), 409)
    assert refused == ["Only an unpaid order can get more time to pay"]


async def test_an_operator_withdraws_a_ticket_and_repeating_it_changes_nothing(tickets: Served) -> None:
    ticket = await list_ticket(tickets)
    answers = [await withdraw(tickets, ticket) for _ in range(2)]
    assert [(it.status_code, it.json()["status"], it.json()["version"]) for it in answers] == [
        (200, "withdrawn", 1)
    ] * 2
    # The seller sees the same as after a withdrawal of their own.
    refused = await tickets.ask(
        "PUT", f"/api/tickets/{ticket['id']}", by=ANN, json={"title": "A", "price": 9}
    )
    assert messages(refused, 409) == ["Cannot edit a withdrawn ticket"]


async def test_a_ticket_that_an_order_has_is_not_withdrawn_and_the_answer_names_the_order(
    tickets: Served,
) -> None:
    ticket = await list_ticket(tickets)
    order = an_order(BOB)
    of_ticket = order.ticket.model_copy(update={"id": ticket["id"]})
    held = order.model_copy(update={"ticket": of_ticket})
    await tickets_actions.follow_order(held)
    refused = messages(await withdraw(tickets, ticket), 409)
    assert refused == [f"Order {order.id} holds the ticket. Cancel the order first"]
    await tickets_actions.follow_order(held.model_copy(update={"status": "complete", "version": 1}))
    refused = messages(await withdraw(tickets, ticket), 409)
    assert refused == [f"The ticket is sold to order {order.id}, and can't be withdrawn"]


async def test_each_action_is_in_the_security_log_with_its_reason(
    orders: Served, tickets: Served, caplog: pytest.LogCaptureFixture
) -> None:
    order, ticket = await reserve(orders), await list_ticket(tickets)
    later = deadline_of(order) + timedelta(minutes=5)
    with caplog.at_level(logging.INFO, logger="security"):
        await act(orders, EXTENSIONS, orderId=order["id"], expiresAt=later.isoformat(), reason="a  bank ")
        await cancel(orders, order)
        await withdraw(tickets, ticket)
    lines = [json.loads(line.getMessage()) for line in caplog.records if line.name == "security"]
    names = ("event", "outcome", "actor", "order", "ticket", "reason")
    assert [tuple(line.get(name) for name in names) for line in lines] == [
        ("order-extension", "success", "operator", order["id"], None, "a bank"),
        ("order-cancellation", "success", "operator", order["id"], None, WHY),
        ("ticket-withdrawal", "success", "operator", None, ticket["id"], WHY),
    ]


ROUTES: list[tuple[Any, str, dict[str, Any]]] = [
    ("orders", CANCELLATIONS, {"orderId": new_id(), "reason": WHY}),
    ("orders", EXTENSIONS, {"orderId": new_id(), "expiresAt": "2031-05-01T18:00:00.000Z"}),
    ("tickets", WITHDRAWALS, {"ticketId": new_id(), "reason": WHY}),
]


@pytest.mark.parametrize(("name", "path", "body"), ROUTES)
async def test_only_operators_may_call_these_routes_also_with_the_previous_token(
    settings_with: SettingsWith, name: Any, path: str, body: dict[str, Any]
) -> None:
    conf = settings_with(operator_token="n" * 32, previous_operator_token="o" * 32)
    async with serving(name, conf) as served:
        for token in ("", "wrong", "x" * 32):
            refusal(await act(served, path, token=token, **body), 401)
        refusal(await served.ask("POST", path, by=ANN, json=body), 401)
        for token in ("n" * 32, "o" * 32):
            assert messages(await act(served, path, token=token, **body), 404) == ["Not found"]


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        (CANCELLATIONS, {"orderId": "a" * 24}, "reason"),
        (CANCELLATIONS, {"orderId": "a" * 24, "reason": " "}, "reason"),
        (CANCELLATIONS, {"orderId": "a" * 24, "reason": "x" * 501}, "reason"),
        (CANCELLATIONS, {"orderId": "", "reason": WHY}, "orderId"),
        (EXTENSIONS, {"orderId": "a" * 24}, "expiresAt"),
        (EXTENSIONS, {"orderId": "a" * 24, "expiresAt": 15}, "expiresAt"),
        (EXTENSIONS, {"orderId": "a" * 24, "expiresAt": "2031-05-01T18:00:00"}, "expiresAt"),
        (EXTENSIONS, {"orderId": "a" * 24, "minutes": 15}, "expiresAt"),
    ],
)
async def test_the_error_for_an_invalid_body_names_the_invalid_field(
    orders: Served, path: str, body: dict[str, Any], field: str
) -> None:
    assert field in [named for named, _ in refusal(await act(orders, path, **body), 400)]


Step = Callable[[], Awaitable[object]]

_time: ContextVar[timedelta] = ContextVar("time", default=timedelta())


async def race(*steps: tuple[Step, timedelta]) -> list[bool]:
    """Run the steps of orders at the same time, each by its own clock. Return which ones succeeded.

    Each has read the order before another writes.
    """
    all_have_read, reads, first = asyncio.Barrier(len(steps)), count(1), Order.first

    async def read_together(which: dict[str, Any]) -> Any:
        found = await first(which)
        if next(reads) <= len(steps):
            await all_have_read.wait()
        return found

    async def run(step: Step, ahead: timedelta) -> bool:
        _time.set(ahead)
        try:
            await step()
        except ServiceError:
            return False
        return True

    with (
        patch.object(Order, "first", read_together),
        patch.object(actions, "now", lambda: now() + _time.get()),
    ):
        return list(await asyncio.gather(*(run(*step) for step in steps)))


@pytest.fixture
def without_guard(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let writes ignore what was written since the document was read."""

    async def careless(document: Aggregate, update: dict[str, Any], _: dict[str, Any]) -> bool:
        result = await document.get_pymongo_collection().update_one({"_id": document.id}, update)
        return result.matched_count == 1

    monkeypatch.setattr(Order, "_update", careless)


async def cancel_while_paid(orders: Served) -> tuple[list[bool], set[str]]:
    """Whether a cancellation and a payment at the same time succeed, and the final states that others see."""
    order = await reserve(orders)
    outcome = await race(
        (lambda: actions.cancel_by_operator(order["id"]), timedelta()),
        (lambda: actions.follow_payment(payment_of(order, "authorized"), WINDOW), timedelta()),
    )
    statuses = {body["status"] for _, body in await orders.outbox("orders", order["id"])}
    return outcome, statuses & {"complete", "cancelled"}


async def test_an_order_is_never_both_cancelled_by_an_operator_and_paid(orders: Served) -> None:
    for _ in range(5):
        (is_cancelled, _), ends = await cancel_while_paid(orders)
        assert ends == ({"cancelled"} if is_cancelled else {"complete"})


@pytest.mark.usefixtures("without_guard")
async def test_without_the_guard_an_order_would_be_both_cancelled_and_paid(orders: Served) -> None:
    _, ends = await cancel_while_paid(orders)
    assert ends == {"complete", "cancelled"}


async def extend_while_expiring(orders: Served) -> tuple[bool, dict[str, Any]]:
    """Whether an extension succeeds while another process, whose clock is ahead, expires the order."""
    order = await reserve(orders)
    due = ExpirationComplete.model_validate({"orderId": order["id"], "expiresAt": order["expiresAt"]})
    until = deadline_of(order) + timedelta(minutes=30)
    is_extended, _ = await race(
        (lambda: actions.extend_by_operator(order["id"], until), timedelta()),
        (lambda: actions.expire(due), WINDOW + GRACE + timedelta(seconds=1)),
    )
    return is_extended, await shown(orders, order)


async def test_an_order_either_expires_or_is_extended_if_both_happen_at_the_same_time(
    orders: Served,
) -> None:
    for _ in range(5):
        is_extended, order = await extend_while_expiring(orders)
        assert order["status"] == ("created" if is_extended else "cancelled")


@pytest.mark.usefixtures("without_guard")
async def test_without_the_guard_an_operator_would_extend_an_order_that_expires(orders: Served) -> None:
    is_extended, order = await extend_while_expiring(orders)
    assert (is_extended, order["status"]) == (True, "cancelled")
