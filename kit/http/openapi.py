"""Additions to the OpenAPI documents that Litestar generates."""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, cast

from litestar.handlers import HTTPRouteHandler
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
from litestar.openapi.spec.base import BaseSchemaObject
from litestar.params import BodyKwarg, PathParameter
from litestar.plugins import OpenAPISchemaPlugin, PluginProtocol, ReceiveRoutePlugin
from litestar.plugins.pydantic import PydanticPlugin
from litestar.routes import BaseRoute, HTTPRoute
from litestar.typing import FieldDefinition
from msgspec import Meta
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, JsonSchemaValue
from pydantic_core import core_schema

from contracts.problems import PROBLEM_JSON, Problem
from contracts.wire import Wire
from kit.errors import (
    CrossSite,
    NotAnOperator,
    NotFound,
    NotSignedIn,
    ServiceError,
    TooManyRequests,
    Unavailable,
    Unconfirmed,
    Unidentified,
)
from kit.http.cross_site import SAFE_METHODS
from kit.http.guards import confirmed, identified, operators_only, signed_in
from kit.http.limits import Limited

if TYPE_CHECKING:
    from litestar._openapi.schema_generation import SchemaCreator

SIGNED_IN: Sequence[SecurityRequirement] = [{"cookie": []}, {"bearer": []}]
"""Security requirement of routes that need a session token, in a cookie or as a bearer token."""

OPERATORS: Sequence[SecurityRequirement] = [{"operator": []}]

PathId = Annotated[str, PathParameter(schema_extra={"pattern": "^[0-9a-fA-F]{24}$"})]
"""An id in a path. The pattern is only documented, not checked: a malformed id gives 404 rather than 400."""
QueryId = Annotated[str, Meta(pattern="^[0-9a-fA-F]{24}$")]
"""An id in a list of ids of the query. Litestar doesn't document the pattern, so add `ITEM_IDS`."""

ITEM_IDS = {"items": Schema(type=OpenAPIType.STRING, pattern="^[0-9a-fA-F]{24}$")}
"""The part of a list parameter's schema that describes its `QueryId` items."""

CREATED_ID = "$response.body#/id"
"""The id of the created entity, as an expression for OpenAPI links."""


class DocumentedSchema(GenerateJsonSchema):
    """Schemas for documents: no titles such as "Startsat", and null isn't the default value of a field.

    In responses, every field is present, also if it has its default value. The precision of numbers
    is described in words.
    """

    def generate(
        self, schema: core_schema.CoreSchema, mode: JsonSchemaMode = "validation"
    ) -> JsonSchemaValue:
        described: JsonSchemaValue = _without_multiples(super().generate(schema, mode))
        return described

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def field_is_required(self, field: Any, total: bool) -> bool:
        return self.mode == "serialization" or super().field_is_required(field, total)

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        documented = super().default_schema(schema)
        if documented.get("default", ...) is None or self.mode == "serialization":
            documented.pop("default", None)
        return documented


