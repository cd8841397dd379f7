"""One's account: a new password, and the end of all sessions."""

import pytest

from tests.web.conftest import Browser, is_page, text_of
from tests.web.market import PASSWORD, Market

NEW = "a better password"


@pytest.fixture
async def ann(browser: Browser, market: Market) -> Browser:
    market.user("ann@example.com")
    await browser.submit("/signin", email="ann@example.com", password=PASSWORD)
    return browser


async def test_the_account_tells_who_one_is_and_since_when(ann: Browser) -> None:
    words = text_of(await ann.get("/account"))
    assert "ann@example.com" in words
    assert "Here since December 2025" in words


async def test_who_is_not_signed_in_is_asked_to(browser: Browser) -> None:
    assert (await browser.get("/account")).headers["location"] == "/signin?next=/account"
    refused = await browser.submit("/account/password", currentPassword=PASSWORD, newPassword=NEW)
    assert refused.headers["location"] == "/signin?next=/account"


async def test_a_new_password_is_set_and_said(ann: Browser, market: Market) -> None:
    changed = await ann.submit("/account/password", currentPassword=PASSWORD, newPassword=NEW)
    assert (changed.status_code, changed.headers["location"]) == (303, "/account?changed")
    assert "Your password is changed" in text_of(await ann.get("/account?changed"))
    assert [password for _, password in market.users.values()] == [NEW]


async def test_a_wrong_present_password_is_told_at_its_field_and_nothing_is_sent_back(ann: Browser) -> None:
    refused = await ann.submit("/account/password", currentPassword="wrong horse", newPassword=NEW)
    assert refused.status_code == 422
    assert is_page(refused)
    assert 'id="currentPassword-error"' in refused.text
    assert "your present password" in text_of(refused)
    assert NEW not in refused.text
    assert "wrong horse" not in refused.text


async def test_a_new_password_that_is_too_short_is_told_at_its_field(ann: Browser) -> None:
    refused = await ann.submit("/account/password", currentPassword=PASSWORD, newPassword="short")
    assert refused.status_code == 422
    assert 'id="newPassword-error"' in refused.text


async def test_signing_out_everywhere_leads_home(ann: Browser) -> None:
    ended = await ann.submit("/account/signout")
    assert (ended.status_code, ended.headers["location"]) == (303, "/")
    assert any(cookie.startswith("session=") for cookie in ended.headers.get_list("set-cookie"))


async def test_more_time_is_offered_where_it_can_be_had_and_given(ann: Browser, market: Market) -> None:
    (user, _), *_ = market.users.values()
    seller, _ = market.user("sam@example.com")
    order = market.order(user, market.ticket(seller), seconds=200, can_extend=True)
    page = await ann.get(f"/orders/{order.id}")
    assert "Give me more time" in text_of(page)
    assert "30 minutes in all" in text_of(page)
    extended = await ann.submit(f"/orders/{order.id}/extend")
    assert extended.headers["location"] == f"/orders/{order.id}"
    assert "Give me more time" not in text_of(await ann.get(f"/orders/{order.id}"))
    assert market.orders[order.id].expires_at > order.expires_at


async def test_more_time_that_cannot_be_had_is_told_in_words(ann: Browser, market: Market) -> None:
    (user, _), *_ = market.users.values()
    seller, _ = market.user("sam@example.com")
    order = market.order(user, market.ticket(seller), seconds=800)
    refused = await ann.submit(f"/orders/{order.id}/extend")
    assert refused.status_code == 409
    assert "There is no more time to be had for this order" in text_of(refused)
