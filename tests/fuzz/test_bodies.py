"""Bodies that nobody should send: each is refused, says why beside the field, and changes nothing."""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from pymongo import MongoClient

from contracts.problems import PROBLEM_JSON, Problem
from settings import ServiceName
from tests.fuzz import corpus
from tests.fuzz.market import Market, market
from tests.people import PASSWORD
from tests.stack import Stack

pytestmark = pytest.mark.asyncio(loop_scope="session")  # that of the marketplace

INTERNALS = (
    "Traceback pymongo beanie pydantic litestar msgspec services/ site-packages .py Error( bson".split()
)
"""What no answer may tell."""

TICKET = {"title": "Low Roar", "price": 19.99}
TEXTS = ("venue", "city", "timeZone", "category", "seat", "notes")

Wrong = Mapping[str, list[Any]]
FIELDS: dict[tuple[ServiceName, str, str], tuple[dict[str, Any], Wrong]] = {
    ("auth", "POST", "/api/users/signup"): (
        {"email": "ada@example.com", "password": PASSWORD},
        {
            "email": [
                *corpus.NO_TEXT,
                *corpus.NO_ID,
                "a" * 100_000 + "@example.com",
                "a@b@c.de",
                "a\r\n@b.de",
            ],
            "password": [*corpus.NO_TEXT, "short", "x" * 129, "x" * 900_000],
        },
    ),
    ("auth", "POST", "/api/users/signin"): (
        {"email": "ada@example.com", "password": PASSWORD},
        {
            "email": [*corpus.NO_TEXT, "a" * 100_000],
            "password": [*corpus.NO_TEXT, "x" * 900_000],
        },
    ),
    ("auth", "POST", "/api/users/password"): (
        {"currentPassword": "not the one", "newPassword": PASSWORD},
        {"currentPassword": [*corpus.NO_TEXT, "x" * 900_000], "newPassword": [*corpus.NO_TEXT, "short"]},
    ),
    ("tickets", "POST", "/api/tickets"): (
        TICKET,
        {
            "title": [*corpus.NO_TEXT, "", " \t\u2003", "x" * 201, "x" * 900_000],
            "price": corpus.NO_PRICE,
            "startsAt": corpus.NO_TIME[1:],
            "faceValue": corpus.NO_PRICE[1::3],
            "quantity": corpus.NO_NUMBER_OF_TICKETS,
            **{name: [*corpus.NO_TEXT[1::3], "", "x" * 10_000] for name in TEXTS},
        },
    ),
    ("tickets", "PUT", "/api/tickets/{ticket}"): (
        TICKET,
        {"title": [*corpus.NO_TEXT[::3], ""], "price": corpus.NO_PRICE[::3]},
    ),
    ("orders", "POST", "/api/orders"): ({"ticketId": "{ticket}"}, {"ticketId": [*corpus.NO_TEXT, ""]}),
    ("payments", "POST", "/api/payments"): (
        {"orderId": "{order}", "token": "tok_visa"},
        {
            "orderId": [*corpus.NO_TEXT, "", "0" * 65],
            "token": [
                *corpus.NO_TEXT[1:],
                *corpus.NO_ID,
                "tok_",
                "tok_visa\n",
                "TOK_visa",
                "tok_" + "x" * 201,
            ],
        },
    ),
}
"""What each route takes, and what it doesn't, by field."""


@pytest.mark.parametrize("through", ["web", "service"])
async def test_what_is_wrong_in_a_body_is_refused_by_name_and_changes_nothing(
    stack: Stack, through: str
) -> None:
    def ask_all() -> list[str]:
        wrong: list[str] = []
        with market(stack.web) as people:
            ticket, *free = people.offer(3)
            (order,) = people.reserve(free[:1])
            with unchanged(stack, people):
                for (service, method, path), (good, fields) in FIELDS.items():
                    url = (stack.web if through == "web" else stack.settings.url_of(service)) + path
                    url = url.replace("{ticket}", ticket)
                    by = people.seller if service == "tickets" else people.buyer
                    names = {"{ticket}": free[1], "{order}": order}
                    right = {name: names.get(value, value) for name, value in good.items()}
                    for field, values in fields.items():
                        # The web tier passes on what it gets, byte for byte: a part of it shows that.
                        for value in values[:: 1 if through == "service" else 7]:
                            answer = by.request(method, url, json={**right, field: value})
                            complaint = _complaint(answer, {400}, field)
                            if complaint:
                                wrong.append(f"{method} {path} {field}={value!r:.60}: {complaint}")
                    unknown = by.request(method, url, json={**right, "$where": "1", "isAdmin": True})
                    if complaint := _complaint(unknown, {400}, "isAdmin"):
                        wrong.append(f"{method} {path} with unknown fields: {complaint}")
        return wrong

    wrong = await asyncio.to_thread(ask_all)
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("through", ["web", "service"])
async def test_what_is_no_json_object_is_refused_and_changes_nothing(stack: Stack, through: str) -> None:
    def ask_all() -> list[str]:
        wrong: list[str] = []
        with market(stack.web) as people:
            (ticket,) = people.offer(1)
            with unchanged(stack, people):
                for service, method, path in [*FIELDS, ("payments", "POST", "/api/payments/webhook")]:
                    url = (stack.web if through == "web" else stack.settings.url_of(service)) + path
                    url = url.replace("{ticket}", ticket)
                    by = people.seller if service == "tickets" else people.buyer
                    for name, body in corpus.NO_JSON_OBJECT.items():
                        headers = {"Content-Type": "application/json"}
                        answer = by.request(method, url, content=body, headers=headers)
                        if complaint := _complaint(answer, {400}):
                            wrong.append(f"{method} {path} with {name}: {complaint}")
                    if complaint := _complaint_of_too_much(by, method, url):
                        wrong.append(f"{method} {path} with too much: {complaint}")
                    for kind in (
                        "text/plain",
                        "application/x-www-form-urlencoded",
                        "multipart/form-data",
                        "x",
                    ):
                        answer = by.request(method, url, content=b"{}", headers={"Content-Type": kind})
                        if complaint := _complaint(answer, {400, 415}):
                            wrong.append(f"{method} {path} as {kind}: {complaint}")
        return wrong

    wrong = await asyncio.to_thread(ask_all)
    assert not wrong, "\n".join(wrong)


