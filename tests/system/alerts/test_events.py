"""Alerts about events that don't arrive. Each test breaks what its alert monitors."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from decimal import Decimal

from bson import ObjectId

from contracts.events import ExpirationComplete, TicketCreated
from contracts.wire import now
from ops.provision import provision
from tests.support.people import Person
from tests.support.polling import until
from tests.support.prometheus import Scrape
from tests.support.service import new_id
from tests.system.alerts.conftest import Monitored

People = tuple[Person, Person]
CONSUMER = "orders-ticket-created"


def waiting(found: Scrape) -> float:
    return found.value("stagedoor_consumer_pending_messages", consumer=CONSUMER)


def orders_own_alert(monitored: Monitored) -> Callable[[], Awaitable[bool]]:
    """Whether the orders service has reported that its consumer missed events. The owners of events use the
    same kind of alert, and orders also owns events."""

    async def look() -> bool:
        return f"{CONSUMER} may have missed events: it received none after" in monitored.stack.log_of(
            "orders"
        )

    return look


def a_ticket() -> TicketCreated:
    return TicketCreated(
        id=new_id(), version=0, title="Low Roar", price=Decimal("19.99"), user_id=new_id(), status="available"
    )


async def test_a_message_that_cannot_be_published_makes_the_outbox_old(
    monitored: Monitored, people: People
) -> None:
    ticket = await people[0].lists_ticket()
    entry = {
        "id": new_id(),
        "subject": "ticket.undeclared",
        "about": ticket["id"],
        "time": now() - timedelta(minutes=2),
        "traceparent": f"00-{'a' * 32}-{'b' * 16}-01",
        "body": "{}",
    }
    async with monitored.database("tickets") as database:
        this = {"_id": ObjectId(ticket["id"])}
        await database["tickets"].update_one(this, {"$push": {"outbox": entry}})
        try:
            await monitored.alerts(
                lambda found: found.value("stagedoor_outbox_oldest_message_age_seconds", job="tickets") > 60,
                "OutboxOld",
            )
        finally:
            await database["tickets"].update_one(this, {"$pull": {"outbox": {"id": entry["id"]}}})


async def test_a_consumer_that_receives_nothing_is_stuck(monitored: Monitored, people: People) -> None:
    async with monitored.paused(CONSUMER):
        await people[0].lists_ticket()
        await monitored.alerts(waiting, "ConsumerStuck")


async def test_a_consumer_with_many_waiting_messages_lags(monitored: Monitored) -> None:
    async with monitored.paused(CONSUMER) as js:
        for _ in range(1_001):
            await js._nc.publish("ticket.created", a_ticket().to_json().encode())
        await js._nc.flush()
        await monitored.alerts(lambda found: waiting(found) > 1_000, "ConsumerLag", "ConsumerStuck")


async def test_an_event_that_is_handled_minutes_after_its_change_is_slow(monitored: Monitored) -> None:
    written = {"ce-time": (now() - timedelta(minutes=2)).isoformat()}
    async with monitored.jetstream() as js:
        await js.publish("ticket.created", a_ticket().to_json().encode(), headers=written)
    is_handled = monitored.has_grown("stagedoor_event_latency_seconds_count", consumer=CONSUMER)
    await monitored.alerts(is_handled, "EventsSlow")


async def test_a_message_in_dead_waits_for_an_operator(monitored: Monitored) -> None:
    async with monitored.jetstream() as js:
        await js.publish("ticket.created", b"no event")
        try:
            await monitored.alerts(
                lambda found: found.value("stagedoor_dead_letters_stored", consumer=CONSUMER), "DeadLetters"
            )
        finally:
            await js.purge_stream("DEAD")


async def test_a_stream_that_is_nearly_full_alerts(monitored: Monitored) -> None:
    async with monitored.jetstream() as js:
        await provision(js, limits={"DEAD": {"max_bytes": 10_000}})
        await js.publish("dead.nobody.nothing", b"x" * 9_000)
        try:
            await monitored.alerts(
                lambda found: found.value("stagedoor_stream_bytes", stream="DEAD") > 8_000, "StreamNearlyFull"
            )
        finally:
            await js.purge_stream("DEAD")
            await provision(js, limits={"DEAD": {"max_bytes": 128_000_000}})


async def test_events_that_are_discarded_before_their_consumer_receives_them_alert(
    monitored: Monitored, people: People
) -> None:
    async with monitored.paused(CONSUMER) as js:
        for _ in range(2):
            await people[0].lists_ticket()
        await monitored.shows(lambda found: waiting(found) == 2)
        # A limit discards the first one, as in production. A purge would also move the consumer's position
        # past what it deletes, so that only the owner of the events could notice it.
        await provision(js, limits={"EVENTS": {"max_msgs": 1}})
        await provision(js, limits={"EVENTS": {"max_msgs": -1}})
        await monitored.gaps_are_found(js)
        await until(orders_own_alert(monitored))
        await monitored.alerts(
            lambda found: all(
                monitored.has_grown("stagedoor_alerts_total", kind="discarded", job=job)(found)
                for job in ("orders", "tickets")
            ),
            "ConsumerStuck",
            "EventsDiscarded",
        )


async def test_a_timer_that_is_due_and_not_announced_is_late(monitored: Monitored, people: People) -> None:
    seller, buyer = people
    order = await buyer.reserves((await seller.lists_ticket())["id"])
    # A timer of an unknown order would be announced for three minutes, and then become a dead letter.
    await buyer.cancels(order["id"])
    async with monitored.paused("expiration-timers-due", stream="TIMERS") as js:
        timer = ExpirationComplete(order_id=order["id"], expires_at=now())
        await js.publish(f"timers.due.{timer.order_id}", timer.to_json().encode())
        await monitored.alerts(lambda found: found.value("stagedoor_timers", state="due"), "TimersLate")
