"""Scenarios of buyers on Stripe's page. If PAYMENT_PAGE is `token`, they pay with a card token instead."""

import asyncio

from tests.resilience.chaos.client import Person
from tests.resilience.chaos.scenario_run import ScenarioRun, gather, with_an_order


@with_an_order
async def abandons_the_payment_page(run: ScenarioRun, buyer: Person, order: str) -> None:
    """Go as far as Stripe's page, and leave it without paying."""
    await run.asks_to_pay(buyer, order)


@with_an_order
async def pays_on_page_and_never_comes_back(run: ScenarioRun, buyer: Person, order: str) -> None:
    """Pay and leave the browser, so that the marketplace learns of the payment only from a webhook or the
    reconciler."""
    if (answer := await run.asks_to_pay(buyer, order)).payment_page:
        await run.pays_on_page(buyer, order, answer, comes_back=False)


@with_an_order
async def pays_twice_on_page(run: ScenarioRun, buyer: Person, order: str) -> None:
    """Submit Stripe's page in two to four tabs at the same time."""
    answer = await run.asks_to_pay(buyer, order)
    if answer.payment_page:
        times = run.rng.randint(2, 4)
        await gather(run.pays_on_page(buyer, order, answer) for _ in range(times))
    await run.waits_for_final_status(buyer, order)


@with_an_order
async def pays_late_on_page(run: ScenarioRun, buyer: Person, order: str) -> None:
    """Open Stripe's page in time, and pay on it when the reservation is about to end or has ended."""
    answer = await run.asks_to_pay(buyer, order)
    await asyncio.sleep(run.window * run.rng.uniform(0.8, 1.2))
    if answer.payment_page:
        await run.pays_on_page(buyer, order, answer)
    await buyer.order(order)


@with_an_order
async def comes_back_without_paying(run: ScenarioRun, buyer: Person, order: str) -> None:
    """Return from Stripe's page to the order, and then pay, cancel or do nothing."""
    await run.asks_to_pay(buyer, order)
    await buyer.comes_back(order, "paid" if run.rng.random() < 0.5 else "")
    await run.pauses()
    decision = run.rng.random()
    if decision < 0.5:
        await run.pays_and_waits(buyer, order)
    elif decision < 0.8:
        await run.retries_until_final(lambda: buyer.cancels(order))


@with_an_order
async def cancels_while_on_page(run: ScenarioRun, buyer: Person, order: str) -> None:
    """Cancel in one tab and pay on Stripe's page in another."""
    answer = await run.asks_to_pay(buyer, order)
    cancel = run.retries_until_final(lambda: buyer.cancels(order))
    if answer.payment_page:
        await gather([run.pays_on_page(buyer, order, answer), cancel])
    else:
        await cancel
    await buyer.order(order)
