"""The OpenAPI documents: what our plugins add to Litestar's documents, and how processes serve them."""

from typing import Annotated, Any, cast

import httpx
import pytest
from litestar import Litestar, get, post, put
from litestar.params import QueryParameter, RequestBody
from litestar.plugins.pydantic import PydanticPlugin
from pydantic import ConfigDict, Field

from contracts.wire import Wire
from kit.http.openapi import CREATED_ID, ApiOperation, ApiOperations, PathId, WireSchemas, problems
from streams import docs


class Part(Wire):
    """A model that another model contains."""

    part_name: Annotated[str, Field(max_length=20)]


class Item(Wire):
    model_config = ConfigDict(extra="forbid")

    main_part: Part
    other_parts: list[Part] = []
    notes: Annotated[str, Field(pattern="^[a-z]+$")] | None = None


class CreateOperation(ApiOperation):
    links = {"show_item": {"item_id": CREATED_ID}}


class UploadOperation(ApiOperation):
    accepts = ("image/png", "image/webp")


@get("/api/items/{item_id:str}")
async def show_item(
    item_id: PathId, after: Annotated[str | None, QueryParameter(name="after")] = None
) -> Item:
    raise NotImplementedError


@post("/api/items", operation_class=CreateOperation, responses=problems({402: "The card was declined"}))
async def create_item(data: RequestBody[Item]) -> Item:
    raise NotImplementedError


@put("/api/pictures", operation_class=UploadOperation, responses=problems({413: "More than 5 MB"}))
async def upload_picture() -> None:
    raise NotImplementedError


def client_of_process(name: str) -> httpx.AsyncClient:
    app = Litestar(
        [show_item, create_item, upload_picture],
        openapi_config=docs.openapi(name, "A process"),
        plugins=[WireSchemas(), PydanticPlugin(prefer_alias=True), ApiOperations()],
    )
    return httpx.AsyncClient(transport=httpx.ASGITransport(cast("Any", app)), base_url="http://test")


@pytest.fixture
async def document() -> dict[str, Any]:
    async with client_of_process("items") as client:
        answer = await client.get("/docs/openapi.json")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_each_process_serves_its_own_openapi_document() -> None:
    async with client_of_process("first") as first_process, client_of_process("second") as second_process:
        first, again = [await first_process.get("/docs/openapi.json") for _ in range(2)]
        different = await second_process.get("/docs/openapi.json")
    assert (first.status_code, first.json()["info"]["title"]) == (200, "first")
    assert again.content == first.content
    assert different.json()["info"]["title"] == "second"


def test_the_schema_of_a_body_matches_its_validation_by_pydantic(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    assert schemas["Item"] == {
        "type": "object",
        "title": "Item",
        "additionalProperties": False,
        "required": ["mainPart"],
        "properties": {
            "mainPart": {"$ref": "#/components/schemas/Part"},
            "otherParts": {
                "type": "array",
                "title": "Otherparts",
                "items": {"$ref": "#/components/schemas/Part"},
                "default": [],
            },
            "notes": {
                "title": "Notes",
                "anyOf": [{"type": "string", "pattern": "^[a-z]+$"}, {"type": "null"}],
            },
        },
    }
    assert schemas["Part"]["properties"]["partName"]["maxLength"] == 20
    create = document["paths"]["/api/items"]["post"]
    item = {"schema": {"$ref": "#/components/schemas/Item"}}
    assert create["requestBody"] == {"content": {"application/json": item}, "required": True}
    assert create["responses"]["201"]["content"] == {"application/json": item}


def test_every_operation_documents_its_errors_and_the_retry_after_header(document: dict[str, Any]) -> None:
    for path in document["paths"].values():
        for operation in path.values():
            responses = operation["responses"]
            assert {"400", "401", "403", "404", "409", "429", "503"} <= set(responses)
            problem = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
            assert all(
                response["content"] == problem for status, response in responses.items() if status > "3"
            )
            assert [
                status for status in responses if "Retry-After" in responses[status].get("headers", {})
            ] == [
                "429",
                "503",
            ]


def test_only_operations_with_a_body_document_413_and_415(
    document: dict[str, Any],
) -> None:
    responses = {
        operation["operationId"]: operation["responses"]
        for path in document["paths"].values()
        for operation in path.values()
    }
    assert {name for name, documented in responses.items() if "413" in documented} == {
        "create_item",
        "upload_picture",
    }
    assert {name for name, documented in responses.items() if "415" in documented} == {
        "create_item",
        "upload_picture",
    }
    assert responses["upload_picture"]["413"]["description"] == "More than 5 MB"
    assert "402" in responses["create_item"]


def test_the_response_of_a_creation_links_to_operations_on_the_new_entity(document: dict[str, Any]) -> None:
    assert document["paths"]["/api/items"]["post"]["responses"]["201"]["links"] == {
        "show_item": {"operationId": "show_item", "parameters": {"item_id": "$response.body#/id"}}
    }


def test_an_upload_documents_the_content_types_that_it_accepts(document: dict[str, Any]) -> None:
    body = document["paths"]["/api/pictures"]["put"]["requestBody"]
    assert body == {"content": {"image/png": {"schema": {}}, "image/webp": {"schema": {}}}, "required": True}


def test_the_schema_of_a_parameter_is_that_of_a_string_or_an_id(document: dict[str, Any]) -> None:
    item_id, after = sorted(
        document["paths"]["/api/items/{item_id}"]["get"]["parameters"], key=lambda parameter: parameter["in"]
    )
    assert item_id["schema"] == {"type": "string", "pattern": "^[0-9a-fA-F]{24}$"}
    assert (after["required"], after["schema"]) == (False, {"type": "string"})
