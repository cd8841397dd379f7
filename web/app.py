"""The app of a web process: pages, live updates, and the proxy to the services' APIs."""

import resource
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from functools import partial

from litestar import Litestar
from litestar.config.compression import CompressionConfig
from litestar.datastructures import MutableScopeHeaders, State
from litestar.di import NamedDependency, Provide
from litestar.plugins.jinja import JinjaTemplateEngine
from litestar.template.config import TemplateConfig
from litestar.types import ASGIApp, Message, Scope

import settings as configuration
from contracts.devices import device_cookie
from kit.background import running
from kit.client_address import ClientAddresses, Vouching
from kit.devices import Devices
from kit.errors import Unavailable
from kit.http.cross_site import RejectCrossSite
from kit.http.head import HeadForGet, WithoutBodyForHead, omit_body_for_head
from kit.http.metrics import request_metrics
from kit.http.options import AllMethodsAllowed
from kit.http.request_head import CheckRequestHead, HeadRules
from kit.http.security_log import RememberClient, record_refusal
from kit.http.state import from_state
from kit.http.tracing import ContinueTrace, exporting_spans
from kit.logs import log_to_stdout
from kit.security_log import record
from kit.session_use import SessionUse, report_to
from kit.sessions import EndedSessions
from kit.tokens import Sessions, fetch_from
from settings import Settings
from web import health, proxy, upstream
from web.admission.body_limits import BodyLimits
from web.admission.middleware import AdmissionControl
from web.admission.network_rates import NetworkRates
from web.admission.policy import limiters
from web.admission.request_body import BodyReader
from web.admission.responses import RejectionResponses
from web.api_client import ApiClient, Caller
from web.errors import EXCEPTION_HANDLERS
from web.live import sse, subscriber
from web.live.buyers import Buyers
from web.live.feed import Feed
from web.live.hub import Hub
from web.page_cache.cards import Cards
from web.page_cache.middleware import PageCache
from web.page_cache.renderings import FOR_MEMBERS
from web.page_cache.store import Store
from web.page_cache.viewers import Viewers
from web.page_context import Page, Viewer, render_viewer
from web.pages import (
    accounts,
    alerts,
    articles,
    browse,
    departures,
    developers,
    events,
    files,
    mail,
    order_copies,
    orders,
    passkeys,
    payouts,
    pictures,
    previews,
    problems,
    purchases,
    reports,
    sales,
    sell,
    tickets,
    users,
    well_known,
)
from web.recorded_user import check_recorded_user
from web.remembered_city import RememberedCity
from web.rendering import assets
from web.rendering.templating import engine
from web.request import WebRequest
from web.security import add_security_headers, api_security_headers, security_headers
from web.session_use import NoteSessionUse

MAX_FORM_PARTS = 50
"""The most parts of a form with a picture. No form has as many fields."""
COMPRESSED_PAGES = CompressionConfig(
    backend="gzip",
    gzip_compress_level=6,
    minimum_size=1000,
    exclude=["^/static/", "^/api/", "^/live$", r"/preview\.jpg$", "^/icons/"],
)
"""Assets and pictures are excluded because they are already compressed, and streams because compression would
delay them. Responses of the services are passed on unchanged."""


def app() -> ASGIApp:
    """For `granian --factory`."""
    return web_app(configuration.load())


def web_app(settings: Settings) -> ASGIApp:
    """The process's ASGI app: the page cache, and behind admission control everything else."""
    log_to_stdout(settings)
    templates = engine(settings)
    sessions = Sessions(
        fetch_from(f"{settings.url_of('auth')}/.well-known/jwks.json"),
        EndedSessions(timedelta(seconds=settings.session_lifetime_seconds)),
    )
    use = SessionUse(settings.session_use_seconds)
    pages = Store(settings.web_page_cache_mb * 1_000_000)
    cards = Cards(pages, partial(tickets.render_card, templates.engine))
    feed = Feed(Hub(), pages, cards, Buyers(), sessions.ended)
    security = security_headers(settings)
    responses = RejectionResponses(templates.engine, security, api_security_headers(settings))
    app = create(settings, templates, sessions, use, feed)
    admission = AdmissionControl(
        app,
        limiters(settings.web_max_requests, settings.network_share),
        responses,
        body_reader(settings),
        app.state.addresses,
        NetworkRates(settings),
        BodyLimits(settings, sessions, RejectCrossSite(settings)),
        Devices(settings),
    )
    viewers = Viewers(sessions, use, settings.session_cookie, partial(render_viewer, templates.engine))
    city = RememberedCity(is_secure=settings.cookie_secure)
    rules = HeadRules(settings)
    return PageCache(admission, pages, cards, viewers, city, security, rules, settings.cookie_secure)


def body_reader(settings: Settings) -> BodyReader:
    return BodyReader(
        timeout=settings.body_timeout_seconds,
        rate=settings.min_body_rate,
        max_memory=settings.body_memory_mb * 1_000_000,
        max_memory_per_network=settings.body_memory_mb_per_network * 1_000_000,
    )


