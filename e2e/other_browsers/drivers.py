"""Firefox and WebKit, with the few operations that both have in common.

Playwright drives neither the Firefox nor the WebKit of a Linux distribution. Firefox speaks WebDriver BiDi,
which puppeteer-core implements, and WebKit's driver speaks W3C WebDriver.
"""

import asyncio
import json
import shutil
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

import httpx

from sandbox.processes import Process, answering
from sandbox.testing import free_port, running
from tests.support.node_tools import installed
from tests.support.polling import TIMEOUT, until

HERE = Path(__file__).parent
FIREFOX = ("firefox-esr", "firefox")
DRIVER = "WebKitWebDriver"
ANSWERS_WITHIN = 200.0
"""Seconds for one command to a browser. The browser's own limits are shorter and say more."""


class Failed(Exception):
    """The browser couldn't do what it was asked to, for example because the page is being replaced."""


class Window(Protocol):
    """One browser window with cookies of its own."""

    async def open(self, address: str) -> None: ...

    async def click(self, xpath: str) -> None:
        """Wait for the element, and click it with the mouse."""

    async def type(self, xpath: str, text: str) -> None:
        """Wait for the field, and type into it."""

    async def value(self, expression: str) -> Any:
        """The value of a JavaScript expression in the page."""

    async def resize(self, width: int, height: int) -> None:
        """Set the size of the page's visible part."""

    async def errors(self) -> list[str]:
        """What scripts failed with and what the Content-Security-Policy blocked, in all pages so far."""


class Browser(Protocol):
    version: str

    def window(self) -> AbstractAsyncContextManager[Window]: ...


class Firefox:
    """Debian's Firefox. One process has all windows."""

    def __init__(self, bridge: asyncio.subprocess.Process) -> None:
        self._bridge = bridge
        self._turn = asyncio.Lock()
        self.version = ""

    @classmethod
    @asynccontextmanager
    async def started(cls, folder: Path) -> AsyncIterator["Firefox"]:
        """Start Firefox. It ends with this process at the latest, because its input ends then."""
        executable = next(filter(None, map(shutil.which, FIREFOX)), None)
        assert executable, "Firefox was not tested, because it isn't installed: apt-get install firefox-esr"
        tools = await asyncio.to_thread(installed, "firefox")
        script = tools / "firefox.mjs"
        # A module's imports are looked up from its own place, so the package has to be beside the script.
        script.write_text((HERE / "firefox.mjs").read_text("utf-8"))
        with (folder / "firefox.log").open("ab") as log:
            bridge = await asyncio.create_subprocess_exec(
                *("node", str(script), executable, str(int(TIMEOUT * 1000))),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
            )
        firefox = cls(bridge)
        try:
            firefox.version = await firefox.ask("version")
            yield firefox
        finally:
            assert bridge.stdin is not None
            bridge.stdin.close()
            try:
                await asyncio.wait_for(bridge.wait(), TIMEOUT)
            except TimeoutError:
                bridge.kill()
                await bridge.wait()

    async def ask(self, *command: Any) -> Any:
        """Send one command and return the answer.

        Raises:
            Failed: the browser answered with an error.
        """
        assert self._bridge.stdin is not None
        assert self._bridge.stdout is not None
        async with self._turn, asyncio.timeout(ANSWERS_WITHIN):
            self._bridge.stdin.write(json.dumps(command).encode() + b"\n")
            line = await self._bridge.stdout.readline()
        answer = json.loads(line or '{"error": "Firefox or puppeteer has ended"}')
        if "error" in answer:
            raise Failed(answer["error"])
        return answer["value"]

    @asynccontextmanager
    async def window(self) -> AsyncIterator[Window]:
        number: int = await self.ask("window")
        yield FirefoxWindow(self, number)
        await self.ask("close", number)


