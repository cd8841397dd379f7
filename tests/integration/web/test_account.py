"""The account page, and the extension of an order."""

import pytest_asyncio

from tests.integration.web.page_client import PageClient, is_page, text_of
from tests.support.fakes.market import PASSWORD, Market

NEW_PASSWORD = "a better password"


@pytest_asyncio.fixture(loop_scope="session")
async def signed_in_client(client: PageClient, market: Market) -> PageClient:
    market.user("ann@example.com")
    await client.submit("/signin", email="ann@example.com", password=PASSWORD)
    return client


async def test_the_account_page_shows_the_email_and_the_month_of_the_sign_up(
    signed_in_client: PageClient,
) -> None:
    words = text_of(await signed_in_client.get("/account"))
    assert "ann@example.com" in words
    assert "Member since December 2025" in words


async def test_the_account_page_redirects_a_signed_out_user_to_sign_in(client: PageClient) -> None:
    assert (await client.get("/account")).headers["location"] == "/signin?next=/account"
    refused = await client.submit("/account/password", currentPassword=PASSWORD, newPassword=NEW_PASSWORD)
    assert refused.headers["location"] == "/signin?next=/account"


async def test_a_changed_password_is_stored_and_confirmed_on_the_page(
    signed_in_client: PageClient, market: Market
) -> None:
    changed = await signed_in_client.submit(
        "/account/password", currentPassword=PASSWORD, newPassword=NEW_PASSWORD
    )
    assert (changed.status_code, changed.headers["location"]) == (303, "/account?changed")
    assert "Your password was changed" in text_of(await signed_in_client.get("/account?changed"))
    assert [password for _, password in market.users.values()] == [NEW_PASSWORD]


async def test_a_wrong_current_password_shows_an_error_at_its_field_and_no_password(
    signed_in_client: PageClient,
) -> None:
    refused = await signed_in_client.submit(
        "/account/password", currentPassword="wrong horse", newPassword=NEW_PASSWORD
    )
    assert refused.status_code == 422
    assert is_page(refused)
    assert 'id="currentPassword-error"' in refused.text
    assert "Your current password is wrong" in text_of(refused)
    assert NEW_PASSWORD not in refused.text
    assert "wrong horse" not in refused.text


async def test_a_new_password_that_is_too_short_shows_an_error_next_to_its_field(
    signed_in_client: PageClient,
) -> None:
    refused = await signed_in_client.submit(
        "/account/password", currentPassword=PASSWORD, newPassword="short"
    )
    assert refused.status_code == 422
    assert 'id="newPassword-error"' in refused.text


async def test_signing_out_everywhere_clears_the_cookie_and_redirects_to_the_front_page(
    signed_in_client: PageClient,
) -> None:
    ended = await signed_in_client.submit("/account/signout")
    assert (ended.status_code, ended.headers["location"]) == (303, "/")
    assert any(cookie.startswith("session=") for cookie in ended.headers.get_list("set-cookie"))


async def test_a_buyer_can_extend_a_reservation(signed_in_client: PageClient, market: Market) -> None:
    (user, _), *_ = market.users.values()
    seller, _ = market.user("sam@example.com")
    order = market.order(user, market.ticket(seller), seconds=200, can_extend=True)
    page = await signed_in_client.get(f"/orders/{order.id}")
    assert "Give me more time" in text_of(page)
    assert "to at most 30 minutes in total" in text_of(page)
    extended = await signed_in_client.submit(f"/orders/{order.id}/extend")
    assert extended.headers["location"] == f"/orders/{order.id}"
    assert "Give me more time" not in text_of(await signed_in_client.get(f"/orders/{order.id}"))
    assert market.orders[order.id].expires_at > order.expires_at


async def test_a_refused_extension_is_answered_with_409_and_the_reason(
    signed_in_client: PageClient, market: Market
) -> None:
    (user, _), *_ = market.users.values()
    seller, _ = market.user("sam@example.com")
    order = market.order(user, market.ticket(seller), seconds=800)
    refused = await signed_in_client.submit(f"/orders/{order.id}/extend")
    assert refused.status_code == 409
    assert "The time to pay can no longer be extended" in text_of(refused)
