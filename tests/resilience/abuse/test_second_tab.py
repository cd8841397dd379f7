"""A page of one user never acts for another user who has signed in in a second tab of the same http."""

import re
from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio

from tests.support.people import PASSWORD, Person, signed_up
from tests.support.polling import TIMEOUT
from tests.support.stack import Stack


@pytest_asyncio.fixture(loop_scope="session")
async def people(stack: Stack) -> AsyncIterator[list[Person]]:
    async with signed_up(stack.web, 3) as people:
        yield people


@pytest_asyncio.fixture(loop_scope="session")
async def http(stack: Stack) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"Sec-Fetch-Site": "same-origin"}
    async with httpx.AsyncClient(base_url=stack.web, timeout=TIMEOUT, headers=headers) as http:
        yield http


async def sign_in(http: httpx.AsyncClient, person: Person) -> None:
    answer = await http.post("/signin", data={"email": person.email, "password": PASSWORD})
    assert answer.status_code == 303


def recorded_user(page: str) -> str:
    users = [str(user) for user in re.findall(r'name="viewer" value="(\w*)"', page)]
    assert len(set(users)) == 1
    return users[0]


@pytest.mark.parametrize("htmx", [{}, {"HX-Request": "true"}], ids=["form", "htmx"])
async def test_a_page_of_one_user_neither_buys_nor_sells_for_another(
    people: list[Person], http: httpx.AsyncClient, htmx: dict[str, str]
) -> None:
    first, second, seller = people
    ticket = await seller.lists_ticket()
    buy = f"/tickets/{ticket['id']}/buy"
    await sign_in(http, first)
    user = recorded_user((await http.get(f"/tickets/{ticket['id']}")).text)
    assert user == first.id
    await sign_in(http, second)
    listing = {"title": "Low Roar", "price": "20", "viewer": user}
    for path, form in ((buy, {"viewer": user}), ("/sell", listing), ("/account/signout", {"viewer": user})):
        answer = await http.post(path, data=form, headers=htmx)
        assert answer.status_code == 409, path
        assert f"You are now signed in as {second.email}" in answer.text
    assert (await first.ticket(ticket["id"]))["status"] == "available"
    assert (await http.get("/api/orders")).json() == []
    assert (await http.get("/api/tickets/mine")).json() == []
    user = recorded_user((await http.get(f"/tickets/{ticket['id']}")).text)
    assert user == second.id
    bought = await http.post(buy, data={"viewer": user})
    assert bought.status_code == 303
    assert len((await http.get("/api/orders")).json()) == 1


async def test_a_page_of_a_guest_does_not_buy_for_somebody_who_signed_in_later(
    people: list[Person], http: httpx.AsyncClient
) -> None:
    ann, _, seller = people
    ticket = await seller.lists_ticket()
    user = recorded_user((await http.get(f"/tickets/{ticket['id']}")).text)
    assert user == ""
    await sign_in(http, ann)
    answer = await http.post(f"/tickets/{ticket['id']}/buy", data={"viewer": user})
    assert answer.status_code == 409
    assert (await http.get("/api/orders")).json() == []
