"""Reported listings: people report them, operators decide, and removals are carried out."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from bson import ObjectId

from contracts.events import OrderCancelled, OrderCreated, OrderUpdated, UserUpdated
from contracts.wire import now
from kit.aggregates import change
from kit.secrets import operator_token
from services.tickets import actions as ticket_actions
from services.tickets import leaving
from services.tickets.reports import actions, rules
from services.tickets.reports.documents import ListingCase
from tests.support.service import Served, new_id, refusal

ANN, BOB, EVE = new_id(), new_id(), new_id()
REPORT = {"kind": "fraud", "text": "The picture is of another ticket."}


@pytest.fixture
def operator(tickets: Served) -> dict[str, str]:
    return {"Authorization": f"Bearer {operator_token(tickets.app.state.settings)}"}


async def listed(tickets: Served) -> str:
    answer = await tickets.ask("POST", "/api/tickets", by=ANN, json={"title": "Hamlet", "price": 19.99})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


async def report(tickets: Served, ticket: str, by: str = BOB, **changes: str) -> Any:
    return await tickets.ask("POST", f"/api/tickets/{ticket}/reports", by=by, json={**REPORT, **changes})


async def queue(tickets: Served, operator: dict[str, str]) -> list[Any]:
    answer = await tickets.ask("GET", "/api/tickets/reports", headers=operator)
    assert answer.status_code == 200, answer.text
    found: list[Any] = answer.json()
    return found


async def decide(
    tickets: Served, operator: dict[str, str], ticket: str, decision: str, **changes: Any
) -> Any:
    body = {"ticketId": ticket, "decision": decision, "reason": "It is stolen", **changes}
    return await tickets.ask("POST", "/api/tickets/reports/decisions", headers=operator, json=body)


async def status_of(tickets: Served, ticket: str) -> str:
    return str((await tickets.ask("GET", f"/api/tickets/{ticket}")).json()["status"])


async def test_a_removal_withdraws_the_listing_and_settles_its_reports(
    tickets: Served, operator: dict[str, str]
) -> None:
    ticket = await listed(tickets)
    for person in (BOB, EVE):
        answer = await report(tickets, ticket, by=person)
        assert (answer.status_code, answer.json()["state"]) == (200, "open")
    [waiting] = await queue(tickets, operator)
    assert [each["reporterId"] for each in waiting["reports"]] == [BOB, EVE]
    answer = await decide(tickets, operator, ticket, "remove")
    assert answer.status_code == 200, answer.text
    assert [each["state"] for each in answer.json()["reports"]] == ["removed", "removed"]
    assert await status_of(tickets, ticket) == "withdrawn"
    readers = {by: await tickets.ask("GET", f"/api/tickets/{ticket}", by=by) for by in (ANN, BOB)}
    assert readers[ANN].json()["removedReason"] == "It is stolen"
    assert "removedReason" not in readers[BOB].json()
    assert await queue(tickets, operator) == []
    assert refusal(await report(tickets, ticket, by=new_id()), 409)[0][1] == rules.ListingGone.message


async def test_a_kept_listing_stays_on_sale_and_can_be_reported_again(
    tickets: Served, operator: dict[str, str]
) -> None:
    ticket = await listed(tickets)
    await report(tickets, ticket)
    [waiting] = await queue(tickets, operator)
    seen = [each["reportedAt"] for each in waiting["reports"]]
    assert (await decide(tickets, operator, ticket, "keep", seen=seen)).status_code == 200
    assert (await decide(tickets, operator, ticket, "keep", seen=seen)).status_code == 200
    refusal(await decide(tickets, operator, ticket, "remove", seen=seen), 409)
    assert await status_of(tickets, ticket) == "available"
    assert (await report(tickets, ticket, text="Look again")).status_code == 200


async def test_a_person_reports_a_listing_once_and_nobody_their_own(tickets: Served) -> None:
    ticket = await listed(tickets)
    assert (await report(tickets, ticket)).status_code == 200
    assert (await report(tickets, ticket)).status_code == 200, "a repetition changes nothing"
    assert refusal(await report(tickets, ticket, text="And more"), 409)[0][1] == rules.ListingReported.message
    assert refusal(await report(tickets, ticket, by=ANN), 403)[0][1] == rules.OwnListing.message
    refusal(await tickets.ask("POST", f"/api/tickets/{ticket}/reports", json=REPORT), 401)
    refusal(await report(tickets, new_id()), 404)


async def test_simultaneous_first_reports_of_many_people_are_all_stored(tickets: Served) -> None:
    ticket = await listed(tickets)
    people = [new_id() for _ in range(8)]
    answers = await asyncio.gather(*(report(tickets, ticket, by=person) for person in people))
    assert {answer.status_code for answer in answers} == {200}
    case = await ListingCase.find_one({"_id": ObjectId(ticket)})
    assert case is not None
    assert sorted(each.reporter_id or "" for each in case.reports) == sorted(people)


async def test_control_without_the_guard_a_simultaneous_report_is_lost(
    tickets: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two people read the same case. Without the version in the guard, the second write loses the first."""
    ticket = await listed(tickets)
    await report(tickets, ticket, by=new_id())
    case = await ListingCase.find_one({"_id": ObjectId(ticket)})
    assert case is not None
    first = rules.report(case, BOB, "fraud", "x", now())
    second = rules.report(case, EVE, "fraud", "y", now())
    assert first is not None
    assert second is not None
    assert await case.write(first) is not None
    assert await case.write(second) is None, "the guard prevents it"
    unguarded = {"$set": {"reports": [each.model_dump() for each in second["reports"]]}}
    await ListingCase.get_pymongo_collection().update_one({"_id": case.id}, unguarded)
    stored = await ListingCase.find_one({"_id": case.id})
    assert stored is not None
    assert BOB not in {each.reporter_id for each in stored.reports}


