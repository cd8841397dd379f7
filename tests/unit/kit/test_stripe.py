"""Failures of requests to Stripe. The requests are fakes that raise an error or return a result."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import stripe
from prometheus_client import REGISTRY

from kit.stripe import client
from kit.stripe.client import StripeApi
from kit.stripe.errors import KeyExhausted, KeyMismatch, OutcomeUnknown, RequestRefused
from settings import Settings

CONNECTION = stripe.APIConnectionError("no connection")  # type: ignore[no-untyped-call] # stripe leaves it untyped
REMEMBERED = {"idempotent-replayed": "true"}
LIMITED = stripe.RateLimitError("slow down", http_status=429)


def invalid(status: int = 400) -> stripe.InvalidRequestError:
    return stripe.InvalidRequestError("no", None, http_status=status)  # type: ignore[no-untyped-call] # as above


@pytest.fixture
async def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[StripeApi]:
    monkeypatch.setattr(client, "RATE_LIMIT_DELAYS", (0.0, 0.0, 0.0))
    given: dict[str, Any] = {"data_dir": tmp_path}
    api = StripeApi(Settings(_env_file=None, **given))
    yield api
    await api.close()


class Request:
    """Raises one of the errors for each call, then succeeds."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.sent = 0

    async def __call__(self) -> str:
        self.sent += 1
        if self.errors:
            raise self.errors.pop(0)
        return "done"


def alerts() -> dict[str, float]:
    kinds = ("refused", "key_mismatch")
    return {kind: REGISTRY.get_sample_value("stagedoor_alerts_total", {"kind": kind}) or 0 for kind in kinds}


@pytest.mark.parametrize(
    ("error", "keyed", "failure", "alerted"),
    [
        (CONNECTION, True, OutcomeUnknown, None),
        (stripe.IdempotencyError("in use", http_status=409), True, OutcomeUnknown, None),
        (invalid(409), True, OutcomeUnknown, None),
        (stripe.APIError("broken", http_status=500, headers=REMEMBERED), True, KeyExhausted, None),
        (stripe.APIError("broken", http_status=503, headers=REMEMBERED), True, KeyExhausted, None),
        (stripe.APIError("broken", http_status=500), True, OutcomeUnknown, None),
        (stripe.APIError("broken", http_status=500), False, OutcomeUnknown, None),
        (stripe.IdempotencyError("other parameters", http_status=400), True, KeyMismatch, "key_mismatch"),
        (invalid(), True, RequestRefused, "refused"),
        (stripe.AuthenticationError("wrong key", http_status=401), False, RequestRefused, "refused"),
        (stripe.PermissionError("not yours", http_status=403), False, RequestRefused, "refused"),
    ],
    ids=lambda value: (
        f"{type(value).__name__}-{value.http_status}" if isinstance(value, stripe.StripeError) else None
    ),
)
async def test_each_stripe_error_becomes_one_failure_and_alerts_operators_if_they_can_fix_it(
    api: StripeApi, error: Exception, keyed: bool, failure: type[Exception], alerted: str | None
) -> None:
    before, request = alerts(), Request(error)
    with pytest.raises(failure) as caught:
        await api.send(request, keyed=keyed)
    assert (type(caught.value), caught.value.__cause__) == (failure, error)
    assert request.sent == 1
    assert {kind: count - before[kind] for kind, count in alerts().items()} == {
        kind: float(kind == alerted) for kind in before
    }


async def test_an_expected_rejection_is_left_to_the_caller(api: StripeApi) -> None:
    before, rejection = alerts(), invalid()
    with pytest.raises(stripe.InvalidRequestError) as caught:
        await api.send(Request(rejection), stripe.InvalidRequestError)
    assert caught.value is rejection
    assert alerts() == before


async def test_a_key_in_use_is_an_unknown_outcome_even_if_a_rejection_is_expected(api: StripeApi) -> None:
    with pytest.raises(OutcomeUnknown):
        await api.send(Request(invalid(409)), stripe.InvalidRequestError)


async def test_a_rate_limited_request_is_repeated_until_it_succeeds(api: StripeApi) -> None:
    request = Request(LIMITED, LIMITED, LIMITED)
    assert await api.send(request) == "done"
    assert request.sent == 4


async def test_a_request_that_is_rate_limited_four_times_has_an_unknown_outcome(api: StripeApi) -> None:
    request = Request(*[LIMITED] * 4)
    with pytest.raises(OutcomeUnknown):
        await api.send(request)
    assert request.sent == 4


Page = stripe.ListObject[stripe.Charge]


async def test_all_pages_of_a_list_are_read_and_rate_limited_pages_are_requested_again(
    api: StripeApi,
) -> None:
    asked: list[dict[str, Any]] = []
    pages = {None: (["ch_1", "ch_2"], True), "ch_2": (["ch_3"], True), "ch_3": ([], False)}
    limited = [LIMITED]

    async def list_charges(params: dict[str, Any]) -> Page:
        if limited:
            raise limited.pop()
        asked.append(params)
        ids, has_more = pages[params.get("starting_after")]
        data = [{"id": key, "object": "charge"} for key in ids]
        return Page.construct_from({"object": "list", "data": data, "has_more": has_more}, None)

    found = [charge.id async for charge in api.list_all(list_charges, {"limit": 2})]
    assert found == ["ch_1", "ch_2", "ch_3"]
    assert asked == [
        {"limit": 2},
        {"limit": 2, "starting_after": "ch_2"},
        {"limit": 2, "starting_after": "ch_3"},
    ]


async def test_a_list_that_cannot_be_read_has_an_unknown_outcome(api: StripeApi) -> None:
    async def list_charges(_: dict[str, Any]) -> Page:
        raise CONNECTION

    with pytest.raises(OutcomeUnknown):
        _ = [charge async for charge in api.list_all(list_charges, {})]
