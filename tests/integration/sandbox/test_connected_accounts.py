"""Connected accounts at the sandbox, and the page on which a person gives their details."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import stripe

from sandbox.testing import FAST_STOP, free_port, running
from tests.support.connect import (
    REFRESH_URL,
    RETURN_URL,
    acting_for,
    onboarded,
    onboarding_path,
    opened_account,
)
from tests.support.polling import until
from tests.support.stripe_sandbox import HTTPX_WARNING, client, problem, process

pytestmark = pytest.mark.filterwarnings(HTTPX_WARNING)


def state_of(account: stripe.Account) -> tuple[bool | None, bool | None, str, str | None]:
    """Submitted, payouts, transfers, and why the account is disabled."""
    assert account.capabilities is not None
    assert account.requirements is not None
    return (
        account.details_submitted,
        account.payouts_enabled,
        str(account.capabilities.transfers),
        account.requirements.disabled_reason,
    )


async def test_a_new_account_waits_for_details(shop: stripe.StripeClient) -> None:
    account = await opened_account(shop, country="DE", metadata={"seller_id": "s1"}, email="a@shop.test")
    assert account.id.startswith("acct_")
    assert (account.type, account.country, account.default_currency) == ("express", "DE", "eur")
    assert account.to_dict()["metadata"] == {"seller_id": "s1"}
    assert state_of(account) == (False, False, "inactive", "requirements.past_due")
    assert account.requirements is not None
    assert "external_account" in (account.requirements.currently_due or [])
    assert (await shop.v1.accounts.retrieve_async(account.id)).to_dict() == account.to_dict()
    assert account.id in {each.id for each in (await shop.v1.accounts.list_async({"limit": 5})).data}


@pytest.mark.parametrize(
    ("choice", "state"),
    [
        ("complete", (True, True, "active", None)),
        ("failing_bank", (True, True, "active", None)),
        ("checking", (True, False, "pending", "requirements.pending_verification")),
        ("later", (False, False, "inactive", "requirements.past_due")),
        ("rejected", (True, False, "inactive", "rejected.other")),
    ],
)
async def test_the_choice_on_the_page_decides_the_state_of_the_account(
    shop: stripe.StripeClient, http: httpx.AsyncClient, choice: str, state: tuple[Any, ...]
) -> None:
    account = await onboarded(shop, http, choice)
    assert state_of(account) == state
    changes = await shop.v1.events.list_async({"type": "account.updated"}, acting_for(account))
    [changed] = changes.data
    assert (changed.account, changed.data.object["id"]) == (account.id, account.id)
    assert changed.data.object["payouts_enabled"] == account.payouts_enabled


async def test_an_unfinished_account_can_be_completed_with_another_link(
    shop: stripe.StripeClient, http: httpx.AsyncClient
) -> None:
    account = await onboarded(shop, http, "later")
    assert account.requirements is not None
    assert account.requirements.currently_due == ["external_account"]
    await http.post(await onboarding_path(shop, account.id), data={"choice": "complete"})
    assert (await shop.v1.accounts.retrieve_async(account.id)).payouts_enabled


async def test_details_that_have_to_be_checked_are_accepted_later(
    shop: stripe.StripeClient, http: httpx.AsyncClient
) -> None:
    account = await onboarded(shop, http, "checking")

    async def look() -> stripe.Account:
        return await shop.v1.accounts.retrieve_async(account.id)

    checked = await until(look, lambda found: found.payouts_enabled)
    assert state_of(checked) == (True, True, "active", None)
    changes = (await shop.v1.events.list_async({"type": "account.updated"}, acting_for(account))).data
    assert [change.data.object["payouts_enabled"] for change in changes] == [True, False]


async def test_a_rejection_is_final(shop: stripe.StripeClient, http: httpx.AsyncClient) -> None:
    account = await onboarded(shop, http, "rejected")
    await http.post(await onboarding_path(shop, account.id), data={"choice": "complete"})
    assert state_of(await shop.v1.accounts.retrieve_async(account.id))[3] == "rejected.other"
    other = await onboarded(shop, http)
    rejected = await shop.v1.accounts.reject_async(other.id, {"reason": "fraud"})
    assert state_of(rejected) == (True, False, "inactive", "rejected.fraud")


async def test_the_page_is_a_form_without_javascript(
    shop: stripe.StripeClient, http: httpx.AsyncClient
) -> None:
    account = await opened_account(shop, email="<b>@shop.test")
    path = await onboarding_path(shop, account.id)
    shown = await http.get(path)
    assert (shown.status_code, shown.headers["cache-control"]) == (200, "no-store")
    assert "<script" not in shown.text
    assert "&lt;b&gt;@shop.test" in shown.text
    for choice in ("complete", "checking", "failing_bank", "later", "rejected"):
        assert f'name="choice" value="{choice}"' in shown.text
    wrong = await http.post(path, data={"choice": "fly"})
    assert wrong.status_code == 400
    assert 'role="alert"' in wrong.text
    assert (await http.post(path, data={"choice": "complete"})).headers["location"] == RETURN_URL


async def test_a_link_works_once_and_then_leads_to_the_refresh_address(
    shop: stripe.StripeClient, http: httpx.AsyncClient
) -> None:
    account = await opened_account(shop)
    path = await onboarding_path(shop, account.id)
    await http.post(path, data={"choice": "later"})
    for again in (await http.get(path), await http.post(path, data={"choice": "complete"})):
        assert (again.status_code, again.headers["location"]) == (303, REFRESH_URL)
    assert not (await shop.v1.accounts.retrieve_async(account.id)).details_submitted
    assert (await http.get("/setup/s/link_unknown")).status_code == 404
    assert (await http.post("/setup/s/link_unknown", data={"choice": "later"})).status_code == 404


async def test_an_expired_link_leads_to_the_refresh_address(tmp_path: Path) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    async with (
        running(process(port, tmp_path), tmp_path / "log", FAST_STOP),
        client(url) as shop,
        httpx.AsyncClient(base_url=url) as http,
    ):
        path = await onboarding_path(shop, (await opened_account(shop)).id)
        with closing(sqlite3.connect(tmp_path / "stripe.sqlite3")) as connection, connection:
            connection.execute(
                "UPDATE objects SET body = json_set(CAST(body AS TEXT), '$.expires_at', 1)"
                " WHERE kind = 'AccountLink'"
            )
        expired = await http.get(path)
    assert (expired.status_code, expired.headers["location"]) == (303, REFRESH_URL)


async def test_an_update_changes_the_schedule_and_keeps_the_rest(shop: stripe.StripeClient) -> None:
    account = await opened_account(shop, metadata={"a": "1", "b": "2"}, email="a@shop.test")
    daily: Any = {"payouts": {"schedule": {"interval": "daily"}}}
    updated = await shop.v1.accounts.update_async(account.id, {"settings": daily, "metadata": {"a": ""}})
    shown = updated.to_dict()
    assert shown["settings"]["payouts"]["schedule"]["interval"] == "daily"
    assert (shown["metadata"], shown["email"]) == ({"b": "2"}, "a@shop.test")


@pytest.mark.parametrize(
    ("params", "code", "param"),
    [
        ({"country": "US"}, "parameter_missing", "type"),
        ({"type": "standard"}, None, "type"),
        ({"type": "express", "country": "KP"}, "country_unsupported", "country"),
        (
            {"type": "express", "capabilities[fly][requested]": "true"},
            "parameter_unknown",
            "capabilities[fly]",
        ),
    ],
)
async def test_an_account_that_is_not_possible_is_refused(
    http: httpx.AsyncClient, params: dict[str, str], code: str | None, param: str
) -> None:
    refused = await http.post("/v1/accounts", data=params)
    error = refused.json()["error"]
    assert (refused.status_code, error.get("code"), error["param"]) == (400, code, param)


async def test_a_finished_account_is_changed_in_its_dashboard_once(
    shop: stripe.StripeClient, http: httpx.AsyncClient
) -> None:
    account = await onboarded(shop, http)
    link = await shop.v1.accounts.login_links.create_async(account.id)
    assert link.to_dict().keys() == stripe.LoginLink.__annotations__.keys() - {"OBJECT_NAME"}
    path = urlsplit(link.url).path
    assert "Your Express dashboard" in (await http.get(path)).text
    assert (await http.post(path, data={"choice": "anything"})).status_code == 400
    assert (await http.post(path, data={"choice": "rejected"})).status_code == 200
    assert (await http.post(path, data={"choice": "complete"})).status_code == 404
    assert (await http.get(path)).status_code == 404
    assert not (await shop.v1.accounts.retrieve_async(account.id)).payouts_enabled


async def test_an_account_without_details_has_no_dashboard(shop: stripe.StripeClient) -> None:
    account = await opened_account(shop)
    with pytest.raises(stripe.InvalidRequestError):
        await shop.v1.accounts.login_links.create_async(account.id)
    with pytest.raises(stripe.PermissionError):
        await shop.v1.accounts.login_links.create_async("acct_unknown")


async def test_an_unknown_account_looks_like_one_of_another_platform(
    shop: stripe.StripeClient, http: httpx.AsyncClient
) -> None:
    with pytest.raises(stripe.PermissionError) as caught:
        await shop.v1.accounts.retrieve_async("acct_unknown")
    assert problem(caught.value)["code"] == "account_invalid"
    with pytest.raises(stripe.PermissionError):
        await shop.v1.balance.retrieve_async({}, {"stripe_account": "acct_unknown"})
    link = {"account": "acct_unknown", "type": "account_onboarding"}
    link |= {"return_url": RETURN_URL, "refresh_url": REFRESH_URL}
    refused = (await http.post("/v1/account_links", data=link)).json()["error"]
    assert (refused["code"], refused["param"]) == ("resource_missing", "account")


async def test_a_request_for_a_connected_account_is_refused_where_it_is_not_supported(
    shop: stripe.StripeClient,
) -> None:
    account = await opened_account(shop)
    with pytest.raises(stripe.InvalidRequestError, match="Stripe-Account"):
        await shop.v1.transfers.list_async({}, acting_for(account))
