"""Listings for the same event share a show, also if they come at the same time or while shows are merged."""

import asyncio
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

import httpx
import pytest
from bson import ObjectId
from pymongo.errors import DuplicateKeyError

from contracts.wire import now
from kit.secrets import operator_token
from services.tickets import pictures
from services.tickets.documents import Ticket
from services.tickets.shows import finding, following, merging
from services.tickets.shows.documents import Show
from tests.support.service import Served, messages, new_id, refusal

ANN, BOB = new_id(), new_id()
START = "2031-06-05T18:30:00.000Z"
WHERE = {"startsAt": START, "venue": "Tempodrom", "city": "Berlin", "timeZone": "Europe/Berlin"}
WHY = "the same concert"


async def lists(tickets: Served, title: str = "Nick Cave", *, by: str = ANN, **fields: Any) -> dict[str, Any]:
    answer = await tickets.ask("POST", "/api/tickets", by=by, json={"title": title, "price": 45, **fields})
    assert answer.status_code == 201, answer.text
    ticket: dict[str, Any] = answer.json()
    return ticket


async def act(tickets: Served, what: str, **body: Any) -> httpx.Response:
    """Send a request as an operator."""
    headers = {"Authorization": f"Bearer {operator_token(tickets.app.state.settings)}"}
    return await tickets.ask("POST", f"/api/shows/{what}", json={"reason": WHY, **body}, headers=headers)


async def merges(tickets: Served, one: str, other: str) -> dict[str, Any]:
    answer = await act(tickets, "merges", showId=one, otherId=other)
    assert answer.status_code == 200, answer.text
    show: dict[str, Any] = answer.json()
    return show


