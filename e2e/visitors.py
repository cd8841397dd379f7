"""People in front of a browser, and what they do on our pages."""

import asyncio
import re
import secrets
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.async_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Locator,
    Page,
    Request,
    WebError,
    expect,
)

from tests.people import PASSWORD, Person, signed_up

NOT_THE_PAGES_FAULT = (
    "Failed to load resource",
    "htmx: htmx:error: Failed to fetch",
    "Transition was",
)
"""What the console says of every answer from 400 on, of a network that is gone, and of a transition from one
page to the next that the browser left out."""


@dataclass
class Visitor:
    """Someone with a browser of their own: cookies, one page, and notes of what it did wrong."""

    page: Page
    site: str
    errors: list[str] = field(default_factory=list)
    """What the console and scripts complained about."""
    hosts: set[str] = field(default_factory=set)
    """Every host that a page of theirs asked for something."""

    async def open(self, path: str) -> None:
        await self.page.goto(self.site + path)

    def button(self, name: str | re.Pattern[str]) -> Locator:
        return self.page.get_by_role("button", name=name)

    def link(self, name: str | re.Pattern[str]) -> Locator:
        return self.page.get_by_role("link", name=name)

    def heading(self, name: str | re.Pattern[str]) -> Locator:
        return self.page.get_by_role("heading", name=name)

    @property
    def main(self) -> Locator:
        return self.page.get_by_role("main")

    @property
    def notice(self) -> Locator:
        """What is said above the page, while the page itself stays."""
        return self.page.get_by_role("banner").locator("xpath=following-sibling::*[@role='alert']")

    @property
    def path(self) -> str:
        return urlsplit(self.page.url).path

    async def sees(self, text: str | re.Pattern[str]) -> None:
        await expect(self.main.get_by_text(text).first).to_be_visible()

    async def signs_up(self) -> str:
        """Through the form, from whatever page they are on; gives the e-mail address."""
        await self.page.get_by_role("banner").get_by_role("link", name="Sign up").click()
        return await self.fills_in_sign_up()

    async def fills_in_sign_up(self) -> str:
        email = f"{secrets.token_hex(8)}@example.com"
        await self.page.get_by_label("Email").fill(email)
        await self.page.get_by_label("Password").fill(PASSWORD)
        await self.button("Sign up").click()
        await expect(self.page.get_by_role("banner")).to_contain_text(email)
        return email

    async def lists(self, title: str, price: str) -> str:
        """Through the form; gives the path of the ticket's page."""
        await self.page.get_by_role("navigation").get_by_role("link", name="Sell", exact=True).click()
        await self.page.get_by_label("What is it a ticket for?").fill(title)
        await self.page.get_by_label("Price").fill(price)
        await self.button("Put it on sale").click()
        await expect(self.heading(title)).to_be_visible()
        return self.path

    async def reserves(self, ticket: str) -> str:
        """Open the ticket's page and press Buy; gives the path of the order's page."""
        await self.open(ticket)
        return await self.buys()

    async def buys(self) -> str:
        """Press Buy; what is bought is shown for a review."""
        await self.button("Buy").click()
        await expect(self.heading("Is this the one?")).to_be_visible()
        return self.path

    async def goes_to_pay(self) -> None:
        """From the review on; who has been there already stays."""
        on = self.link("Continue to payment")
        await expect(on.or_(self.button(re.compile("^Pay "))).first).to_be_visible()
        if await on.is_visible():
            await on.click()

    async def pays(self, card: str | None = None) -> None:
        """With a test card, or with the one that is chosen already."""
        await self.goes_to_pay()
        if card is not None:
            await self.page.get_by_role("radio", name=card).check()
        await self.button(re.compile("^Pay ")).click()

    async def marks_the_page(self) -> None:
        """What `still_has_the_mark` looks for: a reload would wipe it off."""
        await self.page.evaluate("window.isTheSamePage = true")

    async def still_has_the_mark(self) -> bool:
        return bool(await self.page.evaluate("window.isTheSamePage === true"))


@dataclass
class Member(Visitor):
    """A visitor who is signed in, and can be asked through the API what the services know."""

    person: Person = field(kw_only=True)


class House:
    """All visitors of one test."""

    def __init__(self, browser: Browser, site: str, seller: Person, patience: float) -> None:
        self.site = site
        self._seller = seller
        self._browser = browser
        self._patience = patience
        self._visitors: list[Visitor] = []
        self._open = AsyncExitStack()

    async def guest(self, *, site: str = "", **options: Any) -> Visitor:
        """Nobody known yet; `options` are those of a browser context."""
        page = await (await self._context(options)).new_page()
        return self._watched(Visitor(page, site or self.site))

    async def member(self, *, site: str = "", **options: Any) -> Member:
        """Someone new who is signed in already, on another copy of web if `site` says so."""
        person, context = await asyncio.gather(self.person(), self._context(options))
        session = person.client.headers["Authorization"].removeprefix("Bearer ")
        await context.add_cookies([{"name": "session", "value": session, "url": self.site, "httpOnly": True}])
        visitor = Member(await context.new_page(), site or self.site, person=person)
        self._watched(visitor)
        return visitor

    async def person(self) -> Person:
        """Someone new who is signed in, but looks at nothing: a client of the API."""
        (person,) = await self._open.enter_async_context(signed_up(self.site, 1))
        return person

    async def ticket(self, price: float = 45, title: str | None = None, **more: Any) -> dict[str, Any]:
        """A new ticket on sale, of a seller who doesn't matter."""
        return await self._seller.offers(price, title or some_title(), **more)

    async def _context(self, options: dict[str, Any]) -> BrowserContext:
        context: BrowserContext = await self._browser.new_context(**options)
        self._open.push_async_callback(context.close)
        context.set_default_timeout(self._patience)
        return context

    def _watched(self, visitor: Visitor) -> Visitor:
        def console(message: ConsoleMessage) -> None:
            if message.type == "error" and not message.text.startswith(NOT_THE_PAGES_FAULT):
                visitor.errors.append(message.text)

        def asked(request: Request) -> None:
            if host := urlsplit(request.url).netloc:
                visitor.hosts.add(host)

        context = visitor.page.context
        context.on("console", console)
        context.on("request", asked)

        def failed(error: WebError) -> None:
            if not str(error.error).startswith(NOT_THE_PAGES_FAULT):
                visitor.errors.append(str(error.error))

        context.on("weberror", failed)
        self._visitors.append(visitor)
        return visitor

    def check_manners(self) -> None:
        """No page complained; a violated Content-Security-Policy is an error on the console too."""
        errors = [error for visitor in self._visitors for error in visitor.errors]
        assert not errors, "the browser's console says: " + "\n".join(errors)

    async def photograph(self, folder: Path) -> None:
        """A picture of each visitor's page, with its address in the test's output."""
        for number, visitor in enumerate(self._visitors, 1):
            picture = folder / f"visitor-{number}.png"
            await visitor.page.screenshot(path=picture, full_page=True)
            print(f"{visitor.page.url} looked like {picture}")  # noqa: T201 pytest shows it

    async def close(self) -> None:
        await self._open.aclose()


def order_id(path: str) -> str:
    """Of an order's page."""
    return path.removeprefix("/orders/")


def some_title() -> str:
    """A title that only this test uses."""
    return f"Hania Rani, Malmö {secrets.token_hex(4)}"
