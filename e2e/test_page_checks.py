"""The checks of `just page-report` find what is wrong with a page."""

from urllib.robotparser import RobotFileParser

from e2e import page_checks
from e2e.visitors import Visitors

PUBLIC = "/how-it-works"


async def test_a_public_and_a_private_page_pass_all_checks(visitors: Visitors) -> None:
    visitor, watch = await visitors.guest(), page_checks.Watch()
    watch.listen(visitor.page)
    robots = await page_checks.robots_of(visitor.page, visitor.site)
    for path in (PUBLIC, "/signin"):
        await visitor.open(path)
        is_public = path == PUBLIC
        assert await page_checks.search_engines(visitor.page, robots, is_public=is_public) == []
        assert await page_checks.best_practices(visitor.page, watch) == []
        assert await page_checks.accessibility(visitor.page) == []


async def test_what_search_engines_miss_is_found(visitors: Visitors) -> None:
    visitor = await visitors.guest()
    await visitor.open(PUBLIC)
    await visitor.page.evaluate(
        """() => {
            document.head.querySelectorAll("title, meta[name=description], link[rel=canonical]")
                .forEach((element) => element.remove());
            document.documentElement.lang = "";
            const links = "<a>Nowhere</a><a href='/'>here</a>";
            document.querySelector("main").insertAdjacentHTML("beforeend", links);
        }"""
    )
    forbidding = RobotFileParser()
    forbidding.parse(["User-agent: *", f"Disallow: {PUBLIC}"])
    assert await page_checks.search_engines(visitor.page, forbidding, is_public=True) == [
        "title",
        "description",
        "lang",
        "crawlable links",
        "text of links",
        "canonical is missing",
        "robots.txt forbids a public page",
    ]


async def test_errors_while_a_page_loads_and_bad_pictures_are_found(visitors: Visitors) -> None:
    visitor, watch = await visitors.guest(), page_checks.Watch()
    watch.listen(visitor.page)
    await visitor.open(PUBLIC)
    await visitor.page.evaluate(
        """async () => {
            await fetch("/no/such/page");
            const image = new Image();
            image.src = "/icons/180.png";
            image.style.cssText = "width: 90px; height: 30px";
            document.querySelector("main").append(image);
            await image.decode();
        }"""
    )
    found = await page_checks.best_practices(visitor.page, watch)
    assert f"failed request: {visitor.site}/no/such/page 404" in found
    assert {"aspect ratio of pictures", "size of pictures"} <= {*found}
