"""The operator console on real processes, used without JavaScript."""

import json
import re
from collections.abc import AsyncIterator
from typing import Any

import httpx
import nats
import pytest
import pytest_asyncio
from bson import ObjectId

from kit.mongo import connect
from kit.secrets import operator_token
from ops.action_log import FILE
from ops.console.app import SECURITY_HEADERS
from ops.console.sessions import MAX_FAILURES
from ops.operators import FILE as OPERATORS
from ops.operators import grant
from sandbox.processes import console
from sandbox.testing import free_port
from streams.delivery import DeadLetter
from tests.support.operate import operate
from tests.support.people import PASSWORD, Person, signed_up
from tests.support.polling import TIMEOUT, until
from tests.support.stack import Stack, stagedoor

OWN = {"Sec-Fetch-Site": "same-origin"}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def watched(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """A marketplace with a console."""
    folder = tmp_path_factory.mktemp("watched") / "data"
    async with stagedoor(folder, variants=False) as stack:
        await stack.run(console(stack.settings))
        yield stack


def browser(stack: Stack) -> httpx.AsyncClient:
    """A browser that nobody has signed in with."""
    url = f"http://localhost:{stack.settings.console_port}"
    return httpx.AsyncClient(base_url=url, headers=OWN, timeout=TIMEOUT, follow_redirects=True)


@pytest.fixture(scope="module")
def ada(watched: Stack) -> str:
    """The personal token of an operator."""
    return grant(watched.settings, "Ada Lovelace", "root")


@pytest_asyncio.fixture(loop_scope="session")
async def operator(watched: Stack, ada: str) -> AsyncIterator[httpx.AsyncClient]:
    """The browser of an operator who is signed in."""
    async with browser(watched) as client:
        answer = await client.post("/ops/sign-in", data={"token": ada})
        assert answer.status_code == 200
        assert "Sign out Ada Lovelace" in answer.text
        yield client


@pytest_asyncio.fixture(loop_scope="session")
async def people(watched: Stack) -> AsyncIterator[tuple[Person, Person]]:
    async with signed_up(watched.web, 2) as (seller, buyer):
        yield seller, buyer


async def bought(people: tuple[Person, Person]) -> dict[str, Any]:
    seller, buyer = people
    ticket = await seller.lists_ticket()
    answer = await until(lambda: buyer.tries_to_reserve(ticket["id"]), lambda it: it.status_code == 201)
    order: dict[str, Any] = answer.json()
    await until(lambda: buyer.pays(order["id"]), lambda it: it.status_code == 201)
    await until(lambda: buyer.payment(order["id"]), lambda seen: seen["status"] == "captured")
    await until(lambda: buyer.order(order["id"]), lambda seen: seen["status"] == "complete")
    return order


def actions(stack: Stack) -> list[dict[str, Any]]:
    path = stack.folder / FILE
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@pytest.mark.parametrize(
    "path",
    ["/ops", "/ops/search", "/ops/dead", "/ops/audit", f"/ops/orders/{'6' * 24}", f"/ops/people/{'6' * 24}"],
)
async def test_every_page_asks_those_to_sign_in_who_are_not(watched: Stack, path: str) -> None:
    async with browser(watched) as client:
        answer = await client.get(path)
    assert answer.url.path == "/ops/sign-in"
    assert "Sign in as an operator" in answer.text


@pytest.mark.parametrize(
    "path",
    [
        "/ops/dead",
        f"/ops/orders/{'6' * 24}/refund",
        *(f"/ops/people/{'6' * 24}/{action}" for action in ("suspend", "lift", "end-sessions")),
    ],
)
async def test_nobody_acts_without_signing_in(watched: Stack, path: str) -> None:
    before = len(actions(watched))
    async with browser(watched) as client:
        answer = await client.post(path, data={"letter": "1", "action": "drop", "reason": "none"})
    assert answer.url.path == "/ops/sign-in"
    assert len(actions(watched)) == before


@pytest.mark.parametrize("token", ["x" * 43, "", "the services' token"])
async def test_only_a_personal_token_signs_in(watched: Stack, token: str) -> None:
    if token == "the services' token":
        token = operator_token(watched.settings)
    async with browser(watched) as client:
        answer = await client.post("/ops/sign-in", data={"name": "Ada Lovelace", "token": token})
        assert (answer.status_code, client.cookies) == (403, httpx.Cookies())
        assert "Nobody has this personal token, or it was revoked." in answer.text


async def test_a_revoked_operator_is_signed_out_at_once(watched: Stack) -> None:
    environment = {"DATA_DIR": str(watched.folder)}
    granted = await operate("operator", "grant", "Eve", environment=environment)
    async with browser(watched) as client:
        answer = await client.post("/ops/sign-in", data={"token": granted.out})
        assert "Sign out Eve" in answer.text
        revoked = await operate("operator", "revoke", "Eve", environment=environment)
        assert revoked.code == 0, revoked.err
        before = len(actions(watched))
        assert (await client.get("/ops")).url.path == "/ops/sign-in"
        form = {"letter": "1", "action": "drop", "reason": "revenge"}
        assert (await client.post("/ops/dead", data=form)).url.path == "/ops/sign-in"
        assert len(actions(watched)) == before
        again = await client.post("/ops/sign-in", data={"token": granted.out})
        assert again.status_code == 403


async def test_while_the_operators_are_unreadable_nobody_is_one_and_the_console_says_why(
    watched: Stack, operator: httpx.AsyncClient, ada: str
) -> None:
    path = watched.folder / OPERATORS
    granted = path.read_bytes()
    path.write_bytes(b"{")
    try:
        assert (await operator.get("/ops")).url.path == "/ops/sign-in"
        answer = await operator.post("/ops/sign-in", data={"token": ada})
        assert answer.status_code == 503
        assert "can&#39;t be read: it isn&#39;t valid." in answer.text
    finally:
        path.write_bytes(granted)
    assert (await operator.get("/ops")).url.path == "/ops"


async def test_the_cookie_is_short_lived_and_unreachable_for_scripts_and_other_sites(
    watched: Stack, ada: str
) -> None:
    async with browser(watched) as client:
        answer = await client.post("/ops/sign-in", data={"token": ada}, follow_redirects=False)
        cookie = answer.headers["set-cookie"].lower()
        assert {"httponly", "samesite=strict", "path=/ops", "max-age=3600"} <= set(cookie.split("; "))
        assert ada.lower() not in cookie
        stolen = answer.headers["set-cookie"].partition(";")[0]
        assert (await client.get("/ops")).url.path == "/ops"
        await client.post("/ops/sign-out")
        after = await client.get("/ops", headers={"Cookie": stolen})
        assert after.url.path == "/ops/sign-in"


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "the marketplace"},
        {"Origin": "null"},
        {},
    ],
    ids=str,
)
async def test_a_request_of_another_site_is_refused(
    watched: Stack, operator: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    before = len(actions(watched))
    form = {"letter": "1", "action": "drop", "reason": "an attack"}
    del operator.headers["Sec-Fetch-Site"]
    headers = {name: value.replace("the marketplace", watched.web) for name, value in headers.items()}
    answer = await operator.post("/ops/dead", data=form, headers=headers)
    assert answer.status_code == 403
    assert "Another site sent this request" in answer.text
    assert len(actions(watched)) == before
    # The control: the same request from the console itself is logged.
    await operator.post("/ops/dead", data=form, headers=OWN)
    assert len(actions(watched)) == before + 2


async def test_a_name_that_leads_to_this_machine_is_no_name_of_the_console(watched: Stack) -> None:
    async with browser(watched) as client:
        answer = await client.get("/ops/sign-in", headers={"Host": "evil.example:3510"})
    assert answer.status_code == 400


async def test_all_responses_have_the_security_headers(watched: Stack, operator: httpx.AsyncClient) -> None:
    for path in ("/ops", "/ops/sign-in", "/ops/dead", "/ops/static/console.css", "/ops/nothing", "/nothing"):
        answer = await operator.get(path)
        assert {name: answer.headers[name] for name in SECURITY_HEADERS} == SECURITY_HEADERS, path
        assert "<script" not in answer.text
    async with httpx.AsyncClient() as http:
        assert (await http.get(f"{watched.web}/ops")).status_code == 404


async def test_the_overview_shows_a_stopped_process(watched: Stack, operator: httpx.AsyncClient) -> None:
    answer = await operator.get("/ops")
    assert "doesn&#39;t answer" not in answer.text
    await watched.stop("expiration")
    try:
        answer = await operator.get("/ops")
        url = watched.settings.url_of("expiration")
        assert f"doesn&#39;t answer at {url}" in answer.text
        assert "EVENTS" in answer.text
        assert "expiration-order-created" in answer.text
    finally:
        await watched.start("expiration")


async def test_search_finds_an_order_by_its_code_and_lists_those_of_a_person(
    watched: Stack, operator: httpx.AsyncClient, people: tuple[Person, Person]
) -> None:
    order = await bought(people)
    async with connect(watched.settings.database) as mongo:
        stored = await mongo["orders"]["orders"].find_one({"_id": ObjectId(order["id"])})
    assert stored is not None
    answer = await operator.get("/ops/search", params={"q": stored["code"]})
    assert answer.url.path == f"/ops/orders/{order['id']}"
    assert "payment.updated" in answer.text
    for given in (people[1].email, people[1].id):
        answer = await operator.get("/ops/search", params={"q": given})
        assert answer.url.path == f"/ops/people/{people[1].id}"
        assert f'href="/ops/orders/{order["id"]}"' in answer.text
    answer = await operator.get("/ops/search", params={"q": "<b>nobody@example.com"})
    assert answer.status_code == 404
    assert "<b>" not in answer.text


async def test_only_the_page_of_a_person_shows_an_address_and_only_the_persons_own(
    operator: httpx.AsyncClient, people: tuple[Person, Person]
) -> None:
    seller, buyer = people
    ticket = await seller.lists_ticket()
    order = (
        await until(lambda: buyer.tries_to_reserve(ticket["id"]), lambda it: it.status_code == 201)
    ).json()
    of_person = (await operator.get(f"/ops/people/{buyer.id}")).text
    assert buyer.email in of_person
    assert seller.email not in of_person
    for path in (f"/ops/orders/{order['id']}", f"/ops/tickets/{ticket['id']}", "/ops"):
        page = await operator.get(path)
        assert page.status_code == 200
        assert buyer.email not in page.text
        assert seller.email not in page.text


async def test_a_dead_letter_is_replayed_and_another_is_dropped_with_a_reason(
    watched: Stack, operator: httpx.AsyncClient, people: tuple[Person, Person]
) -> None:
    order = await bought(people)
    connection = await nats.connect(watched.bus)
    js = connection.jetstream()
    event = await js.get_last_msg("EVENTS", "order.updated")
    headers = {
        DeadLetter.CONSUMER: "payments-order-updated",
        DeadLetter.ATTEMPTS: "10",
        DeadLetter.ERROR: "KeyError: 'a bug'",
        "Nats-Msg-Id": f"payments-order-updated:EVENTS:{event.seq}",
    }
    letter = await js.publish("dead.payments.order.updated", event.data or b"", headers=headers)
    try:
        assert "KeyError: &#39;a bug&#39;" in (await operator.get("/ops/dead")).text
        assert "gave up" in (await operator.get(f"/ops/orders/{order['id']}")).text
        answer = await operator.post("/ops/dead", data={"letter": str(letter.seq), "action": "replay"})
        assert f"{letter.seq} was published again." in answer.text
        replayed = await js.get_last_msg("EVENTS", "order.updated")
        assert (replayed.data, replayed.seq == event.seq) == (event.data, False)
        other = await js.publish("dead.payments.order.updated", b"{}", headers={DeadLetter.ERROR: "a bug"})
        number = str(other.seq)
        answer = await operator.post("/ops/dead", data={"letter": number, "action": "drop"})
        assert "Enter the reason" in answer.text
        form = {"letter": number, "action": "drop", "reason": "made up by a test"}
        assert f"{number} is deleted." in (await operator.post("/ops/dead", data=form)).text
    finally:
        await js.purge_stream("DEAD")
        await connection.close()
    started, ended = actions(watched)[-2:]
    assert (started["outcome"], ended["outcome"], ended["result"]) == (
        "started",
        "success",
        f"{number} is deleted.",
    )
    assert ended["arguments"] == {"letters": [number], "reason": "made up by a test"}
    assert (ended["actor"], ended["via"], ended["command"]) == ("Ada Lovelace", "console", "drop")


async def test_a_refund_is_made_and_logged(
    watched: Stack, operator: httpx.AsyncClient, people: tuple[Person, Person]
) -> None:
    order = await bought(people)
    page, form = f"/ops/orders/{order['id']}/refund", {"reason": "the event is cancelled"}
    before = len(actions(watched))
    assert "Nothing was done: enter the reason, and confirm" in (await operator.post(page, data=form)).text
    assert len(actions(watched)) == before
    answer = await operator.post(page, data={**form, "confirmed": "on"})
    assert f"Order {order['id']} is refunded." in answer.text
    await until(lambda: people[1].order(order["id"]), lambda seen: seen["status"] == "refunded")
    ended = actions(watched)[-1]
    assert (ended["command"], ended["outcome"]) == ("refund", "success")
    options = {"relist": False, "again": False, "returned": False}
    assert ended["arguments"] == {"order": order["id"], **form, **options}


async def test_a_refund_that_is_refused_says_why_and_is_logged_as_a_failure(
    watched: Stack, operator: httpx.AsyncClient
) -> None:
    unknown = "6" * 24
    form = {"reason": "none", "confirmed": "on"}
    answer = await operator.post(f"/ops/orders/{unknown}/refund", data=form, follow_redirects=False)
    assert answer.status_code == 303
    assert "payments has no payment for this order" in (await operator.get("/ops")).text
    assert actions(watched)[-1]["outcome"] == "failure"


async def is_signed_in(stack: Stack, person: Person) -> list[bool]:
    """Whether each service accepts the person's token: auth, tickets, orders and payments."""
    url_of, http = stack.settings.url_of, person.client
    answers = [
        await http.post(f"{url_of('auth')}/api/users/session-use"),
        await http.get(f"{url_of('tickets')}/api/tickets/mine"),
        await http.get(f"{url_of('orders')}/api/orders"),
        await http.get(f"{url_of('payments')}/api/payments", params={"orderId": "6" * 24}),
    ]
    assert {answer.status_code for answer in answers} <= {200, 204, 401}
    return [answer.status_code != 401 for answer in answers]


async def tries_to_sign_in(stack: Stack, email: str, password: str = PASSWORD) -> httpx.Response:
    """Send the form of the sign-in page."""
    async with httpx.AsyncClient(base_url=stack.web, headers=OWN, timeout=TIMEOUT) as client:
        return await client.post("/signin", data={"email": email, "password": password})


async def test_a_suspended_person_loses_all_sessions_and_can_sign_in_once_the_suspension_is_lifted(
    watched: Stack, operator: httpx.AsyncClient
) -> None:
    async with signed_up(watched.web, 2) as (eve, bob):
        ticket = await eve.lists_ticket()
        assert await is_signed_in(watched, eve) == [True] * 4
        page = f"/ops/people/{eve.id}"
        answer = await operator.get(page)
        assert eve.email in answer.text
        assert "1 session<" in answer.text
        assert ticket["id"] in answer.text
        form = {"reason": "sells <b>copies</b>"}
        answer = await operator.post(f"{page}/suspend", data={**form, "confirmed": "on"})
        assert f"Person {eve.id} is suspended. One session has ended." in answer.text
        assert "sells &lt;b&gt;copies&lt;/b&gt;" in answer.text
        await until(lambda: is_signed_in(watched, eve), lambda seen: seen == [False] * 4)
        refused = await tries_to_sign_in(watched, eve.email)
        assert refused.status_code == 422
        assert "This account is suspended. Please contact us" in refused.text
        assert "copies" not in refused.text
        wrong = await tries_to_sign_in(watched, eve.email, "wrong password")
        assert "suspended" not in wrong.text
        assert await is_signed_in(watched, bob) == [True] * 4
        assert (await bob.ticket(ticket["id"]))["status"] == "available"
        answer = await operator.post(f"{page}/lift")
        assert f"Person {eve.id} can sign in." in answer.text
        assert (await tries_to_sign_in(watched, eve.email)).status_code == 303
    ended = [line for line in actions(watched) if line["outcome"] == "success"][-2:]
    assert [(line["actor"], line["command"], line["arguments"]) for line in ended] == [
        ("Ada Lovelace", "suspend", {"person": eve.id, **form}),
        ("Ada Lovelace", "lift", {"person": eve.id}),
    ]


async def test_an_operator_ends_the_sessions_of_a_person_who_can_sign_in_again(
    watched: Stack, operator: httpx.AsyncClient
) -> None:
    async with signed_up(watched.web, 1) as (eve,):
        answer = await operator.post(f"/ops/people/{eve.id}/end-sessions")
        assert "One session has ended." in answer.text
        assert "End all sessions" not in answer.text
        await until(lambda: is_signed_in(watched, eve), lambda seen: seen == [False] * 4)
        assert (await tries_to_sign_in(watched, eve.email)).status_code == 303


@pytest.mark.parametrize("form", [{"reason": "  ", "confirmed": "on"}, {"reason": "sells copies"}])
async def test_a_suspension_without_a_reason_or_confirmation_does_nothing(
    watched: Stack, operator: httpx.AsyncClient, people: tuple[Person, Person], form: dict[str, str]
) -> None:
    before = len(actions(watched))
    answer = await operator.post(f"/ops/people/{people[0].id}/suspend", data=form)
    assert "Nothing was done: enter the reason" in answer.text
    assert len(actions(watched)) == before
    assert await is_signed_in(watched, people[0]) == [True] * 4


async def test_an_action_on_an_unknown_person_says_so(watched: Stack, operator: httpx.AsyncClient) -> None:
    unknown = "6" * 24
    form = {"reason": "none", "confirmed": "on"}
    answer = await operator.post(f"/ops/people/{unknown}/suspend", data=form, follow_redirects=False)
    assert answer.status_code == 303
    assert f"Person {unknown} isn&#39;t suspended: nobody has this id." in (await operator.get("/ops")).text
    assert actions(watched)[-1]["outcome"] == "failure"
    answer = await operator.post(f"/ops/people/{unknown}/suspend", data=form)
    assert (answer.status_code, answer.text.count("isn&#39;t suspended: nobody has this id.")) == (404, 1)
    assert "isn&#39;t suspended" not in (await operator.get("/ops")).text
    assert (await operator.get("/ops/people/nobody")).status_code == 404
    assert (await operator.post("/ops/people/nobody/lift")).status_code == 404


async def test_the_commands_suspend_by_email_address_and_lift_by_id(watched: Stack) -> None:
    environment = {
        "DATA_DIR": str(watched.folder),
        "MONGO_URL": watched.settings.database,
        "AUTH_URL": watched.settings.url_of("auth"),
    }
    async with signed_up(watched.web, 1) as (eve,):
        suspend = ("suspend", "--reason", "sells copies")
        first = await operate(*suspend, eve.email.upper(), environment=environment)
        assert (first.code, first.out) == (0, f"Person {eve.id} is suspended. One session has ended.\n")
        again = await operate(*suspend, eve.id, environment=environment)
        nothing_left = f"Person {eve.id} is suspended. There was no session to end.\n"
        assert (again.code, again.out) == (0, nothing_left)
        assert (await tries_to_sign_in(watched, eve.email)).status_code == 422
        lifted = await operate("lift", eve.id, environment=environment)
        assert (lifted.code, lifted.out) == (0, f"Person {eve.id} can sign in.\n")
        assert (await tries_to_sign_in(watched, eve.email)).status_code == 303
        ended = await operate("end-sessions", eve.email, environment=environment)
        assert (ended.code, ended.out) == (0, "One session has ended.\n")


async def test_a_command_that_fails_says_why(watched: Stack, people: tuple[Person, Person]) -> None:
    eve = people[0].id
    environment = {
        "DATA_DIR": str(watched.folder),
        "MONGO_URL": watched.settings.database,
        "AUTH_URL": watched.settings.url_of("auth"),
    }
    silent = f"http://127.0.0.1:{free_port()}"
    failures = [
        (("suspend", "nobody@example.com", "--reason", "x"), {}, "Nobody has the email address"),
        (("suspend", eve, "--reason", " "), {}, f"Person {eve} isn't suspended: Reason is required."),
        (("lift", eve), {"AUTH_URL": silent}, "Is the marketplace running?"),
        (("end-sessions", eve), {"OPERATOR_TOKEN": "x" * 32}, "another OPERATOR_TOKEN than this command."),
    ]
    for command, changes, sentence in failures:
        ran = await operate(*command, environment={**environment, **changes})
        assert (ran.code, ran.out) == (1, "")
        assert sentence in ran.err


async def test_the_audit_shows_no_differences_of_a_consistent_marketplace(
    operator: httpx.AsyncClient, people: tuple[Person, Person]
) -> None:
    await bought(people)
    answer = await operator.get("/ops/audit", params={"since": "1h"})
    assert re.search(r"No differences in \d+ orders", answer.text)


async def test_the_page_of_an_unknown_order_says_so(operator: httpx.AsyncClient) -> None:
    answer = await operator.get(f"/ops/orders/{'6' * 24}")
    assert answer.status_code == 404
    assert "Neither orders nor payments has an order" in answer.text


async def test_failed_attempts_to_sign_in_are_limited(watched: Stack, ada: str) -> None:
    """The last test of this module: the limit also holds for those who know the token."""
    async with browser(watched) as client:
        wrong = {"token": "x" * 64}
        answers = [await client.post("/ops/sign-in", data=wrong) for _ in range(MAX_FAILURES + 1)]
        assert answers[-1].status_code == 429
        assert (await client.post("/ops/sign-in", data={"token": ada})).status_code == 429
