"""The API documentation that each process serves, with all assets from its own host."""

from pathlib import Path
from typing import Any

from faststream import FastStream
from litestar import MediaType, Request, Response, get
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin, OpenAPIRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme
from litestar.static_files import create_static_files_router
from litestar.types import ControllerRouterHandler

from contracts import VERSION
from contracts.identity import SESSION_COOKIE

STATIC = Path(__file__).resolve().parent.parent / "static"


class StaticPage(OpenAPIRenderPlugin):
    """Our own Swagger UI page, because Litestar's loads assets from other hosts."""

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        return (STATIC / "docs" / "openapi.html").read_bytes()


def openapi(title: str, description: str, session_cookie: str = SESSION_COOKIE) -> OpenAPIConfig:
    return OpenAPIConfig(
        title=title,
        version=VERSION,
        description=description,
        path="/docs",
        render_plugins=[StaticPage(path="/"), JsonRenderPlugin()],
        operation_id_creator=lambda handler, _method, _path: handler.handler_name,
        use_handler_docstrings=True,
        components=Components(
            security_schemes={
                "cookie": SecurityScheme(type="apiKey", name=session_cookie, security_scheme_in="cookie"),
                "bearer": SecurityScheme(type="http", scheme="bearer", bearer_format="JWT"),
                "operator": SecurityScheme(type="http", scheme="bearer", description="OPERATOR_TOKEN"),
            }
        ),
    )


def asyncapi_routes(stream: FastStream) -> list[ControllerRouterHandler]:
    """The routes of the process's AsyncAPI 3 document and of a read-only page that shows the document."""

    @get("/docs/asyncapi", include_in_schema=False, media_type=MediaType.HTML, sync_to_thread=False)
    def page() -> bytes:
        return (STATIC / "docs" / "asyncapi.html").read_bytes()

    @get("/docs/asyncapi.json", include_in_schema=False, sync_to_thread=False)
    def schema() -> Response[str]:
        return Response(stream.schema.to_specification().to_json(), media_type=MediaType.JSON)

    assets = create_static_files_router("/docs/assets", [STATIC], include_in_schema=False)
    return [page, schema, assets]