async def test_of_two_operators_the_first_decides(tickets: Served, operator: dict[str, str]) -> None:
    ticket = await listed(tickets)
    await report(tickets, ticket)
    [waiting] = await queue(tickets, operator)
    seen = [each["reportedAt"] for each in waiting["reports"]]
    answers = await asyncio.gather(
        decide(tickets, operator, ticket, "keep", seen=seen),
        decide(tickets, operator, ticket, "remove", seen=seen),
    )
    assert sorted(answer.status_code for answer in answers) == [200, 409]
    is_removed = answers[1].status_code == 200
    assert await status_of(tickets, ticket) == ("withdrawn" if is_removed else "available")


async def test_the_sweep_withdraws_what_a_stopped_process_has_not(tickets: Served) -> None:
    ticket = await listed(tickets)
    await report(tickets, ticket)
    case = await change(
        lambda: ListingCase.find_one({"_id": ObjectId(ticket)}),
        lambda case: rules.decide(case, "remove", "It is stolen", [], now()),
    )
    assert case.removal is not None
    assert await status_of(tickets, ticket) == "available", "the process has stopped before it withdrew it"
    await actions.sweep()
    assert await status_of(tickets, ticket) == "withdrawn"
    stored = await ListingCase.find_one({"_id": ObjectId(ticket)})
    assert stored is not None
    assert stored.removal is None


def order_of(ticket: str, hold: int = 1) -> dict[str, Any]:
    summary = {"id": ticket, "title": "Hamlet", "price": "19.99"}
    until = now() + timedelta(minutes=5)
    order = {"id": new_id(), "user_id": EVE, "hold": hold, "expires_at": until, "ticket": summary}
    return {**order, "version": 0, "status": "created"}


async def reserve(order: dict[str, Any]) -> None:
    await ticket_actions.follow_order(OrderCreated.model_validate(order))


async def change_order(order: dict[str, Any], status: str) -> None:
    kind = OrderCancelled if status == "cancelled" else OrderUpdated
    await ticket_actions.follow_order(kind.model_validate({**order, "version": 1, "status": status}))


