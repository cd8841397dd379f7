"""How it works, the terms, the imprint and other articles."""

from pathlib import Path

import pytest

from tests.integration.web.page_client import PageClient, is_page, page_client, text_of
from tests.support.asgi import alive
from tests.support.fakes.services import Services
from web.app import web_app
from web.pages.articles import PATHS


@pytest.mark.parametrize("path", ["/how-it-works", *PATHS])
async def test_an_article_is_a_page_that_every_page_links_to(client: PageClient, path: str) -> None:
    page = await client.get(path)
    assert page.status_code == 200
    assert page.text.count("<h1") == 1
    assert f'<link rel="canonical" href="http://localhost:3500{path}">' in page.text
    assert f'<a href="{path}">' in (await client.get("/")).text


async def test_a_fragment_is_the_article_alone(client: PageClient) -> None:
    fragment = await client.get("/terms", target="main")
    assert not is_page(fragment)
    assert "Terms of use" in text_of(fragment)


async def test_operators_replace_articles_while_web_runs(services: Services, tmp_path: Path) -> None:
    app = web_app(services.settings(data_dir=tmp_path, nats_url="nats://127.0.0.1:9", pages_dir=tmp_path))
    async with alive(app), page_client(app) as client:
        assert "Terms of use" in text_of(await client.get("/terms"))
        (tmp_path / "terms.md").write_text("# Our rules\n\nBe <b>kind</b> & pay.\n")
        page = await client.get("/terms")
    assert "Our rules" in text_of(page)
    assert "Be &lt;b&gt;kind&lt;/b&gt; &amp; pay." in page.text
    assert "<title>Our rules" in page.text
