"""An attacker who reaches the NATS server, or has taken over a service, attacks a running marketplace."""

import asyncio
import json
import stat

import nats
import pytest
from nats.errors import TimeoutError as NoAnswer

from kit.nats import EVENTS, inbox_prefix
from kit.secrets import DEVELOPER, nats_servers
from tests.support.people import Person, signed_up
from tests.support.polling import TIMEOUT, until
from tests.support.stack import Stack

ATTACKER = "attacker"
"""The name of the attacker's connection in the log of NATS."""

READS: list[tuple[str, dict[str, object]]] = [
    ("$JS.API.STREAM.MSG.GET.EVENTS", {"last_by_subj": "payment.*"}),
    ("$JS.API.DIRECT.GET.EVENTS", {"last_by_subj": "payment.updated"}),
    ("$JS.API.CONSUMER.CREATE.EVENTS", {"config": {"filter_subject": "payment.*", "ack_policy": "none"}}),
    ("$JS.API.CONSUMER.CREATE.EVENTS.mine.payment.*", {"config": {"filter_subject": "payment.*"}}),
]
"""Requests with which a service could read payments."""


async def buys(buyer: Person, seller: Person) -> None:
    ticket = await seller.lists_ticket()
    order = await buyer.reserves(ticket["id"])
    assert (await buyer.pays(order["id"])).status_code == 201
    await until(lambda: buyer.order(order["id"]), lambda seen: seen["status"] == "complete")


async def test_nats_does_not_talk_to_strangers(stack: Stack) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", stack.settings.nats_port)
    writer.write(b'CONNECT {"verbose":false,"pedantic":false}\r\nSUB > 1\r\nPING\r\n')
    try:
        # The server closes the connection. One that accepted it would keep it open.
        async with asyncio.timeout(TIMEOUT):
            answers = await reader.read()
    finally:
        writer.close()
    assert answers.endswith(b"-ERR 'Authorization Violation'\r\n")


async def test_a_service_that_was_taken_over_cannot_read_payments(stack: Stack) -> None:
    refused: list[Exception] = []

    async def collect(error: Exception) -> None:
        refused.append(error)

    connection = await nats.connect(
        nats_servers(stack.settings, "tickets"),
        name=ATTACKER,
        inbox_prefix=inbox_prefix("tickets"),
        error_cb=collect,
    )
    try:
        for subject, body in READS:
            request = json.dumps({"stream_name": EVENTS, **body}).encode()
            with pytest.raises(NoAnswer):
                await connection.request(subject, request, timeout=0.3)
    finally:
        await connection.close()
    assert len(refused) == len(READS)


async def test_the_processes_of_a_marketplace_stay_within_their_permissions(stack: Stack) -> None:
    async with signed_up(stack.web, 2) as (seller, buyer):
        await buys(buyer, seller)
    violations = [line for line in stack.log_of("nats").splitlines() if "Violation" in line]
    # No process signs in as the developer. Tests do, to see what the server refuses to people.
    others = (ATTACKER, f"user:{DEVELOPER}", "Authorization")
    assert [line for line in violations if not any(other in line for other in others)] == []


async def test_only_the_owner_can_read_the_files_of_the_embedded_servers(stack: Stack) -> None:
    folders = ("nats", "nats-users", "mongo", "stripe", "auth")
    files = [file for name in folders for file in (stack.folder / name).rglob("*")]
    assert len(files) > len(folders)
    modes = {file: stat.filemode(file.stat().st_mode) for file in files}
    assert {file for file, mode in modes.items() if not mode.endswith("------")} == set()
