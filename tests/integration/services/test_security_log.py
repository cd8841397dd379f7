"""Refused requests appear in the security log."""

import json
import logging
from datetime import timedelta
from typing import Any

import pytest

from contracts.wire import now
from kit import security_log
from kit.client_address import CLIENT
from kit.secrets import operator_token
from services.auth.idle_sessions import end_idle_sessions
from tests.support.service import Served, SettingsWith, new_id, old_id, serving

TICKET = {"title": "Low Roar", "price": 19.99}


@pytest.fixture(autouse=True)
def no_earlier_events(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(security_log, "_floods", security_log._Floods())
    caplog.set_level(logging.INFO, logger="security")


def events(caplog: pytest.LogCaptureFixture, *fields: str) -> list[tuple[Any, ...]]:
    lines = [json.loads(line.getMessage()) for line in caplog.records if line.name == "security"]
    return [tuple(line.get(field) for field in fields) for line in lines]


def from_client(service: Served, address: str) -> dict[str, str]:
    return {CLIENT: service.app.state.vouching.sign(address)}


async def test_a_request_above_its_limit_is_logged(
    settings_with: SettingsWith, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving("tickets", settings_with(rate_list=1)) as tickets:
        ann = new_id()
        for _ in range(2):
            await tickets.ask(
                "POST", "/api/tickets", by=ann, json=TICKET, headers=from_client(tickets, "9.9.9.9")
            )
        assert events(caplog, "event", "outcome", "actor", "network", "route") == [
            ("rate-limit", "refused", ann, "9.9.9.9/32", "POST /api/tickets")
        ]


async def test_a_user_who_tries_to_change_what_belongs_to_another_user_is_logged(
    tickets: Served, caplog: pytest.LogCaptureFixture
) -> None:
    ann, eve = new_id(), new_id()
    made = (await tickets.ask("POST", "/api/tickets", by=ann, json=TICKET)).json()
    await tickets.ask("PUT", f"/api/tickets/{made['id']}", by=eve, json=TICKET)
    assert events(caplog, "event", "outcome", "actor", "route") == [
        ("access", "refused", eve, "PUT /api/tickets/{ticket_id}")
    ]


async def test_an_invalid_token_is_logged_and_a_missing_one_is_not(
    orders: Served, caplog: pytest.LogCaptureFixture
) -> None:
    await orders.ask("GET", "/api/orders")
    assert events(caplog, "event") == []
    await orders.ask("GET", "/api/orders", headers={"Authorization": "Bearer forged"})
    assert events(caplog, "event", "outcome") == [("token", "refused")]
    assert "forged" not in caplog.text


async def test_a_wrong_operator_token_is_logged(
    settings_with: SettingsWith, caplog: pytest.LogCaptureFixture, stripe_url: str
) -> None:
    async with serving("payments", settings_with(stripe_api_base=stripe_url)) as payments:
        body = {"orderId": old_id()}
        headers = {"Authorization": f"Bearer {'0' * 64}"}
        answer = await payments.ask("POST", "/api/payments/refunds", json=body, headers=headers)
        assert answer.status_code == 401
        assert events(caplog, "event", "outcome", "route") == [
            ("operator", "refused", "POST /api/payments/refunds")
        ]


ANN = {"email": "ann@example.com", "password": "correct horse"}


async def test_attempts_to_sign_up_and_in_are_logged_without_the_email_address(
    auth: Served, caplog: pytest.LogCaptureFixture
) -> None:
    headers = from_client(auth, "2600:1:2:3::4")
    made = await auth.ask("POST", "/api/users/signup", json=ANN, headers=headers)
    for account in ({**ANN, "password": "wrong horse"}, {**ANN, "email": "eve@example.com"}, ANN):
        await auth.ask("POST", "/api/users/signin", json=account, headers=headers)
    ann = made.json()["id"]
    assert events(caplog, "event", "outcome", "actor", "network", "reason") == [
        ("sign-up", "success", ann, "2600:1:2:3::/64", None),
        ("sign-in", "failure", None, "2600:1:2:3::/64", "InvalidCredentials"),
        ("sign-in", "failure", None, "2600:1:2:3::/64", "InvalidCredentials"),
        ("sign-in", "success", ann, "2600:1:2:3::/64", None),
    ]
    first, second, third, fourth = (account for (account,) in events(caplog, "account"))
    assert first == second == fourth != third
    assert "@" not in caplog.text
    assert "horse" not in caplog.text


async def test_a_password_change_and_the_end_of_sessions_are_logged(
    auth: Served, caplog: pytest.LogCaptureFixture
) -> None:
    made = await auth.ask("POST", "/api/users/signup", json=ANN)
    for current in ("wrong horse", ANN["password"]):
        body = {"currentPassword": current, "newPassword": "another horse"}
        await auth.ask("POST", "/api/users/password", json=body)
    await auth.ask("POST", "/api/users/signout-everywhere")
    ann = made.json()["id"]
    assert events(caplog, "event", "outcome", "actor")[1:] == [
        ("password-change", "failure", ann),
        ("access", "refused", ann),
        ("password-change", "success", ann),
        ("sign-out-everywhere", "success", ann),
    ]


async def test_what_an_operator_does_to_a_user_is_logged_without_the_reason(
    auth: Served, caplog: pytest.LogCaptureFixture
) -> None:
    ann = (await auth.ask("POST", "/api/users/signup", json=ANN)).json()["id"]
    headers = {"Authorization": f"Bearer {operator_token(auth.app.state.settings)}"}
    reason = {"reason": "sells copies"}
    await auth.ask("PUT", f"/api/users/{ann}/suspension", json=reason, headers=headers)
    await auth.ask("POST", "/api/users/signin", json=ANN)
    await auth.ask("DELETE", f"/api/users/{ann}/suspension", headers=headers)
    await auth.ask("DELETE", f"/api/users/{ann}/sessions", headers=headers)
    assert events(caplog, "event", "outcome", "actor", "user", "reason")[1:] == [
        ("suspension", "success", "operator", ann, None),
        ("sign-in", "failure", None, None, "AccountSuspended"),
        ("access", "refused", None, None, "AccountSuspended"),
        ("suspension-lift", "success", "operator", ann, None),
        ("sessions-end", "success", "operator", ann, None),
    ]
    assert "copies" not in caplog.text


async def test_signing_out_and_the_end_of_an_idle_session_are_logged(
    auth: Served, caplog: pytest.LogCaptureFixture
) -> None:
    ann = (await auth.ask("POST", "/api/users/signup", json=ANN)).json()["id"]
    await auth.ask("POST", "/api/users/signout")
    await auth.ask("POST", "/api/users/signin", json=ANN)
    await auth.database["sessions"].update_many({}, {"$set": {"used_at": now() - timedelta(hours=3)}})
    await end_idle_sessions(timedelta(hours=2), auth.app.state.sessions.ended)
    assert events(caplog, "event", "outcome", "actor", "reason") == [
        ("sign-up", "success", ann, None),
        ("sign-out", "success", ann, None),
        ("sign-in", "success", ann, None),
        ("session-end", "success", ann, "idle"),
    ]


async def test_a_request_of_another_site_is_logged_once(
    tickets: Served, caplog: pytest.LogCaptureFixture
) -> None:
    headers = {"Sec-Fetch-Site": "cross-site"}
    await tickets.ask("PUT", f"/api/tickets/{old_id()}", by=new_id(), json=TICKET, headers=headers)
    ((event, outcome, route),) = events(caplog, "event", "outcome", "route")
    assert (event, outcome) == ("cross-site", "refused")
    assert route.startswith("PUT /api/tickets/")


async def test_a_webhook_that_stripe_did_not_sign_is_logged(
    settings_with: SettingsWith, caplog: pytest.LogCaptureFixture, stripe_url: str
) -> None:
    async with serving("payments", settings_with(stripe_api_base=stripe_url)) as payments:
        headers = {"Stripe-Signature": "t=1,v1=forged"}
        answer = await payments.ask("POST", "/api/payments/webhook", content=b"{}", headers=headers)
        assert answer.status_code == 400
        assert events(caplog, "event", "outcome") == [("webhook", "refused")]
