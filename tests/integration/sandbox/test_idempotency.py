"""Idempotency keys of the sandbox: repetitions, conflicts, and kills."""

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
import stripe

from sandbox.stripe.errors import StripeError
from sandbox.stripe.idempotency import Call, saving_answer
from sandbox.stripe.state import Challenge
from sandbox.stripe.store import Answer, Ledger, Store
from sandbox.testing import free_port, running
from tests.support.polling import TIMEOUT
from tests.support.stripe_sandbox import HTTPX_WARNING, card, client, opened, paid_by, problem, process

pytestmark = pytest.mark.filterwarnings(HTTPX_WARNING)

ORDER = {"amount": "1999", "currency": "usd", "capture_method": "manual"}
PAY = {
    "payment_method_data[type]": "card",
    "payment_method_data[card][token]": "tok_visa",
    "return_url": "http://shop.test/",
}


def with_key(key: str) -> dict[str, str]:
    return {"Idempotency-Key": key}


@pytest.fixture
def key() -> str:
    return f"order:{uuid4()}"


async def test_a_repeated_request_gets_the_same_response(http: httpx.AsyncClient, key: str) -> None:
    first = await http.post("/v1/payment_intents", data=ORDER, headers=with_key(key))
    # A repetition may have its parameters in another order.
    again = await http.post("/v1/payment_intents", data=dict(reversed(ORDER.items())), headers=with_key(key))
    assert (again.status_code, again.content) == (first.status_code, first.content)
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    assert again.headers["original-request"] == first.headers["request-id"]
    assert again.headers["request-id"] != first.headers["request-id"]


async def test_repeated_requests_without_a_key_are_all_executed(http: httpx.AsyncClient) -> None:
    first, second = [(await http.post("/v1/payment_intents", data=ORDER)).json()["id"] for _ in range(2)]
    assert first != second


async def test_a_key_cannot_be_reused_with_another_path_or_body(http: httpx.AsyncClient, key: str) -> None:
    first = await http.post("/v1/payment_intents", data=ORDER, headers=with_key(key))
    for path, data in (
        ("/v1/payment_intents", ORDER | {"amount": "2000"}),
        (f"/v1/payment_intents/{first.json()['id']}/confirm", ORDER),
    ):
        other = await http.post(path, data=data, headers=with_key(key))
        assert other.status_code == 400
        assert other.json()["error"]["type"] == "idempotency_error"
    again = await http.post("/v1/payment_intents", data=ORDER, headers=with_key(key))
    assert again.content == first.content


async def test_each_api_key_has_its_own_idempotency_keys(http: httpx.AsyncClient, key: str) -> None:
    first = await http.post("/v1/payment_intents", data=ORDER, headers=with_key(key))
    other = await http.post("/v1/payment_intents", data=ORDER, headers=with_key(key), auth=("sk_test_b", ""))
    assert first.json()["id"] != other.json()["id"]


async def test_a_repeated_request_gets_the_same_decline(shop: stripe.StripeClient, key: str) -> None:
    intent = await opened(shop)
    errors = []
    for _ in range(2):
        with pytest.raises(stripe.CardError) as caught:
            await shop.v1.payment_intents.confirm_async(
                intent.id, card("tok_chargeDeclined"), {"idempotency_key": key}
            )
        errors.append(caught.value)
    assert errors[0].http_body == errors[1].http_body
    assert errors[1].headers is not None
    assert errors[1].headers["idempotent-replayed"] == "true"
    paid = await shop.v1.payment_intents.confirm_async(
        intent.id, card("tok_visa"), {"idempotency_key": f"{key}:2"}
    )
    assert paid.status == "requires_capture"


async def test_a_repeated_request_gets_the_same_error_after_the_state_has_changed(
    shop: stripe.StripeClient, key: str
) -> None:
    intent = await opened(shop)
    for _ in range(2):
        with pytest.raises(stripe.InvalidRequestError) as caught:
            await shop.v1.payment_intents.capture_async(intent.id, options={"idempotency_key": key})
        assert problem(caught.value)["payment_intent"]["status"] == "requires_payment_method"
        await shop.v1.payment_intents.confirm_async(
            intent.id, card("tok_visa"), {"idempotency_key": f"{key}:confirm"}
        )


