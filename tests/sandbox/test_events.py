import signal
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
import pytest
import stripe

from sandbox.stripe.state import Line, Session
from sandbox.stripe.store import Store
from sandbox.testing import free_port, running
from tests.sandbox.served import STRIPES_OWN, card, client, opened, paid_by, process

pytestmark = pytest.mark.filterwarnings(STRIPES_OWN)


async def told_of(shop: stripe.StripeClient, id_: str) -> list[str]:
    """The types of the events of an object and of what belongs to it, oldest first."""
    events = await shop.v1.events.list_async({"limit": 100})
    about = [(event.type, event.data.object.to_dict()) for event in reversed(events.data)]
    return [type_ for type_, thing in about if id_ in (thing["id"], thing.get("payment_intent"))]


async def test_a_captured_and_refunded_payment_tells_its_story(shop: stripe.StripeClient) -> None:
    intent = await paid_by("tok_visa", shop)
    await shop.v1.payment_intents.capture_async(intent.id)
    await shop.v1.refunds.create_async({"payment_intent": intent.id, "amount": 500})
    assert await told_of(shop, intent.id) == [
        "payment_intent.created",
        "charge.succeeded",
        "payment_intent.amount_capturable_updated",
        "charge.captured",
        "payment_intent.succeeded",
        "refund.created",
        "charge.refunded",
    ]


async def test_a_declined_and_a_voided_payment_tell_theirs(shop: stripe.StripeClient) -> None:
    intent = await opened(shop)
    with pytest.raises(stripe.CardError):
        await shop.v1.payment_intents.confirm_async(intent.id, card("tok_chargeDeclined"))
    await shop.v1.payment_intents.confirm_async(intent.id, card("tok_visa"))
    await shop.v1.payment_intents.cancel_async(intent.id)
    assert await told_of(shop, intent.id) == [
        "payment_intent.created",
        "charge.failed",
        "payment_intent.payment_failed",
        "charge.succeeded",
        "payment_intent.amount_capturable_updated",
        "charge.refunded",
        "payment_intent.canceled",
    ]


async def test_a_bank_check_is_told_of_when_it_begins_and_when_it_fails(
    shop: stripe.StripeClient, wire: httpx.AsyncClient
) -> None:
    intent = await paid_by("tok_threeDSecure2Required", shop)
    assert intent.next_action is not None
    assert intent.next_action.redirect_to_url is not None
    check = urlsplit(str(intent.next_action.redirect_to_url.url)).path
    for _ in range(2):
        await wire.post(check, data={"answer": "refuse"})
    assert await told_of(shop, intent.id) == [
        "payment_intent.created",
        "payment_intent.requires_action",
        "payment_intent.payment_failed",
    ]
    newest = (await shop.v1.events.list_async({"type": "payment_intent.payment_failed"})).data[0]
    assert newest.request is not None
    assert (newest.request.id, newest.request.idempotency_key) == (None, None)


async def test_an_event_shows_the_object_as_it_was_and_the_request_that_changed_it(
    wire: httpx.AsyncClient,
) -> None:
    order = {"amount": "1999", "currency": "usd", "confirm": "true", "payment_method": "pm_card_visa"}
    order |= {"allowed_payment_method_types[]": "card", "capture_method": "manual"}
    key = f"order:{uuid4()}"
    made = await wire.post("/v1/payment_intents", data=order, headers={"Idempotency-Key": key})
    await wire.post(f"/v1/payment_intents/{made.json()['id']}/cancel")
    events = (await wire.get("/v1/events?limit=100")).json()["data"]
    [created] = [e for e in events if (e["type"], _id(e)) == ("payment_intent.created", made.json()["id"])]
    [held] = [e for e in events if e["type"].endswith("able_updated") and _id(e) == made.json()["id"]]
    assert created["data"]["object"]["status"] == "requires_payment_method"
    assert held["data"]["object"] == made.json()
    assert held["request"] == {"id": made.headers["request-id"], "idempotency_key": key}
    assert (held["api_version"], held["livemode"]) == ("2026-10-28.endive", False)
    assert (await wire.get(f"/v1/events/{held['id']}")).json() == held


def _id(event: dict[str, Any]) -> str:
    return str(event["data"]["object"]["id"])


async def test_a_repeated_request_and_a_refused_one_tell_nothing(wire: httpx.AsyncClient) -> None:
    order, headers = {"amount": "1999", "currency": "usd"}, {"Idempotency-Key": str(uuid4())}
    made = await wire.post("/v1/payment_intents", data=order, headers=headers)
    newest = (await wire.get("/v1/events?limit=1")).json()["data"][0]["id"]
    await wire.post("/v1/payment_intents", data=order, headers=headers)
    await wire.post(f"/v1/payment_intents/{made.json()['id']}/capture")
    await wire.post(f"/v1/payment_intents/{made.json()['id']}", data={"description": "Two seats"})
    assert (await wire.get("/v1/events?limit=1")).json()["data"][0]["id"] == newest


