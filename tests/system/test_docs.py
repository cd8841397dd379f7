"""What each process says of itself, and that no browser is sent elsewhere for it."""

import re
from typing import Any

import httpx
import pytest

from settings import SERVICES, ServiceName
from streams.topology import PUBLISHES, consumers
from tests.people import PATIENCE
from tests.stack import Stack

pytestmark = [
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.parametrize("service", SERVICES),
]


async def get(stack: Stack, service: ServiceName, path: str) -> httpx.Response:
    async with httpx.AsyncClient(base_url=stack.settings.url_of(service), timeout=PATIENCE) as client:
        return await client.get(path)


async def test_asyncapi_names_what_the_service_says_and_hears(stack: Stack, service: ServiceName) -> None:
    document: dict[str, Any] = (await get(stack, service, "/docs/asyncapi.json")).json()
    assert document["asyncapi"].startswith("3.")
    addresses = {channel["address"] for channel in document["channels"].values()}
    said = {event.subject for event in PUBLISHES[service]}
    heard = {consumer.subject for consumer in consumers(service)}
    assert addresses == said | heard | {"live.session.ended"}
    actions = [operation["action"] for operation in document["operations"].values()]
    assert (actions.count("send"), actions.count("receive")) == (len(said), len(heard) + 1)


async def test_openapi_names_every_route_and_its_errors(stack: Stack, service: ServiceName) -> None:
    document: dict[str, Any] = (await get(stack, service, "/docs/openapi.json")).json()
    assert document["openapi"].startswith("3.")
    for path, operations in document["paths"].items():
        assert path.startswith(("/api/", "/.well-known/"))
        for operation in operations.values():
            assert "application/problem+json" in operation["responses"]["400"]["content"]


@pytest.mark.parametrize("page", ["/docs", "/docs/asyncapi"])
async def test_a_page_of_docs_loads_everything_from_its_own_process(
    stack: Stack, service: ServiceName, page: str
) -> None:
    answer = await get(stack, service, page)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")
    assets = re.findall(r'(?:src|href)="([^"]+)"', answer.text)
    assert assets
    for asset in assets:
        if asset != "data:,":
            assert asset.startswith("/docs/assets/")
            assert (await get(stack, service, asset)).status_code == 200


async def test_nothing_can_be_published_through_the_docs(stack: Stack, service: ServiceName) -> None:
    async with httpx.AsyncClient(base_url=stack.settings.url_of(service), timeout=PATIENCE) as client:
        for path in ("/docs/asyncapi/try", "/docs/asyncapi", "/asyncapi/try"):
            assert (await client.post(path, json={})).status_code in (404, 405)


async def test_a_process_tells_that_it_lives_is_ready_and_how_it_does(
    stack: Stack, service: ServiceName
) -> None:
    assert (await get(stack, service, "/health/live")).json() == {"status": "ok"}
    assert (await get(stack, service, "/health/ready")).json() == {"status": "ok"}
    assert "litestar_requests_total" in (await get(stack, service, "/metrics")).text