async def test_a_request_with_invalid_parameters_does_not_use_up_its_key(
    http: httpx.AsyncClient, key: str
) -> None:
    wrong = await http.post("/v1/payment_intents", data=ORDER | {"amount": "0"}, headers=with_key(key))
    assert wrong.status_code == 400
    right = await http.post("/v1/payment_intents", data=ORDER, headers=with_key(key))
    assert right.status_code == 200
    assert "idempotent-replayed" not in right.headers


async def test_a_request_with_a_wrong_api_key_does_not_use_up_its_key(
    http: httpx.AsyncClient, key: str
) -> None:
    wrong = await http.post("/v1/payment_intents", data=ORDER, headers=with_key(key), auth=("sk_live_a", ""))
    assert wrong.status_code == 401
    right = await http.post("/v1/payment_intents", data=ORDER, headers=with_key(key))
    assert "idempotent-replayed" not in right.headers


async def test_a_key_longer_than_255_characters_is_refused(http: httpx.AsyncClient) -> None:
    assert (
        await http.post("/v1/payment_intents", data=ORDER, headers=with_key("k" * 256))
    ).status_code == 400


@dataclass(frozen=True)
class HeldBank:
    """A sandbox whose bank doesn't answer until `answer` is called."""

    url: str
    file: Path
    """The path of a file. The bank answers as soon as the file exists."""

    def answer(self) -> None:
        self.file.touch()


@pytest.fixture
async def held_bank(tmp_path: Path) -> AsyncIterator[HeldBank]:
    port, file = free_port(), tmp_path / "open"
    async with running(process(port, tmp_path, bank_opens=file), tmp_path / "log", signal.SIGKILL):
        yield HeldBank(f"http://127.0.0.1:{port}", file)


async def refused_and_executed(bank: HeldBank, *requests: Awaitable[httpx.Response]) -> list[httpx.Response]:
    """The responses to two concurrent requests: first the refused one, then the executed one."""
    done, waiting = await asyncio.wait(
        [asyncio.ensure_future(request) for request in requests], return_when=asyncio.FIRST_COMPLETED
    )
    bank.answer()
    return [await answer for answer in (*done, *waiting)]


@pytest.fixture
async def slow_sandbox(tmp_path: Path) -> AsyncIterator[str]:
    """A sandbox whose bank takes half a second, so that requests overlap."""
    port = free_port()
    async with running(process(port, tmp_path, bank_seconds=0.5), tmp_path / "log", signal.SIGKILL):
        yield f"http://127.0.0.1:{port}"


async def test_a_request_whose_key_is_in_use_gets_a_conflict_that_is_not_saved(
    held_bank: HeldBank, key: str
) -> None:
    async with httpx.AsyncClient(base_url=held_bank.url, auth=("sk_test_a", ""), timeout=TIMEOUT) as http:
        intent = (await http.post("/v1/payment_intents", data=ORDER)).json()["id"]
        path = f"/v1/payment_intents/{intent}/confirm"
        requests = [http.post(path, data=PAY, headers=with_key(key)) for _ in range(2)]
        second, first = await refused_and_executed(held_bank, *requests)
        assert (first.status_code, second.status_code) == (200, 409)
        assert second.json()["error"]["code"] == "idempotency_key_in_use"
        later = await http.post(path, data=PAY, headers=with_key(key))
        assert (later.status_code, later.content) == (200, first.content)


async def test_a_key_in_use_cannot_be_used_for_another_request(held_bank: HeldBank, key: str) -> None:
    async with httpx.AsyncClient(base_url=held_bank.url, auth=("sk_test_a", ""), timeout=TIMEOUT) as http:
        intent = (await http.post("/v1/payment_intents", data=ORDER)).json()["id"]
        path = f"/v1/payment_intents/{intent}/confirm"
        other = PAY | {"payment_method_data[card][token]": "tok_amex"}
        requests = [http.post(path, data=data, headers=with_key(key)) for data in (PAY, other)]
        assert [answer.status_code for answer in await refused_and_executed(held_bank, *requests)] == [
            400,
            200,
        ]


async def test_three_confirmations_with_the_same_key_charge_once(slow_sandbox: str, key: str) -> None:
    async with client(slow_sandbox, retries=20) as shop:
        intent = await opened(shop, capture_method="automatic")
        confirming = [
            shop.v1.payment_intents.confirm_async(intent.id, card("tok_visa"), {"idempotency_key": key})
            for _ in range(3)
        ]
        answers = await asyncio.gather(*confirming)
    assert {answer.status for answer in answers} == {"succeeded"}
    assert len({str(answer.latest_charge) for answer in answers}) == 1


