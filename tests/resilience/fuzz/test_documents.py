"""Every answer matches the OpenAPI document of its process."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from kit.secrets import operator_token
from settings import ServiceName
from tests.resilience.fuzz import corpus
from tests.resilience.fuzz.documents import PHASES, Findings, examine
from tests.resilience.fuzz.market import market
from tests.support.people import random_word
from tests.support.stack import Stack


def examine_service(stack: Stack, service: ServiceName, examples: int, seed: int | None = None) -> Findings:
    """Send valid and invalid requests to a service."""
    with market(stack.web) as people:
        known: dict[str, Sequence[Any]] = {}
        if service == "tickets":  # most generated texts contain characters that aren't text
            known = dict.fromkeys(("title", "venue", "city", "seat", "notes"), corpus.ODD_TEXTS)
            known["price"] = [0.5, 19.99, "19.99", 999_999.99]  # most others are less than Stripe charges
        if service == "orders":
            known["ticketId"] = people.list_tickets(12)
        if service == "payments":
            known["orderId"] = people.reserve(people.list_tickets(5))
            known["token"] = ["tok_visa"]
        if service == "auth":  # an address signs up once, and other tests send the same generated ones
            known["email"] = [f"{random_word()}@example.com" for _ in range(20)]
        return examine(
            stack.settings.url_of(service),
            {"bearer": people.token, "operator": operator_token(stack.settings)},
            examples=examples,
            seed=seed,
            # Hashing passwords is slow on purpose, so auth gets fewer examples.
            phases=PHASES if service != "auth" or examples > 20 else ("coverage", "stateful"),
            known=known,
        )


@pytest.mark.parametrize(
    ("service", "examples", "links"),
    # Most ways through auth end with a session or a link that doesn't work any more, so it depends on chance
    # whether one of its links is followed.
    [("tickets", 3, 3), ("orders", 5, 1), ("payments", 3, 3), ("auth", 15, 0)],
)
async def test_answers_are_as_documented(
    stack: Stack, service: ServiceName, examples: int, links: int
) -> None:
    found = await asyncio.to_thread(examine_service, stack, service, examples=examples)
    assert not found.failures, "\n\n".join(f"{title}\n{words}" for title, words in found.failures.items())
    assert found.requests > 80
    assert found.links >= links
    assert found.statuses[201] > 0


async def test_an_incomplete_document_is_found(stack: Stack) -> None:
    """The control: the same requests with a document without refusals."""
    with market(stack.web) as people:
        found = examine(
            stack.settings.url_of("orders"),
            {"bearer": people.token},
            examples=1,
            phases=("coverage",),
            forget=("401", "404"),
        )
    assert any("status_code_conformance" in title for title in found.failures)