async def test_events_are_filtered_by_type_and_listed_a_page_at_a_time(shop: stripe.StripeClient) -> None:
    intent = await paid_by("tok_visa", shop)
    await shop.v1.payment_intents.capture_async(intent.id)
    events = shop.v1.events
    some = await events.list_async({"types": ["charge.captured", "charge.succeeded"], "limit": 2})
    assert [event.type for event in some.data] == ["charge.captured", "charge.succeeded"]
    stars = await events.list_async({"type": "payment_intent.*", "limit": 2})
    assert [event.type for event in stars.data] == [
        "payment_intent.succeeded",
        "payment_intent.amount_capturable_updated",
    ]
    newest, second, third = (await events.list_async({"limit": 3})).data
    after = await events.list_async({"limit": 1, "starting_after": second.id})
    assert [event.id for event in after.data] == [third.id]
    before = await events.list_async({"limit": 9, "ending_before": third.id})
    assert [event.id for event in before.data] == [newest.id, second.id]
    assert not before.has_more


@pytest.mark.parametrize("path", ["payment_intents", "events", "checkout/sessions"])
async def test_lists_are_filtered_by_time(wire: httpx.AsyncClient, path: str) -> None:
    first = (await wire.post("/v1/payment_intents", data={"amount": "1999", "currency": "usd"})).json()
    at = first["created"]
    for query, found in (
        (f"created[gte]={at}", True),
        (f"created[gt]={at - 1}&created[lt]={at + 1}", True),
        (f"created[lt]={at - 1000}", False),
        (f"created[gt]={at + 1000}", False),
        (f"created={at}", True),
    ):
        listed = await wire.get(f"/v1/{path}?limit=100&{query}")
        assert listed.status_code == 200
        if path == "payment_intents":
            assert (first["id"] in [thing["id"] for thing in listed.json()["data"]]) is found


async def test_a_list_of_payments_shows_their_charges_if_asked_to(shop: stripe.StripeClient) -> None:
    intent = await paid_by("tok_visa", shop)
    listed = await shop.v1.payment_intents.list_async({"expand": ["data.latest_charge"], "limit": 1})
    charge = listed.data[0].latest_charge
    assert isinstance(charge, stripe.Charge)
    assert charge.id == intent.latest_charge


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("type=a&types[]=b", "type"),
        ("type=%25", "type"),
        ("created[after]=1", "created[after]"),
        ("created[gte]=yesterday", "created[gte]"),
        ("starting_after=evt_x", "starting_after"),
    ],
)
async def test_wrong_parameters_of_a_list_are_named(wire: httpx.AsyncClient, query: str, param: str) -> None:
    answer = await wire.get(f"/v1/events?{query}")
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


async def test_there_is_no_event_of_a_made_up_name(wire: httpx.AsyncClient) -> None:
    answer = await wire.get("/v1/events/evt_x")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "resource_missing")


async def test_a_sessions_completion_and_its_end_are_told(
    shop: stripe.StripeClient, wire: httpx.AsyncClient
) -> None:
    asked = {
        "mode": "payment",
        "success_url": "http://shop.test/",
        "line_items[0][quantity]": "1",
        "line_items[0][price_data][currency]": "usd",
        "line_items[0][price_data][unit_amount]": "1999",
        "line_items[0][price_data][product_data][name]": "A night out",
    }
    paid, left = [(await wire.post("/v1/checkout/sessions", data=asked)).json() for _ in range(2)]
    await wire.post(urlsplit(paid["url"]).path, data={"card": "tok_visa"})
    await wire.post(f"/v1/checkout/sessions/{left['id']}/expire")
    assert await told_of(shop, paid["id"]) == ["checkout.session.completed"]
    assert await told_of(shop, left["id"]) == ["checkout.session.expired"]


async def keep(folder: Path, session: Session) -> None:
    """In the file of a sandbox that isn't running."""
    store = Store(folder / "stripe.sqlite3")
    await store.open()
    await store.run(lambda ledger: ledger.save(session))
    await store.close()


async def test_a_session_is_over_when_its_time_is_up_whoever_looks(tmp_path: Path) -> None:
    line = Line("li_1", "A night out", 1999, 1)
    await keep(tmp_path, Session("cs_test_1", 1, int(time.time()) - 1, "usd", (line,), "http://shop.test/"))
    port = free_port()
    url, server = f"http://127.0.0.1:{port}", process(port, tmp_path)
    async with running(server, tmp_path / "log", signal.SIGKILL), client(url) as shop:
        assert (await shop.v1.checkout.sessions.retrieve_async("cs_test_1")).status == "expired"
        assert await told_of(shop, "cs_test_1") == ["checkout.session.expired"]