async def test_three_confirmations_with_three_keys_charge_once(slow_sandbox: str) -> None:
    async with client(slow_sandbox) as shop:
        intent = await opened(shop, capture_method="automatic")
        confirming = [shop.v1.payment_intents.confirm_async(intent.id, card("tok_visa")) for _ in range(3)]
        answers = await asyncio.gather(*confirming, return_exceptions=True)
    refused = [answer for answer in answers if isinstance(answer, stripe.InvalidRequestError)]
    assert [error.code for error in refused] == ["payment_intent_unexpected_state"] * 2


async def confirm(shop: stripe.StripeClient, intent_id: str, key: str) -> stripe.PaymentIntent:
    pay, options = card("tok_visa"), stripe.RequestOptions(idempotency_key=key)
    return await shop.v1.payment_intents.confirm_async(intent_id, pay, options)


async def test_a_kill_during_a_bank_request_leaves_no_charge_and_no_locked_key(
    tmp_path: Path, key: str
) -> None:
    port = free_port()
    url, log = f"http://127.0.0.1:{port}", tmp_path / "log"
    bank = process(port, tmp_path, bank_seconds=30)
    async with client(url, retries=0) as shop:
        async with running(bank, log, signal.SIGKILL):
            intent = await opened(shop)
            confirmations = [asyncio.create_task(confirm(shop, intent.id, key)) for _ in range(2)]
            # The conflict of the second request shows that the first one is in progress.
            [conflict], [waiting] = await asyncio.wait(confirmations, return_when=asyncio.FIRST_COMPLETED)
            assert getattr(conflict.exception(), "http_status", None) == 409
        with pytest.raises(stripe.APIConnectionError):
            await waiting
    async with running(process(port, tmp_path), log, signal.SIGKILL), client(url) as shop:
        assert (await shop.v1.payment_intents.retrieve_async(intent.id)).status == "requires_payment_method"
        assert (await confirm(shop, intent.id, key)).status == "requires_capture"


async def test_objects_and_saved_responses_survive_a_kill(tmp_path: Path, key: str) -> None:
    port = free_port()
    url, log = f"http://127.0.0.1:{port}", tmp_path / "log"
    async with running(process(port, tmp_path), log, signal.SIGKILL), client(url) as shop:
        intent = await paid_by("tok_visa", shop)
        captured = await shop.v1.payment_intents.capture_async(intent.id, options={"idempotency_key": key})
    async with running(process(port, tmp_path), log, signal.SIGKILL), client(url) as shop:
        assert (await shop.v1.payment_intents.retrieve_async(intent.id)).to_dict() == captured.to_dict()
        again = await shop.v1.payment_intents.capture_async(intent.id, options={"idempotency_key": key})
        assert again.to_dict() == captured.to_dict()


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = Store(tmp_path / "stripe.sqlite3")
    await store.open()
    yield store
    await store.close()


CALL = Call(account="a", key="k", path="/v1/refunds", params="{}")


def refusal(error: StripeError) -> Answer:
    return Answer(error.status, error.message, "req_1")


async def test_an_operation_that_fails_writes_nothing_and_saves_a_500_response(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(ledger: Ledger) -> Answer:
        ledger.save(Challenge("tds_1", "pi_1", None))
        raise ZeroDivisionError

    def succeed(ledger: Ledger) -> Answer:
        return Answer(200, "done", "req_2")

    failed = await store.run(saving_answer(CALL, fail, refusal))
    assert (failed.status, failed.replayed) == (500, False)
    assert "ZeroDivisionError" in caplog.text
    assert await store.run(lambda ledger: ledger.find(Challenge, "tds_1")) is None
    again = await store.run(saving_answer(CALL, succeed, refusal))
    assert (again.status, again.body, again.replayed) == (500, failed.body, True)


async def test_a_response_that_was_saved_meanwhile_prevents_a_second_execution(store: Store) -> None:
    executions = []

    def succeed(ledger: Ledger) -> Answer:
        executions.append(1)
        return Answer(200, f"{len(executions)}", "req_1")

    answers = await asyncio.gather(*(store.run(saving_answer(CALL, succeed, refusal)) for _ in range(2)))
    assert [answer.body for answer in answers] == ["1", "1"]
    assert len(executions) == 1
