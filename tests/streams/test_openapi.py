"""How the OpenAPI document is served."""

from typing import Any, cast

import httpx
import pytest
from litestar import Litestar, get

import streams.openapi
from streams import docs


def process(name: str) -> httpx.AsyncClient:
    @get("/api/things", sync_to_thread=False)
    def things() -> None:
        """Nothing much."""

    app = Litestar([things], openapi_config=docs.openapi(name, "A process"))
    return httpx.AsyncClient(transport=httpx.ASGITransport(cast("Any", app)), base_url="http://test")


async def test_the_document_is_made_once_for_each_process(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []

    def complete(document: streams.openapi.Document) -> streams.openapi.Document:
        made.append(document["info"]["title"])
        return document

    monkeypatch.setattr(streams.openapi, "complete", complete)
    async with process("one") as one, process("other") as other:
        first, again = [await one.get("/docs/openapi.json") for _ in range(2)]
        different = await other.get("/docs/openapi.json")
    assert made == ["one", "other"]
    assert (first.status_code, first.json()["info"]["title"]) == (200, "one")
    assert (again.content, again.headers) == (first.content, first.headers)
    assert different.json()["info"]["title"] == "other"
