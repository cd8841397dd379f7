"""Scenarios of buyers and sellers on a marketplace. Each scenario uses its own ticket."""

import asyncio
from collections.abc import Mapping

from tests.resilience.chaos.client import Answer, Person
from tests.resilience.chaos.file_scenarios import (
    breaks_a_promise,
    hands_over_and_is_paid,
    sells_with_files,
    uploads_after_the_sale,
)
from tests.resilience.chaos.history import DECLINED
from tests.resilience.chaos.page_scenarios import (
    abandons_the_payment_page,
    cancels_while_on_page,
    comes_back_without_paying,
    pays_late_on_page,
    pays_on_page_and_never_comes_back,
    pays_twice_on_page,
)
from tests.resilience.chaos.scenario_run import (
    CHECKED,
    Scenario,
    ScenarioRun,
    gather,
    ticket_at,
    with_an_order,
)

FAULTY_CARDS = ("tok_fault_rate_limit", "tok_fault_server_error", "tok_fault_slow", "tok_fault_lost")


@with_an_order
async def buys(run: ScenarioRun, buyer: Person, order: str) -> None:
    await run.pays_and_waits(buyer, order)
    await buyer.opens("/api/orders")


async def presses_twice(run: ScenarioRun) -> None:
    """Send each request two to four times at the same time: to list, to reserve and to pay."""
    buyer, seller, times, price = run.buyer, run.seller, run.rng.randint(2, 4), run.price()
    if run.by_form:
        offers = await seller.lists_ticket_by_form(run.name, price, times)
    else:
        offers = await gather(seller.lists_ticket(run.name, price, run.name) for _ in range(times))
    if not (ticket := next(filter(None, (ticket_at(offer) or offer.value("id") for offer in offers)), "")):
        return
    reserve = buyer.reserves_by_form if run.by_form else buyer.reserves
    await gather(reserve(ticket) for _ in range(times))
    if order := await buyer.order_of(ticket):
        pay = buyer.pays_by_form if run.by_form else buyer.pays
        answers = await gather(pay(order) for _ in range(times))
        await gather(run.pays_on_page(buyer, order, answer) for answer in answers if answer.payment_page)
        await run.waits_for_final_status(buyer, order)


@with_an_order
async def is_declined_first(run: ScenarioRun, buyer: Person, order: str) -> None:
    for card in run.rng.sample(DECLINED, run.rng.randint(1, 2)):
        await run.pays(buyer, order, card)
    await run.pays_and_waits(buyer, order)


@with_an_order
async def gives_up_after_a_decline(run: ScenarioRun, buyer: Person, order: str) -> None:
    await run.pays(buyer, order, run.rng.choice(DECLINED))


@with_an_order
async def approves_at_the_bank(run: ScenarioRun, buyer: Person, order: str) -> None:
    paid = await run.pays(buyer, order, CHECKED)
    if not paid.is_refused:
        await run.answers_bank(buyer, order, "approve", paid)
        await run.waits_for_final_status(buyer, order)


@with_an_order
async def refuses_at_the_bank(run: ScenarioRun, buyer: Person, order: str) -> None:
    paid = await run.pays(buyer, order, CHECKED)
    if not paid.is_refused:
        await run.answers_bank(buyer, order, "refuse", paid)
        if run.rng.random() < 0.5:
            await run.pays(buyer, order)


@with_an_order
async def leaves_the_bank_waiting(run: ScenarioRun, buyer: Person, order: str) -> None:
    await run.pays(buyer, order, CHECKED)


@with_an_order
async def is_refunded(run: ScenarioRun, buyer: Person, order: str) -> None:
    """Ask for a refund once, or twice at the same time, with or without putting the ticket back on sale."""
    await run.pays_and_waits(buyer, order)
    times = run.rng.randint(1, 2)

    async def captured() -> bool:
        return (await buyer.payment(order)).get("status") == "captured"

    await run.polls(captured)
    relist = [run.rng.random() < 0.5 for _ in range(times)]

    async def asks(again: bool) -> Answer:
        return await run.retries_until_final(lambda: run.operator.refunds(order, relist=again))

    await gather(map(asks, relist))
    await buyer.order(order)


