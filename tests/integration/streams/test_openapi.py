"""The OpenAPI documents: what our plugins add to Litestar's documents, and how processes serve them."""

import json
import re
from contextlib import nullcontext
from typing import Annotated, Any, Literal, cast

import httpx
import pytest
from jsonschema import Draft202012Validator
from litestar import Litestar, get, post, put
from litestar.openapi.spec import Schema
from litestar.params import QueryParameter, RequestBody
from pydantic import ConfigDict, Field
from typing_extensions import TypeAliasType

from contracts.money import MAX_PRICE, PRICE_SCHEMA
from contracts.wire import Wire
from kit.errors import Conflict, Forbidden
from kit.http.guards import operators_only, signed_in
from kit.http.limits import Limited
from kit.http.openapi import (
    CREATED_ID,
    ApiOperation,
    PageOperation,
    PathId,
    document_plugins,
    problems,
    refusals,
)
from ops.api_documents import asyncapi
from sandbox.openapi import FILE, marketplace_openapi, openapi_of, to_yaml
from streams import docs
from streams.app import Service
from streams.processes import PROCESSES
from tests.support.documented import documented, parts
from web.public_api import ROUTES

ID = "65f0c0ffee0000000000000a"

Colour = TypeAliasType("Colour", Literal["red", "green"])


class Part(Wire):
    """A model that another model contains."""

    part_name: Annotated[str, Field(max_length=20)]
    """As on the package."""
    colour: Colour | None = None


class Item(Wire):
    model_config = ConfigDict(extra="forbid")

    main_part: Part
    other_parts: list[Part] = []
    notes: Annotated[str, Field(pattern="^[a-z]+$")] | None = None


class Box(Wire):
    """A response."""

    size: int = 1
    label: str | None = None


class Taken(Conflict):
    message = "Somebody else was faster"


class Sold(Conflict):
    message = "Somebody else was faster"


class NotYours(Forbidden):
    message = "That isn't yours"


class CreateOperation(ApiOperation):
    links = {"show_item": {"item_id": CREATED_ID}}


class UploadOperation(ApiOperation):
    accepts = {"image/png": Schema(), "image/webp": Schema()}


@get("/api/items/{item_id:str}")
async def show_item(
    item_id: PathId, after: Annotated[str | None, QueryParameter(name="after")] = None
) -> Item:
    raise NotImplementedError


@get("/api/boxes", operation_class=PageOperation, guards=[signed_in])
async def list_boxes(colour: Annotated[Colour | None, QueryParameter(name="colour")] = None) -> list[Box]:
    raise NotImplementedError


@get("/api/about")
async def about() -> Box:
    raise NotImplementedError


@put(
    "/api/boxes/{box_id:str}",
    guards=[operators_only, Limited("box", "rate_change")],
    responses=refusals(Taken, Sold, NotYours),
)
async def change_box(box_id: PathId) -> None:
    raise NotImplementedError


@post("/api/items", operation_class=CreateOperation, responses=problems({402: "The card was declined"}))
async def create_item(data: RequestBody[Item]) -> Item:
    raise NotImplementedError


@put("/api/pictures", operation_class=UploadOperation, responses=problems({413: "More than 5 MB"}))
async def upload_picture() -> None:
    raise NotImplementedError


def client_of_process(name: str) -> httpx.AsyncClient:
    app = Litestar(
        [show_item, create_item, upload_picture, list_boxes, change_box, about],
        openapi_config=docs.openapi(name, "A process"),
        plugins=document_plugins([Box(label=None)]),
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
                "items": {"$ref": "#/components/schemas/Part"},
                "default": [],
            },
            "notes": {
                "anyOf": [{"type": "string", "pattern": "^[a-z]+$"}, {"type": "null"}],
            },
        },
    }
    assert schemas["Part"]["properties"]["partName"]["maxLength"] == 20
    assert schemas["Part"]["properties"]["colour"]["anyOf"][0] == {"$ref": "#/components/schemas/Colour"}
    assert schemas["Colour"] == {"type": "string", "enum": ["red", "green"]}
    create = document["paths"]["/api/items"]["post"]
    item = {"schema": {"$ref": "#/components/schemas/Item"}}
    assert create["requestBody"] == {"content": {"application/json": item}, "required": True}
    assert create["responses"]["201"]["content"] == {"application/json": item}


