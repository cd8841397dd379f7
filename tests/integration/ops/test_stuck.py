"""`ops stuck`: what lasts too long, with the reason and the component that is awaited."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
import pytest_asyncio
from bson import ObjectId
from nats.js import JetStreamContext

from contracts.wire import now
from kit.mongo import connect
from ops.sources import has_timer, opened
from ops.stuck import STATES, Finding, lasted, stuck, watch
from ops.stuck.looks import LOOKS
from ops.stuck.watcher import look_for_all
from sandbox.processes import ROOT
from sandbox.testing import free_port
from settings import Settings
from streams.delivery import DeadLetter
from streams.processes import OUTBOXES
from tests.integration.streams.conftest import Nats, bus, js, server  # noqa: F401 - fixtures
from tests.support.operate import CommandResult, operate

HOUR = timedelta(hours=1)
COLLECTIONS = (
    *OUTBOXES,
    ("payments", "webhook_events"),
    ("payouts", "webhook_events"),
    ("mail", "messages"),
)
DAY = timedelta(days=1)


@dataclass(frozen=True)
class Records:
    """The databases and streams of a marketplace without processes."""

    mongo: Any
    js: JetStreamContext
    settings: Settings

    async def add(self, service: str, collection: str = "", **fields: Any) -> str:
        """Add a document as a service stores it, an hour old unless it has an id."""
        document = {"_id": an_hour_old(), "version": 0, **fields}
        await self.mongo[service][collection or service].insert_one(document)
        return str(document["_id"])

    async def order(self, **fields: Any) -> str:
        usual = {"status": "created", "live": True, "active": True, "held": True, "kept_until": None}
        # Other tests may have created unique indexes.
        people = {"ticket_id": str(ObjectId()), "user_id": str(ObjectId())}
        return await self.add("orders", **{**people, "expires_at": now() + HOUR, **usual, **fields})

    async def payment(self, order_id: str, **fields: Any) -> str:
        return await self.add(
            "payments", **{"order_id": order_id, "amount": 1999, "next_look_at": now() + HOUR, **fields}
        )

    async def findings(self) -> list[Finding]:
        return await stuck(self.settings, confirm_seconds=0)

    async def operate(self, *arguments: str) -> CommandResult:
        assert self.settings.nats_url is not None
        nats_url = self.settings.nats_url.get_secret_value()
        environment = {"NATS_URL": nats_url, "MONGO_URL": self.settings.database}
        return await operate("stuck", *arguments, environment=environment)


def an_hour_old() -> ObjectId:
    """A new id. Its first four bytes are the time."""
    return ObjectId(ObjectId.from_datetime(now() - HOUR).binary[:4] + ObjectId().binary[4:])


@pytest_asyncio.fixture
async def records(
    server: Nats,  # noqa: F811
    js: JetStreamContext,  # noqa: F811
    mongo: str,
) -> AsyncIterator[Records]:
    async with connect(mongo) as client:
        for service, collection in COLLECTIONS:
            await client[service][collection].delete_many({})
        yield Records(client, js, Settings.model_validate({"nats_url": server.url, "mongo_url": mongo}))
        for service, collection in COLLECTIONS:
            await client[service][collection].delete_many({})


async def _unpaid(records: Records) -> str:
    return f"order {await records.order(expires_at=now() - HOUR)}"


async def _unconfirmed(records: Records) -> str:
    return f"order {await records.order(held=False)}"


async def _undecided(records: Records) -> str:
    order = await records.order()
    await records.payment(order, status="authorized", authorized_at=now() - HOUR)
    return f"order {order}"


async def _uncaptured(records: Records) -> str:
    order = await records.order(status="complete", live=False)
    await records.payment(order, status="authorized", authorized_at=now() - HOUR)
    return f"order {order}"


async def _unreleased(records: Records) -> str:
    order = await records.order(status="cancelled", live=False, active=False)
    await records.payment(order, status="authorized", authorized_at=now() - HOUR)
    return f"order {order}"


async def _unlooked(records: Records) -> str:
    order = await records.order()
    await records.payment(order, status="pending", next_look_at=now() - HOUR)
    return f"order {order}"


async def _pending_refund(records: Records) -> str:
    order = await records.order(status="complete", live=False)
    await records.payment(order, status="refunding", refund_requested_at=now() - 2 * HOUR)
    return f"order {order}"


async def _failed_refund(records: Records) -> str:
    order = await records.order(status="complete", live=False)
    refunds = [{"id": "re_1", "amount": 1999, "status": "failed", "failure": "lost_or_stolen_card"}]
    await records.payment(order, status="refunding", refund_requested_at=now(), refunds=refunds)
    return f"order {order}"


async def _webhook(records: Records) -> str:
    await records.add(
        "payments",
        "webhook_events",
        _id="evt_1",
        order_id="65f0",
        received_at=now() - HOUR,
        due=now() + HOUR,
        processed=False,
        failures=7,
    )
    return "webhook evt_1 of order 65f0"


async def _ordered_refund(records: Records) -> str:
    report = {"state": "partly-refunded", "decided_at": now() - 2 * HOUR}
    money = {"price_minor": 1999, "refund_due_minor": 500, "refunded_minor": 0}
    reported = {"reported_at": now() - DAY, "report_open": False, "report": report}
    return f"order {await records.order(status='complete', live=False, **money, **reported)}"


async def _undecided_problem(records: Records) -> str:
    reported = {"reported_at": now() - 5 * DAY, "report_open": True, "report": {"state": "answered"}}
    return f"order {await records.order(status='complete', live=False, **reported)}"


async def _sale(records: Records, **fields: Any) -> str:
    usual = {"seller_id": "65f0", "payment_id": "65f1", "currency": "usd", "gross": 1999, "fee": 0}
    return f"order {await records.add('payouts', 'sales', **usual, **fields)}"


async def _unlooked_sale(records: Records) -> str:
    return await _sale(records, state="due", next_look_at=now() - HOUR)


async def _frozen_sale(records: Records) -> str:
    return await _sale(records, state="frozen", frozen_at=now() - 8 * DAY, problem="answered")


async def _frozen_without_a_reason(records: Records) -> str:
    return await _sale(records, state="frozen", frozen_at=now() - 8 * DAY)


async def _disputed_sale(records: Records) -> str:
    await _sale(records, state="frozen", frozen_at=now() - 119 * DAY, dispute="open")
    return await _sale(records, state="frozen", frozen_at=now() - 121 * DAY, dispute="open")


async def _webhook_of_payouts(records: Records) -> str:
    times = {"received_at": now() - HOUR, "due": now() + HOUR}
    await records.add(
        "payouts", "webhook_events", _id="evt_2", order_id=None, processed=False, failures=3, **times
    )
    return "webhook evt_2 of order unknown"


async def _held(records: Records) -> str:
    order = await records.order(status="cancelled", live=False, active=False)
    ticket = await records.add("tickets", status="reserved", order_id=order, updated_at=now() - HOUR)
    return f"ticket {ticket}"


async def _sold(records: Records) -> str:
    ticket = await records.add("tickets", status="sold", order_id=str(ObjectId()), updated_at=now() - HOUR)
    return f"ticket {ticket}"


async def _unpublished(records: Records) -> str:
    entry = {"id": "1", "subject": "session.ended", "time": now() - HOUR}
    return f"session.ended of {await records.add('auth', 'sessions', outbox=[entry])}"


async def _dead(records: Records) -> str:
    headers = {DeadLetter.CONSUMER: "orders-payment-updated", DeadLetter.ERROR: "a bug"}
    await records.js.publish("dead.orders.payment.updated", b"{}", headers=headers)
    return "dead letter 1"


@pytest.mark.parametrize(
    ("state", "prepare", "reason", "awaited"),
    [
        ("order-unpaid", _unpaid, "created, and TIMERS has no timer of it", "the sweep of orders"),
        ("order-unconfirmed", _unconfirmed, "tickets hasn't confirmed the hold of ticket", "tickets"),
        ("payment-undecided", _undecided, "and the order is created", "orders"),
        ("payment-uncaptured", _uncaptured, "and the order is complete", "payments"),
        ("payment-unreleased", _unreleased, "and the order is cancelled", "payments"),
        ("payment-overdue", _unlooked, "the reconciler should have looked", "payments"),
        ("refund-pending", _pending_refund, "Stripe hasn't accepted it", "payments"),
        ("refund-failed", _failed_refund, "(lost_or_stolen_card)", "an operator: "),
        ("webhook-unprocessed", _webhook, "7 attempts failed", "payments"),
        ("webhook-unprocessed", _webhook_of_payouts, "3 attempts failed", "payouts"),
        ("refund-ordered", _ordered_refund, "5.00 is ordered, and 0.00 is returned", "payments"),
        ("problem-undecided", _undecided_problem, "is answered", "an operator"),
        ("payout-overdue", _unlooked_sale, "should have looked at the due sale", "payouts"),
        ("payout-frozen", _frozen_sale, "a reported problem is answered", "an operator"),
        ("payout-frozen", _frozen_without_a_reason, "nothing freezes it any more", "payouts"),
        ("dispute-open", _disputed_sale, "the buyer disputes the payment", "Stripe"),
        ("ticket-held", _held, "which is cancelled", "tickets"),
        ("ticket-sold", _sold, "which is missing", "orders"),
        ("event-unpublished", _unpublished, "it waits in the outbox of auth", "auth"),
        ("dead-letter", _dead, "orders-payment-updated gave up: a bug", "an operator"),
    ],
)  # fmt: skip
async def test_a_state_that_lasts_too_long_is_found_with_its_reason_and_what_is_awaited(
    records: Records,
    state: str,
    prepare: Callable[[Records], Awaitable[str]],
    reason: str,
    awaited: str,
) -> None:
    assert await records.findings() == []
    about = await prepare(records)
    (finding,) = await records.findings()
    assert (finding.state.name, finding.about) == (state, about)
    assert reason in finding.reason
    assert finding.awaited.startswith(awaited)


async def test_an_event_is_overdue_when_its_consumer_has_not_handled_it_for_a_minute(
    records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Events can't be made older, so the moment of the look is later."""
    await records.js.publish("order.updated", b"{}")
    await records.js.publish("order.updated", b"{}")
    assert await records.findings() == []
    async with opened(records.settings) as sources:
        found = [finding for look in LOOKS async for finding in look(sources, now() + HOUR)]
    services = {"tickets", "expiration", "payments", "mail", "payouts"}
    assert {finding.about for finding in found} == {f"consumer {each}-order-updated" for each in services}
    assert {finding.awaited for finding in found} == services
    assert "it is 2 messages behind, of which 0 were delivered" in found[0].reason


