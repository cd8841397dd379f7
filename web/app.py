"""The web tier's process: pages, live updates and the way to the services' APIs."""

import resource
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from litestar import Litestar
from litestar.config.compression import CompressionConfig
from litestar.datastructures import State
from litestar.di import NamedDependency, Provide
from litestar.logging import LoggingConfig
from litestar.plugins.prometheus import PrometheusConfig, PrometheusController
from litestar.template.config import TemplateConfig

import settings as configuration
from contracts.identity import SESSION_COOKIE
from settings import Settings
from web import assets, headers, health, live, live_bus, proxy
from web.bodies import Bodies
from web.door import Door, rooms
from web.errors import EXCEPTION_HANDLERS
from web.forms import csrf_config
from web.hub import Hub
from web.page import Page, WebRequest, caller_of
from web.pages import browse, developers, orders, purchases, sales, sell, tickets, users
from web.services import Services, open_session
from web.templating import engine
from web.turned_away import Answers

MAX_FORM_BYTES = 100_000
COMPRESSED_PAGES = CompressionConfig(
    backend="gzip", gzip_compress_level=6, minimum_size=1000, exclude=["^/static/", "^/api/", "^/live$"]
)
"""Assets are compressed already, services decide for themselves, and a stream is never held back."""


class Metrics(PrometheusController):
    path = "/metrics"
    include_in_schema = False
    opt = health.NO_FORMS


def app() -> Litestar:
    """For `granian --factory`."""
    return create(configuration.load())


def create(settings: Settings) -> Litestar:
    metrics = PrometheusConfig(
        app_name="web", prefix="http", group_path=True, exclude_opt_key="exclude_from_metrics"
    )
    pages = [router.router for router in (browse, tickets, sell, sales, orders, purchases, users, developers)]
    templates = engine(settings)
    app = Litestar(
        route_handlers=[*pages, live.live, proxy.api, health.is_live, health.is_ready, Metrics, assets.asset],
        dependencies={
            "services": Provide(_services),
            "page": Provide(_page, sync_to_thread=False),
            "hub": Provide(_hub, sync_to_thread=False),
        },
        exception_handlers=EXCEPTION_HANDLERS,
        csrf_config=csrf_config(settings),
        template_config=TemplateConfig(instance=templates),
        middleware=[metrics.middleware],
        compression_config=COMPRESSED_PAGES,
        before_send=[headers.before_send(settings)],
        request_max_body_size=MAX_FORM_BYTES,
        openapi_config=None,
        # web/errors.py logs what is unexpected; the rest are answers of no.
        logging_config=LoggingConfig(root={"level": settings.log_level, "handlers": ["queue_listener"]}),
        state=State({"settings": settings}),
        lifespan=[_lifespan],
    )
    answers = Answers(templates.engine)
    app.asgi_handler = Door(app.asgi_handler, rooms(settings.web_places), answers, Bodies())
    return app


@asynccontextmanager
async def _lifespan(app: Litestar) -> AsyncIterator[None]:
    _open_as_many_files_as_it_may()
    settings: Settings = app.state.settings
    app.state.hub = hub = Hub()
    async with open_session() as http, live_bus.listening(settings, hub) as bus_is_heard:
        app.state.http, app.state.bus_is_heard = http, bus_is_heard
        with live.closed_on_signals(hub):
            yield


def _open_as_many_files_as_it_may() -> None:
    """A connection is one, and a shell's usual limit of 1,024 is one that may be raised."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


async def _services(request: WebRequest, state: State) -> Services:
    """One per request: kept in its state too, where the cookies that services set are picked up."""
    caller = caller_of(request, request.cookies.get(SESSION_COOKIE))
    services = Services(state.http, state.settings, caller)
    request.state.services = services
    return services


def _page(request: WebRequest, services: NamedDependency[Services], state: State) -> Page:
    return Page(request, services, state.settings, _hub(state).position_of_pages)


def _hub(state: State) -> Hub:
    hub: Hub = state.hub
    return hub
