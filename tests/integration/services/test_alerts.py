"""People are told of tickets in waves, those who asked first before others, and nobody twice."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any
from unittest.mock import patch

import pytest
import pytest_asyncio
from bson import ObjectId
from pymongo.errors import DuplicateKeyError

from contracts.events import OrderCancelled, OrderCreated, UserUpdated
from contracts.wire import now
from kit.lease import Lease
from services.tickets import actions as ticket_actions
from services.tickets import leaving
from services.tickets.alerts import actions, waves
from services.tickets.alerts.documents import Alert, Match
from services.tickets.alerts.rules import MAX_ALERTS
from services.tickets.alerts.waves import Waves
from services.tickets.documents import Ticket
from services.tickets.shows import merging
from tests.support.service import Served, messages, new_id, refusal

ANN, BOB, CARL = new_id(), new_id(), new_id()
START = "2031-06-05T18:30:00.000Z"
WHERE = {"startsAt": START, "venue": "Tempodrom", "city": "Berlin", "timeZone": "Europe/Berlin"}
FIVE_MINUTES = timedelta(minutes=5)


@pytest_asyncio.fixture(loop_scope="session", autouse=True)
async def no_sweep(tickets: Served) -> AsyncIterator[None]:
    """Keep the service from announcing tickets, so that the tests do it."""
    leases = tickets.database["leases"]
    taken = {"holder": "a test", "until": now() + timedelta(hours=1)}
    await leases.update_one({"_id": "alerts"}, {"$set": taken}, upsert=True)
    yield
    await leases.delete_one({"_id": "alerts"})


def replica(tickets: Served, size: int = 10) -> Waves:
    """What announces tickets in one process."""
    return Waves(size, FIVE_MINUTES, Lease(tickets.database, f"alerts of {new_id()}", timedelta(minutes=1)))


async def lists(tickets: Served, *, by: str = ANN, **fields: Any) -> dict[str, Any]:
    body = {"title": "Nick Cave", "price": 45, "performers": ["Nick Cave"], **WHERE, **fields}
    answer = await tickets.ask("POST", "/api/tickets", by=by, json=body)
    assert answer.status_code == 201, answer.text
    ticket: dict[str, Any] = answer.json()
    return ticket


async def asks(tickets: Served, by: str, **body: Any) -> dict[str, Any]:
    answer = await tickets.ask("POST", "/api/alerts", by=by, json=body)
    assert answer.status_code == 201, answer.text
    alert: dict[str, Any] = answer.json()
    return alert


async def show(tickets: Served) -> str:
    """An event whose only ticket is withdrawn."""
    ticket = await lists(tickets)
    assert (await tickets.ask("DELETE", f"/api/tickets/{ticket['id']}", by=ANN)).status_code == 204
    show_id: str = ticket["showId"]
    return show_id


async def people(tickets: Served, show_id: str, count: int, **conditions: Any) -> list[str]:
    """People who have asked to be told, the first one first."""
    found = [new_id() for _ in range(count)]
    for person in found:
        await asks(tickets, person, showId=show_id, **conditions)
    return found


async def told(ticket: dict[str, Any]) -> list[str]:
    """Who was told of the ticket, in this order."""
    matches = await Match.find({"ticket_id": ObjectId(ticket["id"])}).sort("_id").to_list()
    return [match.user_id for match in matches]


async def minutes_pass(ticket: dict[str, Any]) -> None:
    """Let the time until the next wave of the ticket pass."""
    moments = {"announce_at": now(), "next_wave_at": now()}
    which = {"_id": ObjectId(ticket["id"]), "announce_at": {"$ne": None}}
    await Ticket.get_pymongo_collection().update_one(which, {"$set": moments})


async def announce_at(ticket: dict[str, Any]) -> datetime | None:
    stored = await Ticket.first({"_id": ObjectId(ticket["id"])})
    assert stored is not None
    return stored.announce_at


def order_of(ticket: dict[str, Any], hold: int = 1) -> dict[str, Any]:
    summary = {name: ticket[name] for name in ("id", "title", "price")}
    order = {"id": new_id(), "user_id": BOB, "hold": hold, "expires_at": now() + FIVE_MINUTES}
    return {**order, "version": 0, "status": "created", "ticket": summary}


async def reserve(ticket: dict[str, Any], hold: int = 1) -> dict[str, Any]:
    order = order_of(ticket, hold)
    await ticket_actions.follow_order(OrderCreated.model_validate(order))
    return order


async def cancel(order: dict[str, Any]) -> None:
    cancelled = {**order, "version": 1, "status": "cancelled"}
    await ticket_actions.follow_order(OrderCancelled.model_validate(cancelled))


async def test_a_new_listing_is_announced_in_waves_to_those_who_asked_first(tickets: Served) -> None:
    waiting = await people(tickets, await show(tickets), 7)
    ticket, here = await lists(tickets), replica(tickets, 3)
    key = ObjectId(ticket["id"])
    assert await here.announce(key) == 3
    assert await told(ticket) == waiting[:3]
    assert await here.announce(key) == 0, "the next wave isn't due"
    next_wave = await announce_at(ticket)
    assert next_wave is not None
    assert timedelta(minutes=4) < next_wave - now() <= FIVE_MINUTES
    await minutes_pass(ticket)
    assert await here.announce(key) == 3
    await minutes_pass(ticket)
    assert await here.announce(key) == 1
    assert await told(ticket) == waiting
    assert await announce_at(ticket) is None, "nobody is left"


async def test_three_replicas_tell_fifty_people_once_each_and_in_their_order(tickets: Served) -> None:
    waiting = await people(tickets, await show(tickets), 50)
    ticket = await lists(tickets)
    replicas = [replica(tickets) for _ in range(3)]
    for wave in range(1, 6):
        counts = await asyncio.gather(*(each.sweep() for each in replicas for _ in range(2)))
        assert sum(counts) == 10
        assert await told(ticket) == waiting[: wave * 10]
        await minutes_pass(ticket)
    await asyncio.gather(*(each.sweep() for each in replicas))
    assert await told(ticket) == waiting
    assert await announce_at(ticket) is None


async def test_control_without_the_claim_two_replicas_announce_two_waves_at_once(
    tickets: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = await people(tickets, await show(tickets), 20)
    ticket = await lists(tickets)

    async def no_guard(*_: object) -> bool:
        return True

    monkeypatch.setattr(waves, "_write", no_guard)
    for _ in range(2):
        await replica(tickets).announce(ObjectId(ticket["id"]))
    assert await told(ticket) == waiting


async def test_concurrent_listings_and_requests_tell_nobody_twice(tickets: Served) -> None:
    show_id = await show(tickets)
    waiting = [new_id() for _ in range(50)]
    await asyncio.gather(*(asks(tickets, person, showId=show_id) for person in waiting))
    listed = await asyncio.gather(*(lists(tickets, by=new_id()) for _ in range(3)))
    here = [replica(tickets) for _ in range(3)]
    for _ in range(6):
        await asyncio.gather(*(each.sweep() for each in here))
        await asyncio.gather(*(minutes_pass(ticket) for ticket in listed))
    for ticket in listed:
        assert sorted(await told(ticket)) == sorted(waiting)


async def test_a_user_with_an_alert_and_favorites_is_told_once_of_each_ticket(tickets: Served) -> None:
    show_id = await show(tickets)
    await asks(tickets, BOB, showId=show_id)
    await asks(tickets, BOB, kind="favorite", showId=show_id)
    await asks(tickets, BOB, kind="favorite", performer="NICK CAVE")
    one, other, here = await lists(tickets), await lists(tickets, seat="Balcony"), replica(tickets)
    for ticket in (one, other):
        assert await here.announce(ObjectId(ticket["id"])) == 1
        assert await told(ticket) == [BOB]


async def test_the_unique_index_keeps_a_user_from_being_told_twice(tickets: Served) -> None:
    await asks(tickets, BOB, showId=await show(tickets))
    ticket = await lists(tickets)
    stored = await Ticket.first({"_id": ObjectId(ticket["id"])})
    assert stored is not None
    added = await asyncio.gather(*(Match.of(stored, BOB, now(), now()).add_once() for _ in range(5)))
    assert added.count(True) == 1


async def test_control_without_the_unique_index_a_user_is_told_twice(tickets: Served) -> None:
    ticket = await lists(tickets)
    stored = await Ticket.first({"_id": ObjectId(ticket["id"])})
    assert stored is not None
    await tickets.database["matches"].drop_index("one_match_a_ticket")
    added = await asyncio.gather(*(Match.of(stored, BOB, now(), now()).add_once() for _ in range(2)))
    assert added == [True, True]


async def test_conditions_and_own_listings_decide_who_is_told(tickets: Served) -> None:
    show_id = await show(tickets)
    await asks(tickets, ANN, showId=show_id)
    await asks(tickets, BOB, showId=show_id, priceTo=45, quantity=2)
    await asks(tickets, CARL, showId=show_id, priceTo=44.99)
    here = replica(tickets)
    pair, single = await lists(tickets, price=90, quantity=2), await lists(tickets, price=40)
    for ticket in (pair, single):
        await here.announce(ObjectId(ticket["id"]))
    assert (await told(pair), await told(single)) == ([BOB], [CARL])


async def test_a_lower_price_tells_those_who_wait_for_it_and_nobody_else_again(tickets: Served) -> None:
    show_id = await show(tickets)
    await asks(tickets, CARL, showId=show_id, priceTo=40)
    await asks(tickets, BOB, showId=show_id)
    ticket, here = await lists(tickets), replica(tickets)
    key = ObjectId(ticket["id"])
    assert await here.announce(key) == 1
    body = {"title": "Nick Cave", "price": 40, **WHERE}
    assert (await tickets.ask("PUT", f"/api/tickets/{key}", by=ANN, json=body)).status_code == 200
    assert await here.announce(key) == 0, "an edit makes the next wave no sooner"
    await minutes_pass(ticket)
    assert await here.announce(key) == 1
    assert await told(ticket) == [BOB, CARL]


async def test_a_reserved_or_withdrawn_ticket_is_not_announced_to_later_waves(tickets: Served) -> None:
    waiting = await people(tickets, await show(tickets), 3)
    reserved, withdrawn, here = (
        await lists(tickets),
        await lists(tickets, seat="Balcony"),
        replica(tickets, 1),
    )
    for ticket in (reserved, withdrawn):
        assert await here.announce(ObjectId(ticket["id"])) == 1
    order = await reserve(reserved)
    await tickets.ask("DELETE", f"/api/tickets/{withdrawn['id']}", by=ANN)
    for ticket in (reserved, withdrawn):
        await minutes_pass(ticket)
        assert await here.announce(ObjectId(ticket["id"])) == 0
        assert await told(ticket) == waiting[:1]
        assert await announce_at(ticket) is None
    await cancel(order)
    assert await here.announce(ObjectId(reserved["id"])) == 1, "it is on sale again"
    assert await told(reserved) == waiting[:2]


async def test_a_hold_that_is_cancelled_at_once_makes_the_next_wave_no_sooner(tickets: Served) -> None:
    waiting = await people(tickets, await show(tickets), 2)
    ticket, here = await lists(tickets), replica(tickets, 1)
    await here.announce(ObjectId(ticket["id"]))
    await cancel(await reserve(ticket))
    assert await here.announce(ObjectId(ticket["id"])) == 0
    assert await told(ticket) == waiting[:1]
    await minutes_pass(ticket)
    await here.announce(ObjectId(ticket["id"]))
    assert await told(ticket) == waiting


async def test_a_process_that_stops_within_a_wave_forgets_nobody(tickets: Served) -> None:
    waiting = await people(tickets, await show(tickets), 3)
    ticket, here = await lists(tickets), replica(tickets, 3)
    added, is_first_told = Match.add_once, asyncio.Event()

    async def stop_after_one(match: Match) -> bool:
        if match.user_id != waiting[0]:
            await is_first_told.wait()
            raise asyncio.CancelledError
        is_new = await added(match)
        is_first_told.set()
        return is_new

    with patch.object(Match, "add_once", stop_after_one), pytest.raises(asyncio.CancelledError):
        await here.announce(ObjectId(ticket["id"]))
    assert await told(ticket) == waiting[:1]
    await minutes_pass(ticket)
    assert await replica(tickets, 3).announce(ObjectId(ticket["id"])) == 2
    assert await told(ticket) == waiting


async def test_an_offer_within_a_wave_is_not_forgotten(tickets: Served) -> None:
    """The end of the wave must not overwrite that the ticket has become cheaper meanwhile."""
    show_id = await show(tickets)
    await asks(tickets, CARL, showId=show_id, priceTo=40)
    await asks(tickets, BOB, showId=show_id)
    ticket, here, added = await lists(tickets), replica(tickets), Match.add_once

    async def edit_first(match: Match) -> bool:
        body = {"title": "Nick Cave", "price": 40, **WHERE}
        await tickets.ask("PUT", f"/api/tickets/{ticket['id']}", by=ANN, json=body)
        return await added(match)

    with patch.object(Match, "add_once", edit_first):
        await here.announce(ObjectId(ticket["id"]))
    await minutes_pass(ticket)
    assert await here.announce(ObjectId(ticket["id"])) == 1
    assert await told(ticket) == [BOB, CARL]


async def test_a_match_publishes_one_event_about_the_ticket(tickets: Served) -> None:
    await asks(tickets, BOB, showId=await show(tickets))
    ticket = await lists(tickets, seat="Block A, row 4", faceValue=40)
    await replica(tickets).announce(ObjectId(ticket["id"]))
    [match] = await Match.find_all().to_list()
    [(subject, body)] = await tickets.outbox("matches", match.key)
    assert (subject, body["userId"]) == ("alert.matched", BOB)
    names = ("id", "title", "price", "seat", "startsAt", "showId", "faceValue")
    told_of = {name: body["ticket"][name] for name in names}
    assert told_of == {name: ticket[name] for name in told_of}


async def test_asking_again_changes_the_conditions_and_keeps_the_place(tickets: Served) -> None:
    show_id = await show(tickets)
    first = await asks(tickets, BOB, showId=show_id)
    await asks(tickets, CARL, showId=show_id)
    again = await asks(tickets, BOB, showId=show_id, priceTo=50, quantity=1)
    assert (again["id"], again["priceTo"], again["quantity"]) == (first["id"], 50, 1)
    ticket = await lists(tickets)
    await replica(tickets, 1).announce(ObjectId(ticket["id"]))
    assert await told(ticket) == [BOB]


async def test_concurrent_requests_for_the_same_are_one(tickets: Served) -> None:
    show_id = await show(tickets)
    found = await asyncio.gather(*(asks(tickets, BOB, showId=show_id) for _ in range(8)))
    assert len({alert["id"] for alert in found}) == 1
    assert await Alert.find({"user_id": BOB}).count() == 1


async def test_a_user_has_a_limited_number_of_requests(
    tickets: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.tickets.alerts.rules.MAX_ALERTS", 3)
    body = {"kind": "favorite"}
    names = [f"Band {number}" for number in range(5)]
    answers = await asyncio.gather(
        *(tickets.ask("POST", "/api/alerts", by=BOB, json={**body, "performer": name}) for name in names)
    )
    assert sorted(answer.status_code for answer in answers) == [201, 201, 201, 409, 409]
    refused = next(answer for answer in answers if answer.status_code == 409)
    assert messages(refused, 409) == [f"You have {MAX_ALERTS} alerts and favorites already. Remove one first"]


async def test_control_without_the_slots_concurrent_requests_exceed_the_limit(
    tickets: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    await tickets.database["alerts"].drop_index("one_alert_a_slot")
    monkeypatch.setattr("services.tickets.alerts.rules.MAX_ALERTS", 1)
    both_have_looked, insert = asyncio.Barrier(2), Alert.insert

    async def insert_later(alert: Alert, *arguments: Any, **options: Any) -> Alert:
        await both_have_looked.wait()
        return await insert(alert, *arguments, **options)

    monkeypatch.setattr(Alert, "insert", insert_later)
    await asyncio.gather(*(asks(tickets, BOB, kind="favorite", performer=name) for name in ("A", "B")))
    assert await Alert.find({"user_id": BOB}).count() == 2


async def test_a_user_reads_and_removes_only_their_own_requests(tickets: Served) -> None:
    show_id = await show(tickets)
    mine = await asks(tickets, BOB, showId=show_id, priceTo=50)
    await asks(tickets, CARL, kind="favorite", performer="Nick Cave")
    found = (await tickets.ask("GET", "/api/alerts", by=BOB)).json()
    assert found == {"alerts": [mine], "matches": []}
    assert mine["show"]["title"] == "Nick Cave"
    for by, left in ((CARL, 1), (BOB, 0), (BOB, 0)):
        answer = await tickets.ask("DELETE", f"/api/alerts/{mine['id']}", by=by)
        assert answer.status_code == 204
        assert await Alert.find({"user_id": BOB}).count() == left
    for method, path in (("GET", "/api/alerts"), ("POST", "/api/alerts/news")):
        assert (await tickets.ask(method, path)).status_code == 401


async def test_a_request_for_an_unknown_event_is_refused(tickets: Served) -> None:
    answer = await tickets.ask("POST", "/api/alerts", by=BOB, json={"showId": new_id()})
    assert refusal(answer, 400) == [("showId", "There is no such event")]
    answer = await tickets.ask("POST", "/api/alerts", by=BOB, json={"performer": "Nick Cave"})
    assert messages(answer, 400) == ["An alert is for an event: give showId"]


async def test_open_pages_get_each_match_once_while_its_ticket_is_on_sale(tickets: Served) -> None:
    await asks(tickets, BOB, showId=await show(tickets))
    here = replica(tickets)
    shown, gone = await lists(tickets), await lists(tickets, seat="Balcony")
    for ticket in (shown, gone):
        await here.announce(ObjectId(ticket["id"]))
    await reserve(gone)
    answers = await asyncio.gather(*(tickets.ask("POST", "/api/alerts/news", by=BOB) for _ in range(4)))
    news = [match["ticketId"] for answer in answers for match in answer.json()["matches"]]
    assert news == [shown["id"]]
    listed = (await tickets.ask("GET", "/api/alerts", by=BOB)).json()["matches"]
    assert [match["ticketId"] for match in listed] == [gone["id"], shown["id"]]


async def test_requests_follow_an_event_that_is_merged_or_postponed(tickets: Served) -> None:
    older = (await lists(tickets))["showId"]
    newer = (await lists(tickets, title="Nick Cave live"))["showId"]
    await asks(tickets, BOB, showId=newer)
    await asks(tickets, BOB, showId=older, priceTo=20)
    await asks(tickets, CARL, showId=newer)
    await merging.merge(older, newer)
    found = await Alert.find_all().sort("_id").to_list()
    assert [(alert.user_id, alert.show_id, alert.price_to_minor) for alert in found] == [
        (BOB, older, None),
        (CARL, older, None),
    ]
    later = now() + timedelta(days=30)
    await merging.correct(older, {"starts_at": later})
    assert {alert.ends_at for alert in await Alert.find_all().to_list()} == {later}


async def test_a_performer_whom_a_correction_adds_announces_the_tickets_to_those_who_favor_them(
    tickets: Served,
) -> None:
    ticket, here = await lists(tickets), replica(tickets)
    key = ObjectId(ticket["id"])
    await asks(tickets, BOB, kind="favorite", performer="Nick Cave")
    await asks(tickets, CARL, kind="favorite", performer="Warren Ellis")
    assert await here.announce(key) == 1
    assert await announce_at(ticket) is None, "nobody is left"
    await merging.correct(ticket["showId"], {"performers": ["Nick Cave", "Warren Ellis"]})
    await minutes_pass(ticket)
    assert await here.announce(key) == 1
    assert await told(ticket) == [BOB, CARL], "nobody is told twice"


async def test_requests_for_a_merged_event_are_told_of_tickets_that_were_announced_before(
    tickets: Served,
) -> None:
    ticket = await lists(tickets)
    other = await lists(tickets, title="Nick Cave live")
    await asks(tickets, CARL, showId=other["showId"])
    await asks(tickets, BOB, showId=ticket["showId"])
    here, key = replica(tickets), ObjectId(ticket["id"])
    await here.announce(key)
    assert await told(ticket) == [BOB]
    assert await announce_at(ticket) is None
    await merging.merge(ticket["showId"], other["showId"])
    assert await here.announce(key) == 0, "the merge makes no wave sooner"
    await minutes_pass(ticket)
    await here.announce(key)
    assert await told(ticket) == [BOB, CARL]


async def test_what_is_over_is_deleted(tickets: Served) -> None:
    show_id = await show(tickets)
    await asks(tickets, BOB, showId=show_id)
    await asks(tickets, BOB, kind="favorite", performer="Nick Cave")
    ticket = await lists(tickets)
    await replica(tickets).announce(ObjectId(ticket["id"]))
    await waves.purge()
    assert (await Alert.find_all().count(), await Match.find_all().count()) == (2, 1)
    over = {"$set": {"ends_at": now() - 2 * waves.KEPT}}
    for kind in (Alert, Match):
        await kind.get_pymongo_collection().update_many({"ends_at": {"$ne": None}}, over)
    await waves.purge()
    assert (await Alert.find_all().count(), await Match.find_all().count()) == (1, 0)


async def test_a_ticket_that_cannot_be_read_does_not_hold_up_others(tickets: Served) -> None:
    await asks(tickets, BOB, showId=await show(tickets))
    broken, ticket = await lists(tickets), await lists(tickets, seat="Balcony")
    await tickets.database["tickets"].update_one(
        {"_id": ObjectId(broken["id"])}, {"$unset": {"price_minor": 1}}
    )
    assert await replica(tickets).sweep() == 1
    assert await told(ticket) == [BOB]
    await tickets.database["tickets"].delete_one({"_id": ObjectId(broken["id"])})


async def test_a_deleted_user_is_forgotten_and_a_user_who_leaves_asks_for_nothing(tickets: Served) -> None:
    show_id = await show(tickets)
    await asks(tickets, BOB, showId=show_id)
    ticket = await lists(tickets)
    await replica(tickets).announce(ObjectId(ticket["id"]))
    await leaving.follow_user(UserUpdated(id=BOB, version=5, deleted=True))
    assert (await Alert.find_all().count(), await Match.find_all().count()) == (0, 0)

    async def closed(_: str) -> bool:
        return True

    with patch("kit.closed_users.is_closed", closed):
        answer = await tickets.ask("POST", "/api/alerts", by=CARL, json={"showId": show_id})
    assert messages(answer, 403) == ["Your account is being deleted"]
    assert await Alert.find_all().count() == 0


async def test_the_second_match_is_a_duplicate_for_the_database_too(tickets: Served) -> None:
    ticket = await lists(tickets)
    stored = await Ticket.first({"_id": ObjectId(ticket["id"])})
    assert stored is not None
    await Match.of(stored, BOB, now(), now()).add()
    with pytest.raises(DuplicateKeyError, match="one_match_a_ticket"):
        await Match.of(stored, BOB, now(), now()).add()


async def test_news_is_only_of_the_last_hour(tickets: Served) -> None:
    ticket = await lists(tickets)
    stored = await Ticket.first({"_id": ObjectId(ticket["id"])})
    assert stored is not None
    await Match.of(stored, BOB, now() - 2 * actions.NEWS, now()).add()
    assert await actions.take_news(BOB) == []
