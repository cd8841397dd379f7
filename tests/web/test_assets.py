"""Styles, scripts and icons: kept for good under a name that changes with them, and small."""

import gzip
import re

from tests.web.conftest import Browser
from web.assets import ASSETS

KB = 1024


async def test_all_that_a_page_names_is_kept_for_good(browser: Browser) -> None:
    page = await browser.get("/")
    addresses = set(re.findall(r'(?:href|src)="(/static/[^"#]+)', page.text))
    assert {address.split(".")[0] for address in addresses} >= {"/static/app", "/static/favicon"}
    for address in addresses:
        file = await browser.get(address)
        assert file.status_code == 200
        assert file.headers["cache-control"] == "public, max-age=31536000, immutable"


async def test_a_page_of_another_version_gets_what_there_is_but_doesnt_keep_it(browser: Browser) -> None:
    file = await browser.get("/static/app.0123456789ab.css")
    assert (file.status_code, file.headers["cache-control"]) == (200, "no-store")
    assert file.content == ASSETS["app.css"].content


async def test_other_names_are_found_nowhere(browser: Browser) -> None:
    for name in ("app.css", "app.0123456789ab.txt", "nothing.0123456789ab.css", "..%2fsettings.py", "css"):
        assert (await browser.get(f"/static/{name}")).status_code == 404


async def test_assets_and_pages_are_compressed_for_who_can_read_it(browser: Browser) -> None:
    for address in (ASSETS["app.js"].address, "/signup"):
        small = await browser.http.get(address, headers={"Accept-Encoding": "gzip"})
        assert small.headers["content-encoding"] == "gzip"
        assert "Accept-Encoding" in small.headers["vary"]
        large = await browser.http.get(address, headers={"Accept-Encoding": "identity"})
        assert "content-encoding" not in large.headers


async def test_how_well_a_page_compresses_tells_nothing(browser: Browser) -> None:
    lengths = {len(gzip.compress((await browser.get("/signup")).content)) for _ in range(8)}
    assert len(lengths) > 1


def test_styles_and_scripts_are_small() -> None:
    """Gzipped; docs/decisions/0015-pages.md says what for."""
    assert len(ASSETS["app.css"].compressed) <= 30 * KB
    assert len(ASSETS["app.js"].compressed) <= 60 * KB
