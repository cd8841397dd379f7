"""What Lighthouse checks of a page besides speed, as far as it applies to pages of one site.

Each list has the names of the failed checks: https://github.com/GoogleChrome/lighthouse, core/config.
"""

from dataclasses import dataclass, field
from urllib.parse import urlsplit
from urllib.robotparser import RobotFileParser

from playwright.async_api import ConsoleMessage, Page, Request, Response, WebError

from e2e.test_accessibility import violations

BEST_PRACTICES = """() => {
    const images = [...document.images];
    const shown = images.filter((image) => image.complete && image.naturalWidth && image.clientWidth);
    const fits = (image) => getComputedStyle(image).objectFit !== "fill"
        || Math.abs(image.clientWidth / image.clientHeight - image.naturalWidth / image.naturalHeight) < 0.05;
    return Object.entries({
        doctype: document.doctype?.name === "html" && document.compatMode === "CSS1Compat",
        charset: document.characterSet === "UTF-8",
        "aspect ratio of pictures": shown.every(fits),
        "size of pictures": images.every((image) =>
            (image.getAttribute("width") && image.getAttribute("height"))
            || getComputedStyle(image).aspectRatio.includes("/") || !image.clientWidth),
    }).filter(([, passes]) => !passes).map(([name]) => name);
}"""
SEARCH_ENGINES = """() => {
    const one = (selector) => {
        const found = document.querySelectorAll(selector);
        return found.length === 1 ? found[0] : null;
    };
    const links = [...document.querySelectorAll("a")];
    const name = (link) => link.getAttribute("aria-label") || link.textContent.trim()
        || link.querySelector("img")?.alt || "";
    const says = (text) => text && !/^(click here|here|more|go|link)$/i.test(text);
    const alternates = [...document.querySelectorAll("link[rel=alternate][hreflang]")];
    const size = Number.parseFloat(getComputedStyle(document.body).fontSize);
    return Object.entries({
        title: one("title")?.text.trim(),
        description: one("meta[name=description]")?.content.trim(),
        viewport: one("meta[name=viewport]")?.content.includes("width=device-width"),
        lang: /^[a-z]{2}(-[A-Z]{2})?$/.test(document.documentElement.lang),
        "crawlable links": links.every((link) => link.href && !link.href.startsWith("javascript:")),
        "text of links": links.every((link) => says(name(link))),
        "alt of pictures": [...document.images].every((image) => image.hasAttribute("alt")),
        "font size": size >= 12,
        canonical: document.querySelectorAll("link[rel=canonical]").length < 2,
        hreflang: alternates.every((link) => /^([a-z]{2}|x-default)$/.test(link.hreflang) && link.href),
        "no noindex": !document.querySelector("meta[name=robots][content*=noindex]"),
    }).filter(([, passes]) => !passes).map(([name]) => name);
}"""
PUBLIC = """() => Object.entries({
    "canonical is missing": document.querySelector("link[rel=canonical]")?.href,
    "hreflang is missing": document.querySelector("link[rel=alternate][hreflang=x-default]"),
}).filter(([, passes]) => !passes).map(([name]) => name)"""
"""What only pages need that search engines should list."""


@dataclass
class Watch:
    """Collects what goes wrong while a page loads."""

    errors: list[str] = field(default_factory=list)

    def listen(self, page: Page) -> None:
        page.on("console", self._said)
        page.on("requestfailed", self._failed)
        page.on("response", self._answered)
        page.context.on("weberror", self._threw)

    def _said(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.errors.append(f"console: {message.text}")

    def _failed(self, request: Request) -> None:
        self.errors.append(f"failed request: {request.url}")

    def _answered(self, response: Response) -> None:
        if response.status >= 400:
            self.errors.append(f"failed request: {response.url} {response.status}")

    def _threw(self, error: WebError) -> None:
        self.errors.append(f"error: {error.error}")


async def accessibility(page: Page) -> list[str]:
    return await violations(page)


async def best_practices(page: Page, watch: Watch) -> list[str]:
    return [*watch.errors, *await page.evaluate(BEST_PRACTICES)]


async def search_engines(page: Page, robots: RobotFileParser, *, is_public: bool) -> list[str]:
    """Private pages need no canonical address, and robots.txt keeps crawlers away from them."""
    found: list[str] = await page.evaluate(SEARCH_ENGINES)
    address = urlsplit(page.url)
    may_crawl = robots.can_fetch("*", f"{address.path}?{address.query}")
    if is_public:
        found += await page.evaluate(PUBLIC)
    if may_crawl != is_public:
        found.append("robots.txt allows a private page" if may_crawl else "robots.txt forbids a public page")
    return found


async def robots_of(page: Page, site: str) -> RobotFileParser:
    """The rules of the site for crawlers."""
    robots = RobotFileParser()
    answer = await page.request.get(f"{site}/robots.txt")
    assert answer.status == 200, "a site needs a robots.txt"
    robots.parse((await answer.text()).splitlines())
    return robots
