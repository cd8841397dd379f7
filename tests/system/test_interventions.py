"""What an operator changes for buyers and sellers on real processes: with the console and with commands."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

import httpx
import nats
import pytest
import pytest_asyncio
from bson import ObjectId

from contracts.wire import now
from kit.mongo import connect
from ops.action_log import FILE
from ops.console.orders import offered_deadlines
from ops.operators import grant
from ops.order_events import Incomplete, of_order
from sandbox.processes import console
from tests.support.crafted_pictures import png
from tests.support.operate import CommandResult, operate
from tests.support.people import Person, random_word, signed_up
from tests.support.polling import TIMEOUT, until
from tests.support.service import new_id
from tests.support.stack import SHORT_WINDOW_SECONDS, Stack

WHY = {"reason": "the buyer  phoned", "confirmed": "on"}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def operated(stack: Stack) -> AsyncIterator[Stack]:
    """A marketplace with a console."""
    await stack.run(console(stack.settings))
    yield stack
    await stack.stop("console")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def operator(operated: Stack) -> AsyncIterator[httpx.AsyncClient]:
    """The browser of an operator who is signed in."""
    url = f"http://localhost:{operated.settings.console_port}"
    headers = {"Sec-Fetch-Site": "same-origin"}
    async with httpx.AsyncClient(
        base_url=url, headers=headers, timeout=TIMEOUT, follow_redirects=True
    ) as client:
        form = {"token": grant(operated.settings, "Grace Hopper", "root")}
        assert (await client.post("/ops/sign-in", data=form)).status_code == 200
        yield client


@pytest_asyncio.fixture(loop_scope="session")
async def people(operated: Stack) -> AsyncIterator[tuple[Person, Person]]:
    async with signed_up(operated.web, 2) as (seller, buyer):
        yield seller, buyer


PHOTO = png(64, 36, rows=b"\0" * (36 * (1 + 3 * 64)))


async def reserved(people: tuple[Person, Person], *, at: str = "") -> dict[str, Any]:
    seller, buyer = people
    ticket = await seller.lists_ticket(title=random_word())
    order: dict[str, Any] = (
        await until(lambda: buyer.tries_to_reserve(ticket["id"], at=at), lambda it: it.status_code == 201)
    ).json()
    await until(lambda: seller.ticket(ticket["id"]), lambda seen: seen["status"] == "reserved")
    return order


def last_action(stack: Stack) -> dict[str, Any]:
    action: dict[str, Any] = json.loads((stack.folder / FILE).read_text().splitlines()[-1])
    return action


async def command(stack: Stack, *arguments: str) -> CommandResult:
    addresses = {
        "ORDERS_URL": stack.settings.url_of("orders"),
        "TICKETS_URL": stack.settings.url_of("tickets"),
        "PAYOUTS_URL": stack.settings.url_of("payouts"),
    }
    return await operate(*arguments, environment={"DATA_DIR": str(stack.folder), **addresses})


async def test_a_cancelled_order_releases_its_payment_and_its_ticket_and_its_page_says_so(
    operated: Stack, operator: httpx.AsyncClient, people: tuple[Person, Person]
) -> None:
    seller, buyer = people
    order = await reserved(people)
    assert (await buyer.pays(order["id"], "tok_threeDSecure2Required")).status_code == 201
    await until(lambda: buyer.order(order["id"]), lambda seen: seen["status"] == "awaiting:payment")
    page = await operator.get(f"/ops/orders/{order['id']}")
    assert f'href="/ops/tickets/{order["ticket"]["id"]}"' in page.text
    page = await operator.post(f"/ops/orders/{order['id']}/cancel", data=WHY)
    assert page.url.path == f"/ops/orders/{order['id']}"
    assert f"Order {order['id']} is cancelled." in page.text
    assert (await buyer.order(order["id"]))["cancelledByOperator"] is True
    await until(lambda: buyer.payment(order["id"]), lambda seen: seen["status"] == "voided")
    await until(lambda: seller.ticket(order["ticket"]["id"]), lambda seen: seen["status"] == "available")
    assert "We cancelled this order." in (await buyer.client.get(f"/orders/{order['id']}")).text
    action = last_action(operated)
    assert (action["actor"], action["command"], action["outcome"]) == ("Grace Hopper", "cancel", "success")
    assert action["arguments"] == {"order": order["id"], "reason": "the buyer phoned"}
    # Doing it twice changes nothing, and the page doesn't offer it any more.
    assert "is cancelled." in (await operator.post(f"/ops/orders/{order['id']}/cancel", data=WHY)).text
    page = await operator.get(f"/ops/orders/{order['id']}")
    assert "Only an unpaid order can be cancelled." in page.text


async def test_an_extended_order_outlives_its_former_timer_and_is_ended_by_the_new_one(
    operated: Stack, operator: httpx.AsyncClient, people: tuple[Person, Person]
) -> None:
    _, buyer = people
    order = await reserved(people, at=operated.short_window_orders)
    later = datetime.fromisoformat(order["expiresAt"]) + timedelta(seconds=SHORT_WINDOW_SECONDS)
    form = {**WHY, "until": later.isoformat()}
    for _ in range(2):  # a form that is sent twice extends the order once
        page = await operator.post(f"/ops/orders/{order['id']}/extend", data=form)
        assert f"until {later:%Y-%m-%d %H:%M:%S} UTC." in page.text
    extended = await buyer.order(order["id"])
    assert datetime.fromisoformat(extended["expiresAt"]) == later
    held = await until(
        lambda: buyer.ticket(order["ticket"]["id"]), lambda seen: seen["heldUntil"] == extended["expiresAt"]
    )
    assert held["status"] == "reserved"
    await until(lambda: buyer.order(order["id"]), lambda seen: seen["status"] == "cancelled")

    connection = await nats.connect(operated.bus)
    js = connection.jetstream()

    async def events() -> list[tuple[str, str]]:
        try:
            found = await of_order(js, operated.settings, order["id"])
        except Incomplete:  # the relay adds the last sequence numbers half a second later
            return []
        return [
            (event.message.subject, event.body["expiresAt"])
            for event in found
            if not event.message.subject.startswith("ticket.")
        ]

    try:
        assert await until(events, len) == [
            ("order.created", order["expiresAt"]),
            ("order.updated", extended["expiresAt"]),
            ("expiration.complete", order["expiresAt"]),
            ("expiration.complete", extended["expiresAt"]),
            ("order.cancelled", extended["expiresAt"]),
        ]
    finally:
        await connection.close()


async def test_the_page_of_an_order_offers_later_deadlines(
    operator: httpx.AsyncClient, people: tuple[Person, Person]
) -> None:
    order = await reserved(people)
    page = await operator.get(f"/ops/orders/{order['id']}")
    offered = [datetime.fromisoformat(value) for value in re.findall(r'<option value="([^"]+)"', page.text)]
    present = datetime.fromisoformat(order["expiresAt"])
    assert [(each - present) // timedelta(minutes=1) for each in offered] == [15, 30, 60, 240]
    for until_ in ("", "soon", "2031-05-01T18:00:00"):
        answer = await operator.post(f"/ops/orders/{order['id']}/extend", data={**WHY, "until": until_})
        assert answer.status_code == 400


def test_no_deadline_is_offered_that_orders_would_refuse() -> None:
    moment = now()
    old = str(ObjectId.from_datetime(moment - timedelta(hours=23)))
    assert [minutes for _, minutes in offered_deadlines(old, moment + timedelta(minutes=1))] == [15, 30]
    assert offered_deadlines(new_id(), moment - timedelta(seconds=1)) == []


async def test_a_ticket_is_withdrawn_on_its_page_after_its_order_was_cancelled(
    operated: Stack, operator: httpx.AsyncClient, people: tuple[Person, Person]
) -> None:
    seller, _ = people
    order = await reserved(people)
    ticket = order["ticket"]["id"]
    page = await operator.get("/ops/search", params={"q": ticket})
    assert page.url.path == f"/ops/tickets/{ticket}"
    assert f'<a href="/ops/orders/{order["id"]}">Cancel the order</a> first.' in page.text
    page = await operator.post(f"/ops/tickets/{ticket}/withdraw", data=WHY)
    refused = f"Ticket {ticket} isn&#39;t withdrawn: Order {order['id']} holds the ticket."
    assert f"{refused} Cancel the order first." in page.text
    assert last_action(operated)["outcome"] == "failure"
    await operator.post(f"/ops/orders/{order['id']}/cancel", data=WHY)
    await until(lambda: seller.ticket(ticket), lambda seen: seen["status"] == "available")
    page = await operator.post(f"/ops/tickets/{ticket}/withdraw", data=WHY)
    assert f"Ticket {ticket} is withdrawn." in page.text
    assert (await seller.ticket(ticket))["status"] == "withdrawn"
    page = await until(
        lambda: operator.get(f"/ops/tickets/{ticket}"), lambda seen: seen.text.count("ticket.updated") == 3
    )
    assert "Only a ticket that is on sale can be withdrawn." in page.text
    assert "ticket.created" in page.text


@pytest.mark.parametrize("missing", ["reason", "confirmed"])
async def test_nothing_is_done_without_a_reason_and_a_confirmation(
    operated: Stack, operator: httpx.AsyncClient, people: tuple[Person, Person], missing: str
) -> None:
    order = await reserved(people)
    form = {name: value for name, value in WHY.items() if name != missing}
    until_ = (now() + timedelta(hours=1)).isoformat()
    for path in (
        f"/ops/orders/{order['id']}/cancel",
        f"/ops/orders/{order['id']}/extend",
        f"/ops/tickets/{order['ticket']['id']}/withdraw",
    ):
        page = await operator.post(path, data={**form, "until": until_})
        assert "Nothing was done: enter the reason, and confirm what you do." in page.text
    seen = await people[1].order(order["id"])
    assert (seen["status"], seen["expiresAt"]) == ("created", order["expiresAt"])


async def test_the_commands_do_the_same_and_say_why_they_refuse(
    operated: Stack, people: tuple[Person, Person]
) -> None:
    seller, buyer = people
    order = await reserved(people)
    ticket = order["ticket"]["id"]
    page = f"{operated.web}/orders/{order['id']}"
    ran = await command(operated, "extend", page, "--minutes", "60")
    seen = datetime.fromisoformat((await buyer.order(order["id"]))["expiresAt"])
    assert ran == CommandResult(
        0, f"The buyer can pay for order {order['id']} until {seen:%Y-%m-%d %H:%M:%S} UTC.\n", ""
    )
    assert timedelta(minutes=58) < seen - now() < timedelta(minutes=60)
    ran = await command(operated, "extend", order["id"], "--until", "2031-05-01T18:30", "--reason", "a bank")
    assert (ran.code, ran.err) == (
        1,
        f"Order {order['id']} isn't extended: The new deadline must be at most 24 hours after the"
        " reservation.\n",
    )
    ran = await command(operated, "withdraw", ticket, "--reason", "fraud")
    assert ran.err.endswith(f"Order {order['id']} holds the ticket. Cancel the order first.\n")
    ran = await command(operated, "cancel", order["id"], "--reason", "the buyer phoned")
    assert ran == CommandResult(0, f"Order {order['id']} is cancelled.\n", "")
    action = last_action(operated)
    assert (action["command"], action["exit_code"]) == ("cancel", 0)
    assert action["arguments"] == {"order": order["id"], "reason": "the buyer phoned"}
    await until(lambda: seller.ticket(ticket), lambda it: it["status"] == "available")
    ran = await command(operated, "withdraw", f"{operated.web}/tickets/{ticket}", "--reason", "fraud")
    assert ran == CommandResult(0, f"Ticket {ticket} is withdrawn.\n", "")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("cancel", "ID"), 2, "Missing option '--reason'"),
        (("cancel", "ID", "--reason", " "), 1, "isn't cancelled: Reason is required"),
        (("cancel", "ID", "--reason", "x"), 1, "isn't cancelled: orders has nothing with this id."),
        (("extend", "ID"), 2, "either --minutes or --until"),
        (("extend", "ID", "--minutes", "9", "--until", "2031-05-01"), 2, "either --minutes or --until"),
        (("extend", "ID", "--minutes", "9" * 12), 2, "'--minutes'"),
        (("withdraw", "7", "--reason", "x"), 2, "a ticket's id is the 24 digits"),
    ],
)
async def test_a_command_with_wrong_arguments_says_what_is_wrong(
    operated: Stack, arguments: tuple[str, ...], code: int, message: str
) -> None:
    ran = await command(operated, *(new_id() if each == "ID" else each for each in arguments))
    assert (ran.code, ran.out) == (code, "")
    assert message in ran.err


async def test_an_operator_merges_and_corrects_events_in_the_console_and_by_commands(
    operated: Stack, operator: httpx.AsyncClient, people: tuple[Person, Person]
) -> None:
    seller, _ = people
    title = random_word()
    where = {"startsAt": "2036-06-05T18:30:00Z", "venue": "Tempodrom", "city": "Berlin"}
    older = await seller.lists_ticket(title=title, **where)
    newer = await seller.lists_ticket(title=f"{title} live", **where)
    path = f"/ops/shows/{newer['showId']}"
    assert str((await operator.get("/ops/search", params={"q": newer["showId"]})).url).endswith(path)
    page = (await operator.get(path)).text
    assert older["showId"] in page  # at the same place
    done = await operator.post(f"{path}/merge", data={"other": older["showId"], **WHY})
    assert f"Event {older['showId']}, {title}, has all tickets of both." in done.text
    assert (await seller.ticket(newer["id"]))["showId"] == older["showId"]
    assert last_action(operated)["command"] == "merge-shows"
    again = await command(
        operated, "merge-shows", newer["showId"], older["showId"], "--reason", "the same concert"
    )
    assert again.code == 0, again.err

    facts = ["--set", "venue=Astra", "--set", "country=AT", "--reason", "it has moved"]
    corrected = await command(operated, "correct-show", older["showId"], *facts)
    assert corrected.out == f"Event {older['showId']}, {title}, is corrected.\n"
    ticket = await seller.ticket(newer["id"])
    assert (ticket["venue"], ticket["country"]) == ("Astra", "AT")
    wrong = await command(operated, "correct-show", older["showId"], "--set", "price=1", "--reason", "x")
    assert (wrong.code, "there is no field price" in wrong.err) == (2, True)
    moved = await seller.client.get(f"/events/{newer['showId']}")
    assert (moved.status_code, moved.headers["location"]) == (303, f"/events/{older['showId']}")


async def test_operators_decide_on_a_reported_problem_and_the_buyer_gets_a_part_back(
    operated: Stack, operator: httpx.AsyncClient, people: tuple[Person, Person]
) -> None:
    seller, buyer = people
    order = await reserved(people)
    await until(lambda: buyer.pays(order["id"]), lambda it: it.status_code == 201)
    await until(lambda: buyer.order(order["id"]), lambda seen: seen["status"] == "complete")
    path = f"/api/orders/{order['id']}/problem"
    report = {"kind": "not-as-described", "text": "Another <b>row</b>"}
    added = await buyer.client.post(f"{path}/photos", content=PHOTO)
    assert added.status_code == 201
    assert (await buyer.client.post(path, json=report)).status_code == 200
    page = (await operator.get("/ops/problems")).text
    photo = f"/ops/problems/{order['id']}/photos/{added.json()['id']}"
    assert f'src="{photo}"' in page
    shown = await operator.get(photo)
    assert (shown.status_code, shown.headers["content-type"]) == (200, "image/jpeg")
    assert (await buyer.client.get(f"{path}/photos/{added.json()['id']}")).content == shown.content
    assert "Another &lt;b&gt;row&lt;/b&gt;" in page
    assert "The buyer: The ticket isn&#39;t as described" in page
    assert f"order {order['code']}</a>" in page
    assert f"/ops/problems/{order['id']}/decide" not in page  # the seller may still answer
    assert (await seller.client.post(f"{path}/answer", json={"text": "It is next to it"})).status_code == 200
    page = (await operator.get("/ops/problems")).text
    assert "It is next to it" in page

    decide = f"/ops/problems/{order['id']}/decide"
    form = {"decision": "partial-refund", "amount": "5.00", "seen": "answered", **WHY}
    unconfirmed = {name: value for name, value in form.items() if name != "confirmed"}
    assert "Nothing was done" in (await operator.post(decide, data=unconfirmed)).text
    assert "choose a decision" in (await operator.post(decide, data={**form, "decision": ""})).text
    done = await operator.post(decide, data=form)
    assert f"The problem with order {order['id']} is partly-refunded." in done.text
    assert last_action(operated)["command"] == "decide-problem"
    other = await operator.post(decide, data={**form, "decision": "reject"})
    assert "This problem has been decided already: partly-refunded." in other.text
    assert f"/ops/orders/{order['id']}" not in (await operator.get("/ops/problems")).text
    late = await command(operated, "decide-problem", order["id"], "refund", "--reason", "too late")
    assert (late.code, "has been decided already" in late.err) == (1, True)

    paid = await until(lambda: buyer.payment(order["id"]), lambda seen: seen["refundedAmount"] == 500)
    assert paid["status"] == "captured"
    seen = await until(
        lambda: buyer.order(order["id"]), lambda it: it["problem"]["state"] == "partly-refunded"
    )
    assert (seen["status"], seen["problem"]["refunded"], seen["problem"]["reason"]) == (
        "complete",
        500,
        "the buyer phoned",
    )


async def test_operators_write_off_a_debt_once_in_the_console_and_by_the_command(
    operated: Stack, operator: httpx.AsyncClient, people: tuple[Person, Person]
) -> None:
    _, buyer = people
    order = await reserved(people)
    await until(lambda: buyer.pays(order["id"]), lambda it: it.status_code == 201)
    async with connect(operated.settings.database) as mongo:
        sales, key = mongo["payouts"]["sales"], {"_id": ObjectId(order["id"])}
        sale = await until(lambda: sales.find_one(key), lambda found: found is not None)
        assert sale is not None
        # The seller got more than the sale is worth, as after a refund with an empty balance.
        transfer = {
            "id": "tr_1",
            "amount": 2 * sale["gross"],
            "reversed": 0,
            "sent": 1,
            "sent_currency": "usd",
        }
        await sales.update_one(key, {"$set": {"transfers": [transfer], "next_look_at": None}})
    page = (await operator.get(f"/ops/orders/{order['id']}")).text
    assert "Write the debt off" in page
    owed = re.search(r'name="owed" value="([0-9]+)"', page)
    assert owed is not None
    path, form = f"/ops/orders/{order['id']}/write-off", {"owed": owed[1], **WHY}
    assert "Nothing was done" in (await operator.post(path, data={"owed": owed[1]})).text
    changed = await operator.post(path, data={**form, "owed": "1"})
    assert "What the seller owes has changed" in changed.text
    both = await asyncio.gather(*(operator.post(path, data=form) for _ in range(2)))
    assert all(answer.status_code == 200 for answer in both)
    assert last_action(operated)["command"] == "write-off"
    assert last_action(operated)["outcome"] == "success"
    assert "Write the debt off" not in (await operator.get(f"/ops/orders/{order['id']}")).text
    repeated = await command(operated, "write-off", order["id"], "--reason", "the seller is gone")
    assert repeated.out == f"The seller of order {order['id']} owes nothing for it any more.\n"
    nothing = await command(operated, "write-off", new_id(), "--reason", "the seller is gone")
    assert (nothing.code, "payouts has nothing with this id" in nothing.err) == (1, True)


async def test_an_operator_submits_what_is_known_of_a_disputed_order_to_the_bank(
    operated: Stack, operator: httpx.AsyncClient, people: tuple[Person, Person]
) -> None:
    _, buyer = people
    order = await reserved(people)
    await until(lambda: buyer.pays(order["id"], "tok_createDispute"), lambda it: it.status_code == 201)
    await until(lambda: buyer.payment(order["id"]), lambda seen: seen["dispute"] == "open")
    page = await operator.get(f"/ops/orders/{order['id']}")
    assert "The buyer reported no problem to the marketplace." in page.text
    form = {"text": "winning_evidence", **WHY}
    done = await operator.post(f"/ops/orders/{order['id']}/evidence", data=form)
    assert f"The evidence about order {order['id']} is submitted." in done.text
    await until(lambda: buyer.payment(order["id"]), lambda seen: seen["dispute"] == "won")
    assert "<textarea" not in (await operator.get(f"/ops/orders/{order['id']}")).text


async def test_operators_remove_a_reported_listing_and_the_seller_reads_why(
    operated: Stack, operator: httpx.AsyncClient, people: tuple[Person, Person]
) -> None:
    seller, buyer = people
    title = f"Reported {random_word()}"
    kept, removed = [await seller.lists_ticket(20, title) for _ in range(2)]
    report = {"kind": "fraud", "text": "A <b>fake</b>"}
    for ticket in (kept, removed):
        sent = await buyer.client.post(f"/api/tickets/{ticket['id']}/reports", json=report)
        assert sent.status_code == 200, sent.text
    page = (await operator.get("/ops/listings")).text
    assert page.count("A &lt;b&gt;fake&lt;/b&gt;") == 2
    [seen] = re.findall(
        rf'/ops/listings/{kept["id"]}/decide.*?name="seen"\s+value="([^"]+)"', page, re.DOTALL
    )

    decide = f"/ops/listings/{removed['id']}/decide"
    assert "Nothing was done" in (await operator.post(decide, data={"decision": "remove"})).text
    done = await operator.post(decide, data={"decision": "remove", **WHY})
    assert f"Ticket {removed['id']} is withdrawn." in done.text
    assert last_action(operated)["command"] == "decide-listing"
    shown = await seller.ticket(removed["id"])
    assert (shown["status"], shown["removedReason"]) == ("withdrawn", "the buyer phoned")

    form = {"decision": "keep", "seen": seen, **WHY}
    done = await operator.post(f"/ops/listings/{kept['id']}/decide", data=form)
    assert f"Ticket {kept['id']} stays on sale." in done.text
    assert title not in (await operator.get("/ops/listings")).text
    late = await command(operated, "decide-listing", kept["id"], "remove", "--reason", "too late")
    assert (late.code, "Nobody has reported this listing" in late.err) == (1, True)
