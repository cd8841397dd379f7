"""How it works, the terms, the imprint and other articles, whose Markdown files an operator replaces."""

from typing import Any

from litestar import Response, Router, get
from litestar.di import NamedDependency

from contracts import guarantees, price_caps
from web.page_context import Page
from web.rendering import articles, locales
from web.rendering.articles import Article
from web.rendering.heads import Head

PATHS = [f"/{name}" for name in articles.NAMES if f"/{name}" != guarantees.PAGE]
"""The pages that have nothing but their file."""


@get(guarantees.PAGE)
async def how_it_works(page: NamedDependency[Page]) -> Response[Any]:
    """What is guaranteed, by whom and until when, below the article."""
    caps = price_caps.read(page.settings.price_caps)
    article = _article(page, guarantees.PAGE)
    context = {
        "article": article,
        "caps": caps,
        "requires_face_value": page.settings.require_face_value,
    }
    head = _head(guarantees.PAGE, article)
    return page.render("how_it_works/show.html", context, fragment="how_it_works/_show.html", head=head)


@get(PATHS)
async def show(page: NamedDependency[Page]) -> Response[Any]:
    path = page.request.scope["path"]
    article = _article(page, path)
    head = _head(path, article)
    return page.render("articles/show.html", {"article": article}, fragment="articles/_show.html", head=head)


def _article(page: Page, path: str) -> Article:
    return articles.article(path.strip("/"), locales.current().language, page.settings.pages_dir)


def _head(path: str, article: Article) -> Head:
    return Head(article.title, path, article.description)


router = Router("/", route_handlers=[how_it_works, show])
