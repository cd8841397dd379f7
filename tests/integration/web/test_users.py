"""Signing up, in and out, form tokens, and pages while the auth service is down."""

import re
from pathlib import Path

import pytest
from aiohttp import web

from contracts.problems import PROBLEM_JSON, Problem
from kit.client_address import CLIENT
from tests.integration.web.page_client import PageClient, is_page, page_client, text_of
from tests.support.asgi import alive
from tests.support.fakes.market import PASSWORD, Market
from tests.support.fakes.services import Services
from tests.support.polling import until
from web.app import web_app
from web.redirects import local_address


async def test_signing_up_also_signs_in_and_redirects(client: PageClient) -> None:
    response = await client.submit("/signup", email="ann@example.com", password=PASSWORD)
    assert (response.status_code, response.headers["location"]) == (303, "/")
    [session] = [
        cookie for cookie in response.headers.get_list("set-cookie") if cookie.startswith("session=")
    ]
    assert "HttpOnly" in session
    assert "SameSite=Lax" in session
    assert "ann@example.com" in text_of(await client.get("/"))


async def test_signing_in_redirects_to_the_page_that_required_it(client: PageClient, market: Market) -> None:
    market.user("ann@example.com")
    redirect = await client.get("/orders?x=1")
    assert redirect.headers["location"] == "/signin?next=/orders%3Fx%3D1"
    form = await client.get(redirect.headers["location"])
    assert 'name="next" value="/orders?x=1"' in form.text
    response = await client.submit("/signin", email="ann@example.com", password=PASSWORD, next="/orders?x=1")
    assert response.headers["location"] == "/orders?x=1"


