"""Fixtures of the browser tests: one browser per session, and one set of visitors per test.

pytest-playwright-asyncio starts the browser. It keeps a trace of each failed test in .test-results, and a
video if Playwright's own ffmpeg is installed. A trace contains the document before and after each action.
"""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import pytest_asyncio
from playwright.async_api import Playwright, expect
from playwright.async_api._generated import Tracing
from pytest_playwright_asyncio.pytest_playwright import CreateContextCallback

from e2e.browser import launch_options
from e2e.visitors import Visitors
from tests.support import polling
from tests.support.event_loop import use_one_event_loop
from tests.support.people import Person, signed_up
from tests.support.stack import Stack

TIMEOUT = polling.TIMEOUT * 1000
"""Milliseconds to wait until a page is as a test expects it."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    use_one_event_loop(items, Path(__file__).parent)


@pytest.fixture(scope="session")
def browser_type_launch_args(
    browser_type_launch_args: dict[str, Any], playwright: Playwright
) -> dict[str, Any]:
    """The options of the plugin, such as --headed and --slowmo, and those of `launch_options`."""
    return {**launch_options(playwright), **browser_type_launch_args}


@pytest.fixture(scope="session")
def base_url() -> None:
    """Replace the plugin's fixture, because pytest deprecates session fixtures that are instance methods."""


@pytest.fixture(scope="session", autouse=True)
def expectation_timeout() -> None:
    expect.set_options(timeout=TIMEOUT)


@pytest.fixture(scope="session", autouse=True)
def traces_without_screencast() -> Iterator[None]:
    """Leave out the continuous screenshots of traces, which take a seventh of the time of browser tests."""
    start = Tracing.start

    async def start_without_screenshots(tracing: Tracing, **options: Any) -> None:
        await start(tracing, **{**options, "screenshots": False})

    with patch.object(Tracing, "start", start_without_screenshots):
        yield


@pytest_asyncio.fixture(scope="session")
async def seller(stack: Stack) -> AsyncIterator[Person]:
    """The seller of the tickets in tests about buying."""
    async with signed_up(stack.web, 1) as (seller,):
        yield seller


@pytest_asyncio.fixture(loop_scope="session")
async def visitors(
    stack: Stack, new_context: CreateContextCallback, seller: Person
) -> AsyncIterator[Visitors]:
    """All visitors of one test. The test fails if a page reported an error on its console."""
    async with Visitors(new_context, stack.web, seller, TIMEOUT) as visitors:
        yield visitors
        visitors.check_console()
