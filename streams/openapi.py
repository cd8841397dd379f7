"""The OpenAPI document as it is served: Litestar's, with what it doesn't know of bodies and answers.

Litestar describes our models by their Python types. Pydantic knows more: what a price looks like, which texts
are too long, that unknown fields are refused. Whoever generates a client, or tests, needs that.
"""

import inspect
from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any, Literal

from litestar import Request
from litestar.openapi.plugins import JsonRenderPlugin
from pydantic.json_schema import models_json_schema

import contracts.api
from contracts.api import Body
from contracts.problems import PROBLEM_JSON, Problem, ProblemItem
from contracts.wire import Wire

Document = dict[str, Any]

ID = {"type": "string", "pattern": "^[0-9a-fA-F]{24}$"}
MADE = "$response.body#/id"

LINKS: Mapping[str, Mapping[str, Mapping[str, str]]] = {
    "sign_up": {"show_profile": {"user_id": MADE}},
    "offer_ticket": {
        "show_ticket": {"ticket_id": MADE},
        "show_similar": {"ticket_id": MADE},
        "edit_ticket": {"ticket_id": MADE},
        "give_picture": {"ticket_id": MADE},
        "take_picture": {"ticket_id": MADE},
        "withdraw_ticket": {"ticket_id": MADE},
        "show_seller": {"user_id": "$response.body#/userId"},
    },
    "reserve_ticket": {
        "show_order": {"order_id": MADE},
        "extend_order": {"order_id": MADE},
        "cancel_order": {"order_id": MADE},
    },
    "pay": {"list_payments": {"orderId": "$request.body#/orderId"}},
}
"""What can be done with what an operation made: from its answer or its request to a parameter of another."""

UPLOADS: Mapping[str, tuple[str, ...]] = {
    "give_picture": ("image/jpeg", "image/png", "image/webp"),
    "webhook": ("application/json",),
}
"""Operations that read their body themselves, and what it may be."""

RETRY_AFTER = {
    "description": "Seconds after which asking again makes sense, where time is what it takes",
    "schema": {"type": "integer", "minimum": 1},
}
_OF_A_BODY = {"413": "The body is too large", "415": "The body must be application/json"}


class CompleteDocument(JsonRenderPlugin):
    """Serves the document at /docs/openapi.json. It is made once: others wait while it is."""

    _made: bytes | None = None

    def render(self, request: Request[Any, Any, Any], openapi_schema: Document) -> bytes:
        if self._made is None:
            self._made = self.render_json(request, complete(openapi_schema))
        return self._made


def complete(document: Document) -> Document:
    """The document with all that we know of it."""
    document = deepcopy(document)
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    known = _schemas()
    schemas.update({name: known[name] for name in _needed(schemas, known)})
    operations = {operation["operationId"]: operation for operation in _operations(document)}
    for name, operation in operations.items():
        if name in UPLOADS:
            content: Document = {kind: {"schema": {}} for kind in UPLOADS[name]}
            operation["requestBody"] = {"required": True, "content": content}
        for parameter in operation.get("parameters", []):
            _describe_parameter(parameter)
        _describe_responses(operation)
    for made_by, followers in LINKS.items():
        if made_by in operations:
            operations[made_by]["responses"]["201"]["links"] = {
                name: {"operationId": name, "parameters": parameters}
                for name, parameters in followers.items()
                if name in operations
            }
    return document


def _schemas() -> dict[str, Any]:
    """Pydantic's JSON schema of all that requests and answers consist of."""
    models = [
        kind
        for _, kind in inspect.getmembers(contracts.api, inspect.isclass)
        if issubclass(kind, Wire) and kind not in (Wire, Body)
    ]

    def mode(kind: type[Wire]) -> Literal["validation", "serialization"]:
        # Problems leave out what they don't have; other answers say null.
        return "validation" if issubclass(kind, (Body, Problem, ProblemItem)) else "serialization"

    kinds: list[type[Wire]] = [*models, Problem, ProblemItem]
    _, schemas = models_json_schema(
        [(kind, mode(kind)) for kind in kinds],
        ref_template="#/components/schemas/{model}",
    )
    definitions: dict[str, Any] = schemas["$defs"]
    return definitions


def _needed(schemas: Mapping[str, Any], known: Mapping[str, Any]) -> set[str]:
    """Of those known, the ones that this document has, and what they refer to."""
    found: set[str] = set()
    waiting = [name for name in schemas if name in known]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += [reference.rpartition("/")[2] for reference in _references(known[name])]
    return found


def _references(schema: object) -> Iterator[str]:
    match schema:
        case {"$ref": str(reference)}:
            yield reference
        case dict():
            for part in schema.values():
                yield from _references(part)
        case list():
            for part in schema:
                yield from _references(part)


def _operations(document: Document) -> Iterator[dict[str, Any]]:
    for item in document.get("paths", {}).values():
        yield from (operation for operation in item.values() if isinstance(operation, dict))


def _describe_parameter(parameter: dict[str, Any]) -> None:
    """A text that may be left out is never null: `null` is a text. What is called an id is one."""
    schema: dict[str, Any] = parameter.get("schema", {})
    if schema.get("oneOf") == [{"type": "string"}, {"type": "null"}]:
        del schema["oneOf"]
        schema["type"] = "string"
    if parameter["in"] == "path" and parameter["name"].endswith("_id"):
        parameter["schema"] = ID


def _describe_responses(operation: dict[str, Any]) -> None:
    responses: dict[str, Any] = operation["responses"]
    if "requestBody" in operation:
        problem = {PROBLEM_JSON: {"schema": {"$ref": "#/components/schemas/Problem"}}}
        for status, words in _OF_A_BODY.items():
            responses.setdefault(status, {"description": words, "content": problem})
    for status in ("429", "503"):
        responses[status].setdefault("headers", {})["Retry-After"] = RETRY_AFTER
