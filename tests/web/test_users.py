"""Sign up, sign in, sign out; and forms that only our own pages can send."""

import asyncio

import pytest
from aiohttp import web

from contracts.problems import PROBLEM_JSON, Problem
from tests.web.conftest import Browser, is_page, text_of
from tests.web.market import PASSWORD, Market
from tests.web.served import Services
from web.page import local_address


async def test_signing_up_signs_in_and_goes_on(browser: Browser) -> None:
    response = await browser.submit("/signup", email="ann@example.com", password=PASSWORD)
    assert (response.status_code, response.headers["location"]) == (303, "/")
    [session] = [
        cookie for cookie in response.headers.get_list("set-cookie") if cookie.startswith("session=")
    ]
    assert "HttpOnly" in session
    assert "SameSite=Lax" in session
    assert "ann@example.com" in text_of(await browser.get("/"))


async def test_signing_in_returns_to_the_page_one_came_from(browser: Browser, market: Market) -> None:
    market.user("ann@example.com")
    asked = await browser.get("/orders?x=1")
    assert asked.headers["location"] == "/signin?next=/orders%3Fx%3D1"
    form = await browser.get(asked.headers["location"])
    assert 'name="next" value="/orders?x=1"' in form.text
    response = await browser.submit("/signin", email="ann@example.com", password=PASSWORD, next="/orders?x=1")
    assert response.headers["location"] == "/orders?x=1"


@pytest.mark.parametrize(
    "elsewhere",
    [
        "https://evil.test/",
        "//evil.test/",
        "/\\evil.test/",
        "\\\\evil.test",
        "javascript:alert(1)",
        "/\t/evil.test",
        "/\n/evil.test",
        "/sell\r\nSet-Cookie: session=theirs",
        "evil.test",
        "",
    ],
)
async def test_signing_in_never_leads_to_another_site(
    browser: Browser, market: Market, elsewhere: str
) -> None:
    market.user("ann@example.com")
    response = await browser.submit("/signin", email="ann@example.com", password=PASSWORD, next=elsewhere)
    assert response.headers["location"] == "/"
    assert local_address(elsewhere) == "/"


async def test_a_wrong_password_is_told_and_the_email_is_kept(browser: Browser, market: Market) -> None:
    market.user("ann@example.com")
    response = await browser.submit(
        "/signin", email="ann@example.com", password="wrong password", next="/sell"
    )
    assert response.status_code == 422
    assert is_page(response)
    assert "That email and password don&#39;t match" in text_of(response)
    assert 'value="ann@example.com"' in response.text
    assert 'name="next" value="/sell"' in response.text
    assert "wrong password" not in response.text


async def test_too_many_attempts_are_told_in_the_form(browser: Browser, services: Services) -> None:
    async def too_many(_: web.Request) -> web.Response:
        body = Problem.of(429, "Too many requests. Try again in a moment").to_json()
        return web.Response(status=429, text=body, content_type=PROBLEM_JSON, headers={"Retry-After": "7"})

    await services.replace("auth", [web.post("/api/users/signin", too_many)])
    response = await browser.submit("/signin", email="ann@example.com", password=PASSWORD)
    assert response.status_code == 429
    assert response.headers["retry-after"] == "7"
    assert "Too many requests" in text_of(response)


async def test_each_error_stands_at_its_field_and_in_a_summary_that_leads_there(browser: Browser) -> None:
    response = await browser.submit("/signup", email="nonsense", password="short")
    assert response.status_code == 422
    for name in ("email", "password"):
        assert f'<a href="#{name}">' in response.text
        assert f'id="{name}-error"' in response.text
        assert f'aria-describedby="{name}-error' in response.text
    assert "Password must be between 8 and 128 characters" in text_of(response)


async def test_htmx_gets_the_form_alone_when_it_is_wrong(browser: Browser) -> None:
    response = await browser.submit("/signup", target="form#signup-form", email="nonsense", password="")
    assert response.status_code == 422
    assert response.text.strip().startswith("<form")


async def test_htmx_is_told_where_to_go(browser: Browser) -> None:
    response = await browser.submit(
        "/signup", target="form#signup-form", email="ann@example.com", password=PASSWORD, next="/sell"
    )
    assert (response.status_code, response.headers["hx-redirect"]) == (200, "/sell")
    assert "session" in browser.http.cookies


async def test_signing_out_clears_the_cookie(browser: Browser) -> None:
    await browser.submit("/signup", email="ann@example.com", password=PASSWORD)
    response = await browser.submit("/signout")
    assert response.headers["location"] == "/"
    assert "session" not in browser.http.cookies
    assert "Sign in" in text_of(await browser.get("/"))


