"""A purchase and live updates in Firefox and in WebKit.

`just other-browsers` runs these tests. They need browsers that `just test` doesn't install, so the file's
name keeps them out of it.
"""

import json
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
import pytest_asyncio

from e2e.other_browsers.drivers import Browser, Failed, Firefox, WebKit, Window
from e2e.visitors import EXPECTED_MESSAGES, some_title
from tests.support.people import PASSWORD, Person, signed_up
from tests.support.polling import until
from tests.support.stack import Stack

TOLERATED = (
    *EXPECTED_MESSAGES,
    "htmx: htmx:error: NetworkError when attempting to fetch",
    "htmx: htmx:error: Load failed",
)
"""Also the words of Firefox and WebKit for a request that ended because its page was left."""
PHONE = (320, 640)
RESERVED = "Somebody else has reserved"
SIDEWAYS = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
INLINE_SCRIPT = "document.head.append(Object.assign(document.createElement('script'), {text: 'void 0'})) ?? 0"
UNCAUGHT = "setTimeout(() => { throw new Error('uncaught on purpose') }) && 0"


class Visitor:
    """A person with a window."""

    def __init__(self, window: Window, site: str) -> None:
        self.window = window
        self.site = site

    async def open(self, path: str) -> None:
        await self.window.open(self.site + path)

    async def clicks(self, kind: str, name: str) -> None:
        """Click the link or button whose text begins with this name."""
        element = {"link": "a", "button": "button"}[kind]
        await self.window.click(f"//main//{element}[starts-with(normalize-space(), {json.dumps(name)})]")

    async def fills_in(self, email: str, button: str) -> None:
        """Send the form of a sign-up or sign-in."""
        await self.window.type("//main//input[@name='email']", email)
        await self.window.type("//main//input[@name='password']", PASSWORD)
        await self.clicks("button", button)
        await self.sees(email, within="header")

    async def sees(self, *texts: str, without: str = "\0", within: str = "main") -> str:
        """Wait until a part of the page contains these texts, and doesn't contain another."""
        return await until(
            lambda: self._text(within), lambda seen: all(t in seen for t in texts) and without not in seen
        )

    async def _text(self, selector: str) -> str:
        try:
            text: str = await self.window.value(f"document.querySelector('{selector}')?.innerText ?? ''")
        except Failed:  # the page is being replaced
            return ""
        return " ".join(text.split())

    async def marks_the_page(self) -> None:
        """Set a variable that a reload deletes."""
        await self.window.value("window.isTheSamePage = true")

    async def has_not_reloaded(self) -> bool:
        return bool(await self.window.value("window.isTheSamePage === true"))

    async def errors(self) -> list[str]:
        return [error for error in await self.window.errors() if not error.startswith(TOLERATED)]


NewVisitor = Callable[[], Awaitable[Visitor]]


@pytest_asyncio.fixture(scope="session", params=[Firefox, WebKit], ids=["firefox", "webkit"])
async def engine(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Browser]:
    async with request.param.started(tmp_path_factory.mktemp("browser")) as engine:
        yield engine


@pytest_asyncio.fixture(loop_scope="session")
async def new_visitor(engine: Browser, stack: Stack) -> AsyncIterator[NewVisitor]:
    """Opens windows. The test fails if a page in one of them reported an error."""
    async with AsyncExitStack() as windows:
        visitors: list[Visitor] = []

        async def new() -> Visitor:
            visitors.append(Visitor(await windows.enter_async_context(engine.window()), stack.web))
            return visitors[-1]

        yield new
        assert [error for visitor in visitors for error in await visitor.errors()] == []


@pytest_asyncio.fixture(loop_scope="session")
async def ticket(seller: Person) -> dict[str, Any]:
    return await seller.lists_ticket(45, some_title())


@pytest.mark.parametrize("pays_on", ["our page", "Stripe's page"])
async def test_a_ticket_is_bought_and_shown_to_its_seller_as_sold(
    new_visitor: NewVisitor, stack: Stack, seller: Person, ticket: dict[str, Any], pays_on: str
) -> None:
    selling, buyer = await new_visitor(), await new_visitor()
    await selling.open("/signin?next=/listings")
    await selling.fills_in(seller.email, "Sign in")
    await selling.sees("My sales", ticket["title"])

    buyer.site = stack.web if pays_on == "our page" else stack.checkout_web
    await buyer.open("/signup")
    await buyer.fills_in(f"{secrets.token_hex(8)}@example.com", "Sign up")
    await buyer.open(f"/tickets/{ticket['id']}")
    await buyer.clicks("button", "Buy")
    await buyer.sees("Review your order", "$45.00")
    if pays_on == "our page":
        await buyer.clicks("link", "Continue to payment")
    else:
        await buyer.clicks("button", "Pay ")
        await buyer.sees("Pay by card")
    await buyer.clicks("button", "Pay ")
    await buyer.sees("The ticket is yours. You paid $45.00")

    await selling.open("/listings?status=sold")
    await selling.sees(ticket["title"], "Sold")
    assert (await seller.ticket(ticket["id"]))["status"] == "sold"


async def test_an_open_list_and_an_open_ticket_follow_what_another_person_does(
    new_visitor: NewVisitor, stack: Stack, ticket: dict[str, Any]
) -> None:
    listing, detail = await new_visitor(), await new_visitor()
    await listing.open(f"/?q={ticket['title'].rpartition(' ')[2]}")
    await detail.open(f"/tickets/{ticket['id']}")
    await listing.sees(ticket["title"], without="Reserved")
    await detail.sees("Sign in to buy", without=RESERVED)
    for visitor in (listing, detail):
        await visitor.marks_the_page()
    async with signed_up(stack.web, 1) as (buyer,):
        order = await buyer.reserves(ticket["id"])
        await listing.sees(ticket["title"], "Reserved")
        await detail.sees(RESERVED)
        await buyer.cancels(order["id"])
        await listing.sees(ticket["title"], without="Reserved")
        await detail.sees("Sign in to buy", without=RESERVED)
    for visitor in (listing, detail):
        assert await visitor.has_not_reloaded()


async def test_pages_fit_a_window_of_320_pixels(new_visitor: NewVisitor, ticket: dict[str, Any]) -> None:
    visitor = await new_visitor()
    await visitor.open("/signup")
    await visitor.fills_in(f"{secrets.token_hex(8)}@example.com", "Sign up")
    await visitor.window.resize(*PHONE)
    for path in ("/", f"/?q={ticket['title'].rpartition(' ')[2]}", f"/tickets/{ticket['id']}", "/sell"):
        await visitor.open(path)
        assert await visitor.window.value("innerWidth") == PHONE[0]
        assert await visitor.window.value(SIDEWAYS) == 0, path
    await visitor.window.value("document.querySelector('main').style.setProperty('width', '400px') ?? 0")
    assert await visitor.window.value(SIDEWAYS) > 0, "the check above can't fail"


async def test_errors_and_blocked_scripts_are_noticed(engine: Browser, stack: Stack) -> None:
    """A control: without it, the other tests would also pass if no error were recorded."""
    async with engine.window() as window:
        visitor = Visitor(window, stack.web)
        await visitor.open("/")
        assert await visitor.errors() == []
        await window.value(UNCAUGHT)
        await until(visitor.errors, lambda errors: any("uncaught on purpose" in error for error in errors))
        await window.value(INLINE_SCRIPT)
        await until(visitor.errors, lambda errors: any("script" in error for error in errors[1:]))
