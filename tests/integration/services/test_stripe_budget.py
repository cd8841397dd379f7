"""The budget of requests to Stripe that all payments processes share."""

import asyncio
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta

import pytest

from contracts.wire import now
from kit.stripe import budget as budget_module
from kit.stripe.budget import Budget, StripeUse
from services.payments.settlement import Settlement
from services.payments.stripe_gateway.client import Gateway
from tests.support.payments import PaymentsService
from tests.support.prometheus import assert_firing, own_metrics

pytestmark = pytest.mark.usefixtures("service")


class Clock:
    """A clock that moves only while somebody sleeps."""

    def __init__(self) -> None:
        self.time = now().replace(microsecond=0)
        self.woken = 0

    def now(self) -> datetime:
        return self.time

    def monotonic(self) -> float:
        return self.time.timestamp()

    async def sleep(self, seconds: float) -> None:
        self.woken += 1
        self.time += timedelta(seconds=seconds)
        await asyncio.sleep(0)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(budget_module, "now", clock.now)
    monkeypatch.setattr(budget_module, "monotonic", clock.monotonic)
    monkeypatch.setattr(budget_module, "sleep", clock.sleep)
    return clock


async def uses() -> Counter[str]:
    """The requests that are stored, of all seconds."""
    total: Counter[str] = Counter()
    async for use in StripeUse.get_pymongo_collection().find():
        total += Counter(buyers=use["buyers"], background=use["background"])
    return total


async def takes(clock: Clock, seconds: float, budget: Budget) -> int:
    """How many requests the background work of a process sends in this second and those after it."""
    sent, end = 0, clock.time.replace(microsecond=0) + timedelta(seconds=seconds)
    while True:
        await budget.take()
        if clock.time >= end:
            return sent
        sent += 1


async def each_takes_twice(*processes: Budget) -> list[int]:
    """Let each process send two requests. Return how many were sent in each second."""
    for _ in range(2):
        await asyncio.gather(*(process.take() for process in processes))
    found = StripeUse.get_pymongo_collection().find(sort=[("_id", 1)])
    return [use["background"] async for use in found]


async def test_background_work_of_all_processes_together_keeps_the_budget(clock: Clock) -> None:
    assert await each_takes_twice(Budget(5), Budget(5), Budget(5)) == [5, 1]


async def test_control_processes_that_look_before_they_count_exceed_the_budget(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    uses_now = StripeUse.get_pymongo_collection()
    everybody_has_looked = asyncio.Barrier(3)

    async def look_and_count(_: Budget, moment: datetime) -> bool:
        second = {"_id": moment.strftime("%Y-%m-%dT%H:%M:%S")}
        use = await uses_now.find_one(second)
        await everybody_has_looked.wait()
        if use is not None and use["background"] >= 5:
            return False
        await uses_now.update_one(second, {"$inc": {"background": 1}}, upsert=True)
        return True

    monkeypatch.setattr(Budget, "_take_within", look_and_count)
    assert await each_takes_twice(Budget(5), Budget(5), Budget(5)) == [6]


async def test_background_work_gets_what_buyers_of_any_process_leave(clock: Clock) -> None:
    buyers = Budget(20)
    for _ in range(15):
        buyers.count()
    await buyers.report()
    assert await takes(clock, 1, Budget(20)) == 5


async def test_what_buyers_needed_in_the_last_second_is_kept_for_them(clock: Clock) -> None:
    buyers = Budget(20)
    for _ in range(15):
        buyers.count()
    await buyers.report()
    clock.time += timedelta(seconds=1)
    assert await takes(clock, 1, Budget(20)) == 5
    clock.time += timedelta(seconds=2)
    assert await takes(clock, 1, Budget(20)) == 20


@pytest.mark.parametrize(("per_second", "least"), [(40, 4), (5, 1)])
async def test_background_work_never_starves(clock: Clock, per_second: int, least: int) -> None:
    buyers = Budget(per_second)
    for _ in range(100):
        buyers.count()
    await buyers.report()
    assert await takes(clock, 1, Budget(per_second)) == least


async def test_a_budget_of_0_is_no_limit_and_stores_nothing(clock: Clock) -> None:
    budget = Budget(0)
    budget.count()
    await budget.report()
    for _ in range(100):
        await budget.take()
    assert (clock.woken, await uses()) == (0, Counter())


async def test_background_work_pauses_for_as_long_as_stripe_asks(clock: Clock) -> None:
    budget, began = Budget(0), clock.time
    budget.answered(429, "7")
    assert budget.is_paused
    await budget.take()
    assert clock.time - began == timedelta(seconds=7)


async def test_pauses_become_longer_until_stripe_answers_again(clock: Clock) -> None:
    budget = Budget(0)
    pauses = []
    for status in (429, 429, 429, 200, 429):
        began = clock.time
        budget.answered(status, None)
        await budget.take()
        pauses.append((clock.time - began).total_seconds())
    assert pauses == [1, 2, 4, 0, 1]


@pytest.mark.parametrize("retry_after", ["soon", "", "-3", "nan", "1e9"])
async def test_an_unusable_retry_after_pauses_for_a_minute_at_most(clock: Clock, retry_after: str) -> None:
    budget, began = Budget(0), clock.time
    budget.answered(429, retry_after)
    await budget.take()
    assert clock.time - began <= timedelta(minutes=1)


@pytest.fixture
def gateway(service: PaymentsService) -> Callable[..., Gateway]:
    def make(budget: Budget, *, in_background: bool = False) -> Gateway:
        return Gateway(service.served.app.state.settings, budget, in_background=in_background)

    return make


async def test_a_buyer_is_never_delayed_by_an_exhausted_budget(
    service: PaymentsService, gateway: Callable[..., Gateway], clock: Clock
) -> None:
    budget = Budget(1)
    await budget.take()
    budget.answered(429, "60")
    buyers = gateway(budget)
    payments = type(service.payments)(
        Settlement(buyers), service.payments.orders, service.payments.currency, at_checkout=False
    )
    order = await service.order()
    payment = await payments.pay(order.id, "tok_visa", order.user_id, None)
    await buyers.close()
    assert (payment.status, clock.woken) == ("authorized", 0)
    await budget.report()
    assert await uses() == Counter(buyers=2, background=1)


async def test_the_reconciler_claims_nothing_while_stripe_limits_requests(service: PaymentsService) -> None:
    order = await service.order()
    await service.pay(order, "tok_threeDSecure2Required")
    await service.make_due()
    http = service.payments.settlement.gateway._api._http
    assert http.budget is not None
    http.budget.answered(429, "0.3")
    await service.reconciler.reconcile()
    assert (await service.stored(order))["next_look_at"] is None
    await http.budget.take()
    await service.reconciler.reconcile()
    assert (await service.stored(order))["next_look_at"] is not None


async def test_background_work_that_waits_most_of_the_time_alerts(clock: Clock) -> None:
    before = own_metrics("payments", "stagedoor_stripe", clock.monotonic())
    await takes(clock, 20, Budget(1))
    after = own_metrics("payments", "stagedoor_stripe", clock.monotonic())
    await assert_firing(before, after, "StripeBudgetExhausted")


async def test_background_work_that_waits_now_and_then_does_not_alert(clock: Clock) -> None:
    before = own_metrics("payments", "stagedoor_stripe", clock.monotonic())
    await takes(clock, 3, Budget(1))
    clock.time += timedelta(seconds=17)
    await assert_firing(before, own_metrics("payments", "stagedoor_stripe", clock.monotonic()))