@with_an_order
async def pays_with_a_faulty_card(run: ScenarioRun, buyer: Person, order: str) -> None:
    await run.pays_and_waits(buyer, order, run.rng.choice(FAULTY_CARDS))


@with_an_order
async def cancels(run: ScenarioRun, buyer: Person, order: str) -> None:
    cancel = buyer.cancels_by_form if run.by_form else buyer.cancels
    await run.retries_until_final(lambda: cancel(order))
    await buyer.order(order)


@with_an_order
async def cancels_while_paying(run: ScenarioRun, buyer: Person, order: str) -> None:
    card = run.rng.choice(("tok_visa", "tok_visa", CHECKED, DECLINED[0]))
    moment = run.rng.expovariate(4)

    async def cancel() -> Answer:
        await asyncio.sleep(moment)
        return await run.retries_until_final(lambda: buyer.cancels(order))

    paid, _ = await gather([run.pays(buyer, order, card), cancel()])
    if card == CHECKED and not paid.is_refused:
        await run.answers_bank(buyer, order, "approve", paid)
    await buyer.order(order)


@with_an_order
async def walks_away(_: ScenarioRun, __: Person, ___: str) -> None:
    """Do nothing after reserving, so that the reservation expires."""


@with_an_order
async def comes_too_late(run: ScenarioRun, buyer: Person, order: str) -> None:
    """Pay shortly before or after the deadline of the reservation."""
    await asyncio.sleep(run.window * run.rng.uniform(0.9, 1.1))
    await run.pays(buyer, order)
    await buyer.order(order)


@with_an_order
async def needs_more_time(run: ScenarioRun, buyer: Person, order: str) -> None:
    await asyncio.sleep(run.window * 0.75)
    await run.retries_until_final(lambda: buyer.asks_for_more_time(order))
    await asyncio.sleep(run.window * run.rng.uniform(0.3, 0.5))
    await run.pays(buyer, order)
    await buyer.order(order)


async def race_for_one_ticket(run: ScenarioRun) -> None:
    """Several buyers reserve one ticket at the same time. The losers try again for a while."""
    rivals = run.rng.sample(run.buyers, min(len(run.buyers), run.rng.randint(3, 5)))
    ticket = await run.lists_ticket(run.seller)

    async def tries(rival: Person) -> None:
        for _ in range(3):
            if order := await run.reserves(rival, ticket):
                if run.rng.random() < 0.5:
                    await run.pays(rival, order)
                else:
                    await rival.cancels(order)
                return
            await asyncio.sleep(run.rng.uniform(0.2, 1.0))

    if ticket:
        await gather(map(tries, rivals))


async def edits_and_withdraws_while_others_buy(run: ScenarioRun) -> None:
    seller = run.seller
    ticket = await run.lists_ticket(seller)
    if not ticket:
        return
    edit = seller.edits_by_form if run.by_form else seller.edits
    withdraw = seller.withdraws_by_form if run.by_form else seller.withdraws
    withdraws = run.rng.random() < 0.6
    buyers = run.rng.sample(run.buyers, min(len(run.buyers), 2))

    async def sells() -> None:
        for number in range(1, 1 + run.rng.randint(1, 4)):
            await edit(ticket, f"{run.name}, edit {number}", run.price())
        if withdraws:
            await withdraw(ticket)

    async def buys_it(buyer: Person) -> None:
        await run.pauses(0.5)
        if order := await run.reserves(buyer, ticket):
            await (run.pays(buyer, order) if run.rng.random() < 0.5 else buyer.cancels(order))

    await gather([sells(), *map(buys_it, buyers)])
    await seller.opens(f"/api/tickets/{ticket}")


async def edits_on_two_screens(run: ScenarioRun) -> None:
    """Send three edits of a ticket concurrently, then two requests to withdraw it."""
    seller = run.seller
    ticket = await run.lists_ticket(seller)
    if ticket:
        await gather(seller.edits(ticket, f"{run.name}, edit {number}", run.price()) for number in range(3))
        await seller.opens(f"/api/tickets/{ticket}")
        await gather(seller.withdraws(ticket) for _ in range(2))


