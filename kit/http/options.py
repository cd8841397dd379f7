"""Responses to OPTIONS requests."""

from typing import Any

from litestar import Request
from litestar.enums import HttpMethod
from litestar.plugins import ReceiveRoutePlugin
from litestar.response import Response
from litestar.routes import BaseRoute, HTTPRoute


class AllMethodsAllowed(ReceiveRoutePlugin):
    """Makes OPTIONS list every method of a path. Litestar 2.25 lists only the methods of one handler."""

    def receive_route(self, route: BaseRoute) -> None:
        if not isinstance(route, HTTPRoute):
            return
        allow = ", ".join(sorted(route.methods))

        async def name_methods(_: Request[Any, Any, Any]) -> Response[None]:
            return Response(None, status_code=204, headers={"Allow": allow})

        for handler in route.route_handlers:
            if handler.http_methods == {HttpMethod.OPTIONS}:
                handler.before_request = name_methods