async def page(tickets: Served, show: str) -> dict[str, Any]:
    answer = await tickets.ask("GET", f"/api/shows/{show}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def shown(tickets: Served, ticket: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = (await tickets.ask("GET", f"/api/tickets/{ticket['id']}")).json()
    return found


async def suggested(tickets: Served, search: str) -> list[str]:
    answer = await tickets.ask("GET", "/api/shows", params={"search": search})
    return [show["title"] for show in answer.json()]


async def shows(tickets: Served) -> list[dict[str, Any]]:
    return await tickets.database["shows"].find().to_list()


async def test_listings_for_the_same_event_share_a_show(tickets: Served) -> None:
    first = await lists(tickets, performers=["Nick Cave", "Warren Ellis"], category="music", **WHERE)
    second = await lists(tickets, "NICK CAVE", by=BOB, **{**WHERE, "venue": "tempodrom"})
    assert first["showId"] == second["showId"]
    assert first["country"] == second["country"] == "DE"
    [show] = await shows(tickets)
    assert str(show["_id"]) == first["showId"]
    found = await page(tickets, first["showId"])
    assert found["performers"] == ["Nick Cave", "Warren Ellis"]
    assert (found["title"], found["country"], found["category"]) == ("Nick Cave", "DE", "music")
    assert [[t["id"] for t in group["tickets"]] for group in found["groups"]] == [[first["id"], second["id"]]]


async def test_the_event_of_a_listing_contains_its_show_and_its_country(tickets: Served) -> None:
    ticket = await lists(tickets, **WHERE)
    [(subject, body)] = await tickets.outbox("tickets", ticket["id"])
    assert (subject, body["showId"], body["country"]) == ("ticket.created", ticket["showId"], "DE")


async def test_a_country_that_is_given_is_kept(tickets: Served) -> None:
    ticket = await lists(tickets, **{**WHERE, "country": "AT"})
    assert (ticket["country"], (await page(tickets, ticket["showId"]))["country"]) == ("AT", "AT")
    wrong = await tickets.ask(
        "POST", "/api/tickets", by=ANN, json={"title": "X", "price": 1, "country": "xx"}
    )
    assert refusal(wrong, 400) == [("country", "Country must be the code of a country, such as DE")]


async def test_concurrent_listings_create_one_show(tickets: Served) -> None:
    listed = await asyncio.gather(*(lists(tickets, **WHERE) for _ in range(8)))
    [show] = await shows(tickets)
    assert {ticket["showId"] for ticket in listed} == {str(show["_id"])}


async def test_control_without_the_unique_index_concurrent_listings_create_several_shows(
    tickets: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    await tickets.database["shows"].drop_index("one_show_a_key")
    both_have_looked = asyncio.Barrier(2)
    insert = Show.insert

    async def insert_later(show: Show, *arguments: Any, **options: Any) -> Show:
        await both_have_looked.wait()
        return await insert(show, *arguments, **options)

    monkeypatch.setattr(Show, "insert", insert_later)
    await asyncio.gather(lists(tickets, **WHERE), lists(tickets, **WHERE))
    assert len(await shows(tickets)) == 2


async def test_a_listing_with_only_title_and_price_gets_the_only_event_with_its_title(
    tickets: Served,
) -> None:
    dated = await lists(tickets, **WHERE)
    matched = await lists(tickets, "nick cave")
    assert (matched["showId"], matched["startsAt"], matched["venue"]) == (dated["showId"], None, None)


async def test_a_listing_that_fits_several_events_or_none_stays_without_one(tickets: Served) -> None:
    await lists(tickets, **WHERE)
    await lists(tickets, **{**WHERE, "startsAt": "2031-06-06T18:30:00Z"})
    assert (await lists(tickets))["showId"] is None
    assert (await lists(tickets, "Hamlet"))["showId"] is None
    assert (await lists(tickets, startsAt=START))["showId"] is not None
    assert (await lists(tickets, venue="Astra"))["showId"] is None


async def test_a_listing_with_a_venue_gets_no_event_if_the_venue_has_it_twice(tickets: Served) -> None:
    """The other venue's night is between the two."""
    first = await lists(tickets, **WHERE)
    between = {**WHERE, "startsAt": "2031-06-06T18:30:00Z", "venue": "Astra (Saal 1)"}
    await lists(tickets, **between)
    await lists(tickets, **{**WHERE, "startsAt": "2031-06-07T18:30:00Z"})
    assert (await lists(tickets, venue="TEMPODROM"))["showId"] is None
    assert (await lists(tickets, city="Berlin"))["showId"] is None
    assert (await lists(tickets, venue="Tempo"))["showId"] is None
    only = await lists(tickets, venue="Astra, Saal 1", city="berlin")
    assert only["showId"] not in (None, first["showId"])


async def test_a_listing_can_choose_an_event_and_gets_its_place_and_time(tickets: Served) -> None:
    first = await lists(tickets, category="music", **WHERE)
    chosen = await lists(tickets, "Row 4", showId=first["showId"], venue="Elsewhere")
    names = ("showId", "startsAt", "venue", "city", "timeZone", "country", "category")
    assert [chosen[name] for name in names] == [first[name] for name in names]
    assert chosen["title"] == "Row 4"


async def test_an_event_that_does_not_exist_or_has_begun_cannot_be_chosen(
    tickets: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = {"title": "Nick Cave", "price": 45, "showId": new_id()}
    unknown = await tickets.ask("POST", "/api/tickets", by=ANN, json=body)
    assert refusal(unknown, 400) == [("showId", "There is no such event")]
    first = await lists(tickets, **WHERE)
    monkeypatch.setattr(finding, "now", lambda: datetime(2032, 1, 1, tzinfo=UTC))
    begun = await tickets.ask("POST", "/api/tickets", by=ANN, json={**body, "showId": first["showId"]})
    assert messages(begun, 400) == ["The event must be in the future"]


async def test_a_refused_listing_or_edit_creates_no_show(tickets: Served) -> None:
    past = {**WHERE, "startsAt": "2020-06-05T18:30:00Z"}
    answer = await tickets.ask("POST", "/api/tickets", by=ANN, json={"title": "Old", "price": 5, **past})
    assert answer.status_code == 400
    ticket = await lists(tickets, "Hamlet")
    edit = {"title": "Nick Cave", "price": 45, **WHERE}
    answer = await tickets.ask("PUT", f"/api/tickets/{ticket['id']}", by=BOB, json=edit)
    assert answer.status_code == 403
    assert await shows(tickets) == []


async def test_an_edited_ticket_moves_to_the_event_that_it_describes(tickets: Served) -> None:
    ticket = await lists(tickets, **WHERE)
    edit = {"title": "Nick Cave", "price": 45, **WHERE, "city": "Bern"}
    edited = (await tickets.ask("PUT", f"/api/tickets/{ticket['id']}", by=ANN, json=edit)).json()
    assert edited["showId"] not in (None, ticket["showId"])
    assert (await page(tickets, ticket["showId"]))["groups"] == []
    assert (await page(tickets, edited["showId"]))["onSale"] == 1


async def test_a_repeated_listing_with_a_key_from_before_shows_is_still_the_same(tickets: Served) -> None:
    headers = {"Idempotency-Key": "k"}
    body = {"title": "Hamlet", "price": 19.9, "seat": "Row 1"}
    first = await tickets.ask("POST", "/api/tickets", by=ANN, json=body, headers=headers)
    stored = await tickets.database["tickets"].find_one({"_id": ObjectId(first.json()["id"])})
    assert stored is not None
    before = (
        '{"title":"Hamlet","price":19.9,"startsAt":null,"venue":null,"city":null,"timeZone":null,'
        '"category":null,"seat":"Row 1","quantity":1,"faceValue":null,"notes":null}'
    )
    assert stored["request_hash"] == sha256(before.encode()).hexdigest()
    again = await tickets.ask("POST", "/api/tickets", by=ANN, json=body, headers=headers)
    assert again.json()["id"] == first.json()["id"]


async def test_the_page_of_an_event_has_prices_per_ticket_and_sold_tickets_last(tickets: Served) -> None:
    first = await lists(tickets, seat="Block A, row 1", **WHERE)
    show = first["showId"]
    await lists(tickets, price=60, quantity=2, seat="Block A, row 2", showId=show)
    await lists(tickets, price=20, seat="Balcony", showId=show)
    sold = await lists(tickets, price=5, seat="Balcony", showId=show)
    withdrawn = await lists(tickets, price=1, seat="Balcony", showId=show)
    await tickets.database["tickets"].update_one({"_id": ObjectId(sold["id"])}, {"$set": {"status": "sold"}})
    assert (await tickets.ask("DELETE", f"/api/tickets/{withdrawn['id']}", by=ANN)).status_code == 204
    found = await page(tickets, show)
    assert (found["lowest"], found["highest"], found["onSale"]) == (20, 45, 3)
    assert [(group["area"], group["quantity"], group["lowest"]) for group in found["groups"]] == [
        ("Balcony", 1, 20),
        ("Block A", 2, 30),
        ("Block A", 1, 45),
    ]
    assert [ticket["status"] for ticket in found["groups"][0]["tickets"]] == ["available", "sold"]


async def test_the_page_of_an_event_shows_nobodys_order_and_no_private_note(tickets: Served) -> None:
    ticket = await lists(tickets, privateNote="Code AB12", **WHERE)
    text = (await tickets.ask("GET", f"/api/shows/{ticket['showId']}", by=ANN)).text
    assert "AB12" not in text
    assert "privateNote" not in text


async def test_the_page_of_an_event_has_other_dates_and_other_events_at_the_venue(tickets: Served) -> None:
    show = (await lists(tickets, **WHERE))["showId"]
    await lists(tickets, **{**WHERE, "startsAt": "2031-06-07T18:30:00Z"})
    await lists(
        tickets, **{**WHERE, "startsAt": "2031-06-06T18:30:00Z", "city": "Bern", "venue": "Bierhübeli"}
    )
    await lists(tickets, "Hamlet", **{**WHERE, "startsAt": "2031-06-08T18:30:00Z"})
    found = await page(tickets, show)
    assert [other["startsAt"][:10] for other in found["otherDates"]] == ["2031-06-06", "2031-06-07"]
    assert [other["title"] for other in found["atVenue"]] == ["Hamlet"]


async def test_an_event_without_a_ticket_on_sale_is_neither_suggested_nor_listed(tickets: Served) -> None:
    show = (await lists(tickets, **WHERE))["showId"]
    other_date = await lists(tickets, **{**WHERE, "startsAt": "2031-06-06T18:30:00Z"})
    at_venue = await lists(tickets, "Hamlet", **WHERE)
    for ticket in (other_date, at_venue):
        answer = await tickets.ask("DELETE", f"/api/tickets/{ticket['id']}", by=ANN)
        assert answer.status_code == 204
    found = await page(tickets, show)
    assert (found["otherDates"], found["atVenue"]) == ([], [])
    assert await suggested(tickets, "hamlet") == []
    assert await suggested(tickets, "nick") == ["Nick Cave"]
    await lists(tickets, "Hamlet", **WHERE)
    assert await suggested(tickets, "hamlet") == ["Hamlet"]
    assert len((await page(tickets, show))["atVenue"]) == 1


async def test_events_without_tickets_do_not_crowd_out_those_with_some(
    tickets: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finding, "MAX_SUGGESTIONS", 1)
    empty = await lists(tickets, "Hamlet", **{**WHERE, "startsAt": "2031-06-01T18:30:00Z"})
    await tickets.ask("DELETE", f"/api/tickets/{empty['id']}", by=ANN)
    await lists(tickets, "Hamlet", **WHERE)
    assert await suggested(tickets, "hamlet") == ["Hamlet"]


async def test_events_are_suggested_by_the_beginnings_of_words(
    tickets: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    await lists(tickets, "Sigur Rós", performers=["Kjartan Sveinsson"], **WHERE)
    await lists(tickets, "Sigrid", **{**WHERE, "startsAt": "2031-01-05T18:30:00Z"})
    assert await suggested(tickets, "sig") == ["Sigrid", "Sigur Rós"]
    assert await suggested(tickets, "ROS temp") == ["Sigur Rós"]
    assert await suggested(tickets, "sveins") == ["Sigur Rós"]
    assert await suggested(tickets, "igur") == []
    assert await suggested(tickets, ".*") == []
    assert await suggested(tickets, "") == []
    for short in ("s", "r s", "R.", "ö"):
        assert await suggested(tickets, short) == []
    assert await suggested(tickets, "s ro") == ["Sigur Rós"]
    monkeypatch.setattr(finding, "now", lambda: datetime(2031, 2, 1, tzinfo=UTC))
    assert await suggested(tickets, "sig") == ["Sigur Rós"]


async def test_a_merge_moves_the_tickets_to_the_older_show_and_redirects_the_other(tickets: Served) -> None:
    older = await lists(tickets, **WHERE)
    newer = await lists(tickets, "Nick Cave & The Bad Seeds", **{**WHERE, "startsAt": "2031-06-05T19:00:00Z"})
    assert (await merges(tickets, newer["showId"], older["showId"]))["id"] == older["showId"]
    moved = await shown(tickets, newer)
    assert (moved["showId"], moved["startsAt"]) == (older["showId"], START)
    assert moved["title"] == "Nick Cave & The Bad Seeds"
    answer = await tickets.ask("GET", f"/api/shows/{newer['showId']}")
    assert (answer.status_code, answer.headers["Location"]) == (308, f"/api/shows/{older['showId']}")
    assert (await page(tickets, older["showId"]))["onSale"] == 2
    assert await suggested(tickets, "nick") == ["Nick Cave"]


async def test_a_merge_leaves_the_details_of_sold_tickets(tickets: Served) -> None:
    older = await lists(tickets, **WHERE)
    sold = await lists(tickets, "Cave", **{**WHERE, "venue": "Temprodom"})
    await tickets.database["tickets"].update_one({"_id": ObjectId(sold["id"])}, {"$set": {"status": "sold"}})
    await merges(tickets, older["showId"], sold["showId"])
    moved = await shown(tickets, sold)
    assert (moved["showId"], moved["venue"]) == (older["showId"], "Temprodom")


async def test_a_postponed_event_reaches_sold_tickets_once(tickets: Served) -> None:
    sold = await lists(tickets, **WHERE)
    await tickets.database["tickets"].update_one({"_id": ObjectId(sold["id"])}, {"$set": {"status": "sold"}})
    later = {"showId": sold["showId"], "startsAt": "2031-07-05T18:30:00.000Z", "venue": "Olympiahalle"}
    for _ in range(2):
        assert (await act(tickets, "corrections", **later)).status_code == 200
    await merging.sweep()
    moved = await shown(tickets, sold)
    assert (moved["startsAt"], moved["venue"]) == (later["startsAt"], WHERE["venue"])
    published = [body["dateChanges"] for _, body in await tickets.outbox("tickets", sold["id"])]
    assert published == [0, 1]


SEAT = "Block A, row 4, seat 7"


async def stored(ticket: dict[str, Any]) -> Ticket:
    found = await Ticket.first({"_id": ObjectId(ticket["id"])})
    assert found is not None
    return found


async def test_a_seat_is_questioned_after_a_merge_and_after_a_correction(tickets: Served) -> None:
    older, newer = await lists(tickets, **WHERE), await lists(tickets, "Cave", seat=SEAT, **WHERE)
    await merges(tickets, older["showId"], newer["showId"])
    same = {"title": "Nick Cave", "price": 45, "seat": SEAT, **WHERE}
    answer = await tickets.ask("POST", "/api/tickets", by=BOB, json=same)
    assert answer.json()["type"] == "/problems/same-seat"
    answer = await tickets.ask("POST", "/api/tickets", by=ANN, json=same)
    assert answer.json()["type"] == "/problems/seat-listed"
    later = {"startsAt": "2031-07-05T18:30:00.000Z", "venue": "Olympiahalle"}
    await act(tickets, "corrections", showId=older["showId"], **later)
    answer = await tickets.ask("POST", "/api/tickets", by=BOB, json={**same, **later})
    assert answer.json()["type"] == "/problems/same-seat"


async def test_a_sold_seat_is_questioned_after_a_merge(tickets: Served) -> None:
    older, sold = await lists(tickets, **WHERE), await lists(tickets, "Cave", seat=SEAT, **WHERE)
    state = {"status": "sold", "live_seat": None}
    await tickets.database["tickets"].update_one({"_id": ObjectId(sold["id"])}, {"$set": state})
    await merges(tickets, older["showId"], sold["showId"])
    same = {"title": "Nick Cave", "price": 45, "seat": SEAT, **WHERE}
    answer = await tickets.ask("POST", "/api/tickets", by=BOB, json=same)
    assert answer.json()["type"] == "/problems/same-seat"
    assert (await stored(sold)).live_seat is None


async def test_a_merge_keeps_both_listings_of_a_seat_and_moves_all_tickets(tickets: Served) -> None:
    older = await lists(tickets, seat=SEAT, **WHERE)
    newer = await lists(tickets, "Cave", seat=SEAT, **WHERE)
    another = await lists(tickets, "Cave", seat="Block A, row 4, seat 8", **WHERE)
    for _ in range(2):
        await merges(tickets, older["showId"], newer["showId"])
    await merging.sweep()
    first, second, third = [await stored(each) for each in (older, newer, another)]
    assert {each.show_id for each in (first, second, third)} == {older["showId"]}
    assert first.seat_key == second.seat_key == first.live_seat
    assert second.live_seat is None
    assert third.live_seat == third.seat_key != first.seat_key
    assert {each.status for each in (first, second, third)} == {"available"}


async def test_control_without_giving_way_two_listings_of_a_seat_stop_a_merge(
    tickets: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "is_second_seat", lambda _error: False)
    older, newer = [await lists(tickets, title, seat=SEAT, **WHERE) for title in ("Nick Cave", "Cave")]
    with pytest.raises(DuplicateKeyError):
        await merging.merge(older["showId"], newer["showId"])
    assert (await stored(newer)).show_id == newer["showId"]


async def test_merges_in_both_directions_at_the_same_time_keep_the_older_show(tickets: Served) -> None:
    older, newer = await lists(tickets, **WHERE), await lists(tickets, "Cave", **WHERE)
    one, other = older["showId"], newer["showId"]
    await asyncio.gather(merges(tickets, one, other), merges(tickets, other, one))
    assert {show["id"] for show in [await merges(tickets, one, other)]} == {one}
    assert {(await shown(tickets, ticket))["showId"] for ticket in (older, newer)} == {one}


async def test_a_merged_show_can_be_merged_further(tickets: Served) -> None:
    first, second, third = [await lists(tickets, title, **WHERE) for title in ("A", "B", "C")]
    await merges(tickets, second["showId"], third["showId"])
    await merges(tickets, first["showId"], third["showId"])
    for ticket in (second, third):
        assert (await shown(tickets, ticket))["showId"] == first["showId"]
    assert (await lists(tickets, "C", **WHERE))["showId"] == first["showId"]


async def test_a_listing_that_found_the_show_before_its_merge_ends_in_the_survivor(
    tickets: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    older = await lists(tickets, **WHERE)
    newer = await lists(tickets, "Cave", **WHERE)
    add = Ticket.add

    async def add_after_merge(ticket: Ticket, **options: Any) -> None:
        monkeypatch.setattr(Ticket, "add", add)
        await merging.merge(older["showId"], newer["showId"])
        await add(ticket, **options)

    monkeypatch.setattr(Ticket, "add", add_after_merge)
    late = await lists(tickets, "Cave", **WHERE)
    assert late["showId"] == older["showId"]


async def test_control_without_a_second_look_such_a_listing_stays_in_the_merged_show(
    tickets: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def do_not_look(ticket: Ticket, _: Show | None) -> Ticket:
        return ticket

    monkeypatch.setattr(finding, "settled", do_not_look)
    older, newer = await lists(tickets, **WHERE), await lists(tickets, "Cave", **WHERE)
    add = Ticket.add

    async def add_after_merge(ticket: Ticket, **options: Any) -> None:
        monkeypatch.setattr(Ticket, "add", add)
        await merging.merge(older["showId"], newer["showId"])
        await add(ticket, **options)

    monkeypatch.setattr(Ticket, "add", add_after_merge)
    late = await lists(tickets, "Cave", **WHERE)
    assert late["showId"] == newer["showId"]
    await merging.sweep()  # what happens if the process stops before the second look
    assert (await shown(tickets, late))["showId"] == older["showId"]


async def test_the_sweep_finishes_an_interrupted_merge(
    tickets: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    older, newer = await lists(tickets, **WHERE), await lists(tickets, "Cave", **WHERE)

    async def crash(_: str) -> None:
        raise ConnectionError

    with monkeypatch.context() as crashing:
        crashing.setattr(merging, "_move", crash)
        with pytest.raises(ConnectionError):
            await merging.merge(older["showId"], newer["showId"])
    assert (await shown(tickets, newer))["showId"] == newer["showId"]
    await merging.sweep()
    assert (await shown(tickets, newer))["showId"] == older["showId"]
    raw = await tickets.database["shows"].find_one({"_id": ObjectId(newer["showId"])})
    assert raw is not None
    assert raw["unsettled_since"] is not None
    monkeypatch.setattr(merging, "now", lambda: now() + 2 * merging.SETTLE)
    await merging.sweep()
    raw = await tickets.database["shows"].find_one({"_id": ObjectId(newer["showId"])})
    assert raw is not None
    assert raw["unsettled_since"] is None


async def test_a_ticket_that_cannot_be_read_keeps_no_other_from_following_its_event(
    tickets: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    older = await lists(tickets, **WHERE)
    broken, newer = await lists(tickets, "Cave", **WHERE), await lists(tickets, "Cave", **WHERE)
    stored = tickets.database["tickets"]
    await stored.update_one({"_id": ObjectId(broken["id"])}, {"$set": {"status": "unheard-of"}})
    await merging.merge(older["showId"], newer["showId"])
    assert (await shown(tickets, newer))["showId"] == older["showId"]

    async def unsettled() -> bool:
        raw = await tickets.database["shows"].find_one({"_id": ObjectId(newer["showId"])})
        return raw is not None and raw["unsettled_since"] is not None

    monkeypatch.setattr(merging, "now", lambda: now() + 2 * merging.SETTLE)
    await merging.sweep()
    assert await unsettled()
    await stored.update_one({"_id": ObjectId(broken["id"])}, {"$set": {"status": "available"}})
    await merging.sweep()
    assert not await unsettled()
    assert (await shown(tickets, broken))["showId"] == older["showId"]


async def test_a_correction_reaches_the_tickets_and_former_descriptions_still_find_the_event(
    tickets: Served,
) -> None:
    ticket = await lists(tickets, **WHERE)
    answer = await act(
        tickets, "corrections", showId=ticket["showId"], startsAt="2031-06-05T19:00:00Z", country="AT"
    )
    assert answer.status_code == 200, answer.text
    corrected = await shown(tickets, ticket)
    assert (corrected["startsAt"], corrected["country"]) == ("2031-06-05T19:00:00.000Z", "AT")
    late = await lists(tickets, **WHERE)
    assert (late["showId"], late["startsAt"]) == (ticket["showId"], "2031-06-05T19:00:00.000Z")
    assert len(await shows(tickets)) == 1


async def test_a_correction_that_would_make_two_events_the_same_is_refused(tickets: Served) -> None:
    await lists(tickets, **WHERE)
    other = await lists(tickets, **{**WHERE, "venue": "Astra"})
    answer = await act(tickets, "corrections", showId=other["showId"], venue="tempodrom")
    assert messages(answer, 409) == ["Another event has this title, place and time: merge the two"]


async def test_only_operators_merge_and_correct_shows(tickets: Served) -> None:
    show = (await lists(tickets, **WHERE))["showId"]
    for what, more in (("merges", {"otherId": show}), ("corrections", {})):
        body = {"showId": show, "reason": WHY, **more}
        answer = await tickets.ask("POST", f"/api/shows/{what}", by=ANN, json=body)
        assert answer.status_code == 401


@pytest.mark.parametrize("what", ["merges", "corrections"])
async def test_a_show_that_does_not_exist_is_a_404(tickets: Served, what: str) -> None:
    more = {"otherId": new_id()} if what == "merges" else {}
    assert (await act(tickets, what, showId=new_id(), **more)).status_code == 404
    assert (await tickets.ask("GET", f"/api/shows/{new_id()}")).status_code == 404
    assert (await tickets.ask("GET", "/api/shows/nonsense")).status_code == 404


async def test_a_picture_that_only_a_show_uses_is_kept(tickets: Served) -> None:
    ticket = await lists(tickets, **WHERE)
    answer = await act(tickets, "corrections", showId=ticket["showId"], picture="ab" * 32)
    assert messages(answer, 400) == ["There is no picture with this name"]
    long_ago = now() - timedelta(days=1)
    await tickets.database["pictures"].insert_many(
        [
            {"_id": name, "small": b"s", "large": b"l", "unreferenced_since": long_ago}
            for name in ("ab" * 32, "cd" * 32)
        ]
    )
    answer = await act(tickets, "corrections", showId=ticket["showId"], picture="ab" * 32)
    assert answer.json()["picture"] == "ab" * 32
    await tickets.database["pictures"].update_many({}, {"$set": {"unreferenced_since": long_ago}})
    await pictures.sweep()
    assert [each["_id"] async for each in tickets.database["pictures"].find()] == ["ab" * 32]
