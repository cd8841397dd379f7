"""Alerts about full streams, and about events that were discarded before a consumer received them."""

import pytest
from nats.js import JetStreamContext
from prometheus_client import REGISTRY

from ops.provision import provision
from streams.stream_watch import StreamWatch
from streams.topology import Consumer

CONSUMER = Consumer("orders", "EVENTS", "ticket.created")


@pytest.fixture
def watch() -> StreamWatch:
    return StreamWatch([CONSUMER])


def alerts(kind: str) -> float:
    return REGISTRY.get_sample_value("stagedoor_alerts_total", {"kind": kind}) or 0


async def test_a_stream_that_is_nearly_full_raises_one_alert_until_it_has_room_again(
    js: JetStreamContext, watch: StreamWatch
) -> None:
    await provision(js, limits={"DEAD": {"max_bytes": 10_000}})
    before = alerts("stream_full")
    for raised, size in enumerate([1, 8_000]):
        await js.publish("dead.orders.ticket.created", b"x" * size)
        for _ in range(2):
            await watch.check(js)
        assert alerts("stream_full") - before == raised
    assert REGISTRY.get_sample_value("stagedoor_stream_max_bytes", {"stream": "DEAD"}) == 10_000
    assert 8_000 < (REGISTRY.get_sample_value("stagedoor_stream_bytes", {"stream": "DEAD"}) or 0) < 10_000
    await js.purge_stream("DEAD")
    await watch.check(js)
    await js.publish("dead.orders.ticket.created", b"x" * 9_000)
    await watch.check(js)
    assert alerts("stream_full") - before == 2


async def test_events_that_were_discarded_before_their_consumer_received_them_raise_an_alert(
    js: JetStreamContext, watch: StreamWatch
) -> None:
    before = alerts("discarded")
    await provision(js, limits={"EVENTS": {"max_bytes": 10_000}})
    await js.publish("ticket.created", b"x" * 4_000)
    await watch.check(js)
    assert alerts("discarded") == before
    for _ in range(4):
        await js.publish("ticket.created", b"x" * 4_000)
    for _ in range(2):
        await watch.check(js)
    assert alerts("discarded") == before + 1


async def test_a_purge_moves_the_position_of_a_consumer_so_that_only_the_owner_of_the_events_notices_it(
    js: JetStreamContext, watch: StreamWatch
) -> None:
    """test_missed_events.py tests that the owner notices it."""
    before = alerts("discarded")
    for _ in range(2):
        await js.publish("ticket.created", b"{}")
    await js.purge_stream("EVENTS")
    await js.publish("ticket.created", b"{}")
    await watch.check(js)
    info = await js.consumer_info(CONSUMER.stream, CONSUMER.name)
    assert (info.delivered.consumer_seq, info.delivered.stream_seq) == (0, 2)  # nothing was delivered
    assert info.num_pending == 1
    assert alerts("discarded") == before


async def test_events_that_were_received_may_be_discarded(js: JetStreamContext, watch: StreamWatch) -> None:
    before = alerts("discarded")
    await provision(js, limits={"EVENTS": {"max_bytes": 10_000}})
    consumer = await js.pull_subscribe_bind(CONSUMER.name, CONSUMER.stream)
    for _ in range(5):
        await js.publish("ticket.created", b"x" * 4_000)
        [message] = await consumer.fetch(1, timeout=5)
        await message.ack_sync()
        await watch.check(js)
    assert alerts("discarded") == before


async def test_a_timer_may_be_due_after_the_timers_before_it_were_removed(js: JetStreamContext) -> None:
    """TIMERS discards nothing: a timer that isn't there any more belongs to an order that needs none."""
    before = alerts("discarded")
    await js.publish("timers.set.paid.1", b"{}")
    await js.purge_stream("TIMERS", subject="timers.set.paid.*")
    await js.publish("timers.due.unpaid", b"{}")
    watch = StreamWatch([Consumer("expiration", "TIMERS", "timers.due.*")])
    await watch.check(js)
    assert REGISTRY.get_sample_value("stagedoor_timers", {"state": "due"}) == 1
    assert (await js.stream_info("TIMERS")).state.first_seq > 1
    assert alerts("discarded") == before


async def test_a_process_without_consumers_watches_nothing(js: JetStreamContext) -> None:
    await js.delete_stream("DEAD")
    await StreamWatch([]).check(js)