@pytest.mark.parametrize(
    "address",
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
async def test_signing_in_never_redirects_to_another_site(
    client: PageClient, market: Market, address: str
) -> None:
    market.user("ann@example.com")
    response = await client.submit("/signin", email="ann@example.com", password=PASSWORD, next=address)
    assert response.headers["location"] == "/"
    assert local_address(address) == "/"


async def test_after_a_wrong_password_the_form_has_an_error_and_keeps_the_email(
    client: PageClient, market: Market
) -> None:
    market.user("ann@example.com")
    response = await client.submit(
        "/signin", email="ann@example.com", password="wrong password", next="/sell"
    )
    assert response.status_code == 422
    assert is_page(response)
    assert "The email and password don&#39;t match" in text_of(response)
    assert 'value="ann@example.com"' in response.text
    assert 'name="next" value="/sell"' in response.text
    assert "wrong password" not in response.text


async def test_too_many_attempts_are_answered_with_429_and_an_error_in_the_form(
    client: PageClient, services: Services
) -> None:
    async def refuse(_: web.Request) -> web.Response:
        body = Problem.of(429, "Too many requests. Try again in a moment").to_json()
        return web.Response(status=429, text=body, content_type=PROBLEM_JSON, headers={"Retry-After": "7"})

    await services.replace("auth", [web.post("/api/users/signin", refuse)])
    response = await client.submit("/signin", email="ann@example.com", password=PASSWORD)
    assert response.status_code == 429
    assert response.headers["retry-after"] == "7"
    assert "Too many requests" in text_of(response)


async def test_a_suspended_user_reads_so_in_the_form(client: PageClient, services: Services) -> None:
    async def refuse(_: web.Request) -> web.Response:
        body = Problem.of(403, "This account is suspended", code="account-suspended").to_json()
        return web.Response(status=403, text=body, content_type=PROBLEM_JSON)

    await services.replace("auth", [web.post("/api/users/signin", refuse)])
    response = await client.submit("/signin", email="ann@example.com", password=PASSWORD)
    assert response.status_code == 422
    assert "This account is suspended" in text_of(response)
    assert 'value="ann@example.com"' in response.text


async def test_each_error_appears_at_its_field_and_as_a_link_in_the_summary(client: PageClient) -> None:
    response = await client.submit("/signup", email="invalid", password="short")
    assert response.status_code == 422
    for name in ("email", "password"):
        assert f'<a href="#{name}">' in response.text
        assert f'id="{name}-error"' in response.text
        assert f'aria-describedby="{name}-error' in response.text
    assert "Password must be between 8 and 256 characters" in text_of(response)


async def test_the_sign_in_page_says_that_a_session_has_ended(client: PageClient) -> None:
    assert "You were signed out. Sign in to continue." in text_of(
        await client.get("/signin?next=/orders&ended")
    )
    assert "You were signed out" not in text_of(await client.get("/signin?next=/orders"))


async def test_an_address_in_use_is_an_error_of_its_field_and_the_form_leads_to_signing_in(
    client: PageClient, market: Market
) -> None:
    market.user("ann@example.com")
    response = await client.submit("/signup", email="ann@example.com", password=PASSWORD, next="/sell")
    assert response.status_code == 422
    assert re.search('id="email-error">This address has an account already<', response.text)
    assert '<a href="/signin?next=/sell">Sign in</a>' in response.text
    assert '<a href="/account/forgot">choose a new password</a>' in response.text


async def test_htmx_gets_only_the_form_when_a_field_is_invalid(client: PageClient) -> None:
    response = await client.submit("/signup", target="form#signup-form", email="invalid", password="")
    assert response.status_code == 422
    assert response.text.strip().startswith("<form")


async def test_a_successful_sign_up_with_htmx_answers_with_an_hx_redirect_header(client: PageClient) -> None:
    response = await client.submit(
        "/signup", target="form#signup-form", email="ann@example.com", password=PASSWORD, next="/sell"
    )
    assert (response.status_code, response.headers["hx-redirect"]) == (200, "/sell")
    assert "session" in client.http.cookies


async def test_signing_out_clears_the_cookie(client: PageClient) -> None:
    await client.submit("/signup", email="ann@example.com", password=PASSWORD)
    response = await client.submit("/signout")
    assert response.headers["location"] == "/"
    assert "session" not in client.http.cookies
    assert "Sign in" in text_of(await client.get("/"))


async def test_the_sign_in_page_redirects_a_signed_in_user(client: PageClient, market: Market) -> None:
    _, token = market.user("ann@example.com")
    client.sign_in_as(token)
    assert (await client.get("/signin?next=/sell")).headers["location"] == "/sell"


async def test_pages_are_shown_while_the_auth_service_was_never_available(
    services: Services, market: Market, tmp_path: Path
) -> None:
    seller, token = market.user("seller@example.com")
    market.ticket(seller, "Nick Cave")
    await services.stop("auth")
    app = web_app(services.settings(data_dir=tmp_path, nats_url="nats://127.0.0.1:9"))
    async with alive(app), page_client(app) as client:
        client.sign_in_as(token)
        page = await client.get("/")
        assert page.status_code == 200
        assert "Nick Cave" in text_of(page)
        assert "Sign-in is temporarily unavailable" in text_of(page)
        refused = await client.submit("/signin", email="ann@example.com", password=PASSWORD)
        assert refused.status_code == 503
        assert "Sign-in is temporarily unavailable" in text_of(refused)
        await services.start("auth")
        await until(lambda: client.get("/"), lambda page: "seller@example.com" in page.text)


async def test_a_user_stays_signed_in_while_auth_is_down(
    client: PageClient, services: Services, market: Market
) -> None:
    _, token = market.user("ann@example.com")
    client.sign_in_as(token)
    await client.get("/")  # now the public keys of auth are known
    await services.stop("auth")
    assert "ann@example.com" in text_of(await client.get("/"))


async def test_without_a_session_cookie_a_page_sends_no_request_to_the_auth_service(
    client: PageClient, services: Services
) -> None:
    await services.stop("auth")
    page = await client.get("/")
    assert 'href="/signin"' in page.text
    assert "Sign-in is temporarily unavailable" not in text_of(page)


async def test_requests_to_services_carry_the_trace_and_the_clients_address(
    client: PageClient, market: Market
) -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    parent = f"00-{trace}-b7ad6b7169203331-01"
    await client.get("/", **{"traceparent": parent, "X-Forwarded-For": "198.51.100.1", CLIENT: "forged"})
    for request in market.seen:
        assert request.headers["traceparent"].startswith(f"00-{trace}-")
        assert "X-Forwarded-For" not in request.headers
        (signed,) = request.headers.getall(CLIENT)
        assert signed.startswith("203.0.113.7 ")


async def test_the_cookies_of_a_user_are_not_sent_with_requests_of_another_user(
    client: PageClient, market: Market
) -> None:
    await client.submit("/signup", email="ann@example.com", password=PASSWORD)
    client.http.cookies.clear()
    market.seen.clear()
    assert "ann@example.com" not in text_of(await client.get("/"))
    assert all("session" not in request.cookies for request in market.seen)


async def test_the_sign_in_page_passes_its_redirect_address_to_the_sign_up_page(client: PageClient) -> None:
    page = await client.get("/signin?next=/tickets/7")
    assert page.text.count('href="/signup?next=/tickets/7"') == 2
