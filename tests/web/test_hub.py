"""Who is told what, without a bus."""

import asyncio
from time import monotonic

import pytest

from contracts.events import OrderUpdated, PaymentUpdated, SessionEnded, TicketUpdated
from contracts.wire import now
from tests.people import PATIENCE
from web.hub import Change, Hub, Signal, Topic, Watcher
from web.live_bus import Interpreter

TICKET: Topic = ("ticket", "a" * 24)
ORDER: Topic = ("order", "b" * 24)
SESSION: Topic = ("session", "f" * 24)
OTHER: Topic = ("ticket", "c" * 24)


async def told(watcher: Watcher) -> list[Signal]:
    """All signals that wait, apart from the one that says where it is; closes the watcher's stream."""
    signals = []
    async for signal in watcher.signals(heartbeat=0.001):
        if signal is None:
            break
        if signal.name != "here":
            signals.append(signal)
    return signals


def heard(*changes: Change, limit: int = 100) -> Hub:
    hub = Hub(limit)
    for change in changes:
        hub.tell(change)
    return hub


async def test_signals_about_one_thing_become_one() -> None:
    hub, watcher = Hub(), Watcher([TICKET], None)
    hub.add(watcher)
    for number in (1, 2, 3):
        hub.tell(Change(number, (TICKET,)))
    assert await told(watcher) == [Signal("ticket", "a" * 24, 3)]


async def test_a_slow_browser_costs_bounded_memory_and_misses_nothing() -> None:
    topics: list[Topic] = [("ticket", str(number)) for number in range(300)]
    hub, watcher = Hub(), Watcher(topics, None)
    hub.add(watcher)
    for number in range(900):
        hub.tell(Change(number, (topics[number % 300],)))
    assert await told(watcher) == [Signal("ticket", str(number), 600 + number) for number in range(300)]


async def test_an_order_event_reaches_its_buyer_alone() -> None:
    hub, buyer, other = Hub(), Watcher([ORDER], "ann"), Watcher([ORDER], "bob")
    for watcher in (buyer, other):
        hub.add(watcher)
    hub.tell(Change(1, (ORDER,), buyer="ann"))
    assert len(await told(buyer)) == 1
    assert await told(other) == []


async def test_nobody_but_the_buyer_is_repeated_an_order_event() -> None:
    hub = heard(Change(1), Change(2, (ORDER,), buyer="ann"))
    for viewer, signals in (("ann", [Signal("order", "b" * 24, 2)]), ("bob", []), (None, [])):
        watcher = Watcher([ORDER], viewer)
        hub.add(watcher, since=1)
        assert await told(watcher) == signals


async def test_who_comes_back_hears_what_was_missed_of_its_topics_in_order() -> None:
    hub = heard(Change(7, (TICKET,)), Change(8, (OTHER,)), Change(9, (ORDER,)), Change(10, (TICKET,)))
    watcher = Watcher([TICKET, OTHER], None)
    hub.add(watcher, since=7)
    hub.tell(Change(11, (OTHER,)))
    assert await told(watcher) == [Signal("ticket", "a" * 24, 10), Signal("ticket", "c" * 24, 11)]


@pytest.mark.parametrize("since", [9, 10])
async def test_who_missed_nothing_is_told_nothing(since: int) -> None:
    watcher = Watcher([TICKET], None)
    heard(Change(9, (TICKET,)), Change(10)).add(watcher, since=since)
    assert await told(watcher) == []


@pytest.mark.parametrize("since", [-1, 0, 1, 6, 1000])
async def test_who_missed_more_than_is_kept_or_says_to_know_more_fetches_everything(since: int) -> None:
    watcher = Watcher([TICKET], None)
    heard(*(Change(number, (TICKET,)) for number in range(5, 11)), limit=3).add(watcher, since=since)
    assert await told(watcher) == [Signal("resync", number=10)]


async def test_a_process_that_has_heard_nothing_yet_has_who_comes_back_fetch_everything() -> None:
    watcher = Watcher([TICKET], None)
    Hub().add(watcher, since=3)
    assert await told(watcher) == [Signal("resync")]


async def test_after_a_gap_in_what_the_bus_says_everyone_fetches_everything() -> None:
    hub, watcher, late = heard(Change(5, (TICKET,))), Watcher([TICKET], None), Watcher([TICKET], None)
    hub.add(watcher)
    hub.tell(Change(7, (OTHER,)))
    assert await told(watcher) == [Signal("resync", number=7)]
    hub.add(late, since=5)
    assert await told(late) == [Signal("resync", number=7)], "what came before the gap is of no use"


async def test_who_connects_is_told_up_to_where_everything_is_known() -> None:
    for hub, position in ((Hub(), None), (heard(Change(4)), 4)):
        watcher = Watcher([TICKET], None)
        hub.add(watcher)
        assert await anext(watcher.signals(heartbeat=1)) == Signal("here", number=position)
        assert hub.here() == Signal("here", number=position)


