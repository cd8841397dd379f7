"""Passwords that attackers guess first, and passwords that users could not use any more."""

import secrets
from collections.abc import AsyncIterator

import httpx
import pytest

from tests.support.people import PASSWORD, signed_up
from tests.support.stack import Stack

COMPOSED, DECOMPOSED = "1234567\u00e9", "1234567e\u0301"
GUESSED_FIRST = ["password", "12345678", "        ", "\0" * 8, "EMAIL", "email-local-part", "stagedoor1"]


@pytest.fixture
async def visitor(stack: Stack) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=stack.web, timeout=60) as client:
        yield client


def _new_account(password: str) -> dict[str, str]:
    local = f"ann{secrets.token_hex(8)}"
    email = f"{local}@example.com"
    password = password.replace("EMAIL", email.upper()).replace("email-local-part", local)
    return {"email": email, "password": password}


@pytest.mark.parametrize("password", GUESSED_FIRST)
async def test_nobody_can_sign_up_with_a_password_that_attackers_guess_first(
    visitor: httpx.AsyncClient, password: str
) -> None:
    account = _new_account(password)
    answer = await visitor.post("/api/users/signup", json=account)
    assert answer.status_code == 400, answer.text
    assert [error["field"] for error in answer.json()["errors"]] == ["password"]
    page = await visitor.post("/signup", data=account)
    assert page.status_code == 422
    assert 'id="password-error"' in page.text


async def test_nobody_can_change_to_a_password_that_attackers_guess_first(stack: Stack) -> None:
    async with signed_up(stack.web, 1) as (ann,):
        for weak in ("password", "12345678", " " * 8, "\0" * 8, ann.email, ann.email.partition("@")[0]):
            body = {"currentPassword": PASSWORD, "newPassword": weak}
            answer = await ann.client.post("/api/users/password", json=body)
            assert answer.status_code == 400, weak
            assert [error["field"] for error in answer.json()["errors"]] == ["newPassword"]


@pytest.mark.parametrize(("chosen", "typed"), [(COMPOSED, DECOMPOSED), (DECOMPOSED, COMPOSED)])
async def test_a_password_works_on_a_keyboard_that_composes_its_characters_differently(
    visitor: httpx.AsyncClient, chosen: str, typed: str
) -> None:
    account = _new_account(chosen)
    assert (await visitor.post("/api/users/signup", json=account)).status_code == 201
    again = await visitor.post("/api/users/signin", json={**account, "password": typed})
    assert again.status_code == 200


async def test_a_pasted_password_of_256_characters_is_used_as_a_whole(visitor: httpx.AsyncClient) -> None:
    account = _new_account(secrets.token_hex(128))
    assert (await visitor.post("/signup", data=account)).status_code == 303
    visitor.cookies.clear()
    assert (await visitor.post("/signin", data=account)).status_code == 303
    visitor.cookies.clear()
    truncated = {**account, "password": account["password"][:-1]}
    assert (await visitor.post("/signin", data=truncated)).status_code == 422


async def test_the_forms_neither_truncate_a_long_password_nor_accept_it(visitor: httpx.AsyncClient) -> None:
    assert "maxlength" not in (await visitor.get("/signup")).text
    page = await visitor.post("/signup", data=_new_account("a long password " * 17))
    assert page.status_code == 422
    assert "Password must be between 8 and 256 characters" in page.text
