"""Static assets: caching, compression and size limits."""

import re

from tests.integration.web.page_client import PageClient
from web.rendering.assets import ASSETS, MODULES

KB = 1024


async def test_every_asset_of_a_page_is_cached_forever(client: PageClient) -> None:
    page = await client.get("/")
    addresses = set(re.findall(r'(?:href|src)="(/static/[^"#]+)', page.text))
    assert {address.split(".")[0] for address in addresses} >= {
        "/static/app",
        "/static/favicon",
        "/static/htmx",
    }
    for address in addresses:
        file = await client.get(address)
        assert file.status_code == 200
        assert file.headers["cache-control"] == "public, max-age=31536000, immutable"


async def test_a_page_preloads_every_module_and_runs_the_entry_module_after_htmx(client: PageClient) -> None:
    page = (await client.get("/")).text
    preloaded = re.findall(r'<link rel="modulepreload" href="([^"]+)" fetchpriority="low">', page)
    entry = ASSETS["main.js"].address
    assert {*preloaded, entry} == {module.address for module in MODULES.values()}
    assert re.findall(r'<script src="([^"]+)" (defer|type="module")>', page) == [
        (ASSETS["htmx.js"].address, "defer"),
        (entry, 'type="module"'),
    ]


async def test_a_request_for_another_version_of_an_asset_returns_the_current_version_uncached(
    client: PageClient,
) -> None:
    file = await client.get("/static/app.0123456789ab.css")
    assert (file.status_code, file.headers["cache-control"]) == (200, "no-store")
    assert file.content == ASSETS["app.css"].content


async def test_an_unknown_asset_is_not_found(client: PageClient) -> None:
    for name in ("app.css", "app.0123456789ab.txt", "nothing.0123456789ab.css", "..%2fsettings.py", "css"):
        assert (await client.get(f"/static/{name}")).status_code == 404


async def test_assets_and_pages_are_compressed_for_browsers_that_accept_gzip(client: PageClient) -> None:
    for address in (ASSETS["htmx.js"].address, "/signup"):
        small = await client.http.get(address, headers={"Accept-Encoding": "gzip"})
        assert small.headers["content-encoding"] == "gzip"
        assert "Accept-Encoding" in small.headers["vary"]
        large = await client.http.get(address, headers={"Accept-Encoding": "identity"})
        assert "content-encoding" not in large.headers


def test_styles_and_scripts_stay_within_their_size_limits() -> None:
    """docs/decisions/0015-pages.md sets these limits for the gzipped content."""
    assert len(ASSETS["app.css"].compressed) <= 30 * KB
    scripts = (ASSETS["htmx.js"], *MODULES.values())
    assert sum(len(script.compressed) for script in scripts) <= 60 * KB
