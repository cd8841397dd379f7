"""The documentation pages, health checks and metrics of each service."""

import re
from typing import Any

import httpx
import pytest

from sandbox.openapi import openapi_of
from settings import SERVICES, ServiceName
from streams.processes import PROCESSES
from tests.support.polling import TIMEOUT
from tests.support.stack import Stack

pytestmark = pytest.mark.parametrize("service", SERVICES)


async def get(stack: Stack, service: ServiceName, path: str) -> httpx.Response:
    async with httpx.AsyncClient(base_url=stack.settings.url_of(service), timeout=TIMEOUT) as client:
        return await client.get(path)


async def test_the_asyncapi_document_lists_the_events_that_a_service_publishes_and_receives(
    stack: Stack, service: ServiceName
) -> None:
    document: dict[str, Any] = (await get(stack, service, "/docs/asyncapi.json")).json()
    assert document["asyncapi"].startswith("3.")
    [process] = [process for process in PROCESSES if process.name == service]
    for event in process.publishes:
        assert document["operations"][f"{service}Send{event.__name__}"]["action"] == "send"
    durables = [
        operation["bindings"]["nats"].get("x-durable")
        for operation in document["operations"].values()
        if operation["action"] == "receive"
    ]
    assert {consumer.name for consumer in process.listener.consumers} == set(filter(None, durables))


async def test_the_openapi_document_lists_every_route_and_its_errors(
    stack: Stack, service: ServiceName
) -> None:
    document: dict[str, Any] = (await get(stack, service, "/docs/openapi.json")).json()
    assert document["openapi"].startswith("3.")
    for path, operations in document["paths"].items():
        assert path.startswith(("/api/", "/.well-known/"))
        for operation in operations.values():
            assert "application/problem+json" in operation["responses"]["503"]["content"]
    [process] = [process for process in PROCESSES if process.name == service]
    assert document == openapi_of(process), "the merged document describes something else"


@pytest.mark.parametrize("path", ["/docs", "/docs/asyncapi"])
async def test_a_documentation_page_loads_all_assets_from_its_own_process(
    stack: Stack, service: ServiceName, path: str
) -> None:
    answer = await get(stack, service, path)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")
    assets = re.findall(r'(?:src|href)="([^"]+)"', answer.text)
    assert assets
    for asset in assets:
        if asset != "data:,":
            assert asset.startswith("/docs/assets/")
            assert (await get(stack, service, asset)).status_code == 200


@pytest.mark.parametrize("kind", ["asyncapi", "openapi"])
async def test_the_portal_passes_on_the_documents_of_a_service(
    stack: Stack, service: ServiceName, kind: str
) -> None:
    document = (await get(stack, service, f"/docs/{kind}.json")).content
    async with httpx.AsyncClient(base_url=stack.web, timeout=TIMEOUT) as client:
        answer = await client.get(f"/developers/services/{service}/{kind}.json")
    assert (answer.content, answer.headers["content-type"]) == (document, "application/json")


async def test_nothing_can_be_published_through_the_documentation(stack: Stack, service: ServiceName) -> None:
    async with httpx.AsyncClient(base_url=stack.settings.url_of(service), timeout=TIMEOUT) as client:
        for path in ("/docs/asyncapi/try", "/docs/asyncapi", "/asyncapi/try"):
            assert (await client.post(path, json={})).status_code in (404, 405)


async def test_a_process_has_health_checks_and_metrics(stack: Stack, service: ServiceName) -> None:
    assert (await get(stack, service, "/health/live")).json() == {"status": "ok"}
    assert (await get(stack, service, "/health/ready")).json() == {"status": "ok"}
    assert "http_requests_total" in (await get(stack, service, "/metrics")).text
