"""Events of the sandbox, and filters and pages of its lists."""

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
from tests.support.stripe_sandbox import HTTPX_WARNING, card, client, opened, paid_by, process

pytestmark = pytest.mark.filterwarnings(HTTPX_WARNING)


async def event_types_of(shop: stripe.StripeClient, id_: str) -> list[str]:
    """The types of all events about an object or about its charges and refunds, oldest first."""
    events = await shop.v1.events.list_async({"limit": 100})
    changes = [(event.type, event.data.object.to_dict()) for event in reversed(events.data)]
    return [type_ for type_, changed in changes if id_ in (changed["id"], changed.get("payment_intent"))]


async def test_a_captured_and_refunded_payment_has_an_event_for_each_step(shop: stripe.StripeClient) -> None:
    intent = await paid_by("tok_visa", shop)
    await shop.v1.payment_intents.capture_async(intent.id)
    await shop.v1.refunds.create_async({"payment_intent": intent.id, "amount": 500})
    assert await event_types_of(shop, intent.id) == [
        "payment_intent.created",
        "charge.succeeded",
        "payment_intent.amount_capturable_updated",
        "charge.captured",
        "payment_intent.succeeded",
        "refund.created",
        "charge.refunded",
    ]


async def test_declined_and_canceled_payments_have_an_event_for_each_step(shop: stripe.StripeClient) -> None:
    intent = await opened(shop)
    with pytest.raises(stripe.CardError):
        await shop.v1.payment_intents.confirm_async(intent.id, card("tok_chargeDeclined"))
    await shop.v1.payment_intents.confirm_async(intent.id, card("tok_visa"))
    await shop.v1.payment_intents.cancel_async(intent.id)
    assert await event_types_of(shop, intent.id) == [
        "payment_intent.created",
        "charge.failed",
        "payment_intent.payment_failed",
        "charge.succeeded",
        "payment_intent.amount_capturable_updated",
        "charge.refunded",
        "payment_intent.canceled",
    ]


async def test_the_start_and_the_refusal_of_a_bank_check_create_events(
    shop: stripe.StripeClient, http: httpx.AsyncClient
) -> None:
    intent = await paid_by("tok_threeDSecure2Required", shop)
    assert intent.next_action is not None
    assert intent.next_action.redirect_to_url is not None
    check = urlsplit(str(intent.next_action.redirect_to_url.url)).path
    for _ in range(2):
        await http.post(check, data={"answer": "refuse"})
    assert await event_types_of(shop, intent.id) == [
        "payment_intent.created",
        "payment_intent.requires_action",
        "payment_intent.payment_failed",
    ]
    newest = (await shop.v1.events.list_async({"type": "payment_intent.payment_failed"})).data[0]
    assert newest.request is not None
    assert (newest.request.id, newest.request.idempotency_key) == (None, None)


async def test_an_event_contains_the_object_after_the_change_and_the_id_of_the_request(
    http: httpx.AsyncClient,
) -> None:
    order = {"amount": "1999", "currency": "usd", "confirm": "true", "payment_method": "pm_card_visa"}
    order |= {"allowed_payment_method_types[]": "card", "capture_method": "manual"}
    key = f"order:{uuid4()}"
    made = await http.post("/v1/payment_intents", data=order, headers={"Idempotency-Key": key})
    await http.post(f"/v1/payment_intents/{made.json()['id']}/cancel")
    events = (await http.get("/v1/events?limit=100")).json()["data"]
    [created] = [e for e in events if (e["type"], _id(e)) == ("payment_intent.created", made.json()["id"])]
    [authorized] = [e for e in events if e["type"].endswith("able_updated") and _id(e) == made.json()["id"]]
    assert created["data"]["object"]["status"] == "requires_payment_method"
    assert authorized["data"]["object"] == made.json()
    assert authorized["request"] == {"id": made.headers["request-id"], "idempotency_key": key}
    assert (authorized["api_version"], authorized["livemode"]) == ("2026-10-28.endive", False)
    assert (await http.get(f"/v1/events/{authorized['id']}")).json() == authorized


def _id(event: dict[str, Any]) -> str:
    return str(event["data"]["object"]["id"])


