"""Each invalid body is refused with a reason for each wrong field, and changes nothing."""

import asyncio
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from pymongo import MongoClient

from contracts.problems import PROBLEM_JSON, Problem
from kit.secrets import operator_token
from settings import ServiceName
from tests.resilience.fuzz import corpus
from tests.resilience.fuzz.market import Market, market
from tests.support.people import PASSWORD
from tests.support.stack import Stack

INTERNALS = (
    "Traceback pymongo beanie pydantic litestar msgspec services/ site-packages .py Error( bson".split()
)
"""Internal details that no answer may contain."""

Route = tuple[ServiceName, str, str]

TICKET = {"title": "Low Roar", "price": 19.99}
TEXTS = ("venue", "city", "timeZone", "category", "seat", "notes")

REFUNDS = "/api/payments/refunds"
CANCELLATIONS = "/api/orders/cancellations"
EXTENSIONS = "/api/orders/extensions"
WITHDRAWALS = "/api/tickets/withdrawals"
FOR_OPERATORS = {REFUNDS, CANCELLATIONS, EXTENSIONS, WITHDRAWALS}
WEBHOOK: Route = ("payments", "POST", "/api/payments/webhook")
ENTITY_ROUTES = (
    ("GET", "/api/tickets/{}"),
    ("PUT", "/api/tickets/{}"),
    ("GET", "/api/orders/{}"),
    ("GET", "/api/users/{}"),
)
ROUTES_WITHOUT_BODY: Sequence[Route] = (
    ("tickets", "DELETE", "/api/tickets/{}"),
    ("orders", "DELETE", "/api/orders/{}"),
    ("orders", "POST", "/api/orders/{}/extend"),
)

Wrong = Mapping[str, list[Any]]
ABOUT_ORDERS: Wrong = {
    "orderId": [*corpus.NOT_TEXTS, "", "0" * 65],
    "reason": [*corpus.NOT_TEXTS, *corpus.DISRUPTIVE_TEXTS, "", "x" * 501, "x" * 10_000],
}
FIELDS: dict[Route, tuple[dict[str, Any], Wrong]] = {
    ("auth", "POST", "/api/users/signup"): (
        {"email": "ada@example.com", "password": PASSWORD},
        {
            "email": [
                *corpus.NOT_TEXTS,
                *corpus.INVALID_IDS,
                "a" * 10_000 + "@example.com",
                "a@b@c.de",
                "a\r\n@b.de",
            ],
            "password": [*corpus.NOT_TEXTS, "short", "x" * 257, "x" * 10_000],
        },
    ),
    ("auth", "POST", "/api/users/signin"): (
        {"email": "ada@example.com", "password": PASSWORD},
        {
            "email": [*corpus.NOT_TEXTS, "a" * 10_000],
            "password": [*corpus.NOT_TEXTS, "x" * 10_000],
        },
    ),
    ("auth", "POST", "/api/users/password"): (
        {"currentPassword": "not the one", "newPassword": PASSWORD},
        {"currentPassword": [*corpus.NOT_TEXTS, "x" * 10_000], "newPassword": [*corpus.NOT_TEXTS, "short"]},
    ),
    ("auth", "POST", "/api/users/me/deletion"): (
        {"currentPassword": "not the one"},
        {"currentPassword": [*corpus.NOT_TEXTS, "x" * 10_000]},
    ),
    ("tickets", "POST", "/api/tickets"): (
        TICKET,
        {
            "title": [
                *corpus.NOT_TEXTS,
                *corpus.DISRUPTIVE_TEXTS,
                *("", " \t\u2003", "\u200b", "x" * 201, "x" * 10_000),
            ],
            "price": corpus.INVALID_PRICES,
            "startsAt": corpus.INVALID_TIMES[1:],
            "faceValue": corpus.INVALID_PRICES[1::3],
            "quantity": corpus.INVALID_QUANTITIES,
            **{
                name: [*corpus.NOT_TEXTS[1::3], *corpus.DISRUPTIVE_TEXTS[1::2], "", "x" * 10_000]
                for name in TEXTS
            },
        },
    ),
    ("tickets", "PUT", "/api/tickets/{ticket}"): (
        TICKET,
        {"title": [*corpus.NOT_TEXTS[::3], ""], "price": corpus.INVALID_PRICES[::3]},
    ),
    ("orders", "POST", "/api/orders"): ({"ticketId": "{ticket}"}, {"ticketId": [*corpus.NOT_TEXTS, ""]}),
    ("payments", "POST", "/api/payments"): (
        {"orderId": "{order}", "token": "tok_visa"},
        {
            "orderId": [*corpus.NOT_TEXTS, "", "0" * 65],
            "token": [
                *corpus.NOT_TEXTS,
                *corpus.INVALID_IDS,
                "tok_",
                "tok_visa\n",
                "TOK_visa",
                "tok_" + "x" * 201,
            ],
        },
    ),
    ("payments", "POST", REFUNDS): (
        {"orderId": "{order}", "relist": False},
        {"orderId": [*corpus.NOT_TEXTS, "", "0" * 65], "relist": corpus.INVALID_BOOLEANS},
    ),
    ("orders", "POST", CANCELLATIONS): ({"orderId": "{order}", "reason": "a test"}, ABOUT_ORDERS),
    ("orders", "POST", EXTENSIONS): (
        {"orderId": "{order}", "expiresAt": "2031-05-01T18:00:00.000Z"},
        {"orderId": [*corpus.NOT_TEXTS, ""], "expiresAt": corpus.INVALID_TIMES},
    ),
    ("tickets", "POST", WITHDRAWALS): (
        {"ticketId": "{ticket}", "reason": "a test"},
        {
            "ticketId": [*corpus.NOT_TEXTS, "", "0" * 65],
            "reason": [*corpus.NOT_TEXTS, *corpus.DISRUPTIVE_TEXTS],
        },
    ),
}
"""The valid body of each route, and invalid values of each field."""


