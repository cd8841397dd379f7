"""What web itself refuses appears in the security log."""

import json
import logging
from typing import Any

import pytest

from contracts.api import User
from kit import security_log
from tests.integration.web.asgi_client import ask
from tests.integration.web.page_client import PageClient
from tests.integration.web.test_admission import SETTINGS, LimitedApp


@pytest.fixture(autouse=True)
def no_earlier_events(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(security_log, "_floods", security_log._Floods())
    caplog.set_level(logging.INFO, logger="security")


def events(caplog: pytest.LogCaptureFixture, *fields: str) -> list[tuple[Any, ...]]:
    lines = [json.loads(line.getMessage()) for line in caplog.records if line.name == "security"]
    return [tuple(line.get(field) for field in fields) for line in lines]


async def test_a_forged_token_is_logged_and_a_missing_or_valid_one_is_not(
    client: PageClient, buyer: User, caplog: pytest.LogCaptureFixture
) -> None:
    await client.get("/account")
    client.http.cookies.clear()
    await client.get("/account")
    assert events(caplog, "event") == []
    client.sign_in_as("forged")
    await client.get("/account")
    assert events(caplog, "event", "outcome", "network") == [("token", "refused", "203.0.113.7")]
    assert "forged" not in caplog.text


async def test_a_sign_in_above_the_limit_of_its_network_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    limited_app = LimitedApp()
    limited_app.app.may_respond.set()
    for _ in range(SETTINGS.rate_sign_in + 1):
        await ask(limited_app.admission, "POST", "/signin", [b""], x_forwarded_for="2600:1::1")
    assert events(caplog, "event", "outcome", "network", "route") == [
        ("rate-limit", "refused", "2600:1::/64", "POST /signin")
    ]
