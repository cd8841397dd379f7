"""The web tier serves each route that the services document, except those for operators."""

import logging
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest
from litestar.openapi.spec import OpenAPI

from settings import SERVICES, ServiceName, Settings
from streams.app import service_app
from web.public_api import ROUTES, public_route


@pytest.fixture(autouse=True)
def logging_unchanged() -> Iterator[None]:
    """Keep pytest's log handlers, which creating an app replaces."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def document_of(name: ServiceName, folder: Path) -> OpenAPI:
    settings = Settings(_env_file=None, data_dir=folder)
    return service_app(import_module(f"streams.{name}").service, settings).openapi_schema


def operations_of(document: OpenAPI) -> Iterator[tuple[str, str, bool]]:
    """Method and an example of a path of each operation, and whether it is for operators."""
    for path, item in (document.paths or {}).items():
        for size in ("small", "large") if "{size}" in path else ("",):
            example = path.replace("{size}", size).replace("{name}", "a" * 64)
            for method in ("get", "put", "post", "delete", "patch"):
                if operation := getattr(item, method):
                    is_for_operators = {"operator": []} in (operation.security or ())
                    example = example.replace("{file_id}", "0" * 32).replace("{photo_id}", "0" * 32)
                    yield method.upper(), re.sub(r"\{\w+\}", "0" * 24, example), is_for_operators


@pytest.mark.parametrize("name", SERVICES)
def test_the_web_tier_serves_what_a_service_documents_for_everyone(name: ServiceName, tmp_path: Path) -> None:
    documented: dict[str, set[str]] = {}
    for method, path, is_for_operators in operations_of(document_of(name, tmp_path)):
        if is_for_operators or not path.startswith("/api/"):
            assert public_route(path.encode()) is None, path
        else:
            documented.setdefault(path, set()).add(method)
    for path, methods in documented.items():
        route = public_route(path.encode())
        assert route is not None, f"add {path} to the table in web/public_api.py, with `:id` for an id"
        assert route.service == name
        assert route.methods - {"HEAD", "OPTIONS"} == methods, path
    assert len(documented) == len(ROUTES.get(name, {})), "the table has a route that the service doesn't"


def test_control_a_service_documents_a_route_for_operators(tmp_path: Path) -> None:
    routes = operations_of(document_of("payments", tmp_path))
    found = {path for _, path, is_for_operators in routes if is_for_operators}
    assert found == {"/api/payments/refunds", "/api/payments/evidence"}
