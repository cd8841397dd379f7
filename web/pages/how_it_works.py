"""The page that says what is guaranteed, by whom and until when."""

from typing import Any

from litestar import Response, Router, get
from litestar.di import NamedDependency

from contracts import guarantees, price_caps
from web.page_context import Page


@get(guarantees.PAGE)
async def show(page: NamedDependency[Page]) -> Response[Any]:
    caps = price_caps.read(page.settings.price_caps)
    context = {"caps": caps, "requires_face_value": page.settings.require_face_value}
    return page.render("how_it_works/show.html", context, fragment="how_it_works/_show.html")


router = Router("/", route_handlers=[show])