async def test_a_paused_consumer_is_called_paused(records: Records) -> None:
    until = json.dumps({"pause_until": (now() + 2 * HOUR).isoformat()}).encode()
    request = "$JS.API.CONSUMER.PAUSE.EVENTS.payments-order-updated"
    answer = await records.js._nc.request(request, until, timeout=10)
    assert b'"paused":true' in answer.data
    await records.js.publish("order.updated", b"{}")
    async with opened(records.settings) as sources:
        found = [finding for look in LOOKS async for finding in look(sources, now() + HOUR)]
    paused = [finding.about for finding in found if "it is paused, and 1 message behind" in finding.reason]
    assert paused == ["consumer payments-order-updated"]


async def test_a_consumer_that_does_not_exist_is_overdue_at_once(records: Records) -> None:
    await records.js.delete_consumer("EVENTS", "payments-order-updated")
    (finding,) = await records.findings()
    assert finding.about == "consumer payments-order-updated"
    assert "just provision" in finding.reason


@pytest.mark.parametrize("status", ["queued", "sent"])
async def test_an_email_that_is_not_sent_after_an_hour_awaits_the_mail_server(
    records: Records, status: str
) -> None:
    cause, user = str(ObjectId()), str(ObjectId())
    email = {"kind": "receipt", "cause": cause, "recipient": user, "status": status, "attempts": 3}
    times = {"created_at": now() - HOUR, "next_attempt_at": now()}
    await records.add("mail", "messages", **email, **times, error="450")
    findings = [finding for finding in await records.findings() if cause in finding.about]
    if status == "sent":
        assert findings == []
        return
    (finding,) = findings
    assert finding.about == f"email receipt about {cause} to user {user}"
    assert finding.reason == "3 attempts, the last ended with 450"


