"""Every subscriber calls exactly one action of its service for an event. No NATS or database is needed."""

from datetime import timedelta
from unittest.mock import AsyncMock, Mock

import pytest
from faststream.nats import NatsBroker, TestNatsBroker

from contracts.events import ALL_EVENTS
from services.mail.actions import Outgoing
from services.payments.actions import Payments
from services.payouts.actions import Payouts
from settings import ServiceName
from streams.processes import CONSUMERS, PROCESSES
from streams.timers import JetStreamTimers
from streams.topology import DUE_TIMERS, Consumer
from tests.support.owners import FakeOwner
from tests.unit.contracts.examples import GOLDEN

TICKETS_FOLLOW_ORDER = "services.tickets.actions.follow_order"
PAYMENTS_FOLLOW_ORDER = "services.payments.actions.Payments.follow_order"
EXPIRATION_FOLLOW_ORDER = "services.expiration.actions.follow_order"
ANNOUNCE = "streams.timers.JetStreamTimers.announce"
TICKETS_FOLLOW_USER = "services.tickets.leaving.follow_user"
ORDERS_FOLLOW_USER = "services.orders.leaving.follow_user"
ORDERS_FOLLOW_TICKET = "services.orders.actions.follow_ticket"
ORDERS_EXPIRE = "services.orders.actions.expire"
ORDERS_FOLLOW_PAYMENT = "services.orders.actions.follow_payment"
PAYOUTS_FOLLOW_ORDER = "services.payouts.actions.Payouts.follow_order"
PAYOUTS_FOLLOW_PAYMENT = "services.payouts.actions.Payouts.follow_payment"
MAIL_TELL = "services.mail.actions.Outgoing.tell"

SUBSCRIBERS: list[tuple[ServiceName, str, str]] = [
    ("tickets", "order.created", TICKETS_FOLLOW_ORDER),
    ("tickets", "order.updated", TICKETS_FOLLOW_ORDER),
    ("tickets", "order.cancelled", TICKETS_FOLLOW_ORDER),
    ("tickets", "user.updated", TICKETS_FOLLOW_USER),
    ("orders", "ticket.created", ORDERS_FOLLOW_TICKET),
    ("orders", "ticket.updated", ORDERS_FOLLOW_TICKET),
    ("orders", "expiration.complete", ORDERS_EXPIRE),
    ("orders", "payment.created", ORDERS_FOLLOW_PAYMENT),
    ("orders", "payment.updated", ORDERS_FOLLOW_PAYMENT),
    ("orders", "user.updated", ORDERS_FOLLOW_USER),
    ("payments", "order.created", PAYMENTS_FOLLOW_ORDER),
    ("payments", "order.updated", PAYMENTS_FOLLOW_ORDER),
    ("payments", "order.cancelled", PAYMENTS_FOLLOW_ORDER),
    ("expiration", "order.created", EXPIRATION_FOLLOW_ORDER),
    ("expiration", "order.updated", EXPIRATION_FOLLOW_ORDER),
    ("expiration", "order.cancelled", EXPIRATION_FOLLOW_ORDER),
    ("expiration", DUE_TIMERS, ANNOUNCE),
    ("payouts", "order.created", PAYOUTS_FOLLOW_ORDER),
    ("payouts", "order.updated", PAYOUTS_FOLLOW_ORDER),
    ("payouts", "order.cancelled", PAYOUTS_FOLLOW_ORDER),
    ("payouts", "payment.updated", PAYOUTS_FOLLOW_PAYMENT),
    ("mail", "order.updated", MAIL_TELL),
    ("mail", "payout.updated", MAIL_TELL),
    ("mail", "alert.matched", MAIL_TELL),
    ("mail", "user.updated", MAIL_TELL),
    ("mail", "link.created", MAIL_TELL),
    ("mail", "session.started", MAIL_TELL),
]
"""Each service, the subject of one of its consumers, and the action that the subscriber calls."""

HINT = (
    "A subscriber calls its action through the module, `actions.follow_order(event)`, because this test "
    "replaces the action there. What it takes besides the event has to be in `provided` of `broker_of`."
)


def test_the_list_of_subscribers_covers_every_consumer() -> None:
    listed = {(service, subject) for service, subject, _ in SUBSCRIBERS}
    consumers = {(consumer.service, consumer.subject) for consumer in CONSUMERS}
    assert len(listed) == len(SUBSCRIBERS)
    assert not consumers - listed, f"add to SUBSCRIBERS above, with their actions: {consumers - listed}"
    assert not listed - consumers, f"remove from SUBSCRIBERS above: {listed - consumers}"


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Mock:
    """Replace all actions by mocks, and record their calls."""
    calls = Mock()
    for action in {action for _, _, action in SUBSCRIBERS}:
        calls.attach_mock(replacement := AsyncMock(), action.replace(".", "_"))
        monkeypatch.setattr(action, replacement)
    return calls


@pytest.mark.parametrize(("service", "subject", "action"), SUBSCRIBERS)
async def test_a_subscriber_calls_one_action_with_its_event(
    service: ServiceName, subject: str, action: str, calls: Mock
) -> None:
    [consumer] = [each for each in CONSUMERS if (each.service, each.subject) == (service, subject)]
    event = "expiration.complete" if subject == DUE_TIMERS else subject
    [kind] = [kind for kind in ALL_EVENTS if kind.subject == event]
    golden = (GOLDEN / "events" / f"{event}.json").read_bytes()
    async with TestNatsBroker(broker_of(service)) as broker:
        await broker.publish(
            golden, subject_of(consumer), stream=consumer.stream, reply_to=as_delivered_to(consumer)
        )
    assert len(calls.mock_calls) == 1, f"{action} wasn't called once, but: {calls.mock_calls}. {HINT}"
    [(name, arguments, _)] = calls.mock_calls
    assert (name, arguments[0]) == (action.replace(".", "_"), kind.model_validate_json(golden))


def as_delivered_to(consumer: Consumer) -> str:
    """Where an acknowledgement goes, which also tells the subscriber what delivered the message."""
    return f"$JS.ACK.{consumer.stream}.{consumer.name}.1.1.1.1800000000000000000.0"


def broker_of(service: ServiceName) -> NatsBroker:
    """A broker with the subscribers of a service and the dependencies that the service injects into them."""
    [process] = [process for process in PROCESSES if process.name == service]
    provided = {
        "window": timedelta(minutes=15),
        "tickets": FakeOwner(),
        "payments": Payments.__new__(Payments),
        "payouts": Payouts.__new__(Payouts),
        "timers": JetStreamTimers.__new__(JetStreamTimers),
        "outgoing": Outgoing.__new__(Outgoing),
    }
    broker = NatsBroker(apply_types=False)
    broker.include_router(process.listener.router(provided=provided))
    return broker


def subject_of(consumer: Consumer) -> str:
    return consumer.subject.replace("*", "65f0c0ffee0000000000000b")
