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
from sandbox.stripe.idempotency import Call, remembering
from sandbox.stripe.state import Challenge
from sandbox.stripe.store import Answer, Ledger, Store
from sandbox.testing import free_port, running
from tests.people import PATIENCE
from tests.sandbox.served import STRIPES_OWN, card, client, opened, paid_by, problem, process

pytestmark = pytest.mark.filterwarnings(STRIPES_OWN)

ORDER = {"amount": "1999", "currency": "usd", "capture_method": "manual"}
PAY = {
    "payment_method_data[type]": "card",
    "payment_method_data[card][token]": "tok_visa",
    "return_url": "http://shop.test/",
}


def under(key: str) -> dict[str, str]:
    return {"Idempotency-Key": key}


@pytest.fixture
def key() -> str:
    return f"order:{uuid4()}"


async def test_a_repeated_request_gets_the_same_answer(wire: httpx.AsyncClient, key: str) -> None:
    first = await wire.post("/v1/payment_intents", data=ORDER, headers=under(key))
    # The same parameters in another order are the same request.
    again = await wire.post("/v1/payment_intents", data=dict(reversed(ORDER.items())), headers=under(key))
    assert (again.status_code, again.content) == (first.status_code, first.content)
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    assert again.headers["original-request"] == first.headers["request-id"]
    assert again.headers["request-id"] != first.headers["request-id"]


async def test_without_a_key_every_request_counts(wire: httpx.AsyncClient) -> None:
    first, second = [(await wire.post("/v1/payment_intents", data=ORDER)).json()["id"] for _ in range(2)]
    assert first != second


async def test_a_key_stands_for_one_body_and_one_path(wire: httpx.AsyncClient, key: str) -> None:
    first = await wire.post("/v1/payment_intents", data=ORDER, headers=under(key))
    for path, data in (
        ("/v1/payment_intents", ORDER | {"amount": "2000"}),
        (f"/v1/payment_intents/{first.json()['id']}/confirm", ORDER),
    ):
        other = await wire.post(path, data=data, headers=under(key))
        assert other.status_code == 400
        assert other.json()["error"]["type"] == "idempotency_error"
    again = await wire.post("/v1/payment_intents", data=ORDER, headers=under(key))
    assert again.content == first.content


async def test_each_api_key_has_its_own_keys(wire: httpx.AsyncClient, key: str) -> None:
    first = await wire.post("/v1/payment_intents", data=ORDER, headers=under(key))
    other = await wire.post("/v1/payment_intents", data=ORDER, headers=under(key), auth=("sk_test_b", ""))
    assert first.json()["id"] != other.json()["id"]


async def test_a_decline_stays_declined_under_its_key(shop: stripe.StripeClient, key: str) -> None:
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


