"""Playwright's own Chromium if it is installed, otherwise the system's."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from playwright.async_api import Browser, async_playwright

SYSTEM = Path("/usr/bin/chromium")
ARGUMENTS = ["--no-sandbox", "--disable-background-networking"]
LAUNCHES_WITHIN = 180_000
"""Milliseconds."""


@asynccontextmanager
async def browsing() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        own = Path(playwright.chromium.executable_path)
        browser = await playwright.chromium.launch(
            executable_path=None if own.exists() else SYSTEM, args=ARGUMENTS, timeout=LAUNCHES_WITHIN
        )
        try:
            yield browser
        finally:
            await browser.close()
