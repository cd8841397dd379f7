"""The portal for developers: the HTTP API, the catalogue of events, and how to begin."""

from typing import Any

from litestar import Response, Router, get
from litestar.di import NamedDependency
from litestar.exceptions import NotFoundException
from litestar.params import FromPath

from settings import SERVICES
from web.developers import catalogue, documents
from web.developers.flow import flow
from web.developers.quick_starts import quick_starts
from web.page_context import Page
from web.rendering.heads import Head
from web.rendering.texts import _
from web.security import HTTP_API

YAML = "application/yaml"


@get("/developers")
async def developers(page: NamedDependency[Page]) -> Response[Any]:
    context = {"services": SERVICES, "quick_starts": quick_starts(page.settings.site)}
    description = _("The HTTP API, the events that services publish, and how to begin.")
    head = Head(_("Developers"), "/developers", description)
    return page.render("developers/portal.html", context, fragment="developers/_portal.html", head=head)


@get("/developers/events")
async def events(page: NamedDependency[Page]) -> Response[Any]:
    found = catalogue.events()
    context = {"events": found, "flow": flow(found)}
    return page.render("developers/events.html", context, fragment="developers/_events.html")


@get("/developers/events/{subject:str}")
async def event(page: NamedDependency[Page], subject: FromPath[str]) -> Response[Any]:
    if (found := catalogue.events().get(subject)) is None:
        raise NotFoundException(f"There is no event {subject}")
    context = {"event": found, "version": catalogue.version()}
    return page.render("developers/event.html", context, fragment="developers/_event.html")


@get(HTTP_API)
async def http_api(page: NamedDependency[Page]) -> Response[Any]:
    """The page of Swagger UI with the document of the HTTP API."""
    return page.render("developers/http_api.html", {}, fragment="developers/http_api.html")


@get("/developers/{document:str}")
async def document_of_all(document: FromPath[str]) -> Response[bytes]:
    """The document itself: asyncapi.yaml or openapi.yaml."""
    kind, _, suffix = document.partition(".")
    if kind not in documents.KINDS or suffix != "yaml":
        raise NotFoundException(f"There is no document {document}")
    return Response(documents.text(kind), media_type=YAML, headers={"Cache-Control": "no-cache"})


@get("/developers/services/{service:str}/{file:str}")
async def document_of_service(
    page: NamedDependency[Page], service: FromPath[str], file: FromPath[str]
) -> Response[bytes]:
    """The document of one service, as the running service generates it: asyncapi.json or openapi.json."""
    kind, _, suffix = file.partition(".")
    if service not in SERVICES or kind not in documents.KINDS or suffix != "json":
        raise NotFoundException(f"There is no document {file} of {service}")
    content = await page.api.document(service, kind)
    return Response(content, media_type="application/json", headers={"Cache-Control": "no-cache"})


@get("/{address:path}")
async def not_found(page: NamedDependency[Page], address: FromPath[str]) -> Response[Any]:
    """Answer an unknown address with a 404 page that shows the signed-in user."""
    raise NotFoundException(f"{address} does not exist")


router = Router(
    "/",
    route_handlers=[developers, events, event, http_api, document_of_all, document_of_service, not_found],
)