def test_a_response_has_all_fields_no_default_values_and_an_example_with_null(
    document: dict[str, Any],
) -> None:
    assert document["components"]["schemas"]["Box"] == {
        "type": "object",
        "title": "Box",
        "description": "A response.",
        "required": ["size", "label"],
        "properties": {
            "size": {"type": "integer"},
            "label": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        },
        "examples": [{"size": 1, "label": None}],
    }


def test_the_docstring_below_a_field_describes_it(document: dict[str, Any]) -> None:
    assert document["components"]["schemas"]["Part"]["properties"]["partName"] == {
        "type": "string",
        "maxLength": 20,
        "description": "As on the package.",
    }


def test_an_operation_lists_only_the_statuses_that_follow_from_its_path_guards_and_declarations(
    document: dict[str, Any],
) -> None:
    operations = {each["operationId"]: each for item in document["paths"].values() for each in item.values()}
    statuses = {name: list(operation["responses"]) for name, operation in operations.items()}
    assert statuses == {
        "about": ["200", "503"],
        "list_boxes": ["200", "400", "401", "503"],
        "change_box": ["200", "401", "403", "404", "409", "429", "503"],
        "show_item": ["200", "400", "404", "503"],
        "create_item": ["201", "400", "402", "403", "413", "415", "503"],
        "upload_picture": ["200", "400", "403", "413", "415", "503"],
    }
    changes = operations["change_box"]["responses"]
    assert changes["409"]["description"] == "Somebody else was faster (`taken`, `sold`)"
    assert changes["403"]["description"] == (
        "The request came from another site (`cross-site`); That isn't yours (`not-yours`)"
    )
    problem = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    for operation in operations.values():
        for status, response in operation["responses"].items():
            assert status < "3" or response["content"] == problem
            assert ("Retry-After" in response.get("headers", {})) == (status in ("429", "503"))


def test_a_handler_that_several_apps_register_is_documented_alike() -> None:
    service = next(process for process in PROCESSES if process.name == "tickets")
    assert openapi_of(service) == openapi_of(service)


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


def test_every_header_has_a_schema(document: dict[str, Any]) -> None:
    link = document["paths"]["/api/boxes"]["get"]["responses"]["200"]["headers"]["Link"]
    assert link["schema"] == {"type": "string"}
    for item in marketplace_openapi()["paths"].values():
        for operation in item.values():
            for response in operation["responses"].values():
                assert all("schema" in header for header in response.get("headers", {}).values())


def test_a_query_parameter_can_be_left_out_but_is_never_null(document: dict[str, Any]) -> None:
    (colour,) = document["paths"]["/api/boxes"]["get"]["parameters"]
    assert (colour["required"], colour["schema"]) == (False, {"type": "string", "enum": ["red", "green"]})


def test_the_schema_of_a_parameter_is_that_of_a_string_or_an_id(document: dict[str, Any]) -> None:
    item_id, after = sorted(
        document["paths"]["/api/items/{item_id}"]["get"]["parameters"], key=lambda parameter: parameter["in"]
    )
    assert item_id["schema"] == {"type": "string", "pattern": "^[0-9a-fA-F]{24}$"}
    assert (after["required"], after["schema"]) == (False, {"type": "string"})


@pytest.mark.parametrize(
    ("method", "path", "status", "is_listed"),
    [
        ("GET", f"/api/tickets/{ID}", 404, True),
        ("HEAD", f"/api/tickets/{ID}", 404, True),
        ("GET", f"/api/tickets/{ID}", 409, False),
        ("GET", "/api/tickets/mine", 404, False),
        ("GET", f"/api/tickets/{ID}", 500, True),  # of every operation
        ("PATCH", f"/api/tickets/{ID}", 405, True),
    ],
)
async def test_control_tests_of_services_find_a_status_that_an_operation_does_not_list(
    method: str, path: str, status: int, is_listed: bool
) -> None:
    response = httpx.Response(status, request=httpx.Request(method, f"http://stagedoor.test{path}"))
    found = nullcontext() if is_listed else pytest.raises(AssertionError, match=f"answered {status}, but")
    with found:
        await documented("tickets")(response)


