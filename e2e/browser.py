"""Start Playwright's own Chromium if it is installed, otherwise the system's."""

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, Playwright, async_playwright

SYSTEM = Path("/usr/bin/chromium")
ARGUMENTS = ["--no-sandbox", "--disable-background-networking"]
LAUNCH_TIMEOUT = 180_000
"""Milliseconds to wait for the browser to start."""


def can_record_video() -> bool:
    """Whether `playwright install` has installed ffmpeg. The system's Chromium comes without it."""
    default = "Library/Caches/ms-playwright" if sys.platform == "darwin" else ".cache/ms-playwright"
    folder = Path(os.environ.get("PLAYWRIGHT_BROWSERS_PATH") or Path.home() / default)
    return any(folder.glob("ffmpeg-*/INSTALLATION_COMPLETE"))


def launch_options(playwright: Playwright) -> dict[str, Any]:
    own = Path(playwright.chromium.executable_path)
    return {"executable_path": None if own.exists() else SYSTEM, "args": ARGUMENTS, "timeout": LAUNCH_TIMEOUT}


@asynccontextmanager
async def browsing() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(**launch_options(playwright))
        try:
            yield browser
        finally:
            await browser.close()
