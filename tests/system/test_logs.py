"""What a marketplace logs as JSON about a purchase and a failed sign-in, at the lowest level."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from kit.redaction import EMAIL
from kit.secrets import NATS_USERS, nats_password
from settings import SERVICES
from tests.support.people import PASSWORD, Person, signed_up
from tests.support.polling import until
from tests.support.stack import Stack, stagedoor

OUR_PROCESSES = (*SERVICES, "web")
INTERNAL_SECRET = "swordfish" * 4


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def logging_stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    folder = tmp_path_factory.mktemp("logs")
    async with stagedoor(
        folder, variants=False, LOG_FORMAT="json", LOG_LEVEL="DEBUG", INTERNAL_SECRET=INTERNAL_SECRET
    ) as stack:
        yield stack


async def buy(seller: Person, buyer: Person) -> str:
    """Buy a ticket, and return the id of the order."""
    ticket = await seller.lists_ticket()
    order = await buyer.reserves(ticket["id"])
    assert (await buyer.pays(order["id"])).status_code == 201
    await until(lambda: buyer.payment(order["id"]), lambda seen: seen["status"] == "captured")
    await until(lambda: buyer.ticket(ticket["id"]), lambda seen: seen["status"] == "sold")
    return str(order["id"])


def lines_of(stack: Stack, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stack.log_of(name).splitlines()]


async def test_no_process_logs_an_address_a_password_or_a_secret(logging_stack: Stack) -> None:
    async with signed_up(logging_stack.web, 2) as (seller, buyer):
        await buy(seller, buyer)
        account = {"email": buyer.email, "password": "not my passphrase"}
        assert (await buyer.client.post("/api/users/signin", json=account)).status_code == 401
        secrets = {
            *(person.email for person in (seller, buyer)),
            *(
                str(person.client.headers["Authorization"]).removeprefix("Bearer ")
                for person in (seller, buyer)
            ),
            *(nats_password(logging_stack.settings, user) for user in NATS_USERS),
            *(PASSWORD, account["password"], INTERNAL_SECRET, "$argon2"),
        }
    log = "\n".join(logging_stack.log_of(name) for name in OUR_PROCESSES)
    assert [secret for secret in secrets if secret in log] == []
    # The control: the driver's messages of this level contain commands with addresses.
    assert EMAIL in log


async def test_every_line_of_our_processes_is_json_and_names_what_it_belongs_to(logging_stack: Stack) -> None:
    async with signed_up(logging_stack.web, 2) as (seller, buyer):
        order_id = await buy(seller, buyer)
    lines = [line for name in OUR_PROCESSES for line in lines_of(logging_stack, name)]
    assert {"time", "level", "logger", "message"} <= set.intersection(*(set(line) for line in lines))
    handled = [line for line in lines if line.get("event") == "order.created"]
    assert order_id in {line["aggregate_id"] for line in handled}
    assert all(line["event_id"] and len(line["trace_id"]) == 32 for line in handled)
    assert ("POST", "/api/orders") in {(line.get("method"), line.get("path")) for line in lines}
    created = {line["security"]["event"] for line in lines if line["logger"] == "security"}
    assert "sign-up" in created