async def test_a_page_is_taken_to_know_what_was_said_a_moment_ago() -> None:
    """Not what was said just now: the list that it shows may be behind by less than a second."""
    now = monotonic()
    changes = [Change(number, heard_at=now - ago) for number, ago in ((4, 9), (5, 2), (6, 0.1), (7, 0))]
    assert Hub().position_of_pages is None
    assert heard(*changes).position_of_pages == 5
    assert heard(*changes[2:]).position_of_pages == 5, "the one before all that is known"


async def test_silence_is_filled_with_heartbeats() -> None:
    watcher = Watcher([TICKET], None)
    assert [await anext(watcher.signals(heartbeat=0.001)) for _ in range(2)] == [None, None]


@pytest.mark.parametrize("turns", range(6))
async def test_a_heartbeat_doesnt_overtake_a_signal_that_comes_at_the_same_time(turns: int) -> None:
    """It would say that the browser knows what it wasn't told yet: lost, should the stream break there."""
    watcher = Watcher([TICKET], None)
    reading = asyncio.ensure_future(anext(watcher.signals(heartbeat=0)))
    for _ in range(turns):
        await asyncio.sleep(0)
    was_silent = reading.done()
    watcher.tell(Signal("ticket", "a" * 24, 1))
    assert (await reading is None) == was_silent


async def test_closing_ends_open_streams_and_those_that_come_later() -> None:
    hub, open_one, late = Hub(), Watcher([TICKET], None), Watcher([TICKET], None)
    hub.add(open_one)
    signals = open_one.signals(heartbeat=60)
    assert await anext(signals) == hub.here()
    reading = asyncio.create_task(anext(signals, None))
    await asyncio.sleep(0)
    hub.close()
    hub.add(late)
    async with asyncio.timeout(PATIENCE):
        assert await reading is None
        assert [signal async for signal in late.signals(heartbeat=60)] == []


async def test_a_stream_ends_with_its_session_and_no_other() -> None:
    hub, ended, other = Hub(), Watcher([TICKET, SESSION], "ann"), Watcher([TICKET], "ann")
    for watcher in (ended, other):
        hub.add(watcher)
    hub.tell(Interpreter().change(SessionEnded(session_id="f" * 24, ended_at=now()), 1))
    hub.tell(Change(2, (TICKET,)))
    async with asyncio.timeout(PATIENCE):
        assert [signal async for signal in ended.signals(heartbeat=60)] == []
    assert await told(other) == [Signal("ticket", "a" * 24, 2)]


async def test_who_has_left_is_forgotten() -> None:
    hub, watcher = Hub(), Watcher([TICKET], None, "203.0.113.7")
    hub.add(watcher)
    hub.remove(watcher)
    hub.tell(Change(1, (TICKET,)))
    assert len(hub) == 0
    assert await told(watcher) == []


def ticket_event() -> TicketUpdated:
    return TicketUpdated.model_validate(
        {"id": "a" * 24, "version": 2, "title": "x", "price": 20, "userId": "5" * 24, "status": "sold"}
    )


def order_event(order_id: str = "b" * 24, buyer: str = "9" * 24) -> OrderUpdated:
    ticket = {"id": "a" * 24, "title": "x", "price": 20}
    values = {
        "id": order_id,
        "version": 1,
        "status": "complete",
        "userId": buyer,
        "hold": 1,
        "ticket": ticket,
    }
    return OrderUpdated.model_validate({**values, "expiresAt": "2027-01-01T00:00:00Z"})


def payment_event() -> PaymentUpdated:
    return PaymentUpdated(
        id="e" * 24, version=1, order_id="b" * 24, status="captured", amount=2000, currency="usd"
    )


def test_an_event_concerns_the_thing_and_whose_it_is() -> None:
    interpreter = Interpreter()
    assert interpreter.change(ticket_event(), 1).topics == (TICKET, ("seller", "5" * 24))
    assert interpreter.change(order_event(), 2).topics == (ORDER, ("buyer", "9" * 24))
    assert interpreter.change(None, 3) == Change(3)


def test_a_payment_concerns_the_buyer_of_an_order_that_was_heard_of() -> None:
    interpreter = Interpreter(max_buyers=1)
    assert interpreter.change(payment_event(), 1) == Change(1, (ORDER,))
    interpreter.change(order_event(), 2)
    assert interpreter.change(payment_event(), 3) == Change(3, (ORDER, ("buyer", "9" * 24)), "9" * 24)
    interpreter.change(order_event("d" * 24), 4)
    assert interpreter.change(payment_event(), 5) == Change(5, (ORDER,)), "memory is bounded"