async def test_what_is_young_is_not_overdue(records: Records) -> None:
    """The states are those of a purchase in progress."""
    young = {"_id": ObjectId()}
    order = await records.order(**young, held=False)
    await records.payment(order, status="authorized", authorized_at=now())
    cancelled = await records.order(status="cancelled", live=False, active=False)
    await records.add("tickets", status="reserved", order_id=cancelled, updated_at=now())
    await records.add("auth", "sessions", outbox=[{"id": "1", "subject": "session.ended", "time": now()}])
    kept = await records.order(expires_at=now() - HOUR, kept_until=now() + HOUR)
    assert [finding for finding in await records.findings() if kept in finding.about] == []
    assert await records.findings() == []


async def test_an_unpaid_order_whose_timer_is_late_awaits_nats(records: Records) -> None:
    deadline = now() - HOUR
    order = await records.order(expires_at=deadline)
    milliseconds = int(deadline.timestamp() * 1000)
    await records.js.publish(f"timers.set.{order}.{milliseconds}", b"{}")
    async with opened(records.settings) as sources:
        assert await has_timer(sources.js, order, deadline)
    (finding,) = await records.findings()
    assert "its timer is still in TIMERS" in finding.reason


async def test_a_finding_counts_only_if_it_is_still_there_a_moment_later(
    records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = await records.order(held=False)
    async with opened(records.settings) as sources:
        # The control: one look alone reports it.
        assert len(await look_for_all(sources)) == 1

    async def confirmed_meanwhile(_: float) -> None:
        which = {"_id": ObjectId(order)}
        await records.mongo["orders"]["orders"].update_one(which, {"$set": {"held": True}})

    monkeypatch.setattr("ops.stuck.watcher.sleep", confirmed_meanwhile)
    assert await stuck(records.settings) == []


async def test_the_command_exits_with_0_if_nothing_is_overdue_and_with_1_otherwise(records: Records) -> None:
    assert await records.operate() == CommandResult(0, "Nothing is overdue.\n", "")
    about = await _unconfirmed(records)
    ran = await records.operate()
    assert ran.code == 1
    assert ran.out.startswith("order-unconfirmed")
    assert f"{about}: tickets hasn't confirmed the hold" in ran.out
    assert ran.out.endswith("; awaited: tickets\n")


async def test_the_command_exits_with_2_if_nats_or_the_database_does_not_answer(records: Records) -> None:
    nobody = free_port()
    ran = await operate("stuck", environment={"NATS_URL": f"nats://127.0.0.1:{nobody}"})
    assert (ran.code, ran.out) == (2, "")
    assert "doesn't answer" in ran.err
    nats_url = records.settings.bus[0]
    unreadable = {"NATS_URL": nats_url, "MONGO_URL": f"mongodb://127.0.0.1:{nobody}"}
    ran = await operate("stuck", environment=unreadable)
    assert (ran.code, ran.out) == (2, "")
    assert len(ran.err.splitlines()) == 1


async def test_a_repeated_look_prints_each_finding_once_and_its_end_and_shows_a_gauge(
    records: Records,
) -> None:
    port = free_port()
    order = await records.order(held=False)
    lines: asyncio.Queue[str] = asyncio.Queue()

    async def follow() -> None:
        async with aclosing(watch(records.settings, 0.05, port, confirm_seconds=0)) as found:
            async for line in found:
                lines.put_nowait(line)

    async def gauge() -> float:
        async with httpx.AsyncClient() as http:
            text = (await http.get(f"http://127.0.0.1:{port}/metrics")).text
        name = 'stagedoor_overdue{state="order-unconfirmed"} '
        return float(next(line for line in text.splitlines() if line.startswith(name)).removeprefix(name))

    task = asyncio.create_task(follow())
    try:
        assert f"order {order}" in await asyncio.wait_for(lines.get(), 30)
        other = await records.order(held=False)
        assert f"order {other}" in await asyncio.wait_for(lines.get(), 30)
        assert await gauge() >= 1
        await records.mongo["orders"]["orders"].delete_many({})
        ended = [await asyncio.wait_for(lines.get(), 30) for _ in range(2)]
        assert all("ended" in line for line in ended)
        assert lines.empty()
    finally:
        task.cancel()


def test_the_operations_document_shows_all_states_as_the_code_has_them() -> None:
    document = (ROOT / "docs" / "operations.md").read_text("utf-8")
    (_, _, after) = document.partition("| state | means | may last | counted from | awaited |\n")
    rows = after.partition("\n\n")[0].splitlines()[1:]
    assert rows == [
        f"| `{state.name}` | {state.what} | {lasted(state.longest)} | {state.since} | {state.awaited} |"
        for state in STATES
    ]


def test_a_line_says_how_long_a_state_has_lasted() -> None:
    finding = Finding(STATES[0], "order 1", datetime(2027, 1, 1, tzinfo=UTC), "a reason", "orders")
    line = finding.line(datetime(2027, 1, 3, 4, 5, 6, tzinfo=UTC))
    assert line == "order-unpaid           2 d 4 h  order 1: a reason; awaited: orders"