async def test_what_the_state_forbade_stays_forbidden_under_its_key(
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


async def test_wrong_parameters_leave_the_key_unused(wire: httpx.AsyncClient, key: str) -> None:
    wrong = await wire.post("/v1/payment_intents", data=ORDER | {"amount": "0"}, headers=under(key))
    assert wrong.status_code == 400
    right = await wire.post("/v1/payment_intents", data=ORDER, headers=under(key))
    assert right.status_code == 200
    assert "idempotent-replayed" not in right.headers


async def test_a_wrong_api_key_leaves_the_key_unused(wire: httpx.AsyncClient, key: str) -> None:
    wrong = await wire.post("/v1/payment_intents", data=ORDER, headers=under(key), auth=("sk_live_a", ""))
    assert wrong.status_code == 401
    right = await wire.post("/v1/payment_intents", data=ORDER, headers=under(key))
    assert "idempotent-replayed" not in right.headers


async def test_a_key_is_at_most_255_characters_long(wire: httpx.AsyncClient) -> None:
    assert (await wire.post("/v1/payment_intents", data=ORDER, headers=under("k" * 256))).status_code == 400


@dataclass(frozen=True)
class Bank:
    """One that answers nobody until it opens, and the address of its sandbox."""

    url: str
    door: Path

    def open(self) -> None:
        self.door.touch()


@pytest.fixture
async def closed(tmp_path: Path) -> AsyncIterator[Bank]:
    port, door = free_port(), tmp_path / "open"
    async with running(process(port, tmp_path, bank_opens=door), tmp_path / "log", signal.SIGKILL):
        yield Bank(f"http://127.0.0.1:{port}", door)


async def refused_and_done(bank: Bank, *requests: Awaitable[httpx.Response]) -> list[httpx.Response]:
    """Of two requests at once the answers: first of the one that is refused since the other is in flight."""
    done, waiting = await asyncio.wait(
        [asyncio.ensure_future(request) for request in requests], return_when=asyncio.FIRST_COMPLETED
    )
    bank.open()
    return [await answer for answer in (*done, *waiting)]


@pytest.fixture
async def slow(tmp_path: Path) -> AsyncIterator[str]:
    """A sandbox whose bank takes half a second, which is long enough for others to come in between."""
    port = free_port()
    async with running(process(port, tmp_path, bank_seconds=0.5), tmp_path / "log", signal.SIGKILL):
        yield f"http://127.0.0.1:{port}"


async def test_a_key_in_flight_is_a_conflict_that_is_not_remembered(closed: Bank, key: str) -> None:
    async with httpx.AsyncClient(base_url=closed.url, auth=("sk_test_a", ""), timeout=PATIENCE) as wire:
        intent = (await wire.post("/v1/payment_intents", data=ORDER)).json()["id"]
        path = f"/v1/payment_intents/{intent}/confirm"
        both = [wire.post(path, data=PAY, headers=under(key)) for _ in range(2)]
        second, first = await refused_and_done(closed, *both)
        assert (first.status_code, second.status_code) == (200, 409)
        assert second.json()["error"]["code"] == "idempotency_key_in_use"
        later = await wire.post(path, data=PAY, headers=under(key))
        assert (later.status_code, later.content) == (200, first.content)


async def test_a_key_in_flight_is_not_for_another_request(closed: Bank, key: str) -> None:
    async with httpx.AsyncClient(base_url=closed.url, auth=("sk_test_a", ""), timeout=PATIENCE) as wire:
        intent = (await wire.post("/v1/payment_intents", data=ORDER)).json()["id"]
        path = f"/v1/payment_intents/{intent}/confirm"
        other = PAY | {"payment_method_data[card][token]": "tok_amex"}
        both = [wire.post(path, data=data, headers=under(key)) for data in (PAY, other)]
        assert [answer.status_code for answer in await refused_and_done(closed, *both)] == [400, 200]


async def test_three_confirmations_under_one_key_charge_once(slow: str, key: str) -> None:
    async with client(slow, retries=20) as shop:
        intent = await opened(shop, capture_method="automatic")
        confirming = [
            shop.v1.payment_intents.confirm_async(intent.id, card("tok_visa"), {"idempotency_key": key})
            for _ in range(3)
        ]
        answers = await asyncio.gather(*confirming)
    assert {answer.status for answer in answers} == {"succeeded"}
    assert len({str(answer.latest_charge) for answer in answers}) == 1


async def test_three_confirmations_under_three_keys_charge_once(slow: str) -> None:
    async with client(slow) as shop:
        intent = await opened(shop, capture_method="automatic")
        confirming = [shop.v1.payment_intents.confirm_async(intent.id, card("tok_visa")) for _ in range(3)]
        answers = await asyncio.gather(*confirming, return_exceptions=True)
    refused = [answer for answer in answers if isinstance(answer, stripe.InvalidRequestError)]
    assert [error.code for error in refused] == ["payment_intent_unexpected_state"] * 2


async def confirmed(shop: stripe.StripeClient, intent_id: str, key: str) -> stripe.PaymentIntent:
    pay, options = card("tok_visa"), stripe.RequestOptions(idempotency_key=key)
    return await shop.v1.payment_intents.confirm_async(intent_id, pay, options)


async def test_a_kill_while_the_bank_is_asked_leaves_neither_charge_nor_stuck_key(
    tmp_path: Path, key: str
) -> None:
    port = free_port()
    url, log = f"http://127.0.0.1:{port}", tmp_path / "log"
    bank = process(port, tmp_path, bank_seconds=30)
    async with client(url, retries=0) as shop:
        async with running(bank, log, signal.SIGKILL):
            intent = await opened(shop)
            two = [asyncio.create_task(confirmed(shop, intent.id, key)) for _ in range(2)]
            # Whichever comes second is a conflict, which shows that the first is in flight.
            [conflict], [waiting] = await asyncio.wait(two, return_when=asyncio.FIRST_COMPLETED)
            assert getattr(conflict.exception(), "http_status", None) == 409
        with pytest.raises(stripe.APIConnectionError):
            await waiting
    async with running(process(port, tmp_path), log, signal.SIGKILL), client(url) as shop:
        assert (await shop.v1.payment_intents.retrieve_async(intent.id)).status == "requires_payment_method"
        assert (await confirmed(shop, intent.id, key)).status == "requires_capture"


async def test_state_and_answers_survive_a_kill(tmp_path: Path, key: str) -> None:
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


def refused(error: StripeError) -> Answer:
    return Answer(error.status, error.message, "req_1")


async def test_work_that_breaks_writes_nothing_and_is_remembered_as_a_500(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    def breaks(ledger: Ledger) -> Answer:
        ledger.save(Challenge("tds_1", "pi_1", None))
        raise ZeroDivisionError

    def works(ledger: Ledger) -> Answer:
        return Answer(200, "done", "req_2")

    broken = await store.run(remembering(CALL, breaks, refused))
    assert (broken.status, broken.replayed) == (500, False)
    assert "ZeroDivisionError" in caplog.text
    assert await store.run(lambda ledger: ledger.find(Challenge, "tds_1")) is None
    again = await store.run(remembering(CALL, works, refused))
    assert (again.status, again.body, again.replayed) == (500, broken.body, True)


async def test_an_answer_written_meanwhile_is_given_instead_of_working_again(store: Store) -> None:
    done = []

    def works(ledger: Ledger) -> Answer:
        done.append(1)
        return Answer(200, f"{len(done)}", "req_1")

    both = await asyncio.gather(*(store.run(remembering(CALL, works, refused)) for _ in range(2)))
    assert [answer.body for answer in both] == ["1", "1"]
    assert len(done) == 1
