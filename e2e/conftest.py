"""One browser for the session, one house of visitors for each test."""

from collections.abc import AsyncIterator, Generator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from e2e.browser import browsing
from e2e.visitors import House
from tests import people
from tests.people import Person, signed_up
from tests.stack import Stack

PATIENCE = people.PATIENCE * 1000
"""Milliseconds that a page has to show what is expected."""

_failed = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    report = yield
    if report.when == "call":
        item.stash[_failed] = report.failed
    return report


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    expect.set_options(timeout=PATIENCE)
    async with browsing() as browser:
        yield browser


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def seller(stack: Stack) -> AsyncIterator[Person]:
    """Who has something to sell in tests that are about buying."""
    async with signed_up(stack.web, 1) as (seller,):
        yield seller


@pytest_asyncio.fixture(loop_scope="session")
async def house(
    stack: Stack, browser: Browser, seller: Person, request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncIterator[House]:
    """Everybody who visits during one test; a test that fails leaves a picture of each page."""
    house = House(browser, stack.web, seller, PATIENCE)
    try:
        yield house
        if request.node.stash.get(_failed, False):
            await house.photograph(tmp_path)
        else:
            house.check_manners()
    finally:
        await house.close()
