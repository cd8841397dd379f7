"""Every answer matches the OpenAPI document of its process."""

import asyncio
from collections.abc import Sequence
from typing import Any

import httpx
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
        if service == "auth":
            known["email"] = new_addresses()
        return examine(
            stack.settings.url_of(service),
            {"bearer": people.token, "operator": operator_token(stack.settings)},
            examples=examples,
            seed=seed,
            # Hashing passwords is slow on purpose, so auth gets fewer examples.
            phases=PHASES if service != "auth" or examples > 20 else ("coverage", "stateful"),
            known=known,
        )


def new_addresses() -> list[str]:
    """An address signs up once, so each request should choose another one."""
    return [f"{random_word()}@example.com" for _ in range(2_000)]


@pytest.mark.parametrize(
    ("service", "examples", "links"),
    # The only link of auth has a test of its own, because few ways through all operations reach it.
    [("tickets", 3, 3), ("orders", 5, 3), ("payments", 3, 3), ("auth", 15, 0)],
)
async def test_answers_are_as_documented(
    stack: Stack, service: ServiceName, examples: int, links: int
) -> None:
    found = await asyncio.to_thread(examine_service, stack, service, examples=examples)
    assert not found.failures, "\n\n".join(f"{title}\n{words}" for title, words in found.failures.items())
    assert found.requests > 80
    assert found.links >= links
    assert found.statuses[201] > 0


async def test_the_link_from_a_sign_up_to_the_profile_is_followed(stack: Stack) -> None:
    url = stack.settings.url_of("auth")
    async with httpx.AsyncClient(timeout=60) as client:
        document = (await client.get(f"{url}/docs/openapi.json")).json()
    linked = ("/api/users/signup", "/api/users/{user_id}")
    document["paths"] = {path: item for path, item in document["paths"].items() if path in linked}
    assert len(document["paths"]) == len(linked)
    found = await asyncio.to_thread(
        examine,
        url,
        {},
        document=document,
        examples=15,
        phases=("stateful",),
        known={"email": new_addresses()},
    )
    assert not found.failures, found.failures
    assert found.links >= 3


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