@pytest.mark.parametrize("through", ["web", "service"])
async def test_an_invalid_field_is_named_in_the_refusal_and_changes_nothing(
    stack: Stack, through: str
) -> None:
    def ask_all() -> list[str]:
        wrong: list[str] = []
        with market(stack.web) as people:
            ticket, *free = people.list_tickets(3)
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
                        # The web tier forwards bodies unchanged, so only a part of the cases is tested there.
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
async def test_a_body_that_is_not_a_json_object_is_refused_and_changes_nothing(
    stack: Stack, through: str
) -> None:
    def ask_all() -> list[str]:
        wrong: list[str] = []
        with market(stack.web) as people:
            (ticket,) = people.list_tickets(1)
            with unchanged(stack, people):
                for service, method, path in [*_routes(through), WEBHOOK]:
                    url = (stack.web if through == "web" else stack.settings.url_of(service)) + path
                    url = url.replace("{ticket}", ticket)
                    by = people.seller if service == "tickets" else people.buyer
                    for name, body in corpus.NOT_JSON_OBJECTS.items():
                        headers = {"Content-Type": "application/json", **_token(stack, path)}
                        answer = by.request(method, url, content=body, headers=headers)
                        if complaint := _complaint(answer, {400}):
                            wrong.append(f"{method} {path} with {name}: {complaint}")
                    if complaint := _large_body_complaint(by, method, url, _token(stack, path)):
                        wrong.append(f"{method} {path} with a large body: {complaint}")
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


async def test_unknown_and_malformed_ids_are_not_found(stack: Stack) -> None:
    def ask_all() -> list[str]:
        wrong: list[str] = []
        with market(stack.web) as people, unchanged(stack, people):
            for made_up in corpus.INVALID_IDS:
                answers = [people.buyer.post("/api/orders", json={"ticketId": made_up})]
                if len(made_up) <= 64:
                    answers.append(people.buyer.post("/api/payments", json={"orderId": made_up}))
                    url, token = stack.settings.url_of("payments") + REFUNDS, _token(stack, REFUNDS)
                    answers.append(people.buyer.post(url, json={"orderId": made_up}, headers=token))
                for method, path in (*ENTITY_ROUTES, *(each[1:] for each in ROUTES_WITHOUT_BODY)):
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
async def test_a_body_is_ignored_by_a_route_without_a_body(stack: Stack, through: str) -> None:
    def ask_all() -> list[str]:
        wrong: list[str] = []
        with market(stack.web) as people, unchanged(stack, people):
            for service, method, path in ROUTES_WITHOUT_BODY:
                url = stack.web if through == "web" else stack.settings.url_of(service)
                url += path.format("0" * 24)
                for name, body in corpus.NOT_JSON_OBJECTS.items():
                    headers = {"Content-Type": "application/json"}
                    answer = people.buyer.request(method, url, content=body, headers=headers)
                    if complaint := _complaint(answer, {404}):
                        wrong.append(f"{method} {path} with {name}: {complaint}")
        return wrong

    wrong = await asyncio.to_thread(ask_all)
    assert not wrong, "\n".join(wrong)


async def test_odd_titles_are_stored_in_normal_form_and_have_no_effect(stack: Stack) -> None:
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
                if ticket["title"] != unicodedata.normalize("NFC", text):
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
    """Check that the block creates, changes and deletes nothing of these users."""
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
    """The routes to test. Those of operators are tested only at the service, as web doesn't forward them."""
    return (route for route in FIELDS if through == "service" or route[2] not in FOR_OPERATORS)


def _token(stack: Stack, path: str) -> dict[str, str]:
    """The operator's token for operators' routes, because other tokens are refused before validation."""
    return {"Authorization": f"Bearer {operator_token(stack.settings)}"} if path in FOR_OPERATORS else {}


def _large_body_complaint(by: httpx.Client, method: str, url: str, token: Mapping[str, str]) -> str | None:
    body = b'{"title": "' + b"x" * 1_000_000 + b'"}'
    headers = {"Content-Type": "application/json", "Connection": "close", **token}
    try:
        return _complaint(by.request(method, url, content=body, headers=headers), {413})
    except httpx.TransportError:
        return None  # the server may close the connection before the client has sent everything


def _complaint(answer: httpx.Response, statuses: set[int], field: str | None = None) -> str | None:
    """The reason why a refusal is wrong: its status, its format, a missing field or internal details."""
    if answer.status_code not in statuses or answer.headers["content-type"] != PROBLEM_JSON:
        return f"{answer.status_code} {answer.text[:200]}"
    problem = Problem.model_validate_json(answer.content)
    named = {(error.field or "").partition(".")[0] for error in problem.errors}
    if field is not None and field not in named:
        return f"names {named}"
    if revealed := [word for word in INTERNALS if word in answer.text]:
        return f"reveals {revealed}"
    if len(answer.content) > 2_000:
        return f"repeats what was sent: {len(answer.content)} bytes"
    return None