async def test_what_is_the_id_of_nothing_is_not_found(stack: Stack) -> None:
    def ask_all() -> list[str]:
        wrong: list[str] = []
        with market(stack.web) as people, unchanged(stack, people):
            for made_up in corpus.NO_ID:
                answers = [people.buyer.post("/api/orders", json={"ticketId": made_up})]
                if len(made_up) <= 64:
                    answers.append(people.buyer.post("/api/payments", json={"orderId": made_up}))
                wrong += [
                    f"{answer.request.url.path} {made_up!r}: {complaint}"
                    for answer in answers
                    if (complaint := _complaint(answer, {404}))
                ]
        return wrong

    wrong = await asyncio.to_thread(ask_all)
    assert not wrong, "\n".join(wrong)


async def test_odd_texts_stay_what_they_are_and_do_nothing(stack: Stack) -> None:
    def ask_all() -> list[str]:
        wrong: list[str] = []
        with market(stack.web) as people:
            for text in corpus.ODD_TEXTS:
                body = {"title": text, "price": 5, "venue": text[:120], "notes": text}
                answer = people.seller.post("/api/tickets", json=body)
                if answer.status_code != 201:
                    wrong.append(f"{text!r}: {answer.status_code} {answer.text}")
                    continue
                ticket = answer.json()
                if ticket["title"] != text.strip():
                    wrong.append(f"{text!r} became {ticket['title']!r}")
                page = people.seller.get(f"/tickets/{ticket['id']}")
                found = people.seller.get("/", params={"q": text[:200]})
                for shown in (page, found):
                    if shown.status_code != 200 or "stolen" in str(shown.headers):
                        wrong.append(f"{text!r}: {shown.status_code} of {shown.request.url.path}")
                    if "<script>alert" in shown.text or "<img src=x" in shown.text:
                        wrong.append(f"{text!r} is markup at {shown.request.url.path}")
        return wrong

    wrong = await asyncio.to_thread(ask_all)
    assert not wrong, "\n".join(wrong)


@contextmanager
def unchanged(stack: Stack, people: Market) -> Iterator[None]:
    """Nothing of these people is made, changed or taken away within the block."""
    before = _all_of(stack, people)
    assert before["users"] == 2
    yield
    assert _all_of(stack, people) == before


def _all_of(stack: Stack, people: Market) -> dict[str, Any]:
    with MongoClient[dict[str, Any]](stack.settings.database) as client:
        mine = {"user_id": {"$in": [people.buyer_id, people.seller_id]}}

        def versions(database: str, name: str) -> dict[str, int]:
            found = client[database][name].find(mine, {"version": 1})
            return {str(document["_id"]): document["version"] for document in found}

        emails = {document["email"] for document in client["auth"]["users"].find({}, {"email": 1})}
        return {
            "users": len(emails & {people.buyer_email, people.seller_email}),
            "ada": "ada@example.com" in emails,
            "passwords": [
                document["password_hash"]
                for document in client["auth"]["users"].find({}, {"password_hash": 1, "email": 1})
                if document["email"] in (people.buyer_email, people.seller_email)
            ],
            "sessions": versions("auth", "sessions"),
            "tickets": versions("tickets", "tickets"),
            "orders": versions("orders", "orders"),
            "payments": versions("payments", "payments"),
        }


def _complaint_of_too_much(by: httpx.Client, method: str, url: str) -> str | None:
    body = b'{"title": "' + b"x" * 1_000_000 + b'"}'
    headers = {"Content-Type": "application/json", "Connection": "close"}
    try:
        return _complaint(by.request(method, url, content=body, headers=headers), {413})
    except httpx.TransportError:
        return None  # who is hung up on while they send may not come to read that it is too much


def _complaint(answer: httpx.Response, statuses: set[int], field: str | None = None) -> str | None:
    """What is wrong with a refusal: its status or form, a field it doesn't name, what it gives away."""
    if answer.status_code not in statuses or answer.headers["content-type"] != PROBLEM_JSON:
        return f"{answer.status_code} {answer.text[:200]}"
    problem = Problem.model_validate_json(answer.content)
    named = {(error.field or "").partition(".")[0] for error in problem.errors}
    if field is not None and field not in named:
        return f"names {named}"
    if told := [word for word in INTERNALS if word in answer.text]:
        return f"tells of {told}"
    if len(answer.content) > 2_000:
        return f"repeats what was sent: {len(answer.content)} bytes"
    return None
