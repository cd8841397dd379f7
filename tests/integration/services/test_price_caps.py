"""The price cap of a listing, by the country of its event."""

from pathlib import Path
from typing import Any

import pytest

from contracts import price_caps
from contracts.api import TicketBody
from services.tickets import actions
from services.tickets.documents import Ticket
from services.tickets.rules import PriceAboveCap, Pricing
from services.tickets.shows.documents import Show
from tests.support.service import Served, SettingsWith, new_id, serving

ANN = new_id()
PARIS = {
    "title": "Phèdre",
    "startsAt": "2031-05-01T18:00:00Z",
    "timeZone": "Europe/Paris",
    "venue": "Odéon",
    "city": "Paris",
}


async def ask_to_list(tickets: Served, **fields: Any) -> Any:
    body = {**PARIS, "price": 50, "faceValue": 50, **fields}
    return await tickets.ask("POST", "/api/tickets", by=ANN, json=body)


async def test_a_listing_above_the_cap_of_its_country_is_refused_for_its_price(tickets: Served) -> None:
    answer = await ask_to_list(tickets, price=50.01)
    assert answer.status_code == 400
    problem = answer.json()
    message = (
        "Price must be at most $50.00: "
        "the limit in the event's country, France, is 0\u00a0% above the face value"
    )
    assert problem["type"] == "/problems/price-above-cap"
    assert problem["errors"] == [{"message": message, "field": "price"}]
    assert await Show.count() == 0, "a refused listing creates no event"
    assert (await ask_to_list(tickets)).status_code == 201


async def test_a_listing_without_a_country_has_the_cap_of_all_others(tickets: Served) -> None:
    bare = {"title": "Hamlet", "faceValue": "10.00"}
    answer = await tickets.ask("POST", "/api/tickets", by=ANN, json={**bare, "price": "12.01"})
    assert answer.json()["title"].startswith("Price must be at most $12.00")
    answer = await tickets.ask("POST", "/api/tickets", by=ANN, json={**bare, "price": "12.00"})
    assert answer.status_code == 201


async def test_the_country_that_an_event_is_known_to_be_in_decides(tickets: Served) -> None:
    first = (await ask_to_list(tickets)).json()
    assert (await ask_to_list(tickets, price=60, country="US")).status_code == 400
    chosen = {"title": "Phèdre", "showId": first["showId"], "price": 60, "faceValue": 50, "country": "US"}
    answer = await tickets.ask("POST", "/api/tickets", by=ANN, json=chosen)
    assert "France" in answer.json()["title"]


async def test_the_first_seller_cannot_raise_the_cap_by_stating_another_country(tickets: Served) -> None:
    answer = await ask_to_list(tickets, price=60, country="US")
    assert answer.status_code == 400
    assert "France" in answer.json()["title"]
    assert await Show.count() == 0
    assert (await ask_to_list(tickets, country="US")).status_code == 201
    assert (await ask_to_list(tickets, price=60, country="US")).status_code == 400
    chosen = {"title": "Phèdre", "price": 60, "faceValue": 50}
    [show] = await Show.find_all().to_list()
    answer = await tickets.ask("POST", "/api/tickets", by=ANN, json={**chosen, "showId": show.key})
    assert (answer.status_code, show.country) == (400, "US")


async def test_a_stated_country_with_a_lower_cap_counts_too(tickets: Served) -> None:
    in_new_york = {"timeZone": "America/New_York", "country": "FR"}
    assert (await ask_to_list(tickets, price=50.01, **in_new_york)).status_code == 400


async def test_an_edit_is_held_to_the_cap_and_a_listing_that_is_not_edited_keeps_its_price(
    tickets: Served,
) -> None:
    body = {**PARIS, "price": 80, "faceValue": 50}
    ticket = await actions.offer(ANN, TicketBody.model_validate(body))  # from a time without caps
    path = f"/api/tickets/{ticket.key}"
    answer = await tickets.ask("PUT", path, by=ANN, json={**body, "notes": "By the aisle"})
    assert answer.json()["type"] == "/problems/price-above-cap"
    assert (await tickets.ask("GET", path)).json()["price"] == 80
    answer = await tickets.ask("PUT", path, by=ANN, json={**body, "price": 50})
    assert (answer.status_code, answer.json()["price"]) == (200, 50)


async def test_a_client_that_sends_only_title_and_price_lists_at_any_price(tickets: Served) -> None:
    answer = await tickets.ask("POST", "/api/tickets", by=ANN, json={"title": "Hamlet", "price": 900})
    assert (answer.status_code, answer.json()["faceValue"]) == (201, None)


async def test_a_marketplace_may_require_face_values(settings_with: SettingsWith) -> None:
    async with serving("tickets", settings_with(require_face_value=True)) as tickets:
        answer = await tickets.ask("POST", "/api/tickets", by=ANN, json={"title": "Hamlet", "price": 9})
        assert answer.json()["type"] == "/problems/face-value-missing"
        assert answer.json()["errors"][0]["field"] == "faceValue"
        listed = await tickets.ask(
            "POST", "/api/tickets", by=ANN, json={"title": "Hamlet", "price": 9, "faceValue": 9}
        )
        assert listed.status_code == 201
        without = {"title": "Hamlet", "price": 9}
        answer = await tickets.ask("PUT", f"/api/tickets/{listed.json()['id']}", by=ANN, json=without)
        assert answer.json()["type"] == "/problems/face-value-missing"


async def test_a_repeated_listing_is_answered_even_if_the_cap_was_lowered_meanwhile(
    tickets: Served,
) -> None:
    body = TicketBody.model_validate({**PARIS, "price": 60, "faceValue": 50})
    first = await actions.offer(ANN, body, "a key")
    strict = Pricing(caps=price_caps.read())
    assert (await actions.offer(ANN, body, "a key", strict)).key == first.key
    with pytest.raises(PriceAboveCap):
        await actions.offer(ANN, body, "another key", strict)
    assert await Ticket.count() == 1


async def test_operators_replace_the_table(settings_with: SettingsWith, tmp_path: Path) -> None:
    table = tmp_path / "caps.csv"
    table.write_text("country,percent,source,date\n*,0,Ours,2026-12-01\nFR,100,Ours,2026-12-01\n")
    async with serving("tickets", settings_with(price_caps=table)) as tickets:
        assert (await ask_to_list(tickets, price=100)).status_code == 201
        assert (await ask_to_list(tickets, price=101, title="Another")).status_code == 400
        elsewhere = {"title": "Hamlet", "price": 51, "faceValue": 50}
        assert (await tickets.ask("POST", "/api/tickets", by=ANN, json=elsewhere)).status_code == 400
