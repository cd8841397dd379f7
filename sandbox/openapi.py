"""One OpenAPI 3.1 document of the whole public API, merged from the documents of the services.

It describes the routes that web serves (`web/public_api.py`), as web serves them. `just docs` runs this
module, which writes docs/openapi.yaml.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any

import yaml
from litestar import Litestar

from contracts import VERSION
from contracts.examples import API_EXAMPLES
from kit.http.openapi import document_plugins
from kit.http.request import ApiRequest
from kit.http.state import from_state
from sandbox.processes import ROOT
from streams import docs
from streams.app import Service
from streams.processes import PROCESSES
from web.public_api import public_route

Json = dict[str, Any]

FILE = ROOT / "docs" / "openapi.yaml"

DESCRIPTION = """\
The HTTP API of the ticket marketplace. Sign up or in with `?token=true`, and send the token of the response
as `Authorization: Bearer …`. Browsers send the session cookie instead.

Every operation may also answer with a status that concerns HTTP, or that comes from the server in front of
the services: 400 (malformed address), 405, 408 (the body took too long), 414 and 431 (address or headers too
large), 500, 502 (a service gave no valid response) and 503 (more requests than the server can handle). Every
error has the schema `Problem`.
"""

SOME_ID = "0" * 24
"""A value of a path parameter that has neither fixed values nor an example."""


def marketplace_openapi() -> Json:
    """The document of the public API. No process has to run.

    Raises:
        ValueError: two services have an operation with the same id, or different components with one name.
    """
    paths: dict[str, Json] = {}
    schemas: Json = {}
    tags = []
    security: Json = {}
    for service in PROCESSES:
        if not service.api:
            continue
        document = openapi_of(service)
        public = {path: _public(path, item) for path, item in document["paths"].items()}
        paths |= {path: item for path, item in public.items() if item}
        for name, schema in document["components"]["schemas"].items():
            if schemas.setdefault(name, schema) != schema:
                raise ValueError(f"services describe {name} differently")
        security |= document["components"]["securitySchemes"]
        tags += [{"name": name, "description": service.summary} for name in sorted(_tags(public))]
    _check_operation_ids(paths)
    used = _used(paths, schemas)
    schemes = {
        name for _, each in _operations(paths) for option in each.get("security", ()) for name in option
    }
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Stagedoor",
            "version": VERSION,
            "description": DESCRIPTION,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/", "description": "The site that serves this document"}],
        "tags": tags,
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": {name: schema for name, schema in sorted(schemas.items()) if name in used},
            "securitySchemes": {name: scheme for name, scheme in security.items() if name in schemes},
        },
    }


def openapi_of(service: Service) -> Json:
    """The OpenAPI document of a service, as its process serves it at /docs/openapi.json."""
    names = ("settings", *service.provides)
    app = Litestar(
        list(service.api),
        dependencies={name: from_state(name) for name in names},
        request_class=ApiRequest,
        plugins=document_plugins(API_EXAMPLES),
        openapi_config=docs.openapi(f"Stagedoor {service.name}", service.summary),
        logging_config=None,
    )
    return app.openapi_schema.to_schema()


def _public(path: str, item: Mapping[str, Json]) -> Json:
    """The operations of a path that web serves."""
    return {
        method: operation for method, operation in item.items() if _is_public(path, method.upper(), operation)
    }


def _is_public(path: str, method: str, operation: Json) -> bool:
    routes = [public_route(each.encode()) for each in _examples(path, operation.get("parameters", []))]
    return all(route is not None and method in route.methods for route in routes)


def _examples(path: str, parameters: Sequence[Json]) -> Iterator[str]:
    """The path with values of its parameters: each of the fixed values, or an example, or an id."""
    schemas = {each["name"]: each["schema"] for each in parameters if each["in"] == "path"}
    names = re.findall(r"{(\w+)}", path)
    for values in product(*(_values(schemas[name]) for name in names)):
        yield path.format_map(dict(zip(names, values, strict=True)))


def _values(schema: Json) -> Sequence[str]:
    values: Sequence[str] = schema.get("enum") or schema.get("examples", [SOME_ID])
    return values


def _operations(paths: Mapping[str, Json]) -> Iterator[tuple[str, Json]]:
    for item in paths.values():
        yield from item.items()


def _tags(paths: Mapping[str, Json]) -> set[str]:
    return {tag for _, operation in _operations(paths) for tag in operation.get("tags", ())}


def _check_operation_ids(paths: Mapping[str, Json]) -> None:
    ids = [operation["operationId"] for _, operation in _operations(paths)]
    if repeated := {each for each in ids if ids.count(each) > 1}:
        raise ValueError(f"several operations have the ids {repeated}")


def _used(part: Any, schemas: Json) -> set[str]:
    """The names of the schemas to which a part of the document refers, directly or not."""
    found: set[str] = set()
    open_parts = [part]
    while open_parts:
        match open_parts.pop():
            case {"$ref": str(reference)} as each:
                name = reference.removeprefix("#/components/schemas/")
                if name not in found:
                    found.add(name)
                    open_parts.append(schemas[name])
                open_parts += [value for key, value in each.items() if key != "$ref"]
            case dict() as each:
                open_parts += each.values()
            case list() as each:
                open_parts += each
    return found


class _Dumper(yaml.SafeDumper):
    """Writes a text of several lines as such, and repeats equal parts."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


_Dumper.add_representer(
    str,
    lambda dumper, text: dumper.represent_scalar(
        "tag:yaml.org,2002:str", text, style="|" if "\n" in text else None
    ),
)


def to_yaml(document: Json) -> str:
    text: str = yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)
    return text


if __name__ == "__main__":
    FILE.write_text(to_yaml(marketplace_openapi()), "utf-8")
