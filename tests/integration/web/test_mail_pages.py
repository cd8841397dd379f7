"""The pages that the links in emails open, for people who aren't signed in."""

from typing import Any

import pytest

from contracts.api import User
from tests.integration.web.page_client import PageClient
from web.api_client import ApiClient


@pytest.mark.parametrize(
    "body",
    [{"data": {"List-Unsubscribe": "One-Click"}}, {"files": {"List-Unsubscribe": (None, "One-Click")}}, {}],
    ids=["URL-encoded", "multipart", "without a body"],
)
async def test_a_mail_program_stops_emails_with_each_form_that_rfc_8058_allows(
    client: PageClient, monkeypatch: pytest.MonkeyPatch, body: dict[str, Any]
) -> None:
    """Mail programs should send multipart/form-data, and may send a URL-encoded form."""
    chosen = []

    async def choose(_: ApiClient, token: str, *, is_wanted: bool) -> None:
        chosen.append((token, is_wanted))

    monkeypatch.setattr(ApiClient, "choose_mail", choose)
    del client.http.headers["Sec-Fetch-Site"]
    answer = await client.http.post("/mail/unsubscribe?token=abc", **body)
    assert answer.status_code == 200
    assert chosen == [("abc", False)]


@pytest.mark.parametrize(
    "address",
    [
        "/account/reset?link=abc.def",
        "/account/undo-email-change?link=abc.def",
        "/mail/unsubscribe?token=abc.def",
    ],
)
async def test_a_secret_in_an_address_is_neither_cached_nor_taken_to_the_sign_in_page(
    client: PageClient, address: str
) -> None:
    page = await client.get(address)
    assert page.headers["Cache-Control"] == "no-store"
    assert "abc.def" in page.text
    assert "next=" not in page.text


@pytest.mark.parametrize("kind", ["change-email", "undo-email-change"])
async def test_a_page_that_changes_the_address_names_the_one_that_the_account_gets(
    client: PageClient, buyer: User, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    asked: list[tuple[str, str]] = []

    async def address_of_link(_: ApiClient, link: str, of: str) -> str:
        asked.append((link, of))
        return "ann+<b>@example.net"

    address = f"/account/{kind}?link=abc.def"
    without = "the address that received this link"
    assert without in (await client.get(address)).text  # the fake auth knows no such link
    monkeypatch.setattr(ApiClient, "address_of_link", address_of_link)
    page = (await client.get(address)).text
    assert "ann+&lt;b&gt;@example.net" in page
    assert without not in page
    assert asked == [("abc.def", kind)]


async def test_signing_in_does_not_lead_back_to_the_page_for_forgotten_passwords(client: PageClient) -> None:
    assert "next=" not in (await client.get("/account/forgot?sent")).text