class FirefoxWindow:
    def __init__(self, firefox: Firefox, number: int) -> None:
        self._firefox = firefox
        self._number = number

    async def open(self, address: str) -> None:
        await self._firefox.ask("open", self._number, address)

    async def click(self, xpath: str) -> None:
        await self._firefox.ask("click", self._number, xpath)

    async def type(self, xpath: str, text: str) -> None:
        await self._firefox.ask("type", self._number, xpath, text)

    async def value(self, expression: str) -> Any:
        return await self._firefox.ask("value", self._number, expression)

    async def resize(self, width: int, height: int) -> None:
        await self._firefox.ask("resize", self._number, width, height)

    async def errors(self) -> list[str]:
        errors: list[str] = await self._firefox.ask("errors", self._number)
        return errors


class WebKit:
    """Debian's WebKitGTK. Each window has its own driver and screen, because a driver has one session."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._windows = 0
        self.version = ""

    @classmethod
    @asynccontextmanager
    async def started(cls, folder: Path) -> AsyncIterator["WebKit"]:
        missing = [tool for tool in (DRIVER, "xvfb-run") if not shutil.which(tool)]
        assert not missing, (
            f"WebKit was not tested, because there is no {' and no '.join(missing)}: "
            "apt-get install webkit2gtk-driver gir1.2-webkit2-4.1 python3-gi xvfb"
        )
        webkit = cls(folder)
        async with webkit.window():  # shows at once whether it works here
            yield webkit

    @asynccontextmanager
    async def window(self) -> AsyncIterator[Window]:
        self._windows += 1
        folder = self._folder / f"webkit-{self._windows}"
        folder.mkdir()
        port = free_port()
        driver = Process(
            name=DRIVER,
            command=("xvfb-run", "-a", "-s", "-screen 0 1600x1200x24", DRIVER, f"--port={port}"),
            ready=answering(port, "/status"),
            port=port,
            # Debian's Python must not find the packages of this one.
            environment={"PYTHONPATH": "", "PYTHONHOME": ""},
        )
        options = {"binary": "/usr/bin/python3", "args": [str(HERE / "webkit.py"), str(folder)]}
        capabilities = {"alwaysMatch": {"webkitgtk:browserOptions": options}}
        async with (
            running(driver, folder / "driver.log", signal.SIGTERM),
            httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=ANSWERS_WITHIN) as http,
        ):
            started = _value(await http.post("/session", json={"capabilities": capabilities}))
            self.version = f"WebKitGTK {started['capabilities']['browserVersion']}"
            http.base_url = http.base_url.join(f"/session/{started['sessionId']}/")
            yield WebKitWindow(http, folder / "errors")
            await http.delete("")


class WebKitWindow:
    def __init__(self, http: httpx.AsyncClient, errors: Path) -> None:
        self._http = http
        self._errors = errors

    async def open(self, address: str) -> None:
        await self._post("url", url=address)

    async def click(self, xpath: str) -> None:
        await self._with_element(xpath, lambda element: self._post(f"element/{element}/click"))

    async def type(self, xpath: str, text: str) -> None:
        await self._with_element(xpath, lambda element: self._post(f"element/{element}/value", text=text))

    async def value(self, expression: str) -> Any:
        return await self._post("execute/sync", script=f"return {expression}", args=[])

    async def resize(self, width: int, height: int) -> None:
        await self._post("window/rect", width=width, height=height)

    async def errors(self) -> list[str]:
        if not self._errors.exists():
            return []
        return [json.loads(line) for line in self._errors.read_text().splitlines()]

    async def _post(self, command: str, **body: Any) -> Any:
        return _value(await self._http.post(command, json=body))

    async def _with_element(self, xpath: str, use: Callable[[str], Any]) -> None:
        """Find an element and use it, again and again until that succeeds: the element may not be there yet,
        or may be replaced in between."""
        problem = ""

        async def used() -> bool:
            nonlocal problem
            try:
                found: dict[str, str] = await self._post("element", using="xpath", value=xpath)
                await use(*found.values())
            except Failed as failed:
                problem = str(failed)
                return False
            return True

        try:
            await until(used)
        except AssertionError:
            raise Failed(f"{xpath}: {problem}") from None


def _value(answer: httpx.Response) -> Any:
    value = answer.json()["value"]
    if answer.is_error:
        raise Failed(f"{value['error']}: {value['message']}")
    return value
