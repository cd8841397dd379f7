"""Failures of Stripe's API, which the imitation made of Stripe's fixtures causes on demand."""

from typing import Any

import pytest
import stripe

from contracts.events import OrderEvent
from kit.stripe import budget
from kit.stripe import client as stripe_client
from kit.stripe.errors import OutcomeUnknown
from services.payments.stripe_gateway import client, requests
from tests.support.fixture_stripe import payments
from tests.support.fixture_stripe.fixtures import FIXTURES
from tests.support.fixture_stripe.server import Failure, FixtureStripe
from tests.support.payments import PaymentsService

NOT_REPEATED = {"Stripe-Should-Retry": "false"}
"""Stripe's header that tells its package not to repeat a request: the answer would be the same."""


@pytest.fixture
def stripe_url(fixture_stripe: FixtureStripe) -> str:
    return fixture_stripe.account.url


@pytest.fixture(autouse=True)
def no_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stripe_client, "RATE_LIMIT_DELAYS", (0.0, 0.0, 0.0))


# --- Too many requests ---


@pytest.mark.parametrize("headers", [{}, {"Retry-After": "1"}, {"Stripe-Rate-Limited-Reason": "global-rate"}])
async def test_a_rate_limited_request_is_repeated_until_it_is_carried_out(
    service: PaymentsService, fixture_stripe: FixtureStripe, headers: dict[str, str]
) -> None:
    fixture_stripe.failures = [Failure("POST .*/confirm", 429, headers, times=3)]
    order = await service.order()
    assert (await service.pay(order)).json()["status"] == "authorized"
    assert sum("/confirm" in request for request in fixture_stripe.requests) == 4
    assert await service.statuses(order) == ["requires_capture"]


@pytest.mark.parametrize(("headers", "seconds"), [({}, 1), ({"Retry-After": "37"}, 37)])
async def test_the_background_work_pauses_as_long_as_stripe_asks_or_for_a_second(
    service: PaymentsService,
    fixture_stripe: FixtureStripe,
    monkeypatch: pytest.MonkeyPatch,
    headers: dict[str, str],
    seconds: int,
) -> None:
    time = [1000.0]
    monkeypatch.setattr(budget, "monotonic", lambda: time[0])
    order = await service.order()
    fixture_stripe.failures = [Failure("POST .*/confirm", 429, headers, times=4)]
    assert (await service.pay(order)).json()["status"] == "pending"
    assert service.payments.settlement.gateway.is_paused
    time[0] += seconds - 0.1
    assert await service.reconcile() == []
    time[0] += 0.2
    assert [each.became for each in await service.reconcile()] == ["authorized"]


# --- Server errors ---


async def other_intents(service: PaymentsService, number: int) -> None:
    """Payments of other applications that use the same account."""
    for _ in range(number):
        await service.shop.v1.payment_intents.create_async({"amount": 100, "currency": "eur"})


async def unanswered(service: PaymentsService, stripe: FixtureStripe, path: str) -> OrderEvent:
    """An order whose payment exists at Stripe, which answered with an error that it repeats for the key."""
    stripe.failures = [Failure(path, 500, NOT_REPEATED, does_work=True)]
    order = await service.order()
    assert (await service.pay(order)).json()["status"] == "pending"
    return order


async def test_a_payment_whose_creation_ended_in_an_error_is_found_on_the_second_page_of_the_list(
    service: PaymentsService, fixture_stripe: FixtureStripe
) -> None:
    order = await unanswered(service, fixture_stripe, "POST /v1/payment_intents")
    await other_intents(service, 100)
    fixture_stripe.requests.clear()
    (reconciled,) = await service.reconcile()
    assert reconciled.became == "authorized"
    pages = [request for request in fixture_stripe.requests if "GET /v1/payment_intents?" in request]
    assert ["starting_after" in page for page in pages] == [False, True]
    assert await service.statuses(order) == ["requires_capture"]


