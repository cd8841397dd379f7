"""The maximum size of bodies, from the settings."""

from litestar.plugins import ReceiveRoutePlugin
from litestar.routes import BaseRoute, HTTPRoute

from settings import Settings

MAX_BODY = "max_body"
"""The option of a handler that names the setting with its limit, if that isn't `max_body_bytes`."""


class BodyLimits(ReceiveRoutePlugin):
    """Limits the bodies of each route. A handler with a limit of its own keeps it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def receive_route(self, route: BaseRoute) -> None:
        if isinstance(route, HTTPRoute):
            for handler in route.route_handlers:
                if setting := handler.opt.get(MAX_BODY):
                    handler.request_max_body_size = getattr(self._settings, setting) or None
