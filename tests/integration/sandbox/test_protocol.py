"""The HTTP protocol of the sandbox: authentication, parameters, and errors."""

import httpx
import pytest
import stripe

from sandbox.stripe.errors import StripeError
from sandbox.stripe.forms import parse
from tests.support.polling import TIMEOUT
from tests.support.stripe_sandbox import HTTPX_WARNING, client, opened

pytestmark = pytest.mark.filterwarnings(HTTPX_WARNING)

ORDER = {"amount": "1999", "currency": "usd"}
PAID = ORDER | {"confirm": "true", "payment_method": "pm_card_visa"}


async def test_every_response_has_a_request_id(http: httpx.AsyncClient) -> None:
    answers = [await http.get("/v1/payment_intents"), await http.get("/v1/nothing")]
    assert len({answer.headers["request-id"] for answer in answers}) == 2
    assert all(answer.headers["request-id"].startswith("req_") for answer in answers)


@pytest.mark.parametrize(
    "authorization", ["", "Bearer", "Bearer sk_live_abcdefghijkl", "Basic ???", "sk_test_a"]
)
async def test_the_api_accepts_only_test_keys(sandbox: str, authorization: str) -> None:
    async with httpx.AsyncClient(base_url=sandbox, timeout=TIMEOUT) as http:
        answer = await http.get("/v1/payment_intents", headers={"Authorization": authorization})
    assert answer.status_code == 401
    assert answer.json()["error"]["type"] == "invalid_request_error"
    assert "abcdefgh" not in answer.text


async def test_stripes_package_raises_an_authentication_error_for_a_wrong_key(sandbox: str) -> None:
    async with client(sandbox, key="sk_live_abcdefghijkl") as shop:
        with pytest.raises(stripe.AuthenticationError):
            await opened(shop)


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/v1/customers"), ("DELETE", "/v1/refunds"), ("GET", "/nowhere"), ("POST", "/v1/charges")],
)
async def test_unsupported_paths_and_methods_get_stripes_error_for_unrecognized_urls(
    http: httpx.AsyncClient, method: str, path: str
) -> None:
    answer = await http.request(method, path)
    assert answer.status_code == 404
    assert answer.json()["error"]["message"] == f"Unrecognized request URL ({method}: {path})."


@pytest.mark.parametrize(
    "path", ["/v1/payment_intents/pi_x", "/v1/charges/ch_x", "/v1/refunds/re_x", "/v1/payment_methods/pm_x"]
)
async def test_an_unknown_object_is_answered_with_404(http: httpx.AsyncClient, path: str) -> None:
    answer = await http.get(path)
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "resource_missing")


@pytest.mark.parametrize(
    ("data", "code", "param"),
    [
        ({"currency": "usd"}, "parameter_missing", "amount"),
        ({"amount": "1"}, "parameter_missing", "currency"),
        (ORDER | {"colour": "red"}, "parameter_unknown", "colour"),
        (
            ORDER | {"automatic_payment_methods[on]": "true"},
            "parameter_unknown",
            "automatic_payment_methods[on]",
        ),
        (ORDER | {"amount": "19.99"}, "parameter_invalid_integer", "amount"),
        (ORDER | {"amount": "0"}, "parameter_invalid_integer", "amount"),
        (ORDER | {"amount": "-5"}, "parameter_invalid_integer", "amount"),
        (ORDER | {"amount": "49"}, "amount_too_small", "amount"),
        (ORDER | {"amount": "29", "currency": "gbp"}, "amount_too_small", "amount"),
        (ORDER | {"amount": "100000000"}, "amount_too_large", "amount"),
        (ORDER | {"amount": ""}, "parameter_invalid_empty", "amount"),
        (ORDER | {"amount[gte]": "1"}, None, "amount[gte]"),
        (ORDER | {"currency": "USD"}, None, "currency"),
        (ORDER | {"currency": "us1"}, None, "currency"),
        (ORDER | {"currency": "dollar"}, None, "currency"),
        (ORDER | {"capture_method": "later"}, None, "capture_method"),
        (ORDER | {"confirm": "yes"}, None, "confirm"),
        (ORDER | {"expand[]": "customer"}, None, "expand"),
        (PAID | {"return_url": "javascript:alert(1)"}, "url_invalid", "return_url"),
        (ORDER | {"payment_method": "pm_x"}, "resource_missing", "payment_method"),
        (ORDER | {"payment_method_data[type]": "card"}, "parameter_missing", "payment_method_data[card]"),
    ],
)
async def test_the_error_for_an_invalid_parameter_names_the_parameter(
    http: httpx.AsyncClient, data: dict[str, str], code: str | None, param: str
) -> None:
    answer = await http.post("/v1/payment_intents", data=data)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert (error["type"], error.get("code"), error["param"]) == ("invalid_request_error", code, param)


def test_brackets_in_names_create_nested_parameters_and_ordered_lists() -> None:
    assert parse(b"a[b][c]=1&a[b][d]=2&e[]=x&e[]=y&f[0]=z&g=&h=%26") == {
        "a": {"b": {"c": "1", "d": "2"}},
        "e": {"0": "x", "1": "y"},
        "f": {"0": "z"},
        "g": "",
        "h": "&",
    }


@pytest.mark.parametrize("body", [b"a=1&a[b]=2", b"a[=1", b"[a]=1", b"a]b=1", b"a=%ff", b"\xff=1"])
def test_an_invalid_body_is_refused(body: bytes) -> None:
    with pytest.raises(StripeError):
        parse(body)


async def test_the_sandbox_answers_health_checks_and_describes_itself(http: httpx.AsyncClient) -> None:
    assert (await http.get("/health")).status_code == 200
    assert "No real money moves" in (await http.get("/")).text