async def removed_while_reserved(tickets: Served, operator: dict[str, str]) -> tuple[str, dict[str, Any]]:
    """The reported ticket and the order that holds it."""
    ticket = await listed(tickets)
    await report(tickets, ticket)
    order = order_of(ticket)
    await reserve(order)
    for _ in range(2):
        answer = await decide(tickets, operator, ticket, "remove")
        assert (answer.status_code, answer.json()["removing"]) == (200, True), answer.text
    await actions.sweep()
    assert await status_of(tickets, ticket) == "reserved", "the order keeps the ticket"
    shown = await tickets.ask("GET", f"/api/tickets/{ticket}", by=ANN)
    assert "removedReason" not in shown.json(), "it isn't removed yet"
    return ticket, order


async def removal_of(ticket: str) -> str | None:
    stored = await ListingCase.find_one({"_id": ObjectId(ticket)})
    assert stored is not None
    return stored.removal


async def test_a_removal_of_a_reserved_listing_withdraws_it_when_its_order_ends(
    tickets: Served, operator: dict[str, str]
) -> None:
    ticket, order = await removed_while_reserved(tickets, operator)
    await change_order(order, "cancelled")
    assert await status_of(tickets, ticket) == "withdrawn", "without waiting for a sweep"
    shown = await tickets.ask("GET", f"/api/tickets/{ticket}", by=ANN)
    assert shown.json()["removedReason"] == "It is stolen"
    assert await removal_of(ticket) == "It is stolen"
    await actions.sweep()
    assert await removal_of(ticket) is None


async def test_nobody_delays_a_removal_by_reserving_the_ticket_again(
    tickets: Served, operator: dict[str, str]
) -> None:
    ticket, order = await removed_while_reserved(tickets, operator)
    await reserve(order_of(ticket, hold=2))  # it may arrive before the end of the first order
    assert await status_of(tickets, ticket) == "withdrawn"
    await change_order(order, "cancelled")
    assert await status_of(tickets, ticket) == "withdrawn"


async def test_a_ticket_that_is_paid_for_despite_its_removal_is_sold(
    tickets: Served, operator: dict[str, str]
) -> None:
    ticket, order = await removed_while_reserved(tickets, operator)
    await change_order(order, "complete")
    await actions.sweep()
    assert await status_of(tickets, ticket) == "sold"
    assert await removal_of(ticket) is None
    await report(tickets, ticket)
    refusal(await decide(tickets, operator, ticket, "remove"), 409)
    await ticket_actions.follow_order(
        OrderUpdated.model_validate({**order, "version": 2, "status": "refunded", "relisted": True})
    )
    assert await status_of(tickets, ticket) == "withdrawn", "it doesn't return on sale"


async def test_the_sweep_deletes_old_cases_and_no_open_ones(
    tickets: Served, operator: dict[str, str]
) -> None:
    old, waiting = await listed(tickets), await listed(tickets)
    for ticket in (old, waiting):
        await report(tickets, ticket)
    await decide(tickets, operator, old, "keep")
    before = {"$set": {"changed_at": now() - rules.KEPT - timedelta(days=1)}}
    await ListingCase.get_pymongo_collection().update_many({}, before)
    await actions.sweep()
    assert [case.key for case in await ListingCase.find_all().to_list()] == [waiting]


async def test_a_deleted_user_is_forgotten_as_the_one_who_reported(tickets: Served) -> None:
    ticket = await listed(tickets)
    await report(tickets, ticket)
    await leaving.follow_user(UserUpdated(id=BOB, version=9, deleted=True))
    case = await ListingCase.find_one({"_id": ObjectId(ticket)})
    assert case is not None
    assert [each.reporter_id for each in case.reports] == [None]


async def test_only_operators_read_and_decide(tickets: Served) -> None:
    refusal(await tickets.ask("GET", "/api/tickets/reports", by=BOB), 401)
    body = {"ticketId": new_id(), "decision": "keep", "reason": "x"}
    refusal(await tickets.ask("POST", "/api/tickets/reports/decisions", by=BOB, json=body), 401)
