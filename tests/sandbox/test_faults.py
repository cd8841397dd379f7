import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
import stripe

from sandbox.stripe.errors import StripeError
from sandbox.stripe.faults import Switch, read_switch
from sandbox.stripe.forms import Form
from sandbox.testing import free_port, running
from tests.people import PATIENCE
from tests.sandbox.served import STRIPES_OWN, card, client, opened, problem, process

pytestmark = pytest.mark.filterwarnings(STRIPES_OWN)

ORDER = {"amount": "1999", "currency": "usd", "capture_method": "manual"}


@pytest.fixture
async def own(tmp_path: Path) -> AsyncIterator[str]:
    """A sandbox that no other test uses, since its faults are those of all its requests."""
    port = free_port()
    async with running(process(port, tmp_path), tmp_path / "log", signal.SIGKILL):
        yield f"http://127.0.0.1:{port}"
    assert (tmp_path / "log").read_text().count("\n") <= 1, "a fault on demand isn't a failure to log"


@pytest.fixture
async def once(own: str) -> AsyncIterator[stripe.StripeClient]:
    """A shop that repeats nothing by itself."""
    async with client(own, retries=0) as shop:
        yield shop


@pytest.fixture
async def wire(own: str) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=own, auth=("sk_test_wire", ""), timeout=PATIENCE) as wire:
        yield wire


def under(key: str) -> Any:
    return {"idempotency_key": key}


@pytest.fixture
def key() -> str:
    return str(uuid4())


async def status_of(shop: stripe.StripeClient, intent: stripe.PaymentIntent) -> str:
    return (await shop.v1.payment_intents.retrieve_async(intent.id)).status


async def test_a_rate_limited_confirmation_works_the_third_time(once: stripe.StripeClient, key: str) -> None:
    intent = await opened(once)
    pay = card("tok_fault_rate_limit")
    for _ in range(2):
        with pytest.raises(stripe.RateLimitError) as caught:
            await once.v1.payment_intents.confirm_async(intent.id, pay, under(key))
        assert (caught.value.http_status, problem(caught.value)["code"]) == (429, "rate_limit")
        assert await status_of(once, intent) == "requires_payment_method"
    assert (
        await once.v1.payment_intents.confirm_async(intent.id, pay, under(key))
    ).status == "requires_capture"


async def test_a_server_error_does_nothing_and_stays_under_its_key(
    once: stripe.StripeClient, key: str
) -> None:
    intent = await opened(once)
    bodies = []
    for _ in range(2):
        with pytest.raises(stripe.APIError) as caught:
            await once.v1.payment_intents.confirm_async(intent.id, card("tok_fault_server_error"), under(key))
        assert caught.value.http_status == 500
        bodies.append(caught.value.http_body)
    assert bodies[0] == bodies[1]
    assert caught.value.headers is not None
    assert caught.value.headers["idempotent-replayed"] == "true"
    assert await status_of(once, intent) == "requires_payment_method"
    await once.v1.payment_intents.confirm_async(intent.id, card("tok_visa"), under(f"{key}:2"))


async def test_a_slow_confirmation_is_done_after_the_client_has_given_up(
    own: str, once: stripe.StripeClient, wire: httpx.AsyncClient, key: str
) -> None:
    await wire.post("/faults", data={"slow_seconds": "1"})
    intent = await opened(once)
    path = f"/v1/payment_intents/{intent.id}/confirm"
    pay = {"payment_method_data[type]": "card", "payment_method_data[card][token]": "tok_fault_slow"}
    pay |= {"return_url": "http://shop.test/"}
    headers = {"Idempotency-Key": key}
    with pytest.raises(httpx.ReadTimeout):
        await wire.post(path, data=pay, headers=headers, timeout=0.3)
    again = await wire.post(path, data=pay, headers=headers)
    assert (again.status_code, again.json()["error"]["code"]) == (409, "idempotency_key_in_use")
    async with asyncio.timeout(PATIENCE):
        while again.status_code == 409:
            assert await status_of(once, intent) in ("requires_payment_method", "requires_capture")
            again = await wire.post(path, data=pay, headers=headers)
    assert (again.status_code, again.json()["status"]) == (200, "requires_capture")
    assert again.headers["idempotent-replayed"] == "true"


async def test_a_lost_answer_is_had_by_asking_again(once: stripe.StripeClient, key: str) -> None:
    intent = await opened(once)
    with pytest.raises(stripe.APIConnectionError):
        await once.v1.payment_intents.confirm_async(intent.id, card("tok_fault_lost"), under(key))
    assert await status_of(once, intent) == "requires_capture"
    again = await once.v1.payment_intents.confirm_async(intent.id, card("tok_fault_lost"), under(key))
    assert again.status == "requires_capture"