async def test_who_is_signed_in_has_no_need_to_sign_in(browser: Browser, market: Market) -> None:
    _, token = market.user("ann@example.com")
    browser.sign_in_as(token)
    assert (await browser.get("/signin?next=/sell")).headers["location"] == "/sell"


async def test_a_form_without_our_token_is_refused(browser: Browser, market: Market) -> None:
    _, token = market.user("ann@example.com")
    browser.sign_in_as(token)
    await browser.get("/")
    for path in ("/sell", "/signin", "/signout", "/orders/" + "0" * 24 + "/pay"):
        response = await browser.http.post(path, data={"title": "x", "price": "1"})
        assert response.status_code == 403
        assert "That form has expired" in text_of(response)
    assert market.tickets == {}


async def test_a_token_of_another_site_is_refused_and_replaced(browser: Browser) -> None:
    browser.http.cookies.set("csrf", "f" * 128)
    response = await browser.http.post("/signin", data={"_csrf_token": "f" * 128})
    assert response.status_code == 403
    browser.http.cookies.delete("csrf")
    assert any(
        "csrf=" in cookie and "expires" in cookie.lower()
        for cookie in response.headers.get_list("set-cookie")
    )
    assert (await browser.submit("/signin", email="", password="")).status_code == 422


async def test_a_refused_form_is_an_alert_in_the_page_that_htmx_has(browser: Browser) -> None:
    headers = {"HX-Request": "true", "HX-Request-Type": "partial"}
    response = await browser.http.post("/sell", data={}, headers=headers)
    assert response.headers["hx-retarget"] == "#notice"
    assert not is_page(response)


async def test_the_form_token_isnt_readable_by_scripts(browser: Browser) -> None:
    [cookie] = (await browser.get("/")).headers.get_list("set-cookie")
    assert "httponly" in cookie.lower()


async def test_while_auth_is_away_pages_still_render(
    browser: Browser, services: Services, market: Market
) -> None:
    seller, token = market.user("seller@example.com")
    market.ticket(seller, "Nick Cave")
    browser.sign_in_as(token)
    await services.stop("auth")
    page = await browser.get("/")
    assert page.status_code == 200
    assert "Nick Cave" in text_of(page)
    assert "Sign-in is unavailable for a moment" in text_of(page)
    refused = await browser.submit("/signin", email="ann@example.com", password=PASSWORD)
    assert refused.status_code == 503
    assert "Sign-in is away" in text_of(refused)
    await services.start("auth")
    assert "seller@example.com" in text_of(await browser.get("/"))


async def test_an_auth_that_never_answers_keeps_pages_for_a_moment_only(
    browser: Browser, services: Services, market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(_: web.Request) -> web.Response:
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr("web.page.VIEWER_WITHIN", 0.2)
    monkeypatch.setattr("web.services.TIMEOUT", 60.0)
    seller, token = market.user("seller@example.com")
    market.ticket(seller, "Nick Cave")
    await services.replace("auth", [web.get("/api/users/currentuser", never)])
    browser.sign_in_as(token)
    async with asyncio.timeout(30):
        text = text_of(await browser.get("/"))
    assert "Nick Cave" in text
    assert "Sign-in is unavailable for a moment" in text


async def test_who_has_no_session_is_nobody_without_asking_auth(browser: Browser, services: Services) -> None:
    await services.stop("auth")
    page = await browser.get("/")
    assert 'href="/signin"' in page.text
    assert "Sign-in is unavailable" not in text_of(page)


async def test_the_services_learn_whose_request_it_is(browser: Browser, market: Market) -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    parent = f"00-{trace}-b7ad6b7169203331-01"
    await browser.get("/", **{"traceparent": parent, "X-Forwarded-For": "198.51.100.1"})
    for request in market.seen:
        assert request.headers["traceparent"].startswith(f"00-{trace}-")
        assert request.headers["X-Forwarded-For"] == "198.51.100.1, 203.0.113.7"


async def test_cookies_of_one_user_never_reach_another(browser: Browser, market: Market) -> None:
    await browser.submit("/signup", email="ann@example.com", password=PASSWORD)
    browser.http.cookies.clear()
    market.seen.clear()
    assert "ann@example.com" not in text_of(await browser.get("/"))
    assert all("session" not in request.cookies for request in market.seen)


async def test_who_signs_up_instead_of_in_still_gets_where_they_were_going(browser: Browser) -> None:
    page = await browser.get("/signin?next=/tickets/7")
    assert page.text.count('href="/signup?next=/tickets/7"') == 2
