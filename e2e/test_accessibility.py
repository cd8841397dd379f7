"""Nothing that axe objects to: on no page, in no state, at no size, in no colours."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Literal

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page

from e2e.scenes import Scene, play
from e2e.shots import SIZES
from e2e.visitors import House
from tests.people import PATIENCE, Person, signed_up
from tests.stack import Stack

pytestmark = pytest.mark.asyncio(loop_scope="session")

AXE = (Path(__file__).parent.parent / "static" / "vendor" / "axe-core" / "axe.min.js").read_text()
Rules = Literal["all", "of colours"]
SCHEMES: dict[Literal["light", "dark"], Rules] = {"light": "all", "dark": "of colours"}
"""In the dark nothing but colours is another."""
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22a", "wcag22aa", "best-practice"]
RUN: dict[Rules, str] = {
    "all": "(tags) => axe.run(document, {runOnly: tags, resultTypes: ['violations']})",
    "of colours": """(tags) => {
        const ours = ({ tags: of }) => of.some((tag) => tags.includes(tag));
        const values = axe.getRules(["cat.color"]).filter(ours).map((rule) => rule.ruleId);
        return axe.run(document, {runOnly: {type: "rule", values}, resultTypes: ["violations"]});
    }""",
}

Windows = dict[str, Page]
"""By size."""


class Audience:
    """Two windows for everybody who looks at something."""

    def __init__(self, browser: Browser, site: str, closes: AsyncExitStack) -> None:
        self._browser = browser
        self._site = site
        self._closes = closes
        self._windows: dict[Person | None, Windows] = {}

    async def of(self, person: Person | None) -> Windows:
        if person not in self._windows:
            self._windows[person] = {size: await self._window(person, size) for size in SIZES}
        return self._windows[person]

    async def _window(self, person: Person | None, size: str) -> Page:
        context = await self._browser.new_context(viewport=SIZES[size], reduced_motion="reduce")
        self._closes.push_async_callback(context.close)
        context.set_default_timeout(PATIENCE * 1000)
        if person is not None:
            session = person.client.headers["Authorization"].removeprefix("Bearer ")
            await context.add_cookies([{"name": "session", "value": session, "url": self._site}])
        return await context.new_page()


@pytest_asyncio.fixture(loop_scope="session")
async def audience(stack: Stack, browser: Browser) -> AsyncIterator[Audience]:
    async with AsyncExitStack() as closes:
        yield Audience(browser, stack.web, closes)


async def violations(page: Page, rules: Rules = "all") -> list[str]:
    """What axe says, an element a line. It stays in the page until another is opened."""
    if not await page.evaluate("'axe' in window"):
        await page.evaluate(AXE)
    found: dict[str, Any] = await page.evaluate(RUN[rules], TAGS)
    return [
        f"{rule['id']}: {node['target']} {node['failureSummary']}"
        for rule in found["violations"]
        for node in rule["nodes"]
    ]


async def _look_at(scene: Scene, size: str, page: Page, site: str) -> list[str]:
    await scene.open(page, site)
    found = []
    for scheme, rules in SCHEMES.items():
        await page.emulate_media(color_scheme=scheme)
        found += [f"{scene.name}, {size}, {scheme}: {line}" for line in await violations(page, rules)]
    return found


async def test_axe_objects_to_nothing_on_any_page_in_any_state(stack: Stack, audience: Audience) -> None:
    found: list[str] = []
    async with signed_up(stack.web, 4) as people:
        async for _, scene in play(stack, people):
            windows = await audience.of(scene.person)
            looks = (_look_at(scene, size, page, stack.web) for size, page in windows.items())
            for lines in await asyncio.gather(*looks):
                found += lines
    assert not found, "\n".join(found)


async def test_what_axe_objects_to_is_noticed(house: House) -> None:
    """The control: a page that somebody spoils."""
    visitor = await house.guest()
    await visitor.open("/signin")
    assert await violations(visitor.page) == []
    await visitor.page.evaluate("document.querySelector('label').remove()")
    assert any(line.startswith("label:") for line in await violations(visitor.page))
    assert await violations(visitor.page, "of colours") == []
    await visitor.page.evaluate("document.querySelector('h1').style.color = '#ddd'")
    (line,) = await violations(visitor.page, "of colours")
    assert line.startswith("color-contrast:")
