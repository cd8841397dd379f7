"""AsyncAPI's own tools read our document, and the models that they generate read real events."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from contracts.events import ALL_EVENTS
from kit.nats import EVENTS, connection_to, read_stream
from ops.api_documents import DOCS
from tests.support.node_tools import installed, node, run
from tests.support.people import signed_up
from tests.support.polling import until
from tests.support.stack import Stack

HERE = Path(__file__).parent
DOCUMENT = DOCS / "asyncapi.yaml"


async def test_asyncapis_own_parser_finds_neither_errors_nor_warnings() -> None:
    assert await node(HERE / "parse.mjs", str(DOCUMENT), tools="asyncapi") == ""


async def test_control_the_parser_finds_a_reference_to_nothing(tmp_path: Path) -> None:
    broken = tmp_path / "broken.yaml"
    broken.write_text((DOCUMENT).read_text().replace("channels/live'", "channels/alive'"))
    assert "alive" in await node(HERE / "parse.mjs", str(broken), tools="asyncapi")


@pytest_asyncio.fixture(scope="module")
async def events(stack: Stack) -> list[tuple[str, str]]:
    """The class and the JSON of each event of a purchase and of a cancelled order, as the stream has them."""
    async with signed_up(stack.web, 2) as (seller, buyer):
        ticket = await seller.lists_ticket(
            19.99, startsAt="2040-06-12T19:30:00Z", city="Köln", category="music", quantity=2
        )
        order = await buyer.reserves(ticket["id"])
        assert (await buyer.pays(order["id"])).status_code == 201
        await until(lambda: buyer.order(order["id"]), lambda seen: seen["status"] == "complete")
        await until(lambda: buyer.payment(order["id"]), lambda seen: seen["status"] == "captured")
        cancelled = await buyer.reserves((await seller.lists_ticket())["id"])
        await buyer.cancels(cancelled["id"])
    ids = (ticket["id"], order["id"], cancelled["id"])
    classes = {event.subject: event.__name__ for event in ALL_EVENTS}

    async def read() -> list[tuple[str, str]]:
        async with connection_to(stack.bus) as connection:
            stored = read_stream(connection.jetstream(), EVENTS, ">", 1)
            texts = [(classes[message.subject], message.body.decode()) async for message in stored]
        return [(name, text) for name, text in texts if any(key in text for key in ids)]

    wanted = {"TicketCreated", "TicketUpdated", "OrderCreated", "OrderUpdated", "OrderCancelled"}
    wanted |= {"PaymentCreated", "PaymentUpdated", "PayoutCreated"}
    return await until(read, lambda found: wanted <= {name for name, _ in found})


def without_nulls(value: Any) -> Any:
    """JSON without null fields: generated models don't tell them from missing ones."""
    if isinstance(value, dict):
        return {name: without_nulls(field) for name, field in value.items() if field is not None}
    return value


async def read_by(
    *command: str, folder: Path, events: list[tuple[str, str]], **environment: str
) -> list[dict[str, Any]]:
    lines = "".join(f"{name} {text}\n" for name, text in events)
    output = await run(*command, folder=folder, stdin=lines, environment=environment)
    return [without_nulls(json.loads(line)) for line in output.splitlines()]


@pytest_asyncio.fixture(scope="module")
async def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the generated models."""
    folder = tmp_path_factory.mktemp("generated")
    await node(HERE / "generate.mjs", str(DOCUMENT), str(folder), tools="asyncapi")
    return folder


async def test_generated_python_models_read_every_event_of_a_purchase(
    events: list[tuple[str, str]], generated: Path
) -> None:
    python = {"PYTHONPATH": str(generated / "python")}
    read = await read_by(sys.executable, str(HERE / "read.py"), folder=generated, events=events, **python)
    assert read == [without_nulls(json.loads(text)) for _, text in events]


async def test_generated_typescript_models_read_every_event_of_a_purchase(
    events: list[tuple[str, str]], generated: Path
) -> None:
    folder = generated / "typescript"
    (folder / "read.ts").write_text((HERE / "read.ts").read_text("utf-8"))
    tools = installed("asyncapi") / "node_modules"
    types = ["--types", "node", "--typeRoots", str(tools / "@types")]
    await run(
        str(tools / ".bin" / "tsc"),
        "--strict",
        "--target",
        "es2022",
        "--module",
        "commonjs",
        *types,
        "read.ts",
        folder=folder,
    )
    read = await read_by("node", "read.js", folder=folder, events=events)
    assert read == [without_nulls(json.loads(text)) for _, text in events]
