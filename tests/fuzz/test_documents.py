"""Every answer is as the OpenAPI document of its process says, whatever was asked."""

import asyncio

import pytest

from settings import ServiceName
from tests.fuzz.documents import PHASES, Findings, examine
from tests.fuzz.market import market
from tests.stack import Stack

pytestmark = pytest.mark.asyncio(loop_scope="session")  # that of the marketplace


def look_at(stack: Stack, service: ServiceName, examples: int, seed: int | None = None) -> Findings:
    """Ask a service all that its document allows, and what it doesn't."""
    with market(stack.web) as people:
        known = {}
        if service == "orders":
            known["ticketId"] = people.offer(12)
        if service == "payments":
            known["orderId"] = people.reserve(people.offer(5))
        return examine(
            stack.settings.url_of(service),
            {"bearer": people.token, "operator": stack.settings.operator_secret},
            examples=examples,
            seed=seed,
            # Each password takes auth much work, by intent: fewer of them here.
            phases=PHASES if service != "auth" or examples > 5 else ("coverage", "stateful"),
            known=known,
        )


@pytest.mark.parametrize(("service", "links"), [("tickets", 3), ("orders", 3), ("payments", 3), ("auth", 1)])
async def test_answers_are_as_documented(stack: Stack, service: ServiceName, links: int) -> None:
    found = await asyncio.to_thread(look_at, stack, service, examples=2)
    assert not found.failures, "\n\n".join(f"{title}\n{words}" for title, words in found.failures.items())
    assert found.requests > 80
    assert found.links >= links
    assert found.statuses[201] > 0


async def test_a_document_that_promises_too_little_is_noticed(stack: Stack) -> None:
    """The control: the same questions, held against a document that knows of no refusals."""
    with market(stack.web) as people:
        found = examine(
            stack.settings.url_of("orders"),
            {"bearer": people.token},
            examples=1,
            phases=("coverage",),
            forget=("401", "404"),
        )
    assert any("status_code_conformance" in title for title in found.failures)
