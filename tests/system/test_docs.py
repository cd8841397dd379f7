"""The documentation pages, health checks and metrics of each service."""

import re
from typing import Any

import httpx
import pytest

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
    addresses = {channel["address"] for channel in document["channels"].values()}
    [process] = [process for process in PROCESSES if process.name == service]
    published = {event.subject for event in process.publishes}
    received = {consumer.subject for consumer in process.listener.consumers}
    assert addresses == published | received | {"live.session.ended"}
    actions = [operation["action"] for operation in document["operations"].values()]
    assert (actions.count("send"), actions.count("receive")) == (len(published), len(received) + 1)


async def test_the_openapi_document_lists_every_route_and_its_errors(
    stack: Stack, service: ServiceName
) -> None:
    document: dict[str, Any] = (await get(stack, service, "/docs/openapi.json")).json()
    assert document["openapi"].startswith("3.")
    for path, operations in document["paths"].items():
        assert path.startswith(("/api/", "/.well-known/"))
        for operation in operations.values():
            assert "application/problem+json" in operation["responses"]["400"]["content"]


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


async def test_nothing_can_be_published_through_the_documentation(stack: Stack, service: ServiceName) -> None:
    async with httpx.AsyncClient(base_url=stack.settings.url_of(service), timeout=TIMEOUT) as client:
        for path in ("/docs/asyncapi/try", "/docs/asyncapi", "/asyncapi/try"):
            assert (await client.post(path, json={})).status_code in (404, 405)


async def test_a_process_has_health_checks_and_metrics(stack: Stack, service: ServiceName) -> None:
    assert (await get(stack, service, "/health/live")).json() == {"status": "ok"}
    assert (await get(stack, service, "/health/ready")).json() == {"status": "ok"}
    assert "litestar_requests_total" in (await get(stack, service, "/metrics")).text
