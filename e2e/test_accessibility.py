"""Automatic accessibility checks of all pages with axe, in each state, window size and color scheme."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Literal

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page

from e2e.scenes import Scene, all_scenes
from e2e.shots import SIZES
from e2e.visitors import Visitors
from tests.support.people import Person, signed_up
from tests.support.polling import TIMEOUT
from tests.support.stack import Stack

AXE = (Path(__file__).parent.parent / "static" / "vendor" / "axe-core" / "axe.min.js").read_text()
Rules = Literal["all", "colors"]
SCHEMES: dict[Literal["light", "dark"], Rules] = {"light": "all", "dark": "colors"}
"""The rules that are checked in each color scheme. The dark scheme differs in colors only."""
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22a", "wcag22aa", "best-practice"]
RUN: dict[Rules, str] = {
    "all": "(tags) => axe.run(document, {runOnly: tags, resultTypes: ['violations']})",
    "colors": """(tags) => {
        const ours = ({ tags: of }) => of.some((tag) => tags.includes(tag));
        const values = axe.getRules(["cat.color"]).filter(ours).map((rule) => rule.ruleId);
        return axe.run(document, {runOnly: {type: "rule", values}, resultTypes: ["violations"]});
    }""",
}


class Audience:
    """The windows in which scenes are opened: one for each signed-in person, and one for guests."""

    def __init__(self, browser: Browser, site: str, closes: AsyncExitStack) -> None:
        self._browser = browser
        self._site = site
        self._closes = closes
        self._windows: dict[Person | None, Page] = {}

    async def window_of(self, person: Person | None) -> Page:
        if person not in self._windows:
            self._windows[person] = await self._window(person)
        return self._windows[person]

    async def _window(self, person: Person | None) -> Page:
        context = await self._browser.new_context(reduced_motion="reduce")
        self._closes.push_async_callback(context.close)
        context.set_default_timeout(TIMEOUT * 1000)
        if person is not None:
            session = person.client.headers["Authorization"].removeprefix("Bearer ")
            await context.add_cookies([{"name": "session", "value": session, "url": self._site}])
        return await context.new_page()


@pytest_asyncio.fixture(loop_scope="session")
async def audience(stack: Stack, browser: Browser) -> AsyncIterator[Audience]:
    async with AsyncExitStack() as closes:
        yield Audience(browser, stack.web, closes)


async def violations(page: Page, rules: Rules = "all") -> list[str]:
    """The violations that axe reports, one line per element."""
    if not await page.evaluate("'axe' in window"):  # a navigation removes axe
        await page.evaluate(AXE)
    found: dict[str, Any] = await page.evaluate(RUN[rules], TAGS)
    return [
        f"{rule['id']}: {node['target']} {node['failureSummary']}"
        for rule in found["violations"]
        for node in rule["nodes"]
    ]


async def _look_at(scene: Scene, page: Page, site: str) -> list[str]:
    """Open the scene once, and look at it in every size and color scheme. Only styles depend on the size."""
    first, *_ = SIZES.values()
    await page.set_viewport_size(first)
    await scene.open(page, site)
    found = []
    for size, viewport in SIZES.items():
        await page.set_viewport_size(viewport)
        for scheme, rules in SCHEMES.items():
            await page.emulate_media(color_scheme=scheme)
            found += [f"{scene.name}, {size}, {scheme}: {line}" for line in await violations(page, rules)]
    return found


@pytest.mark.timeout(900)  # about 60 scenes, each in six ways
async def test_axe_finds_no_violation_on_any_page_in_any_state(stack: Stack, audience: Audience) -> None:
    found: list[str] = []
    async with signed_up(stack.web, 4) as people:
        async for _, scene in all_scenes(stack, people):
            found += await _look_at(scene, await audience.window_of(scene.person), stack.web)
    assert not found, "\n".join(found)


async def test_a_violation_of_an_axe_rule_is_found(visitors: Visitors) -> None:
    """The control test: a page that violates rules on purpose."""
    visitor = await visitors.guest()
    await visitor.open("/signin")
    assert await violations(visitor.page) == []
    await visitor.page.evaluate("document.querySelector('label').remove()")
    assert any(line.startswith("label:") for line in await violations(visitor.page))
    assert await violations(visitor.page, "colors") == []
    await visitor.page.evaluate("document.querySelector('h1').style.color = '#ddd'")
    (line,) = await violations(visitor.page, "colors")
    assert line.startswith("color-contrast:")
