"""Faults that a test card or the address `/faults` injects into requests to the sandbox."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import httpx
import pytest
import pytest_asyncio
import stripe

from sandbox.stripe.errors import StripeError
from sandbox.stripe.faults import FaultSettings, read_fault_settings
from sandbox.stripe.forms import Form
from sandbox.testing import FAST_STOP, free_port, running
from tests.integration.conftest import Sandbox
from tests.support.connect import onboarded, settled
from tests.support.polling import TIMEOUT, until
from tests.support.stripe_sandbox import HTTPX_WARNING, card, client, opened, problem, process

pytestmark = pytest.mark.filterwarnings(HTTPX_WARNING)

ORDER = {"amount": "1999", "currency": "usd", "capture_method": "manual"}


@pytest_asyncio.fixture(scope="module")
async def module_sandbox(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Sandbox]:
    """A sandbox for the tests of this module, because injected faults affect all requests."""
    folder, port = tmp_path_factory.mktemp("stripe"), free_port()
    async with running(process(port, folder), folder / "log", FAST_STOP):
        yield Sandbox(f"http://127.0.0.1:{port}", folder / "stripe.sqlite3")
    # Nothing receives webhooks here: neither those about payments nor those about connected accounts.
    errors = [line for line in (folder / "log").read_text().splitlines() if "webhooks are paused" not in line]
    assert not errors, "the sandbox logged an injected fault as an error"


@pytest.fixture
async def own_sandbox(module_sandbox: Sandbox) -> AsyncIterator[str]:
    """The URL of a sandbox without faults and payments."""
    module_sandbox.empty()
    yield module_sandbox.url
    async with httpx.AsyncClient(base_url=module_sandbox.url, timeout=TIMEOUT) as http:
        assert (await http.delete("/faults")).status_code == 200


@pytest.fixture
async def shop(own_sandbox: str) -> AsyncIterator[stripe.StripeClient]:
    """A client without automatic retries."""
    async with client(own_sandbox, retries=0) as shop:
        yield shop


@pytest.fixture
async def http(own_sandbox: str) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=own_sandbox, auth=("sk_test_http", ""), timeout=TIMEOUT) as http:
        yield http


def with_key(key: str) -> Any:
    return {"idempotency_key": key}


@pytest.fixture
def key() -> str:
    return str(uuid4())


async def status_of(shop: stripe.StripeClient, intent: stripe.PaymentIntent) -> str:
    return (await shop.v1.payment_intents.retrieve_async(intent.id)).status


async def test_a_card_with_rate_limiting_succeeds_at_the_third_attempt(
    shop: stripe.StripeClient, key: str
) -> None:
    intent = await opened(shop)
    pay = card("tok_fault_rate_limit")
    for _ in range(2):
        with pytest.raises(stripe.RateLimitError) as caught:
            await shop.v1.payment_intents.confirm_async(intent.id, pay, with_key(key))
        assert (caught.value.http_status, problem(caught.value)["code"]) == (429, "rate_limit")
        assert await status_of(shop, intent) == "requires_payment_method"
    assert (
        await shop.v1.payment_intents.confirm_async(intent.id, pay, with_key(key))
    ).status == "requires_capture"


async def test_a_server_error_changes_nothing_and_is_returned_again_for_its_idempotency_key(
    shop: stripe.StripeClient, key: str
) -> None:
    intent = await opened(shop)
    bodies = []
    for _ in range(2):
        with pytest.raises(stripe.APIError) as caught:
            await shop.v1.payment_intents.confirm_async(
                intent.id, card("tok_fault_server_error"), with_key(key)
            )
        assert caught.value.http_status == 500
        bodies.append(caught.value.http_body)
    assert bodies[0] == bodies[1]
    assert caught.value.headers is not None
    assert caught.value.headers["idempotent-replayed"] == "true"
    assert await status_of(shop, intent) == "requires_payment_method"
    await shop.v1.payment_intents.confirm_async(intent.id, card("tok_visa"), with_key(f"{key}:2"))


async def test_a_slow_confirmation_completes_after_the_clients_timeout(
    own_sandbox: str, shop: stripe.StripeClient, http: httpx.AsyncClient, key: str
) -> None:
    await http.post("/faults", data={"slow_seconds": "1"})
    intent = await opened(shop)
    path = f"/v1/payment_intents/{intent.id}/confirm"
    pay = {"payment_method_data[type]": "card", "payment_method_data[card][token]": "tok_fault_slow"}
    pay |= {"return_url": "http://shop.test/"}
    headers = {"Idempotency-Key": key}
    with pytest.raises(httpx.ReadTimeout):
        await http.post(path, data=pay, headers=headers, timeout=0.3)
    again = await http.post(path, data=pay, headers=headers)
    assert (again.status_code, again.json()["error"]["code"]) == (409, "idempotency_key_in_use")
    async with asyncio.timeout(TIMEOUT):
        while again.status_code == 409:
            assert await status_of(shop, intent) in ("requires_payment_method", "requires_capture")
            again = await http.post(path, data=pay, headers=headers)
    assert (again.status_code, again.json()["status"]) == (200, "requires_capture")
    assert again.headers["idempotent-replayed"] == "true"


async def test_repeating_a_request_returns_the_response_that_was_lost(
    shop: stripe.StripeClient, key: str
) -> None:
    intent = await opened(shop)
    with pytest.raises(stripe.APIConnectionError):
        await shop.v1.payment_intents.confirm_async(intent.id, card("tok_fault_lost"), with_key(key))
    assert await status_of(shop, intent) == "requires_capture"
    again = await shop.v1.payment_intents.confirm_async(intent.id, card("tok_fault_lost"), with_key(key))
    assert again.status == "requires_capture"


async def test_a_client_with_retries_recovers_from_a_lost_response(own_sandbox: str) -> None:
    async with client(own_sandbox) as shop:
        intent = await opened(shop)
        paid = await shop.v1.payment_intents.confirm_async(intent.id, card("tok_fault_lost"))
        assert paid.status == "requires_capture"
        charged = await shop.v1.events.list_async({"type": "charge.succeeded"})
        assert len(charged.data) == 1


async def test_the_fault_of_a_card_that_is_attached_on_creation_occurs_at_the_confirmation(
    shop: stripe.StripeClient, key: str
) -> None:
    intent = await opened(shop, payment_method_data={"type": "card", "card": {"token": "tok_fault_lost"}})
    assert intent.status == "requires_confirmation"
    options: Any = {"return_url": "http://shop.test/"}
    with pytest.raises(stripe.APIConnectionError):
        await shop.v1.payment_intents.confirm_async(intent.id, options, with_key(key))
    paid = await shop.v1.payment_intents.confirm_async(intent.id, options, with_key(key))
    assert paid.status == "requires_capture"


async def outcomes(http: httpx.AsyncClient, *, requests: int) -> list[str]:
    """The statuses of alternating POST and GET requests, or `lost` if there was no response."""
    found = []
    for number in range(requests):
        try:
            if number % 2:
                answer = await http.get("/v1/payment_intents")
            else:
                answer = await http.post(
                    "/v1/payment_intents", data=ORDER, headers={"Idempotency-Key": str(uuid4())}
                )
            found.append(str(answer.status_code))
        except httpx.RemoteProtocolError:
            found.append("lost")
    return found


async def test_the_same_seed_injects_the_same_faults(
    http: httpx.AsyncClient,
) -> None:
    faults = {"rate": "0.5", "kinds": "rate_limit,server_error,lost", "seed": "7"}
    configured = await http.post("/faults", data=faults)
    assert configured.json() == {
        "rate": 0.5,
        "kinds": ["rate_limit", "server_error", "lost"],
        "requests": "",
        "seed": 7,
        "slow_seconds": 15.0,
    }
    first = await outcomes(http, requests=40)
    assert set(first) == {"200", "429", "500", "lost"}
    await http.post("/faults", data=faults)
    assert await outcomes(http, requests=40) == first
    assert (await http.get("/faults")).json() == configured.json()
    assert (await http.delete("/faults")).json()["rate"] == 0
    assert set(await outcomes(http, requests=20)) == {"200"}


async def test_a_random_server_error_is_returned_again_for_its_idempotency_key(
    http: httpx.AsyncClient,
) -> None:
    for kind, status in (("rate_limit", 200), ("server_error", 500), ("lost", 200)):
        headers = {"Idempotency-Key": str(uuid4())}
        await http.post("/faults", data={"rate": "1", "kinds": kind})
        try:
            broken = await http.post("/v1/payment_intents", data=ORDER, headers=headers)
            assert broken.status_code in (429, 500)
        except httpx.RemoteProtocolError:
            assert kind == "lost"
        await http.delete("/faults")
        again = await http.post("/v1/payment_intents", data=ORDER, headers=headers)
        assert again.status_code == status
        assert ("idempotent-replayed" in again.headers) is (kind != "rate_limit")
    intents = (await http.get("/v1/payment_intents")).json()["data"]
    assert len(intents) == 2


async def test_a_random_decline_affects_only_payments(
    http: httpx.AsyncClient, shop: stripe.StripeClient, key: str
) -> None:
    await http.post("/faults", data={"rate": "1", "kinds": "decline"})
    intent = await opened(shop)
    with pytest.raises(stripe.CardError):
        await shop.v1.payment_intents.confirm_async(intent.id, card("tok_visa"), with_key(key))
    await http.delete("/faults")
    with pytest.raises(stripe.CardError):
        await shop.v1.payment_intents.confirm_async(intent.id, card("tok_visa"), with_key(key))
    paid = await shop.v1.payment_intents.confirm_async(intent.id, card("tok_visa"), with_key(f"{key}:2"))
    assert paid.status == "requires_capture"


async def test_a_random_decline_also_affects_the_checkout_page(http: httpx.AsyncClient) -> None:
    line = {"currency": "usd", "unit_amount": "1999", "product_data][name": "A night out"}
    session = {
        "mode": "payment",
        "success_url": "http://shop.test/",
        "line_items[0][quantity]": "1",
        **{f"line_items[0][price_data][{name}]": value for name, value in line.items()},
    }
    created = (await http.post("/v1/checkout/sessions", data=session)).json()
    page = f"/c/pay/{created['id']}"
    await http.post("/faults", data={"rate": "1", "kinds": "decline"})
    assert (await http.post(page, data={"card": "tok_visa"})).status_code == 402
    await http.delete("/faults")
    assert (await http.post(page, data={"card": "tok_visa"})).status_code == 303


async def test_a_random_server_error_without_an_idempotency_key_is_not_repeated(
    http: httpx.AsyncClient,
) -> None:
    await http.post("/faults", data={"rate": "1", "kinds": "server_error"})
    assert (await http.post("/v1/payment_intents", data=ORDER)).status_code == 500
    await http.delete("/faults")
    assert (await http.post("/v1/payment_intents", data=ORDER)).status_code == 200


@pytest.fixture
async def transfer(shop: stripe.StripeClient, http: httpx.AsyncClient) -> Any:
    """The parameters of a transfer to an onboarded seller."""
    seller, paid = await onboarded(shop, http), await settled(shop)
    params = {"amount": 1000, "currency": "usd", "destination": seller.id}
    return {**params, "source_transaction": paid.charge, "transfer_group": "order 1"}


async def listed(shop: stripe.StripeClient) -> list[str]:
    return [each.id for each in (await shop.v1.transfers.list_async({"transfer_group": "order 1"})).data]


async def test_a_transfer_whose_answer_is_lost_is_made_once_and_found_by_its_group(
    shop: stripe.StripeClient, http: httpx.AsyncClient, transfer: Any, key: str
) -> None:
    await http.post("/faults", data={"rate": "1", "kinds": "lost", "requests": "POST /v1/transfers"})
    for _ in range(2):
        with pytest.raises(stripe.APIConnectionError):
            await shop.v1.transfers.create_async(transfer, with_key(key))
        assert len(await listed(shop)) == 1  # other requests have no faults
    await http.delete("/faults")
    again = await shop.v1.transfers.create_async(transfer, with_key(key))
    assert await listed(shop) == [again.id]
    # Control: without the key, a repetition pays twice.
    await shop.v1.transfers.create_async(transfer | {"amount": 100})
    assert len(await listed(shop)) == 2


async def test_a_reversal_whose_answer_is_lost_is_made_once(
    shop: stripe.StripeClient, http: httpx.AsyncClient, transfer: Any, key: str
) -> None:
    made = await shop.v1.transfers.create_async(transfer)
    path = f"POST /v1/transfers/{made.id}/reversals"
    await http.post("/faults", data={"rate": "1", "kinds": "lost", "requests": path})
    with pytest.raises(stripe.APIConnectionError):
        await shop.v1.transfers.reversals.create_async(made.id, {"amount": 300}, with_key(key))
    await http.delete("/faults")
    await shop.v1.transfers.reversals.create_async(made.id, {"amount": 300}, with_key(key))
    assert (await shop.v1.transfers.retrieve_async(made.id)).amount_reversed == 300


async def test_a_server_error_makes_no_transfer_and_is_returned_again_for_its_key(
    shop: stripe.StripeClient, http: httpx.AsyncClient, transfer: Any, key: str
) -> None:
    faults = {"rate": "1", "kinds": "server_error", "requests": "POST /v1/transfers"}
    await http.post("/faults", data=faults)
    with pytest.raises(stripe.APIError):
        await shop.v1.transfers.create_async(transfer, with_key(key))
    await http.delete("/faults")
    with pytest.raises(stripe.APIError):
        await shop.v1.transfers.create_async(transfer, with_key(key))
    assert await listed(shop) == []
    made = await shop.v1.transfers.create_async(transfer, with_key(f"{key}:2"))
    assert await listed(shop) == [made.id]


async def test_a_slow_transfer_completes_after_the_clients_timeout(
    shop: stripe.StripeClient, http: httpx.AsyncClient, transfer: Any, key: str
) -> None:
    faults = {"rate": "1", "kinds": "slow", "slow_seconds": "1", "requests": "POST /v1/transfers"}
    await http.post("/faults", data=faults)
    with pytest.raises(httpx.ReadTimeout):
        await http.post("/v1/transfers", data=transfer, headers={"Idempotency-Key": key}, timeout=0.3)
    await until(lambda: listed(shop))
    await http.delete("/faults")
    again = await http.post("/v1/transfers", data=transfer, headers={"Idempotency-Key": key})
    assert again.headers["idempotent-replayed"] == "true"
    assert await listed(shop) == [again.json()["id"]]


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
def test_invalid_fault_settings_are_refused(data: dict[str, str], param: str) -> None:
    with pytest.raises(StripeError) as caught:
        read_fault_settings(Form(data, "kinds rate seed slow_seconds"), FaultSettings())
    assert caught.value.param == param


async def test_the_front_page_explains_how_to_inject_faults(http: httpx.AsyncClient) -> None:
    assert "tok_fault_lost" in (await http.get("/")).text