async def test_a_client_that_repeats_gets_over_a_lost_answer_by_itself(own: str) -> None:
    async with client(own) as shop:
        intent = await opened(shop)
        paid = await shop.v1.payment_intents.confirm_async(intent.id, card("tok_fault_lost"))
        assert paid.status == "requires_capture"
        charged = await shop.v1.events.list_async({"type": "charge.succeeded"})
        assert len(charged.data) == 1


async def test_a_faulty_card_stays_faulty_on_the_intent(once: stripe.StripeClient, key: str) -> None:
    intent = await opened(once, payment_method_data={"type": "card", "card": {"token": "tok_fault_lost"}})
    assert intent.status == "requires_confirmation"
    back: Any = {"return_url": "http://shop.test/"}
    with pytest.raises(stripe.APIConnectionError):
        await once.v1.payment_intents.confirm_async(intent.id, back, under(key))
    paid = await once.v1.payment_intents.confirm_async(intent.id, back, under(key))
    assert paid.status == "requires_capture"


async def outcomes(wire: httpx.AsyncClient, *, requests: int) -> list[str]:
    """What became of so many requests, alternately a look and an order under a key."""
    found = []
    for number in range(requests):
        try:
            if number % 2:
                answer = await wire.get("/v1/payment_intents")
            else:
                answer = await wire.post(
                    "/v1/payment_intents", data=ORDER, headers={"Idempotency-Key": str(uuid4())}
                )
            found.append(str(answer.status_code))
        except httpx.RemoteProtocolError:
            found.append("lost")
    return found


async def test_the_switch_breaks_a_part_of_all_requests_and_the_same_ones_again(
    wire: httpx.AsyncClient,
) -> None:
    switch = {"rate": "0.5", "kinds": "rate_limit,server_error,lost", "seed": "7"}
    told = await wire.post("/faults", data=switch)
    assert told.json() == {
        "rate": 0.5,
        "kinds": ["rate_limit", "server_error", "lost"],
        "seed": 7,
        "slow_seconds": 15.0,
    }
    first = await outcomes(wire, requests=40)
    assert set(first) == {"200", "429", "500", "lost"}
    await wire.post("/faults", data=switch)
    assert await outcomes(wire, requests=40) == first
    assert (await wire.get("/faults")).json() == told.json()
    assert (await wire.delete("/faults")).json()["rate"] == 0
    assert set(await outcomes(wire, requests=20)) == {"200"}


async def test_a_fault_by_chance_is_remembered_under_a_key_as_stripe_would(
    wire: httpx.AsyncClient,
) -> None:
    for kind, status in (("rate_limit", 200), ("server_error", 500), ("lost", 200)):
        headers = {"Idempotency-Key": str(uuid4())}
        await wire.post("/faults", data={"rate": "1", "kinds": kind})
        try:
            broken = await wire.post("/v1/payment_intents", data=ORDER, headers=headers)
            assert broken.status_code in (429, 500)
        except httpx.RemoteProtocolError:
            assert kind == "lost"
        await wire.delete("/faults")
        again = await wire.post("/v1/payment_intents", data=ORDER, headers=headers)
        assert again.status_code == status
        assert ("idempotent-replayed" in again.headers) is (kind != "rate_limit")
    made = (await wire.get("/v1/payment_intents")).json()["data"]
    assert len(made) == 2


async def test_without_a_key_a_server_error_by_chance_is_over_with_the_next_request(
    wire: httpx.AsyncClient,
) -> None:
    await wire.post("/faults", data={"rate": "1", "kinds": "server_error"})
    assert (await wire.post("/v1/payment_intents", data=ORDER)).status_code == 500
    await wire.delete("/faults")
    assert (await wire.post("/v1/payment_intents", data=ORDER)).status_code == 200


@pytest.mark.parametrize(
    ("data", "param"),
    [
        ({"rate": "2"}, "rate"),
        ({"rate": "nan"}, "rate"),
        ({"rate": "often"}, "rate"),
        ({"rate": "1", "kinds": "fire"}, "kinds"),
        ({"seed": "x"}, "seed"),
        ({"slow_seconds": "-1"}, "slow_seconds"),
    ],
)
def test_a_switch_that_makes_no_sense_is_refused(data: dict[str, str], param: str) -> None:
    with pytest.raises(StripeError) as caught:
        read_switch(Form(data, "kinds rate seed slow_seconds"), Switch())
    assert caught.value.param == param


async def test_the_front_page_says_how_faults_are_had(wire: httpx.AsyncClient) -> None:
    assert "tok_fault_lost" in (await wire.get("/")).text
