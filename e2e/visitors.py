"""People with a browser, and the actions that they take on pages."""

import asyncio
import re
import secrets
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import urlsplit

import pytest
from playwright.async_api import (
    BrowserContext,
    ConsoleMessage,
    Locator,
    Page,
    Request,
    WebError,
    expect,
)
from pytest_playwright_asyncio.pytest_playwright import CreateContextCallback

from tests.support.people import PASSWORD, Person, random_word, signed_up

WITH_AND_WITHOUT_JAVASCRIPT = pytest.mark.parametrize(
    "java_script_enabled", [True, False], ids=["javascript", "no-javascript"]
)
IN_MOTION: dict[str, Any] = {"reduced_motion": "no-preference"}
"""The option for a visitor whose pages move, in tests that transitions and animations could break. Without
them, tests are faster."""
EXPECTED_MESSAGES = (
    "Failed to load resource",
    "htmx: htmx:error: Failed to fetch",
    "Transition was",
    "Blocked script execution in",
)
"""The beginnings of console messages that tests tolerate: about responses with a status of 400 or more, a
lost connection, a skipped page transition, and Playwright's own script in a frame that allows none."""


@dataclass
class Visitor:
    """A person with a browser window and its cookies. The errors of all pages in the window are recorded."""

    page: Page
    site: str
    errors: list[str] = field(default_factory=list)
    """The errors that pages wrote to the console, and the uncaught errors of scripts."""
    hosts: set[str] = field(default_factory=set)
    """All hosts that received a request from the window."""

    async def open(self, path: str) -> None:
        await self.page.goto(self.site + path)

    async def refreshes(self) -> None:
        """Make the page fetch all its live elements again, as it does after an event."""
        await self.page.evaluate(
            """() => document.querySelectorAll("[data-live]").forEach(
                (element) => element.dispatchEvent(new CustomEvent("live:changed")))"""
        )

    def button(self, name: str | re.Pattern[str]) -> Locator:
        # "Sign in with a passkey" is beside "Sign in".
        return self.page.get_by_role("button", name=name, exact=name == "Sign in")

    def link(self, name: str | re.Pattern[str]) -> Locator:
        return self.page.get_by_role("link", name=name)

    def heading(self, name: str | re.Pattern[str]) -> Locator:
        return self.page.get_by_role("heading", name=name)

    @property
    def main(self) -> Locator:
        return self.page.get_by_role("main")

    @property
    def notice(self) -> Locator:
        """The message above the content of the page."""
        return self.page.get_by_role("banner").locator("xpath=following-sibling::*[@role='alert']")

    @property
    def path(self) -> str:
        return urlsplit(self.page.url).path

    async def sees(self, text: str | re.Pattern[str]) -> None:
        await expect(self.main.get_by_text(text).first).to_be_visible()

    async def signs_up(self) -> str:
        """Sign up through the form, starting on any page. Return the e-mail address."""
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
        """List a ticket through the form. Return the path of its page."""
        await self.page.get_by_role("navigation").get_by_role("link", name="Sell", exact=True).click()
        await self.page.get_by_label("What is the ticket for?").fill(title)
        await self.page.get_by_label("Price").fill(price)
        await self.describes_event()
        await self.button("List ticket").click()
        await expect(self.heading(title)).to_be_visible()
        return self.path

    async def describes_event(self, venue: str = "Harpa", city: str = "Reykjavík") -> None:
        """Enter what the form requires about the event, apart from its title."""
        await self.page.get_by_label("Start of the event").fill("2036-06-05T20:30")
        await self.page.get_by_label("Venue").fill(venue)
        await self.page.get_by_label("City").fill(city)

    async def reserves(self, ticket: str) -> str:
        """Open the ticket's page and click Buy. Return the path of the order's page."""
        await self.open(ticket)
        return await self.buys()

    async def buys(self) -> str:
        """Click Buy on the open page of a ticket. Return the path of the order's page."""
        await self.button("Buy").click()
        await expect(self.heading("Review your order")).to_be_visible()
        return self.path

    async def goes_to_pay(self) -> None:
        """Go to the payment step of an open order, which may show the review or already the payment step."""
        link = self.link("Continue to payment")
        await expect(link.or_(self.button(re.compile("^Pay "))).first).to_be_visible()
        if await link.is_visible():
            await link.click()

    async def pays(self, card: str | None = None) -> None:
        """Pay with the test card of this name. Without a name, pay with the selected card."""
        await self.goes_to_pay()
        if card is not None:
            await self.page.get_by_role("radio", name=card).check()
        await self.button(re.compile("^Pay ")).click()

    async def releases(self) -> None:
        """Release the ticket of the open order, and confirm it."""
        await self.link("Release ticket").click()
        await expect(self.heading("Release this ticket?")).to_be_visible()
        await self.button("Release ticket").click()

    async def marks_the_page(self) -> None:
        """Set a variable that a reload deletes, for `has_not_reloaded`."""
        await self.page.evaluate("window.isTheSamePage = true")

    async def has_not_reloaded(self) -> bool:
        """Whether the page is still the one that `marks_the_page` marked."""
        return bool(await self.page.evaluate("window.isTheSamePage === true"))


