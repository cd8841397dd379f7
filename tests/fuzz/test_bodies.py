"""Bodies that nobody should send: each is refused, says why beside the field, and changes nothing."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

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

Route = tuple[ServiceName, str, str]

TICKET = {"title": "Low Roar", "price": 19.99}
TEXTS = ("venue", "city", "timeZone", "category", "seat", "notes")

REFUNDS = "/api/payments/refunds"
WEBHOOK: Route = ("payments", "POST", "/api/payments/webhook")
OF_ONE = (
    ("GET", "/api/tickets/{}"),
    ("PUT", "/api/tickets/{}"),
    ("GET", "/api/orders/{}"),
    ("GET", "/api/users/{}"),
)
NEED_NO_BODY: Sequence[Route] = (
    ("tickets", "DELETE", "/api/tickets/{}"),
    ("orders", "DELETE", "/api/orders/{}"),
    ("orders", "POST", "/api/orders/{}/extend"),
)

Wrong = Mapping[str, list[Any]]
FIELDS: dict[Route, tuple[dict[str, Any], Wrong]] = {
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
    ("payments", "POST", REFUNDS): (
        {"orderId": "{order}", "relist": False},
        {"orderId": [*corpus.NO_TEXT, "", "0" * 65], "relist": corpus.NO_BOOL},
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
                for service, method, path in _routes(through):
                    good, fields = FIELDS[service, method, path]
                    url = (stack.web if through == "web" else stack.settings.url_of(service)) + path
                    url = url.replace("{ticket}", ticket)
                    by = people.seller if service == "tickets" else people.buyer
                    names = {"{ticket}": free[1], "{order}": order}
                    right = {name: names.get(value, value) for name, value in good.items()}
                    for field, values in fields.items():
                        # The web tier passes on what it gets, byte for byte: a part of it shows that.
                        for value in values[:: 1 if through == "service" else 7]:
                            body = {**right, field: value}
                            answer = by.request(method, url, json=body, headers=_token(stack, path))
                            complaint = _complaint(answer, {400}, field)
                            if complaint:
                                wrong.append(f"{method} {path} {field}={value!r:.60}: {complaint}")
                    more = {**right, "$where": "1", "isAdmin": True}
                    unknown = by.request(method, url, json=more, headers=_token(stack, path))
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
                for service, method, path in [*_routes(through), WEBHOOK]:
                    url = (stack.web if through == "web" else stack.settings.url_of(service)) + path
                    url = url.replace("{ticket}", ticket)
                    by = people.seller if service == "tickets" else people.buyer
                    for name, body in corpus.NO_JSON_OBJECT.items():
                        headers = {"Content-Type": "application/json", **_token(stack, path)}
                        answer = by.request(method, url, content=body, headers=headers)
                        if complaint := _complaint(answer, {400}):
                            wrong.append(f"{method} {path} with {name}: {complaint}")
                    if complaint := _complaint_of_too_much(by, method, url, _token(stack, path)):
                        wrong.append(f"{method} {path} with too much: {complaint}")
                    for kind in (
                        "text/plain",
                        "application/x-www-form-urlencoded",
                        "multipart/form-data",
                        "x",
                    ):
                        headers = {"Content-Type": kind, **_token(stack, path)}
                        answer = by.request(method, url, content=b"{}", headers=headers)
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
                    url, token = stack.settings.url_of("payments") + REFUNDS, _token(stack, REFUNDS)
                    answers.append(people.buyer.post(url, json={"orderId": made_up}, headers=token))
                for method, path in (*OF_ONE, *(each[1:] for each in NEED_NO_BODY)):
                    body = TICKET if method == "PUT" else None
                    url = path.format(quote(made_up, safe=""))
                    answers.append(people.buyer.request(method, url, json=body))
                wrong += [
                    f"{answer.request.url.path} {made_up!r}: {complaint}"
                    for answer in answers
                    if (complaint := _complaint(answer, {404}))
                ]
        return wrong

    wrong = await asyncio.to_thread(ask_all)
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("through", ["web", "service"])
async def test_a_body_that_nobody_asked_for_does_nothing(stack: Stack, through: str) -> None:
    def ask_all() -> list[str]:
        wrong: list[str] = []
        with market(stack.web) as people, unchanged(stack, people):
            for service, method, path in NEED_NO_BODY:
                url = stack.web if through == "web" else stack.settings.url_of(service)
                url += path.format("0" * 24)
                for name, body in corpus.NO_JSON_OBJECT.items():
                    headers = {"Content-Type": "application/json"}
                    answer = people.buyer.request(method, url, content=body, headers=headers)
                    if complaint := _complaint(answer, {404}):
                        wrong.append(f"{method} {path} with {name}: {complaint}")
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


def _routes(through: str) -> Iterator[Route]:
    """Operators ask payments itself."""
    return (route for route in FIELDS if through == "service" or route[2] != REFUNDS)


def _token(stack: Stack, path: str) -> dict[str, str]:
    """The operator's, where nobody else gets far enough to be told what is wrong."""
    return {"Authorization": f"Bearer {stack.settings.operator_secret}"} if path == REFUNDS else {}


def _complaint_of_too_much(by: httpx.Client, method: str, url: str, token: Mapping[str, str]) -> str | None:
    body = b'{"title": "' + b"x" * 1_000_000 + b'"}'
    headers = {"Content-Type": "application/json", "Connection": "close", **token}
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