def _without_multiples(schema: Any) -> Any:
    """The schema with words instead of multiples such as 0.01.

    A validator that divides in binary rejects 19.99.
    """
    if isinstance(schema, list):
        return [_without_multiples(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    described = {key: _without_multiples(part) for key, part in schema.items()}
    if isinstance(described.get("multipleOf"), float):
        multiple = f"A multiple of {described.pop('multipleOf')}."
        described["description"] = f"{described.get('description', '')} {multiple}".strip()
    return described


class WireSchemas(OpenAPISchemaPlugin):
    """Describes Wire models by pydantic's own JSON schemas.

    Litestar's pydantic plugin describes them by their Python types, without lengths, patterns, price ranges
    and the rejection of unknown fields. List this plugin before the PydanticPlugin.
    """

    def __init__(self, examples: Sequence[Wire] = ()) -> None:
        self._examples = {type(example): json.loads(example.to_json()) for example in examples}

    def is_plugin_supported_field(self, field_definition: FieldDefinition) -> bool:
        return field_definition.is_subclass_of(Wire)

    def to_openapi_schema(self, field_definition: FieldDefinition, schema_creator: "SchemaCreator") -> Schema:
        model: type[Wire] = field_definition.annotation
        component = schema_creator.schema_registry.get_schema_for_field_definition(field_definition)
        for field in model.model_fields.values():  # registers the models that this one refers to
            schema_creator.for_field_definition(FieldDefinition.from_annotation(field.annotation))
        is_request = model.model_config.get("extra") == "forbid"
        schema = model.model_json_schema(
            ref_template="#/components/schemas/{model}",
            schema_generator=DocumentedSchema,
            mode="validation" if is_request else "serialization",
        )
        for name, definition in schema.pop("$defs", {}).items():
            if "enum" in definition:
                _fill(
                    schema_creator.schema_registry.get_schema_for_field_definition(_named(name)), definition
                )
        if model in self._examples:
            schema["examples"] = [_Example(self._examples[model])]
        _fill(component, schema)
        return component


@dataclass
class _Example(BaseSchemaObject):
    """JSON with null, which Litestar leaves out elsewhere."""

    json: dict[str, Any]

    def to_schema(self) -> dict[str, Any]:
        return self.json


def _named(name: str) -> FieldDefinition:
    """The type of a text with fixed values, under which Litestar registers the component with this name."""
    return FieldDefinition.from_kwarg(str, name, kwarg_definition=BodyKwarg(schema_component_key=name))


def _fill(component: Schema, schema: Mapping[str, Any]) -> None:
    for key, value in schema.items():
        setattr(component, Schema.field_aliases().get(key, key), value)


@dataclass
class ApiOperation(Operation):
    """An operation (a method of a path) in our OpenAPI documents.

    A handler that needs `links`, `accepts` or `headers` sets a subclass as its `operation_class`.
    """

    links: ClassVar[Mapping[str, Mapping[str, str]]] = {}
    """OpenAPI links: the parameters of operations that may follow this one, by the operation's id."""

    accepts: ClassVar[Mapping[str, Schema]] = {}
    """The body by media type, for a handler that has no `data` parameter and reads the body itself."""

    headers: ClassVar[Mapping[str, OpenAPIHeader]] = {}
    """The headers of a successful response."""

    def __post_init__(self) -> None:
        responses = cast("dict[str, OpenAPIResponse]", self.responses)  # Litestar makes no references here
        problem = responses["503"].content  # every operation has this response
        parameters = [parameter for parameter in self.parameters or () if isinstance(parameter, Parameter)]
        if self.accepts:
            content = {name: OpenAPIMediaType(schema=schema) for name, schema in self.accepts.items()}
            self.request_body = RequestBody(required=True, content=content)
        if self.request_body is not None or any(parameter.param_in != "path" for parameter in parameters):
            special = responses.get("400")
            is_ours = special is not None and PROBLEM_JSON in (special.content or {})
            words = [_INVALID, *([special.description] if special and is_ours else [])]
            responses["400"] = OpenAPIResponse(_SEPARATOR.join(words), content=problem)
        else:
            responses.pop("400", None)  # Litestar's own
        if self.request_body is not None:
            for status, description in _BODY_ERRORS.items():
                responses.setdefault(status, OpenAPIResponse(description, content=problem))
        for status, response in responses.items():
            if response.description == HTTPStatus(int(status)).description:  # Litestar's own
                response.description = HTTPStatus(int(status)).phrase
        success = min(status for status in responses if status.startswith("2"))
        responses[success].headers = {**(responses[success].headers or {}), **self.headers}
        if self.links:
            responses["201"].links = {
                name: Link(operation_id=name, parameters=dict(parameters))
                for name, parameters in self.links.items()
            }
        for status in {"429", "503"} & responses.keys():
            responses[status].headers = {"Retry-After": _RETRY_AFTER}
        for parameter in parameters:
            if isinstance(parameter.schema, Schema):
                parameter.schema = _without_null(parameter.schema)
                parameter.description = parameter.schema.description
        self.responses = dict(sorted(responses.items()))


def _without_null(schema: Schema) -> Schema:
    """The schema of a parameter. A parameter that isn't given isn't null either."""
    if isinstance(schema.type, list):
        (kind,) = (kind for kind in schema.type if kind != OpenAPIType.NULL)
        enum = [value for value in schema.enum or () if value is not None] or None
        return replace(schema, type=kind, enum=enum)
    if schema.any_of:  # given for the parameter, so Litestar's own one_of says less
        return replace(schema, one_of=None)
    if schema.one_of and _NULL in schema.one_of:
        (other,) = (each for each in schema.one_of if each != _NULL)
        if isinstance(other, Schema):
            limits = {
                field.name: value
                for field in fields(Schema)
                if field.name != "one_of" and (value := getattr(schema, field.name)) is not None
            }
            return replace(other, **limits)
        return Schema(all_of=[other], description=schema.description)
    return schema


_NULL = Schema(type=OpenAPIType.NULL)

LINK_TO_NEXT = OpenAPIHeader(
    schema=Schema(type=OpenAPIType.STRING),
    description="The address of the next page, if there is one (RFC 8288)",
    example='</api/orders?after=65f0c0ffee0000000000000b>; rel="next"',
)


@dataclass
class PageOperation(ApiOperation):
    """An operation that returns a page of a list."""

    headers = {"Link": LINK_TO_NEXT}


_RETRY_AFTER = OpenAPIHeader(
    schema=Schema(type=OpenAPIType.INTEGER, minimum=1),
    description="Seconds to wait before a retry, if waiting helps",
)

_INVALID = "The request is invalid; the errors name the fields (`not-json`, `validation`)"
_BODY_ERRORS = {"413": "The body is too large", "415": "The body must be application/json"}
_SEPARATOR = "; "


def problems(descriptions: Mapping[int, str]) -> dict[int, ResponseSpec]:
    """The documentation of error responses, by status."""
    return {
        status: ResponseSpec(
            Problem, description=description, media_type=PROBLEM_JSON, generate_examples=False
        )
        for status, description in descriptions.items()
    }


def refusals(*errors: type[ServiceError]) -> dict[int, ResponseSpec]:
    """The documentation of the errors that a handler raises, by status. `ApiOperations` adds the others."""
    codes: dict[int, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for error in errors:
        codes[error.status][error.message].append(f"`{error.code}`")
    return problems(
        {
            status: _SEPARATOR.join(f"{message} ({', '.join(found)})" for message, found in messages.items())
            for status, messages in codes.items()
        }
    )


def document_plugins(examples: Sequence[Wire] = ()) -> list[PluginProtocol]:
    """The plugins that describe an API. The documents show the examples of bodies."""
    return [WireSchemas(examples), PydanticPlugin(prefer_alias=True), ApiOperations()]


class ApiOperations(ReceiveRoutePlugin):
    """Documents every route as an ApiOperation, with the errors that follow from its path and its guards."""

    def receive_route(self, route: BaseRoute) -> None:
        if isinstance(route, HTTPRoute):
            for handler in route.route_handlers:
                responses = dict(handler.responses or {})
                for status, derived in refusals(*_errors(route, handler)).items():
                    declared = responses.setdefault(status, derived).description
                    if derived.description not in declared:  # an app may have registered the handler before
                        words = f"{derived.description}{_SEPARATOR}{declared}"
                        responses |= problems({status: words})
                handler.responses = responses
                if handler.operation_class is Operation:
                    handler.operation_class = ApiOperation


def _errors(route: HTTPRoute, handler: HTTPRouteHandler) -> Iterator[type[ServiceError]]:
    guards: list[Any] = handler.resolve_guards()
    if signed_in in guards:
        yield NotSignedIn
    if confirmed in guards:
        yield Unconfirmed
    if identified in guards:
        yield Unidentified
    if operators_only in guards:
        yield NotAnOperator
    if handler.http_methods - SAFE_METHODS:
        yield CrossSite
    if route.path_parameters:
        yield NotFound
    if any(isinstance(guard, Limited) for guard in guards):
        yield TooManyRequests
    yield Unavailable
