"""Clients generated from the OpenAPI document buy a ticket. The first run downloads the generators."""

import asyncio
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from sandbox.openapi import marketplace_openapi, openapi_of
from streams.processes import PROCESSES
from tests.support import node_tools, python_tools
from tests.support.python_tools import run
from tests.support.stack import Stack

PROGRAMS = Path(__file__).parent / "clients"
NO_CONTENT = {
    "WARNING parsing PUT /api/tickets/{ticket_id}/picture within tickets.",
    "WARNING parsing POST /api/tickets/{ticket_id}/files within tickets.",
    "WARNING parsing GET /api/tickets/{ticket_id}/files/{file_id} within tickets.",
    "WARNING parsing POST /api/orders/{order_id}/problem/photos within orders.",
    "WARNING parsing GET /api/orders/{order_id}/problem/photos/{photo_id} within orders.",
}
"""openapi-python-client supports only one content type of a body that it doesn't know."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the document of the public API and the programs that use generated clients."""
    shutil.copytree(PROGRAMS, tmp_path, dirs_exist_ok=True)
    (tmp_path / "openapi.json").write_text(json.dumps(marketplace_openapi()), "utf-8")
    return tmp_path


async def test_the_documents_are_valid_openapi_3_1(tmp_path: Path) -> None:
    documents: dict[str, Any] = {service.name: openapi_of(service) for service in PROCESSES if service.api}
    documents["marketplace"] = marketplace_openapi()
    for name, document in documents.items():
        assert document["openapi"].startswith("3.1.")
        (tmp_path / f"{name}.json").write_text(json.dumps(document), "utf-8")
    tools = await asyncio.to_thread(python_tools.installed, "clients")
    files = [f"{name}.json" for name in documents]
    await asyncio.to_thread(run, str(tools / "openapi-spec-validator"), *files, folder=tmp_path)


async def test_a_generated_python_client_buys_a_ticket(folder: Path, stack: Stack) -> None:
    tools = await asyncio.to_thread(python_tools.installed, "clients")
    options = "--meta none --config python.yaml --path openapi.json --output-path marketplace_client".split()
    generator = str(tools / "openapi-python-client")
    warnings = await asyncio.to_thread(run, generator, "generate", *options, folder=folder)
    found = {line for line in warnings.splitlines() if line.startswith(("WARNING", "ERROR"))}
    assert found == NO_CONTENT
    mypy = "--strict --no-incremental marketplace_client buy.py".split()
    await asyncio.to_thread(run, str(tools / "mypy"), *mypy, folder=folder)
    assert "bought" in await asyncio.to_thread(run, str(tools / "python"), "buy.py", stack.web, folder=folder)


async def test_generated_typescript_types_buy_a_ticket(folder: Path, stack: Stack) -> None:
    (folder / "package.json").write_text('{"type": "module"}', "utf-8")
    tools = (await asyncio.to_thread(node_tools.installed, "openapi")) / "node_modules" / ".bin"
    generator = str(tools / "openapi-typescript")
    await asyncio.to_thread(run, generator, "openapi.json", "--output", "marketplace.d.ts", folder=folder)
    await asyncio.to_thread(run, str(tools / "tsc"), "--project", ".", folder=folder)
    assert "bought" in await asyncio.to_thread(run, "node", "buy.js", stack.web, folder=folder)
