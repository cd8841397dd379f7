"""Where the APIs and events are described; and every address that there is not."""

from typing import Any

from litestar import Response, Router, get
from litestar.di import NamedDependency
from litestar.exceptions import NotFoundException
from litestar.params import FromPath

from settings import SERVICES
from web.page import Page


@get("/developers")
async def developers(page: NamedDependency[Page]) -> Response[Any]:
    await page.look()
    services = [(name, page.settings.url_of(name)) for name in SERVICES]
    return page.render("developers/list.html", {"services": services}, fragment="developers/_list.html")


@get("/{address:path}")
async def nowhere(page: NamedDependency[Page], address: FromPath[str]) -> Response[Any]:
    """So that the page of an unknown address knows who looks."""
    await page.look()
    raise NotFoundException(f"There is no {address}")


router = Router("/", route_handlers=[developers, nowhere])
