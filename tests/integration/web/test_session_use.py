"""Web reports to auth which sessions are in use."""

import asyncio

import pytest
from aiohttp import web

from contracts.api import User
from tests.integration.web.page_client import PageClient
from tests.support.fakes.auth import Auth
from tests.support.fakes.market import Market
from tests.support.fakes.services import Services
from tests.support.polling import until


@pytest.fixture
def reports() -> list[str]:
    """The reports that auth received."""
    return []


async def receive_reports(services: Services, market: Market, reports: list[str]) -> None:
    async def receive(request: web.Request) -> web.Response:
        reports.append(request.headers["Authorization"].removeprefix("Bearer "))
        return web.Response(status=204)

    await services.replace("auth", [*Auth(market).routes(), web.post("/api/users/session-use", receive)])


async def reported(reports: list[str]) -> list[str]:
    async def some() -> list[str]:
        return reports

    return await until(some)


async def test_a_session_is_reported_once_and_no_page_waits_for_the_report(
    client: PageClient, services: Services, market: Market, buyer: User
) -> None:
    reports: list[str] = []
    may_end = asyncio.Event()

    async def receive(request: web.Request) -> web.Response:
        reports.append(request.headers["Authorization"])
        await may_end.wait()
        return web.Response(status=204)

    await services.replace("auth", [*Auth(market).routes(), web.post("/api/users/session-use", receive)])
    for address in ("/orders", "/", "/orders"):
        await client.get(address)

    async def reported() -> list[str]:
        return reports

    await until(reported)
    may_end.set()
    assert len(reports) == 1
    assert reports[0].startswith("Bearer ")


@pytest.mark.parametrize("way", ["a shared page", "the API, with a cookie", "the API, with a token"])
async def test_each_way_through_web_counts_as_use(
    client: PageClient, services: Services, market: Market, reports: list[str], way: str
) -> None:
    await receive_reports(services, market, reports)
    _, token = market.user("ann@example.com")
    if way == "the API, with a token":
        await client.http.get("/api/users/currentuser", headers={"Authorization": f"Bearer {token}"})
    else:
        client.sign_in_as(token)
        await client.get("/api/users/currentuser" if way == "the API, with a cookie" else "/")
    assert await reported(reports) == [token]


async def test_requests_that_a_page_makes_by_itself_do_not_count_as_use(
    client: PageClient, services: Services, market: Market, reports: list[str]
) -> None:
    await receive_reports(services, market, reports)
    _, idle = market.user("idle@example.com")
    _, active = market.user("active@example.com")
    ticket = market.ticket(market.user("seller@example.com")[0])
    client.sign_in_as(idle)
    for path in (f"/cards?id={ticket.id}", f"/tickets/{ticket.id}/card", "/results", "/orders"):
        await client.http.get(path, headers={"Sec-Fetch-Mode": "cors", "HX-Request": "true"})
    client.http.cookies.clear()
    client.sign_in_as(active)
    await client.http.post("/signout", headers={"Sec-Fetch-Mode": "cors"})
    assert await reported(reports) == [active]
