"""Links to the documentation of the APIs and events, and the page for unknown addresses."""

from typing import Any

from litestar import Response, Router, get
from litestar.di import NamedDependency
from litestar.exceptions import NotFoundException
from litestar.params import FromPath

from settings import SERVICES
from web.page_context import Page


@get("/developers")
async def developers(page: NamedDependency[Page]) -> Response[Any]:
    services = [(name, page.settings.url_of(name)) for name in SERVICES]
    return page.render("developers/list.html", {"services": services}, fragment="developers/_list.html")


@get("/{address:path}")
async def not_found(page: NamedDependency[Page], address: FromPath[str]) -> Response[Any]:
    """Answer an unknown address with a 404 page that shows the signed-in user."""
    raise NotFoundException(f"{address} does not exist")


router = Router("/", route_handlers=[developers, not_found])
