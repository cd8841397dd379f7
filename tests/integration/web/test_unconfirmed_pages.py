"""The pages for users who have yet to confirm their address."""

from collections.abc import AsyncIterator

import pytest_asyncio
from aiohttp import web

from contracts.api import MyAccount, User
from contracts.identity import SESSION_COOKIE, Identity
from contracts.problems import PROBLEM_JSON, Problem
from contracts.wire import now
from tests.integration.web.page_client import PageClient, text_of
from tests.support.fakes.auth import SINCE
from tests.support.fakes.http import answer
from tests.support.fakes.market import SIGNER, Market
from tests.support.fakes.services import Services


class Unconfirmed:
    """A user who has yet to confirm the address. The fake auth says when that has happened elsewhere."""

    def __init__(self, user: User, market: Market) -> None:
        self.user = user
        self.session_id = market.new_id()
        self.is_confirmed = False
        market.users[self.token] = (user, "")

    @property
    def token(self) -> str:
        identity = Identity(
            id=self.user.id,
            email=self.user.email,
            session_id=self.session_id,
            unconfirmed=not self.is_confirmed,
        )
        return SIGNER.sign(identity, now().replace(year=2100))

    async def account(self, _: web.Request) -> web.Response:
        account = MyAccount(
            id=self.user.id,
            email=self.user.email,
            name=None,
            since=SINCE,
            confirmed=self.is_confirmed,
            restricted=not self.is_confirmed,
        )
        return answer(account)

    async def current_user(self, _: web.Request) -> web.Response:
        response = web.json_response({"currentUser": {"id": self.user.id, "email": self.user.email}})
        if self.is_confirmed:
            response.set_cookie(SESSION_COOKIE, self.token, path="/", httponly=True)
        return response


async def keys(_: web.Request) -> web.Response:
    return web.json_response(SIGNER.jwks)


@pytest_asyncio.fixture(loop_scope="session")
async def unconfirmed(client: PageClient, market: Market, services: Services) -> AsyncIterator[Unconfirmed]:
    user = User(id=market.new_id(), email="ann@example.com")
    unconfirmed = Unconfirmed(user, market)
    routes = [
        web.get("/api/users/me", unconfirmed.account),
        web.get("/api/users/currentuser", unconfirmed.current_user),
        web.get("/.well-known/jwks.json", keys),
    ]
    await services.replace("auth", routes)
    client.sign_in_as(unconfirmed.token)
    yield unconfirmed


async def test_the_form_to_sell_leads_to_the_page_that_explains_what_is_missing(
    client: PageClient, unconfirmed: Unconfirmed
) -> None:
    redirect = await client.get("/sell")
    assert redirect.headers["location"] == "/account/confirm"
    words = text_of(await client.get("/account/confirm"))
    assert "Open the link in the email that we sent to ann@example.com." in words
    assert "Then you can sell tickets, and pay for those that you reserve." in words


async def test_an_order_offers_to_confirm_the_address_instead_of_paying(
    client: PageClient, market: Market, unconfirmed: Unconfirmed
) -> None:
    seller, _ = market.user("bob@example.com")
    order = market.order(unconfirmed.user, market.ticket(seller))
    page = await client.get(f"/orders/{order.id}?step=pay")
    assert "Confirm your email address to pay. Your ticket stays reserved meanwhile." in text_of(page)
    assert 'id="pay"' not in page.text


async def test_a_confirmation_in_another_browser_is_noticed_with_the_next_page(
    client: PageClient, unconfirmed: Unconfirmed
) -> None:
    unconfirmed.is_confirmed = True
    redirect = await client.get("/sell")
    assert (redirect.status_code, redirect.headers["location"]) == (303, "/sell")
    assert f"{SESSION_COOKIE}=" in redirect.headers["set-cookie"]


async def test_a_reason_why_a_link_is_refused_is_shown_with_a_way_on(
    client: PageClient, services: Services
) -> None:
    async def refuse(_: web.Request) -> web.Response:
        body = Problem.of(410, "This link has expired or was already used", code="link-expired").to_json()
        return web.Response(status=410, text=body, content_type=PROBLEM_JSON)

    await services.replace("auth", [web.post("/api/users/password-reset/complete", refuse)])
    response = await client.submit("/account/reset", link="x", newPassword="battery staple")
    assert response.status_code == 410
    assert "This link has expired or was already used" in text_of(response)
    assert 'href="/account/forgot"' in response.text
    assert "battery staple" not in response.text


async def test_the_reset_form_needs_no_account_and_keeps_the_link(client: PageClient) -> None:
    page = await client.get("/account/reset?link=abc.def")
    assert page.status_code == 200
    assert 'name="link" value="abc.def"' in page.text
    assert 'action="/account/reset"' in page.text
