"""Keys, errors, expansion and pages of two imitations of Stripe."""

from typing import Any

import httpx
import pytest
import stripe

from kit.stripe.client import SANDBOX_KEY
from tests.support.payments import PaymentsService
from tests.support.polling import TIMEOUT
from tests.support.service import new_id
from tests.support.stripe_sandbox import opened


async def test_a_repeated_request_with_the_same_key_gets_the_same_answer(shop: stripe.StripeClient) -> None:
    params: Any = {"amount": 1999, "currency": "usd"}
    options: Any = {"idempotency_key": new_id()}
    first, again = [await shop.v1.payment_intents.create_async(params, options) for _ in range(2)]
    assert first.to_dict() == again.to_dict()
    assert again.last_response is not None
    assert again.last_response.headers["Idempotent-Replayed"] == "true"
    assert first.last_response is not None
    assert "Idempotent-Replayed" not in first.last_response.headers
    with pytest.raises(stripe.IdempotencyError) as caught:
        await shop.v1.payment_intents.create_async(params | {"amount": 2000}, options)
    assert caught.value.http_status == 400


REFUSED: list[tuple[str, str, dict[str, str], int, str | None, str]] = [
    ("POST", "payment_intents", {"colour": "red"}, 400, "parameter_unknown", "colour"),
    (
        *("POST", "payment_intents"),
        {"amount": "100", "currency": "usd", "automatic_payment_methods[on]": "true"},
        *(400, "parameter_unknown", "automatic_payment_methods[on]"),
    ),
    ("POST", "payment_intents", {"currency": "usd"}, 400, "parameter_missing", "amount"),
    (
        *("POST", "payment_intents", {"amount": "much", "currency": "usd"}),
        *(400, "parameter_invalid_integer", "amount"),
    ),
    (
        *("POST", "payment_intents", {"amount": "100", "currency": "usd", "capture_method": "later"}),
        *(400, None, "capture_method"),
    ),
    ("GET", "payment_intents/pi_unknown", {}, 404, "resource_missing", "intent"),
    ("POST", "payment_intents/pi_unknown/capture", {}, 404, "resource_missing", "intent"),
    ("GET", "checkout/sessions/cs_unknown", {}, 404, "resource_missing", "session"),
    ("GET", "charges/ch_unknown", {}, 404, "resource_missing", "charge"),
    ("GET", "refunds/re_unknown", {}, 404, "resource_missing", "id"),
    ("POST", "disputes/dp_unknown/close", {}, 404, "resource_missing", "dispute"),
    ("POST", "refunds", {"payment_intent": "pi_unknown"}, 400, "resource_missing", "payment_intent"),
    ("GET", "payment_intents", {"expand[0]": "data.colour"}, 400, None, "expand"),
    ("GET", "payment_intents", {"expand[0]": "latest_charge"}, 400, None, "expand"),
    ("GET", "payment_intents", {"limit": "101"}, 400, "parameter_invalid_integer", "limit"),
    ("GET", "refunds", {"intent": "pi_unknown"}, 400, "parameter_unknown", "intent"),
]


@pytest.mark.parametrize(("method", "path", "fields", "status", "code", "param"), REFUSED)
async def test_a_wrong_request_is_refused_with_the_same_status_code_and_parameter(
    stripe_url: str, method: str, path: str, fields: dict[str, str], status: int, code: str | None, param: str
) -> None:
    given: dict[str, Any] = {"params": fields} if method == "GET" else {"data": fields}
    async with httpx.AsyncClient(base_url=stripe_url, auth=(SANDBOX_KEY, ""), timeout=TIMEOUT) as http:
        answer = await http.request(method, f"/v1/{path}", **given)
    error = answer.json()["error"]
    assert (answer.status_code, error.get("code"), error["param"]) == (status, code, param)
    assert error["type"] == "invalid_request_error"
    assert error["message"]


async def test_a_field_has_an_id_unless_the_request_expands_it(service: PaymentsService) -> None:
    order = await service.order()
    await service.pay(order)
    (intent,) = await service.intents(order)
    assert str(intent.latest_charge).startswith("ch_")
    expanded = await service.shop.v1.payment_intents.retrieve_async(intent.id, {"expand": ["latest_charge"]})
    assert isinstance(expanded.latest_charge, stripe.Charge)
    assert expanded.latest_charge.payment_intent == intent.id
    assert expanded.latest_charge.id == intent.latest_charge


async def test_a_charge_has_the_list_of_its_refunds_only_if_the_request_expands_it(
    service: PaymentsService,
) -> None:
    order = await service.order()
    await service.pay(order)
    await service.becomes(order, "complete")
    await service.payments.refund(order.id, relist=False)
    charge = str((await service.intents(order))[0].latest_charge)
    usual = await service.shop.v1.charges.retrieve_async(charge)
    assert "refunds" not in usual.to_dict()
    expanded = await service.shop.v1.charges.retrieve_async(charge, {"expand": ["refunds"]})
    assert expanded.refunds is not None
    assert (expanded.refunds.url, expanded.refunds.has_more) == (f"/v1/charges/{charge}/refunds", False)
    assert [refund.amount for refund in expanded.refunds.data] == [1999]


async def test_a_list_has_pages_from_the_newest_object_on(shop: stripe.StripeClient) -> None:
    made = [(await opened(shop)).id for _ in range(3)]
    first = await shop.v1.payment_intents.list_async({"limit": 2})
    assert (first.url, first.has_more) == ("/v1/payment_intents", True)
    assert [intent.id for intent in first.data] == [made[2], made[1]]
    rest = await shop.v1.payment_intents.list_async({"limit": 1, "starting_after": made[1]})
    assert [intent.id for intent in rest.data] == [made[0]]
