"""Pages that are the same for everyone are rendered once and served to many."""

import asyncio
import gzip
from datetime import timedelta
from typing import Any

import pytest
from aiohttp import web

from contracts.wire import now
from kit.http.request_head import HeadRules
from tests.integration.web.asgi_client import ask
from tests.integration.web.page_client import EVENT, text_of
from tests.integration.web.shared_site import Site
from tests.support.fakes.services import Services

SHARED = [
    "/",
    "/?q=nick&sort=price",
    "/results",
    "/results/rows?after=~",
    "{page}",
    "{page}/offer",
    "{page}/card",
]


@pytest.mark.parametrize("path", SHARED)
async def test_a_shared_page_is_rendered_once(path: str, site: Site) -> None:
    path = path.format(page=site.page)
    first = await site.get(path)
    assert first.status_code == 200
    assert site.asked() != []
    again = await site.get(path)
    assert again.content == first.content
    assert site.asked() == []


@pytest.mark.parametrize("path", SHARED)
@pytest.mark.parametrize(
    ("http_version", "headers", "status"),
    [
        ("1.0", {"x": "x" * 32_768}, 431),
        ("1.1", {}, 400),
        ("1.1", {"host": ""}, 400),
        ("1.1", {"host": "a:b:c"}, 400),
        ("1.1", {"host": "a<b"}, 400),
    ],
)
async def test_a_kept_page_is_refused_to_a_request_with_too_large_headers_or_without_a_valid_host(
    path: str, http_version: str, headers: dict[str, Any], status: int, site: Site
) -> None:
    path = path.format(page=site.page)
    for _ in range(2):
        refused = await ask(site.cache, "GET", path, http_version=http_version, **headers)
        assert refused.status == status
        assert (await ask(site.cache, "GET", path, http_version="1.1", host="localhost")).status == 200


async def test_a_refused_request_is_not_answered_together_with_an_accepted_one(site: Site) -> None:
    assert await statuses_of_a_refused_and_an_accepted_request(site) == [431, 200]


