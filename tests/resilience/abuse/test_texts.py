"""Nobody lists a ticket whose text is invisible, or changes the page or the log around it."""

import secrets
from typing import Any

import pytest

from tests.support.people import signed_up
from tests.support.stack import Stack

FIELDS = ("title", "venue", "city", "seat", "notes")

DISRUPTIVE = {
    "invisible": "\u200b",
    "filler": "\u3164",
    "NUL": "a\x00b",
    "override": "\u202e89.0 RUE\u202c",
    "isolate": "a\u2067b",
    "zero width": "Low\u200bRoar",
    "tags": "a\U000e0041\U000e0042",
    "private": "a\uf8ff",
    "noncharacter": "a\uffff",
    "Zalgo": "Z" + "\u0351\u0329" * 20,
}


@pytest.mark.parametrize("name", DISRUPTIVE)
async def test_a_disruptive_text_is_refused_in_every_field(stack: Stack, name: str) -> None:
    good: dict[str, Any] = dict.fromkeys(FIELDS, "Row 4") | {"price": 5}
    async with signed_up(stack.web, 1) as [seller]:
        ticket = await seller.lists_ticket()
        for field in FIELDS:
            body = good | {field: DISRUPTIVE[name]}
            for method, path in (("POST", "/api/tickets"), ("PUT", f"/api/tickets/{ticket['id']}")):
                answer = await seller.client.request(method, path, json=body)
                assert answer.status_code == 400, (field, answer.text)
                assert [error["field"] for error in answer.json()["errors"]] == [field]
        mine = (await seller.client.get("/api/tickets/mine")).json()
    assert [each["title"] for each in mine] == [ticket["title"]]


async def test_a_line_break_is_refused_outside_of_notes(stack: Stack) -> None:
    async with signed_up(stack.web, 1) as [seller]:
        for field in FIELDS:
            body = {"title": "Row 4", "price": 5, field: "a\r\nb"}
            answer = await seller.client.post("/api/tickets", json=body)
            assert answer.status_code == (201 if field == "notes" else 400)


async def test_the_form_says_what_is_wrong_with_a_text(stack: Stack) -> None:
    async with signed_up(stack.web, 1) as [seller]:
        form = {"title": "Low\u202eRoar", "price": "5", "timeZone": "UTC", "quantity": "1"}
        seller.client.headers["Sec-Fetch-Site"] = "same-origin"
        seller.client.cookies.set("session", seller.client.headers["Authorization"].removeprefix("Bearer "))
        answer = await seller.client.post("/sell", data=form)
    assert answer.status_code == 422
    assert "Title contains a character that changes the direction of text (U+202E)" in answer.text


async def test_a_huge_stack_of_accents_is_refused_like_a_long_text(stack: Stack) -> None:
    async with signed_up(stack.web, 1) as [seller]:
        body = {"title": "\u0301\u0323" * 3_000, "price": 5}
        answer = await seller.client.post("/api/tickets", json=body)
    assert answer.json()["title"] == "Title must be at most 200 characters"


async def test_no_request_writes_a_log_line_of_its_own(stack: Stack) -> None:
    forged = f"forged-{secrets.token_hex(8)}"
    async with signed_up(stack.web, 1) as [visitor]:
        for path in (f"/tickets/x%0A{forged}", f"/api/tickets/x%0D%0A{forged}", f"/%E2%80%A8{forged}"):
            await visitor.client.get(
                path, params={"q": f"\n{forged}"}, headers={"Cookie": f"session={forged}"}
            )
    for name in ("web", "tickets", "auth"):
        assert not [line for line in stack.log_of(name).splitlines() if line.startswith(forged)]