async def test_control_the_first_page_of_the_list_is_not_enough(
    service: PaymentsService, fixture_stripe: FixtureStripe, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = await unanswered(service, fixture_stripe, "POST /v1/payment_intents")
    await other_intents(service, 100)
    listed = fixture_stripe.account.listed

    def first_page_only(kind: str, given: dict[str, Any]) -> dict[str, Any]:
        return listed(kind, given) | {"has_more": False}

    with monkeypatch.context() as patch:
        patch.setattr(fixture_stripe.account, "listed", first_page_only)
        assert await service.reconcile() == []
    assert await service.statuses(order) == ["requires_payment_method"]


async def test_a_page_whose_creation_ended_in_an_error_is_found_in_the_list(
    page_service: PaymentsService, fixture_stripe: FixtureStripe
) -> None:
    order = await page_service.order()
    fixture_stripe.failures = [Failure("POST /v1/checkout/sessions", 503, NOT_REPEATED, does_work=True)]
    assert (await page_service.pay(order, None)).json()["pageUrl"] is None
    (session,) = fixture_stripe.account.objects["checkout.session"].values()
    assert (await page_service.pay(order, None)).json()["pageUrl"] == session["url"]


async def test_a_confirmation_that_ended_in_an_error_is_read_at_stripe(
    service: PaymentsService, fixture_stripe: FixtureStripe
) -> None:
    fixture_stripe.failures = [Failure("POST .*/confirm", 500, NOT_REPEATED, does_work=True)]
    order = await service.order()
    assert (await service.pay(order)).json()["status"] == "authorized"
    assert len(fixture_stripe.account.objects["charge"]) == 1


async def test_a_lost_capture_is_repeated(service: PaymentsService, fixture_stripe: FixtureStripe) -> None:
    fixture_stripe.failures = [Failure("POST .*/capture", 503, NOT_REPEATED, does_work=True)]
    order = await service.order()
    await service.pay(order)
    with pytest.raises(OutcomeUnknown):
        await service.becomes(order, "complete")
    await service.reconcile()
    assert (await service.shown(order))["status"] == "captured"
    assert await service.statuses(order) == ["succeeded"]


async def test_a_refund_whose_answer_was_lost_is_not_repeated(
    service: PaymentsService, fixture_stripe: FixtureStripe
) -> None:
    order = await service.order()
    await service.pay(order)
    await service.becomes(order, "complete")
    fixture_stripe.failures = [Failure("POST /v1/refunds", 500, NOT_REPEATED, does_work=True)]
    assert (await service.payments.refund(order.id, relist=False)).status == "refunding"
    await service.reconcile()
    assert (await service.shown(order))["status"] == "refunded"
    assert len(fixture_stripe.account.objects["refund"]) == 1


async def test_control_without_reading_earlier_refunds_a_lost_refund_is_requested_again(
    service: PaymentsService, fixture_stripe: FixtureStripe, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = await service.order()
    await service.pay(order)
    await service.becomes(order, "complete")
    fixture_stripe.failures = [Failure("POST /v1/refunds", 500, NOT_REPEATED, does_work=True)]
    await service.payments.refund(order.id, relist=False)
    monkeypatch.setattr(client, "_needs_refund", lambda payment, refunds: True)
    await service.reconcile()
    assert fixture_stripe.requests.count("POST /v1/refunds") == 2


# --- What the gateway sends and reads ---


async def test_a_bank_check_that_only_stripes_script_can_show_is_completed_later(
    service: PaymentsService, fixture_stripe: FixtureStripe, monkeypatch: pytest.MonkeyPatch
) -> None:
    confirmation = requests.confirmation

    def with_stripes_script(token: str, return_url: str) -> Any:
        return {**confirmation(token, return_url), "use_stripe_sdk": True}

    monkeypatch.setattr(requests, "confirmation", with_stripes_script)
    order = await service.order()
    await service.pay(order, "tok_threeDSecure2Required")
    shown = await service.shown(order)
    assert (shown["status"], shown["actionUrl"]) == ("pending", None)
    (intent,) = await service.intents(order)
    payments.answer_bank(fixture_stripe.account, intent.id, approved=True)
    assert (await service.shown(order))["status"] == "authorized"


async def test_every_request_names_the_pinned_version(
    service: PaymentsService, fixture_stripe: FixtureStripe
) -> None:
    """The imitation refuses other versions."""
    await service.pay(await service.order())
    assert fixture_stripe.requests
    with pytest.raises(stripe.InvalidRequestError, match="Invalid Stripe API version"):
        await service.shop.v1.payment_intents.list_async({}, {"stripe_version": "2020-08-27"})


async def test_an_object_has_every_field_of_its_fixture(
    service: PaymentsService, page_service: PaymentsService, fixture_stripe: FixtureStripe
) -> None:
    order = await service.order()
    await service.pay(order, "tok_createDispute")
    await service.becomes(order, "complete")
    other = await service.order()
    await service.pay(other)
    await service.becomes(other, "complete")
    await service.payments.refund(other.id, relist=False)
    await page_service.pay(await page_service.order(), None)
    for kind, objects in fixture_stripe.account.objects.items():
        assert objects, kind
        for each in objects.values():
            assert FIXTURES[kind].keys() <= each.keys()