def create(
    settings: Settings, templates: JinjaTemplateEngine, sessions: Sessions, use: SessionUse, feed: Feed
) -> Litestar:
    addresses = ClientAddresses(settings.trusted_proxies)
    areas = (
        *(browse, tickets, events, sell, pictures, files, sales, orders, order_copies, purchases),
        *(alerts, users, accounts, passkeys, payouts, departures, mail, developers),
        *(articles, problems, reports, previews, well_known),
    )
    return Litestar(
        route_handlers=[
            *(area.router for area in areas),
            *(sse.live, proxy.api, health.is_live, health.is_ready, health.Metrics, assets.asset),
        ],
        request_class=WebRequest,
        dependencies={
            "settings": from_state("settings"),
            "http": from_state("http"),
            "sessions": from_state("sessions"),
            "feed": from_state("feed"),
            "sitemap": from_state("sitemap"),
            "previews": from_state("previews"),
            "hub": Provide(_hub, sync_to_thread=False),
            "viewer": Provide(_viewer),
            "api": Provide(_api_client),
            "page": Provide(_page, sync_to_thread=False),
        },
        exception_handlers=EXCEPTION_HANDLERS,
        template_config=TemplateConfig(instance=templates),
        middleware=[
            WithoutBodyForHead(),
            CheckRequestHead(settings),
            ContinueTrace(),
            RememberClient(addresses.of),
            request_metrics("web", exclude="exclude_from_metrics"),
            RejectCrossSite(settings),
            NoteSessionUse(sessions, use),
        ],
        after_exception=[record_refusal],
        plugins=[HeadForGet(), AllMethodsAllowed()],
        compression_config=COMPRESSED_PAGES,
        before_request=check_recorded_user,
        before_send=[add_security_headers(settings), pass_on_cookies, omit_body_for_head],
        request_max_body_size=settings.max_body_bytes or None,
        multipart_form_part_limit=MAX_FORM_PARTS,
        openapi_config=None,
        logging_config=None,
        state=State(
            {
                "settings": settings,
                "sessions": sessions,
                "use": use,
                "feed": feed,
                "sitemap": well_known.Sitemap(),
                "previews": previews.Previews(),
                "addresses": addresses,
                "vouching": Vouching(settings),
            }
        ),
        lifespan=[_lifespan],
    )


@asynccontextmanager
async def _lifespan(app: Litestar) -> AsyncIterator[None]:
    _raise_limit_of_open_files()
    settings: Settings = app.state.settings
    feed: Feed = app.state.feed
    use: SessionUse = app.state.use
    async with (
        exporting_spans(settings, "web"),
        upstream.Upstream() as http,
        running(use.report(report_to(settings.url_of("auth")))),
        running(feed.hub.keep_alive()),
        subscriber.listening(settings, feed) as bus_is_reachable,
    ):
        app.state.http, app.state.bus_is_reachable = http, bus_is_reachable
        with sse.closed_on_signals(feed.hub):
            async with running(health.measure(bus_is_reachable)):
                yield


def _raise_limit_of_open_files() -> None:
    """Raise the soft limit, often 1,024, to the hard limit, because each connection is an open file."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


async def _api_client(
    request: WebRequest, http: NamedDependency[upstream.Upstream], settings: NamedDependency[Settings]
) -> ApiClient:
    """The API client of a request. It is stored in the state of the request for `pass_on_cookies`."""
    client = request.app.state.vouching.sign(request.client_address)
    name = device_cookie(settings.cookie_secure)
    device = f"{name}={request.cookies[name]}" if name in request.cookies else None
    token = request.cookies.get(settings.session_cookie)
    session = f"{settings.session_cookie}={token}" if token else None
    api = ApiClient(http, settings, Caller(session, client, device, request.headers.get("User-Agent")))
    request.state.api = api
    return api


async def pass_on_cookies(message: Message, scope: Scope) -> None:
    """Add the cookies that services have set during the request to the response."""
    api: ApiClient | None = scope["state"].get("api")
    if message["type"] == "http.response.start" and api is not None:
        headers = MutableScopeHeaders.from_message(message)
        for cookie in api.set_cookies:
            headers.add("Set-Cookie", cookie)


async def _viewer(
    request: WebRequest, sessions: NamedDependency[Sessions], settings: NamedDependency[Settings]
) -> Viewer:
    """The person who views a page. Error pages find the viewer in the request's state.

    For a page that all signed-in users share, the viewer counts as unknown. The page cache replaces the part
    of the page that says so.
    """
    token = request.cookies.get(settings.session_cookie)
    try:
        verified = await sessions.verify(token) if token else None
    except Unavailable:
        viewer = Viewer(known=False)
    else:
        identity = verified.identity if verified and sessions.is_valid(verified) else None
        if token and identity is None:
            record("token", "refused")
        if request.scope["state"].get(FOR_MEMBERS):
            viewer = Viewer(known=False)
        elif verified is None or identity is None:
            viewer = Viewer()
        else:
            viewer = Viewer.of(identity, partial(sessions.is_valid, verified))
    request.state.viewer = viewer
    return viewer


def _hub(feed: NamedDependency[Feed]) -> Hub:
    return feed.hub


def _page(
    request: WebRequest,
    viewer: NamedDependency[Viewer],
    api: NamedDependency[ApiClient],
    settings: NamedDependency[Settings],
    feed: NamedDependency[Feed],
) -> Page:
    return Page(request, viewer, api, settings, feed)