# --- The merged document of the public API ---


def operations_of(document: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    return {
        (method, path): operation
        for path, item in document["paths"].items()
        for method, operation in item.items()
    }


def test_the_merged_document_describes_exactly_the_public_routes() -> None:
    described = {
        (method.upper(), re.sub(r"{\w+}", ":", path)) for method, path in operations_of(marketplace_openapi())
    }
    public = {
        (method, re.sub(r":\w+", ":", path))
        for routes in ROUTES.values()
        for path, methods in routes.items()
        for method in methods.split()
    }
    # One operation describes both sizes.
    pictures = {("GET", f"/api/tickets/pictures/:/{size}") for size in ("small", "large")}
    assert pictures <= public
    assert described == public - pictures | {("GET", "/api/tickets/pictures/:/:")}


def test_the_file_in_docs_is_up_to_date() -> None:
    assert FILE.read_text("utf-8") == to_yaml(marketplace_openapi()), "run `just docs`"


def test_operations_of_the_merged_document_have_unique_ids_and_the_tag_of_their_service() -> None:
    document = marketplace_openapi()
    operations = operations_of(document).values()
    ids = [operation["operationId"] for operation in operations]
    assert len(set(ids)) == len(ids)
    assert {tag for operation in operations for tag in operation["tags"]} == {
        tag["name"] for tag in document["tags"]
    }
    linked = [
        name
        for each in operations
        for answer in each["responses"].values()
        for name in answer.get("links", ())
    ]
    assert linked
    assert set(linked) <= set(ids)


def test_the_merged_document_has_only_components_that_it_uses() -> None:
    document = marketplace_openapi()
    text = json.dumps(document)
    assert all(f'"#/components/schemas/{name}"' in text for name in document["components"]["schemas"])
    assert "RefundBody" not in document["components"]["schemas"]
    assert set(document["components"]["securitySchemes"]) == {"cookie", "bearer"}


def test_every_body_has_an_example_that_is_valid() -> None:
    document = marketplace_openapi()
    schemas = document["components"]["schemas"]
    for name, schema in schemas.items():
        if "enum" in schema or name == "ProblemItem":
            continue
        for example in schema["examples"]:
            Draft202012Validator({**schema, "components": document["components"]}).validate(example)
    for (method, path), operation in operations_of(document).items():
        for media_type in operation.get("requestBody", {}).get("content", {}).values():
            assert media_type["schema"] != {}, f"{method} {path}"


@pytest.mark.parametrize("document", [marketplace_openapi(), asyncapi().to_jsonable()])
def test_a_validator_that_divides_in_binary_accepts_every_price(document: dict[str, Any]) -> None:
    prices = [part for part in parts(document["components"]) if part.get("maximum") == float(MAX_PRICE)]
    assert prices
    for schema in prices:
        assert schema["description"].endswith("A multiple of 0.01.")
        for price in (0.01, 0.07, 19.99, 999999.99):
            Draft202012Validator(schema).validate(price)
    # The control: this is what the documents leave out.
    assert not Draft202012Validator(PRICE_SCHEMA).is_valid(19.99)


def test_no_default_value_of_the_merged_document_is_null_and_no_field_has_a_title() -> None:
    document = marketplace_openapi()
    assert '"default": null' not in json.dumps(document)
    for schema in document["components"]["schemas"].values():
        assert not [name for name, field in schema.get("properties", {}).items() if "title" in field]


def test_services_that_describe_a_component_differently_cannot_be_merged(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def differing(service: Service) -> dict[str, Any]:
        document = openapi_of(service)
        document["components"]["schemas"]["Problem"]["title"] = service.name
        return document

    monkeypatch.setattr("sandbox.openapi.openapi_of", differing)
    with pytest.raises(ValueError, match="services describe Problem differently"):
        marketplace_openapi()
