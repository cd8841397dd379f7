"""Signing up and signing in."""

import asyncio
from dataclasses import replace

import pytest
from argon2 import PasswordHasher

from services.auth.passwords import Passwords
from tests.support.service import Served, cheap_passwords, messages, refusal

ANN = {"email": "ann@example.com", "password": "correct horse"}


async def sign_up(auth: Served, **fields: object) -> dict[str, str]:
    answer = await auth.ask("POST", "/api/users/signup", json={**ANN, **fields})
    assert answer.status_code == 201, answer.text
    user: dict[str, str] = answer.json()
    return user


async def test_signing_up_returns_the_id_and_email_and_signs_the_user_in(auth: Served) -> None:
    user = await sign_up(auth)
    assert user == {"id": user["id"], "email": "ann@example.com"}
    assert (await auth.ask("GET", "/api/users/currentuser")).json() == {"currentUser": user}


async def test_email_addresses_are_trimmed_and_lowercased(auth: Served) -> None:
    assert (await sign_up(auth, email="  Ann@Example.COM "))["email"] == "ann@example.com"
    assert [user["email"] async for user in auth.database["users"].find()] == ["ann@example.com"]
    again = await auth.ask(
        "POST", "/api/users/signin", json={"email": " ANN@example.com ", "password": ANN["password"]}
    )
    assert again.status_code == 200
    assert again.json()["email"] == "ann@example.com"


async def test_a_password_is_stored_only_as_an_argon2id_hash(auth: Served) -> None:
    await sign_up(auth)
    (user,) = [user async for user in auth.database["users"].find()]
    assert user["password_hash"].startswith("$argon2id$")
    assert ANN["password"] not in str(user)


async def test_signing_up_with_a_used_email_address_is_refused_regardless_of_case(auth: Served) -> None:
    await sign_up(auth)
    again = await auth.ask("POST", "/api/users/signup", json={**ANN, "email": "ANN@example.com"})
    assert messages(again, 409) == ["Email in use"]
    assert again.json()["type"] == "/problems/email-in-use"
    assert "set-cookie" not in again.headers


async def test_only_one_of_several_concurrent_sign_ups_with_one_email_address_succeeds(auth: Served) -> None:
    assert await _statuses_of_concurrent_sign_ups(auth) == [201, 409, 409, 409]
    assert await auth.database["users"].count_documents({}) == 1


async def test_control_without_the_unique_index_concurrent_sign_ups_create_several_users(
    auth: Served,
) -> None:
    await auth.database["users"].drop_index("email")
    assert await _statuses_of_concurrent_sign_ups(auth) == [201, 201, 201, 201]


async def _statuses_of_concurrent_sign_ups(auth: Served) -> list[int]:
    answers = await asyncio.gather(*(auth.ask("POST", "/api/users/signup", json=ANN) for _ in range(4)))
    return sorted(answer.status_code for answer in answers)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"email": "no address"}, [("email", "Email must be valid")]),
        ({"email": ""}, [("email", "Email must be valid")]),
        ({"password": "seven77"}, [("password", "Password must be between 8 and 256 characters")]),
        ({"password": "x" * 257}, [("password", "Password must be between 8 and 256 characters")]),
        ({"email": {"$gt": ""}}, [("email", "Email must be text")]),
        ({"email": ["ann@example.com"]}, [("email", "Email must be text")]),
        ({"email": 7}, [("email", "Email must be text")]),
        ({"password": {"$ne": None}}, [("password", "Password must be text")]),
        ({"password": None}, [("password", "Password must be text")]),
        ({"admin": True}, [("admin", "Admin isn't a known field")]),
        (
            {"email": "x", "password": "x"},
            [
                ("email", "Email must be valid"),
                ("password", "Password must be between 8 and 256 characters"),
            ],
        ),
    ],
)
async def test_the_error_for_an_invalid_sign_up_lists_each_invalid_field(
    auth: Served, fields: dict[str, object], expected: list[tuple[str, str]]
) -> None:
    answer = await auth.ask("POST", "/api/users/signup", json={**ANN, **fields})
    assert refusal(answer, 400) == expected
    assert await auth.database["users"].count_documents({}) == 0


@pytest.mark.parametrize("password", ["tap dog2", "a good password " * 15 + "of 256 characters"[:16]])
async def test_passwords_of_8_and_of_256_characters_are_accepted(auth: Served, password: str) -> None:
    await sign_up(auth, password=password)