@dataclass
class Member(Visitor):
    """A signed-in visitor, who can also use the HTTP API."""

    person: Person = field(kw_only=True)


class Visitors:
    """All visitors of one test."""

    def __init__(self, new_context: CreateContextCallback, site: str, seller: Person, timeout: float) -> None:
        self.site = site
        self._seller = seller
        self._new_context = new_context
        self.timeout = timeout
        self._visitors: list[Visitor] = []
        self._open = AsyncExitStack()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._open.aclose()

    async def guest(self, *, site: str = "", **options: Any) -> Visitor:
        """A new visitor without an account. `options` are passed to the browser context."""
        page = await (await self._context(options)).new_page()
        return self._watched(Visitor(page, site or self.site))

    async def member(self, *, site: str = "", **options: Any) -> Member:
        """A new visitor who is signed in. `site` may be another web process of the same marketplace."""
        person, context = await asyncio.gather(self.person(), self._context(options))
        session = person.client.headers["Authorization"].removeprefix("Bearer ")
        await context.add_cookies([{"name": "session", "value": session, "url": self.site, "httpOnly": True}])
        visitor = Member(await context.new_page(), site or self.site, person=person)
        self._watched(visitor)
        return visitor

    async def person(self) -> Person:
        """A new signed-in user of the HTTP API, without a browser."""
        (person,) = await self._open.enter_async_context(signed_up(self.site, 1))
        return person

    async def ticket(self, price: float = 45, title: str | None = None, **more: Any) -> dict[str, Any]:
        """A new ticket on sale, whose seller is no visitor of the test."""
        return await self._seller.lists_ticket(price, title or some_title(), **more)

    async def _context(self, options: dict[str, Any]) -> BrowserContext:
        context = await self._new_context(**{"reduced_motion": "reduce", **options})
        context.set_default_timeout(self.timeout)
        return context

    def _watched(self, visitor: Visitor) -> Visitor:
        def console(message: ConsoleMessage) -> None:
            if message.type == "error" and not message.text.startswith(EXPECTED_MESSAGES):
                visitor.errors.append(message.text)

        def asked(request: Request) -> None:
            if host := urlsplit(request.url).netloc:
                visitor.hosts.add(host)

        context = visitor.page.context
        context.on("console", console)
        context.on("request", asked)

        def failed(error: WebError) -> None:
            if not str(error.error).startswith(EXPECTED_MESSAGES):
                visitor.errors.append(str(error.error))

        context.on("weberror", failed)
        self._visitors.append(visitor)
        return visitor

    def check_console(self) -> None:
        """Fail if a visitor's page reported an error, such as a violation of the Content-Security-Policy."""
        errors = [error for visitor in self._visitors for error in visitor.errors]
        assert not errors, "the browser's console reports: " + "\n".join(errors)


def order_id(path: str) -> str:
    """The id of an order, from the path of its page."""
    return path.removeprefix("/orders/")


def some_title() -> str:
    """A unique title."""
    return f"Hania Rani, Malmö {random_word()}"