async def test_repeated_and_refused_requests_create_no_events(http: httpx.AsyncClient) -> None:
    order, headers = {"amount": "1999", "currency": "usd"}, {"Idempotency-Key": str(uuid4())}
    made = await http.post("/v1/payment_intents", data=order, headers=headers)
    newest = (await http.get("/v1/events?limit=1")).json()["data"][0]["id"]
    await http.post("/v1/payment_intents", data=order, headers=headers)
    await http.post(f"/v1/payment_intents/{made.json()['id']}/capture")
    await http.post(f"/v1/payment_intents/{made.json()['id']}", data={"description": "Two seats"})
    assert (await http.get("/v1/events?limit=1")).json()["data"][0]["id"] == newest


async def test_events_can_be_filtered_by_type_and_listed_in_pages(shop: stripe.StripeClient) -> None:
    intent = await paid_by("tok_visa", shop)
    await shop.v1.payment_intents.capture_async(intent.id)
    events = shop.v1.events
    by_types = await events.list_async({"types": ["charge.captured", "charge.succeeded"], "limit": 2})
    assert [event.type for event in by_types.data] == ["charge.captured", "charge.succeeded"]
    by_wildcard = await events.list_async({"type": "payment_intent.*", "limit": 2})
    assert [event.type for event in by_wildcard.data] == [
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
async def test_lists_can_be_filtered_by_time(http: httpx.AsyncClient, path: str) -> None:
    first = (await http.post("/v1/payment_intents", data={"amount": "1999", "currency": "usd"})).json()
    at = first["created"]
    for query, is_listed in (
        (f"created[gte]={at}", True),
        (f"created[gt]={at - 1}&created[lt]={at + 1}", True),
        (f"created[lt]={at - 1000}", False),
        (f"created[gt]={at + 1000}", False),
        (f"created={at}", True),
    ):
        listed = await http.get(f"/v1/{path}?limit=100&{query}")
        assert listed.status_code == 200
        if path == "payment_intents":
            assert (first["id"] in [item["id"] for item in listed.json()["data"]]) is is_listed


async def test_a_list_of_payments_can_be_expanded_with_their_charges(shop: stripe.StripeClient) -> None:
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
async def test_the_error_for_an_invalid_list_parameter_names_the_parameter(
    http: httpx.AsyncClient, query: str, param: str
) -> None:
    answer = await http.get(f"/v1/events?{query}")
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


async def test_an_unknown_event_is_not_found(http: httpx.AsyncClient) -> None:
    answer = await http.get("/v1/events/evt_x")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "resource_missing")


async def test_completing_or_expiring_a_session_creates_an_event(
    shop: stripe.StripeClient, http: httpx.AsyncClient
) -> None:
    request = {
        "mode": "payment",
        "success_url": "http://shop.test/",
        "line_items[0][quantity]": "1",
        "line_items[0][price_data][currency]": "usd",
        "line_items[0][price_data][unit_amount]": "1999",
        "line_items[0][price_data][product_data][name]": "A night out",
    }
    paid, unpaid = [(await http.post("/v1/checkout/sessions", data=request)).json() for _ in range(2)]
    await http.post(urlsplit(paid["url"]).path, data={"card": "tok_visa"})
    await http.post(f"/v1/checkout/sessions/{unpaid['id']}/expire")
    assert await event_types_of(shop, paid["id"]) == ["checkout.session.completed"]
    assert await event_types_of(shop, unpaid["id"]) == ["checkout.session.expired"]


async def store_session(folder: Path, session: Session) -> None:
    """Write a session into the database of a sandbox that isn't running."""
    store = Store(folder / "stripe.sqlite3")
    await store.open()
    await store.run(lambda ledger: ledger.save(session))
    await store.close()


async def test_a_session_whose_time_is_over_is_expired_in_the_first_response_after_a_start(
    tmp_path: Path,
) -> None:
    line = Line("li_1", "A night out", 1999, 1)
    await store_session(
        tmp_path, Session("cs_test_1", 1, int(time.time()) - 1, "usd", (line,), "http://shop.test/")
    )
    port = free_port()
    url, server = f"http://127.0.0.1:{port}", process(port, tmp_path)
    async with running(server, tmp_path / "log", signal.SIGKILL), client(url) as shop:
        assert (await shop.v1.checkout.sessions.retrieve_async("cs_test_1")).status == "expired"
        assert await event_types_of(shop, "cs_test_1") == ["checkout.session.expired"]