async def looks_around(run: ScenarioRun) -> None:
    """Browse, then reserve one of the tickets that are shown."""
    buyer = run.buyer
    for path in ("/", f"/?q=seat&maxPrice={run.rng.randint(20, 200)}", "/api/tickets/facets"):
        await buyer.opens(path)
    found = (await buyer.opens("/api/tickets?limit=50")).body
    if not isinstance(found, list) or not found:
        return
    ticket = run.rng.choice(found)["id"]
    await buyer.opens(f"/tickets/{ticket}")
    await buyer.opens(f"/api/tickets/{ticket}")
    if order := await run.reserves(buyer, ticket):
        await buyer.opens(f"/orders/{order}")
        await (run.pays(buyer, order) if run.rng.random() < 0.7 else buyer.cancels(order))


async def uses_a_token_after_signing_out(run: ScenarioRun) -> None:
    """A new user lists a ticket and signs out. The old token is used afterwards."""
    if (person := await run.joins()) is None:
        return
    await run.lists_ticket(person)
    if (await run.retries_until_final(person.signs_out)).status == 200:
        run.ended.append(person)
        await run.pauses()
        await person.lists_ticket(f"{run.name}, signed out", run.price())


async def comes_back(run: ScenarioRun) -> None:
    """A new user signs up, out and in again, buys, and becomes one of the buyers."""
    if (person := await run.joins()) is None:
        return
    await run.retries_until_final(person.signs_out)
    ticket = await run.lists_ticket(run.seller)
    if not ticket or not await run.succeeds(person.signs_in):
        return
    run.replaces_oldest_buyer(person)
    if order := await run.reserves(person, ticket):
        await run.pays_and_waits(person, order)


async def sends_requests_that_are_refused(run: ScenarioRun) -> None:
    seller, buyer = run.seller, run.buyer
    stranger = next(person for person in run.sellers if person is not seller)
    nothing = f"{run.rng.getrandbits(80):024x}"  # of the year 1970: services don't wait for its event
    await seller.lists_ticket(f"{run.name}, for nothing", "0")
    ticket = await run.lists_ticket(seller)
    if not ticket:
        return
    await seller.reserves(ticket)
    await stranger.edits(ticket, f"{run.name}, now mine", "1")
    await stranger.withdraws(ticket)
    await buyer.reserves(nothing)
    await buyer.pays(nothing)
    await buyer.cancels(nothing)
    if order := await run.reserves(buyer, ticket):
        await stranger.cancels(order)
        await stranger.pays(order)
        await seller.edits(ticket, f"{run.name}, too late", "1")
        await seller.withdraws(ticket)
        await run.pays_and_waits(buyer, order)
        await buyer.cancels(order)


SCENARIOS: Mapping[Scenario, int] = {
    buys: 14,
    presses_twice: 10,
    is_declined_first: 8,
    gives_up_after_a_decline: 3,
    approves_at_the_bank: 7,
    refuses_at_the_bank: 4,
    leaves_the_bank_waiting: 3,
    pays_with_a_faulty_card: 4,
    abandons_the_payment_page: 3,
    pays_on_page_and_never_comes_back: 4,
    pays_twice_on_page: 4,
    pays_late_on_page: 3,
    comes_back_without_paying: 3,
    cancels_while_on_page: 4,
    is_refunded: 5,
    cancels: 5,
    cancels_while_paying: 8,
    walks_away: 4,
    comes_too_late: 4,
    needs_more_time: 3,
    race_for_one_ticket: 8,
    edits_and_withdraws_while_others_buy: 10,
    edits_on_two_screens: 4,
    sells_with_files: 5,
    uploads_after_the_sale: 4,
    breaks_a_promise: 2,
    hands_over_and_is_paid: 6,
    looks_around: 6,
    uses_a_token_after_signing_out: 3,
    comes_back: 2,
    sends_requests_that_are_refused: 4,
}
"""Each scenario with its weight, which determines how often it is drawn in relation to the others."""