async def test_control_without_the_check_the_first_request_decides_about_the_response_of_others(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(HeadRules, "are_followed", lambda *_: True)
    assert await statuses_of_a_refused_and_an_accepted_request(site) == [431, 431]


async def statuses_of_a_refused_and_an_accepted_request(site: Site) -> list[int]:
    """The statuses of two requests for the same new page at the same time."""
    answers = await asyncio.gather(
        ask(site.cache, "GET", site.page, x="x" * 32_768), ask(site.cache, "GET", site.page)
    )
    return [answer.status for answer in answers]


@pytest.mark.parametrize("path", SHARED)
async def test_an_event_about_the_ticket_renews_each_page_with_it(path: str, site: Site) -> None:
    path = path.format(page=site.page)
    await site.get(path)
    site.market.change_ticket(site.ticket.id, title="Nick Drake")
    assert "Nick Drake" not in (await site.get(path)).text
    site.happens(11, site.ticket)
    assert "Nick Drake" in (await site.get(path)).text


async def test_without_the_event_a_page_stays_as_it_was(site: Site) -> None:
    """The control of the test above: the page is served from memory and not from the service."""
    await site.get(site.page)
    site.market.change_ticket(site.ticket.id, title="Nick Drake")
    other = site.market.ticket(site.market.user("other@example.com")[0], "Hamlet")
    site.happens(11, other)
    assert "Nick Drake" not in (await site.get(site.page)).text


async def test_a_page_from_data_that_lacks_the_newest_event_is_served_but_not_kept(site: Site) -> None:
    site.happens(11, site.ticket)
    site.market.position = 10
    await site.get(site.page)
    site.asked()
    await site.get(site.page)
    assert site.asked() != []
    site.market.position = 11
    await site.get(site.page)
    site.asked()
    await site.get(site.page)
    assert site.asked() == []


async def test_a_signed_in_user_gets_the_shared_page_with_the_own_masthead(site: Site) -> None:
    _, ann = site.market.user("ann@example.com")
    _, bob = site.market.user("bob@example.com")
    await site.get("/")
    site.asked()
    for email, token in (("ann@example.com", ann), ("bob@example.com", bob)):
        site.client.sign_in_as(token)
        page = await site.get("/")
        assert email in page.text
        assert "Sign out" in page.text
        assert "Nick Cave" in page.text
        assert page.headers["cache-control"] == "private, no-store"
        assert "etag" not in page.headers
    assert site.asked() == []
    site.client.http.cookies.clear()
    page = await site.get("/")
    assert "ann@example.com" not in page.text
    assert "Sign in" in page.text


@pytest.mark.parametrize("part", ["", "/offer"])
async def test_signed_in_users_can_buy_on_a_shared_page_and_guests_can_sign_in(part: str, site: Site) -> None:
    for _ in range(2):
        site.client.http.cookies.clear()
        guest = await site.get(site.page + part)
        assert "Sign in to buy" in guest.text
        assert f'action="{site.page}/buy"' not in guest.text
        site.client.sign_in_as(site.market.user("ann@example.com")[1])
        member = await site.get(site.page + part)
        assert f'action="{site.page}/buy"' in member.text
        assert 'href="/signin' not in member.text
        assert "Sign-in is temporarily unavailable" not in text_of(member)


async def test_the_first_visitor_may_be_signed_in_without_being_shown_to_the_next(site: Site) -> None:
    _, token = site.market.user("ann@example.com")
    site.client.sign_in_as(token)
    for path in ("/", site.page):
        assert "ann@example.com" in (await site.get(path)).text
    site.client.http.cookies.clear()
    for path in ("/", site.page):
        assert "ann@example.com" not in (await site.get(path)).text


async def test_a_seller_sees_the_own_ticket_as_the_seller(site: Site) -> None:
    await site.get("/")
    await site.get(site.page)
    site.client.sign_in_as(site.market.token_of(site.seller.id))
    assert "Yours" in text_of(await site.get("/"))
    assert "Withdraw" in text_of(await site.get(site.page))


@pytest.mark.parametrize("is_buyer_known", [True, False])
async def test_a_buyer_sees_the_own_hold_and_others_do_not(site: Site, is_buyer_known: bool) -> None:
    buyer, token = site.market.user("buyer@example.com")
    _, stranger = site.market.user("stranger@example.com")
    site.market.order(buyer, site.ticket)
    if is_buyer_known:
        site.feed.buyers._of_ticket[site.ticket.id] = (1, buyer.id)
    await site.get(site.page)
    site.client.sign_in_as(token)
    assert "You hold this ticket" in text_of(await site.get(site.page))
    site.client.sign_in_as(stranger)
    site.asked()
    assert "Somebody else has reserved" in text_of(await site.get(site.page))
    assert (site.asked() == []) is is_buyer_known


async def test_an_invalid_session_is_answered_like_none(site: Site) -> None:
    site.client.sign_in_as("forged")
    page = await site.get("/")
    assert "Sign in" in page.text
    site.asked()
    await site.get("/")
    assert site.asked() == []


async def test_a_session_that_has_ended_is_answered_like_none(site: Site) -> None:
    user, _ = site.market.user("ann@example.com")
    site.client.sign_in_as(site.market.sign_in(user, "e" * 24))
    assert "ann@example.com" in (await site.get("/")).text
    site.feed.ended.add("e" * 24, now())
    assert "ann@example.com" not in (await site.get("/")).text


async def test_concurrent_requests_cause_one_rendering(site: Site) -> None:
    pages = await asyncio.gather(*(site.get("/") for _ in range(300)))
    assert {page.status_code for page in pages} == {200}
    assert sorted(site.asked()) == ["/api/shows/highlights", "/api/tickets", "/api/tickets/facets"]


async def test_a_request_after_a_change_does_not_get_a_rendering_from_before_the_change(
    site: Site, services: Services
) -> None:
    entered, go_on = asyncio.Event(), asyncio.Event()

    async def slow(_: web.Request) -> web.Response:
        body = site.market.tickets[site.ticket.id].to_json()
        entered.set()
        await go_on.wait()
        return web.Response(text=body, content_type="application/json")

    await services.replace("tickets", [web.get("/api/tickets/{id}", slow)])
    before = asyncio.create_task(site.get(f"{site.page}/card"))
    await entered.wait()
    site.market.change_ticket(site.ticket.id, title="Nick Drake")
    site.happens(11, site.ticket)
    after = asyncio.create_task(site.get(f"{site.page}/card"))
    await asyncio.sleep(0)
    go_on.set()
    assert "Nick Cave" in (await before).text
    assert "Nick Drake" in (await after).text


async def test_a_change_of_another_ticket_does_not_interrupt_the_rendering_of_a_card(
    site: Site, services: Services
) -> None:
    entered, go_on, requests = asyncio.Event(), asyncio.Event(), 0

    async def slow(_: web.Request) -> web.Response:
        nonlocal requests
        requests += 1
        entered.set()
        await go_on.wait()
        return web.Response(
            text=site.market.tickets[site.ticket.id].to_json(), content_type="application/json"
        )

    await services.replace("tickets", [web.get("/api/tickets/{id}", slow)])
    first = asyncio.create_task(site.get(f"{site.page}/card"))
    await entered.wait()
    site.happens(11, site.market.ticket(site.seller, "Hamlet"))
    second = asyncio.create_task(site.get(f"{site.page}/card"))
    await asyncio.sleep(0)
    go_on.set()
    assert (await first).text == (await second).text
    assert requests == 1


async def test_a_visitor_who_leaves_does_not_interrupt_the_rendering_for_others(site: Site) -> None:
    leaver, stayer = (asyncio.create_task(site.get("/")) for _ in range(2))
    await asyncio.sleep(0)
    leaver.cancel()
    assert (await stayer).status_code == 200


async def test_a_browser_that_has_the_page_gets_304(site: Site) -> None:
    first = await site.get("/")
    assert first.headers["cache-control"] == "no-cache"
    assert first.headers["cdn-cache-control"] == "max-age=2, stale-while-revalidate=10"
    assert first.headers["vary"] == "Accept-Encoding, Accept-Language, Cookie, Authorization"
    tag = first.headers["etag"]
    for known in (tag, f'"other", {tag}', "*", tag.removeprefix("W/")):
        same = await site.get("/", **{"If-None-Match": known})
        assert (same.status_code, same.content) == (304, b"")
        assert same.headers["etag"] == tag
        assert "content-type" not in same.headers
    assert (await site.get("/", **{"If-None-Match": '"other"'})).status_code == 200
    site.market.change_ticket(site.ticket.id, title="Nick Drake")
    site.happens(11, site.ticket)
    changed = await site.get("/", **{"If-None-Match": tag})
    assert (changed.status_code, changed.headers["etag"] != tag) == (200, True)


async def test_a_signed_in_user_never_gets_304(site: Site) -> None:
    tag = (await site.get("/")).headers["etag"]
    _, token = site.market.user("ann@example.com")
    site.client.sign_in_as(token)
    page = await site.get("/", **{"If-None-Match": tag})
    assert page.status_code == 200
    assert "ann@example.com" in page.text


@pytest.mark.parametrize(
    ("accepted", "is_gzip"),
    [
        ("gzip", True),
        ("br, GZIP;q=0.5", True),
        ("*", True),
        ("identity", False),
        ("gzip;q=0", False),
        ("", False),
    ],
)
async def test_a_page_is_compressed_if_the_browser_accepts_it(
    accepted: str, is_gzip: bool, site: Site
) -> None:
    _, token = site.market.user("ann@example.com")
    for who in ("nobody", token):
        site.client.sign_in_as(who)
        async with site.client.http.stream("GET", "/", headers={"Accept-Encoding": accepted}) as response:
            raw = b"".join([chunk async for chunk in response.aiter_raw()])
        assert (response.headers.get("content-encoding") == "gzip") is is_gzip
        assert int(response.headers["content-length"]) == len(raw)
        assert b"Nick Cave" in (gzip.decompress(raw) if is_gzip else raw)


async def test_head_has_the_headers_of_get_and_no_body(site: Site) -> None:
    page = await site.get("/")
    head = await site.client.http.head("/")
    assert head.content == b""
    assert {**head.headers} == {**page.headers}


async def test_each_country_has_its_own_rendering(site: Site) -> None:
    german = await site.get("/", **{"Accept-Language": "de"})
    american = await site.get("/", **{"Accept-Language": "en-US"})
    assert "$20.00" in american.text
    assert "20,00" in german.text
    assert german.headers["etag"] != american.headers["etag"]


async def test_a_shared_page_has_the_security_headers(site: Site) -> None:
    for _ in range(2):
        page = await site.get("/")
        assert "default-src 'self'" in page.headers["content-security-policy"]
        assert page.headers["x-content-type-options"] == "nosniff"
        assert "set-cookie" not in page.headers


async def test_an_error_page_is_not_kept(site: Site, services: Services) -> None:
    await services.stop("tickets")
    assert (await site.get("/")).status_code == 503
    assert (await site.get("/tickets/" + "f" * 24)).status_code == 503
    await services.start("tickets")
    assert (await site.get("/")).status_code == 200
    assert (await site.get("/tickets/" + "f" * 24)).status_code == 404


async def test_a_page_without_optional_data_is_not_kept(site: Site) -> None:
    site.market.has_facets = False
    await site.get("/")
    site.market.has_facets = True
    site.asked()
    await site.get("/")
    assert site.asked() != []


async def test_a_service_that_does_not_state_its_position_has_no_pages_kept(site: Site) -> None:
    site.market.position = None
    for _ in range(2):
        await site.get("/")
        assert site.asked() != []


async def test_a_page_is_renewed_when_its_content_changes_by_time(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.market.valid_until = now() + timedelta(seconds=5)
    await site.get("/")
    site.asked()
    await site.get("/")
    assert site.asked() == []
    site.cache.pages.clear()
    site.cache.pages.confirm(10)
    site.market.valid_until = now()
    await site.get("/")
    site.asked()
    await site.get("/")
    assert site.asked() != []


async def test_a_very_long_query_is_not_kept(site: Site) -> None:
    for _ in range(2):
        await site.get("/?q=nick&x=" + "x" * 1_000)
        assert site.asked() != []


async def test_personal_pages_and_forms_are_not_shared(site: Site) -> None:
    for path in ("/signin", "/sell", "/orders", "/developers"):
        page = await site.get(path)
        assert "cdn-cache-control" not in page.headers


async def test_a_write_through_this_process_is_visible_before_its_event_arrives(site: Site) -> None:
    await site.get("/")
    await site.get(site.page)
    site.client.sign_in_as(site.market.token_of(site.seller.id))
    await site.client.submit(f"{site.page}/edit", title="Nick Drake", price="20", follow=False, **EVENT)
    site.client.http.cookies.clear()
    assert "Nick Drake" in (await site.get("/")).text
    assert "Nick Drake" in (await site.get(site.page)).text


async def test_a_change_that_is_refused_drops_no_pages(site: Site) -> None:
    await site.get("/")
    site.client.http.cookies.clear()
    assert (await site.client.http.post("/api/tickets", json={"title": "x", "price": 1})).status_code >= 400
    site.asked()
    await site.get("/")
    assert site.asked() == []
