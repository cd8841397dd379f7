"""Scenarios of sellers who upload files of their tickets, in time or not, or hand tickets over."""

from tests.resilience.chaos.client import Person
from tests.resilience.chaos.scenario_run import ScenarioRun


async def sells_with_files(run: ScenarioRun) -> None:
    """Upload a file before somebody buys the ticket, so that the buyer has it at once."""
    seller, buyer = run.seller, run.buyer
    ticket = await run.promises_ticket(seller)
    if ticket and await run.uploads(seller, ticket) and (order := await run.reserves(buyer, ticket)):
        await run.pays_and_waits(buyer, order)


async def uploads_after_the_sale(run: ScenarioRun) -> None:
    """Promise a file and upload it while the buyer pays or afterwards."""
    seller, buyer = run.seller, run.buyer
    ticket = await run.promises_ticket(seller)
    if ticket and (order := await run.reserves(buyer, ticket)):
        await run.pays(buyer, order)
        await run.pauses()
        await run.uploads(seller, ticket)
        await run.waits_for_final_status(buyer, order)


async def breaks_a_promise(run: ScenarioRun) -> None:
    """Promise a file and never upload it. The buyer gets the money back.

    The seller is a new one: after a few broken promises, nobody can reserve the tickets of a seller.
    """
    seller: Person | None = await run.joins()
    if seller is None:
        return
    buyer, ticket = run.buyer, await run.promises_ticket(seller)
    if ticket and (order := await run.reserves(buyer, ticket)):
        await run.pays_and_waits(buyer, order)


async def hands_over_and_is_paid(run: ScenarioRun) -> None:
    """Hand a ticket without a date over, so that its money becomes due."""
    seller, buyer = run.seller, run.buyer
    ticket = await run.lists_ticket(seller)
    if ticket and (order := await run.reserves(buyer, ticket)):
        await run.pays_and_waits(buyer, order)
        await run.retries_until_final(lambda: seller.hands_over(order))
