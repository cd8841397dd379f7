"""Additions to the OpenAPI documents that Litestar generates."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, cast

from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import (
    Link,
    OpenAPIHeader,
    OpenAPIMediaType,
    OpenAPIResponse,
    OpenAPIType,
    Operation,
    Parameter,
    RequestBody,
    Schema,
    SecurityRequirement,
)
from litestar.params import PathParameter
from litestar.plugins import OpenAPISchemaPlugin, ReceiveRoutePlugin
from litestar.routes import BaseRoute, HTTPRoute
from litestar.typing import FieldDefinition

from contracts.problems import PROBLEM_JSON, Problem
from contracts.wire import Wire

if TYPE_CHECKING:
    from litestar._openapi.schema_generation import SchemaCreator

SIGNED_IN: Sequence[SecurityRequirement] = [{"cookie": []}, {"bearer": []}]
"""Security requirement of routes that need a session token, in a cookie or as a bearer token."""

OPERATORS: Sequence[SecurityRequirement] = [{"operator": []}]

PathId = Annotated[str, PathParameter(schema_extra={"pattern": "^[0-9a-fA-F]{24}$"})]
"""An id in a path. The pattern is only documented, not checked: a malformed id gives 404 rather than 400."""

CREATED_ID = "$response.body#/id"
"""The id of the created entity, as an expression for OpenAPI links."""


class WireSchemas(OpenAPISchemaPlugin):
    """Describes Wire models by pydantic's own JSON schemas.

    Litestar's pydantic plugin describes them by their Python types, without lengths, patterns, price ranges
    and the rejection of unknown fields. List this plugin before the PydanticPlugin.
    """

    def is_plugin_supported_field(self, field_definition: FieldDefinition) -> bool:
        return field_definition.is_subclass_of(Wire)

    def to_openapi_schema(self, field_definition: FieldDefinition, schema_creator: "SchemaCreator") -> Schema:
        model: type[Wire] = field_definition.annotation
        component = schema_creator.schema_registry.get_schema_for_field_definition(field_definition)
        for field in model.model_fields.values():  # registers the models that this one refers to
            schema_creator.for_field_definition(FieldDefinition.from_annotation(field.annotation))
        schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
        schema.pop("$defs", None)
        for key, value in schema.items():
            setattr(component, Schema.field_aliases().get(key, key), value)
        return component


@dataclass
class ApiOperation(Operation):
    """An operation (a method of a path) in our OpenAPI documents.

    A handler that needs `links` or `accepts` sets a subclass as its `operation_class`.
    """

    links: ClassVar[Mapping[str, Mapping[str, str]]] = {}
    """OpenAPI links: the parameters of operations that may follow this one, by the operation's id."""

    accepts: ClassVar[Sequence[str]] = ()
    """The media types of the body, for a handler that has no `data` parameter and reads the body itself."""

    def __post_init__(self) -> None:
        responses = cast("dict[str, OpenAPIResponse]", self.responses)  # Litestar makes no references here
        if self.accepts:
            content = {media_type: OpenAPIMediaType(schema=Schema()) for media_type in self.accepts}
            self.request_body = RequestBody(required=True, content=content)
        if self.request_body is not None:
            for status, description in _BODY_ERRORS.items():
                responses.setdefault(status, OpenAPIResponse(description, content=responses["400"].content))
        if self.links:
            responses["201"].links = {
                name: Link(operation_id=name, parameters=dict(parameters))
                for name, parameters in self.links.items()
            }
        for status in ("429", "503"):
            responses[status].headers = {"Retry-After": _RETRY_AFTER}
        for parameter in self.parameters or ():
            schema = parameter.schema if isinstance(parameter, Parameter) else None
            if isinstance(schema, Schema) and schema.one_of == _TEXT_OR_NULL:
                schema.one_of, schema.type = None, OpenAPIType.STRING  # a query parameter can't be null


_TEXT_OR_NULL = [Schema(type=OpenAPIType.STRING), Schema(type=OpenAPIType.NULL)]

_RETRY_AFTER = OpenAPIHeader(
    schema=Schema(type=OpenAPIType.INTEGER, minimum=1),
    description="Seconds to wait before a retry, if waiting helps",
)

_BODY_ERRORS = {"413": "The body is too large", "415": "The body must be application/json"}


def problems(descriptions: Mapping[int, str]) -> dict[int, ResponseSpec]:
    """The documentation of error responses, by status."""
    return {
        status: ResponseSpec(
            Problem, description=description, media_type=PROBLEM_JSON, generate_examples=False
        )
        for status, description in descriptions.items()
    }


_COMMON_ERRORS = problems(
    {
        400: "The request is invalid; the errors name the fields",
        401: "The caller isn't signed in",
        403: "Not allowed for this user",
        404: "Not found",
        409: "Not possible in the current state",
        429: "Too many requests; Retry-After says when to try again",
        503: "Temporarily unavailable; a retry is safe",
    }
)


class ApiOperations(ReceiveRoutePlugin):
    """Documents every route as an ApiOperation, with the error responses that all routes have."""

    def receive_route(self, route: BaseRoute) -> None:
        if isinstance(route, HTTPRoute):
            for handler in route.route_handlers:
                handler.responses = {**_COMMON_ERRORS, **(handler.responses or {})}
                if handler.operation_class is Operation:
                    handler.operation_class = ApiOperation