async def test_signing_in_requires_an_email_address_and_a_password(auth: Served) -> None:
    answer = await auth.ask("POST", "/api/users/signin", json={})
    assert refusal(answer, 400) == [("email", "Email is required"), ("password", "Password is required")]


@pytest.mark.parametrize("email", [{"$gt": ""}, ["ann@example.com"], {"email": "ann@example.com"}])
async def test_an_email_address_that_is_not_text_is_refused(auth: Served, email: object) -> None:
    await sign_up(auth)
    answer = await auth.ask("POST", "/api/users/signin", json={**ANN, "email": email})
    assert refusal(answer, 400) == [("email", "Email must be text")]


async def test_a_wrong_password_and_an_unknown_user_get_the_same_response(auth: Served) -> None:
    await sign_up(auth)
    wrong = await auth.ask("POST", "/api/users/signin", json={**ANN, "password": "wrong horse"})
    unknown = await auth.ask("POST", "/api/users/signin", json={**ANN, "email": "bob@example.com"})
    assert messages(wrong, 401) == ["Invalid credentials"]
    assert wrong.content == unknown.content
    assert wrong.status_code == unknown.status_code
    assert "set-cookie" not in wrong.headers


async def test_signing_in_returns_the_user(auth: Served) -> None:
    user = await sign_up(auth)
    answer = await auth.ask("POST", "/api/users/signin", json=ANN)
    assert (answer.status_code, answer.json()) == (200, user)


async def test_a_successful_sign_in_renews_a_hash_with_outdated_parameters(auth: Served) -> None:
    await sign_up(auth)
    before = await _hash(auth)
    stronger = Passwords(PasswordHasher(time_cost=2, memory_cost=16, parallelism=1))
    auth.app.state.auth = replace(auth.app.state.auth, passwords=stronger)
    assert (
        await auth.ask("POST", "/api/users/signin", json={**ANN, "password": "wrong horse"})
    ).status_code == 401
    assert await _hash(auth) == before
    assert (await auth.ask("POST", "/api/users/signin", json=ANN)).status_code == 200
    after = await _hash(auth)
    assert "m=16,t=2,p=1" in after
    assert (await auth.ask("POST", "/api/users/signin", json=ANN)).status_code == 200
    assert await _hash(auth) == after
    stronger.close()


COMPOSED, DECOMPOSED = "1234567\u00e9", "1234567e\u0301"


@pytest.mark.parametrize(("chosen", "typed"), [(COMPOSED, DECOMPOSED), (DECOMPOSED, COMPOSED)])
async def test_a_password_is_the_same_however_a_keyboard_composes_its_characters(
    auth: Served, chosen: str, typed: str
) -> None:
    await sign_up(auth, password=chosen)
    again = await auth.ask("POST", "/api/users/signin", json={**ANN, "password": typed})
    assert again.status_code == 200


async def test_a_user_whose_password_was_hashed_as_typed_can_still_sign_in_and_gets_a_new_hash(
    auth: Served,
) -> None:
    await sign_up(auth)
    old = cheap_passwords()._hasher.hash(DECOMPOSED)
    await auth.database["users"].update_one({}, {"$set": {"password_hash": old}})
    for typed in (DECOMPOSED, COMPOSED):
        answer = await auth.ask("POST", "/api/users/signin", json={**ANN, "password": typed})
        assert answer.status_code == 200
    assert await _hash(auth) != old


@pytest.mark.parametrize(
    "password", ["password", "12345678", "ann@example.com", "ANN@example.com1", "ann12345", "stagedoor1"]
)
async def test_an_easily_guessed_password_is_refused_with_the_reason(auth: Served, password: str) -> None:
    answer = await auth.ask("POST", "/api/users/signup", json={**ANN, "password": password})
    ((field, reason),) = refusal(answer, 400)
    assert field == "password"
    assert "attackers try" in reason
    assert answer.json()["type"] == "/problems/weak-password"
    assert await auth.database["users"].count_documents({}) == 0


async def test_default_hash_parameters_follow_rfc_9106(auth: Served) -> None:
    real = Passwords()
    auth.app.state.auth = replace(auth.app.state.auth, passwords=real)
    await sign_up(auth)
    assert (await _hash(auth)).startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    real.close()


async def _hash(auth: Served) -> str:
    user = await auth.database["users"].find_one({"email": ANN["email"]})
    assert user is not None
    return str(user["password_hash"])
