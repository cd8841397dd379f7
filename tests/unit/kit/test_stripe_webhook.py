"""Signatures of Stripe's webhooks, and what services read of the events."""

import json
from typing import Any

import pytest

from kit.stripe.webhook import MAX_ID_LENGTH, BadSignature, id_or_none, verified
from tests.support.webhooks import SECRET, signature

ACCOUNT = {"object": "account", "id": "acct_1"}


def event(**fields: Any) -> bytes:
    return json.dumps(
        {"id": "evt_1", "type": "account.updated", "data": {"object": ACCOUNT}} | fields
    ).encode()


def test_an_event_of_a_connected_account_names_the_account() -> None:
    body = event(account="acct_1")
    found = verified(body, signature(body), [SECRET])
    assert (found.id, found.type, found.account, found.subject) == (
        "evt_1",
        "account.updated",
        "acct_1",
        ACCOUNT,
    )
    own = event()
    assert verified(own, signature(own), [SECRET]).account is None


def test_a_webhook_may_be_signed_with_any_of_the_secrets() -> None:
    body = event()
    for secrets in (["whsec_other", SECRET], [SECRET, "whsec_other"]):
        assert verified(body, signature(body), secrets).id == "evt_1"
    with pytest.raises(BadSignature):
        verified(body, signature(body), ["whsec_other"])


def test_without_a_secret_the_error_names_the_setting() -> None:
    body = event()
    with pytest.raises(BadSignature, match="no STRIPE_WEBHOOK_SECRET is set"):
        verified(body, signature(body), [])
    with pytest.raises(BadSignature, match="no OTHER_SECRET is set"):
        verified(body, signature(body), [], setting="OTHER_SECRET")


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", event(id=""), event(id=None), event(data={}), event(data={"object": []}), event(account=1)],
)
def test_a_signed_body_that_is_no_event_is_refused(body: bytes) -> None:
    with pytest.raises(BadSignature):
        verified(body, signature(body), [SECRET])


@pytest.mark.parametrize("signed", [None, "", "t=1", "t=1,v1=x", "t=1,v1=\xe9", "v1=abc"])
def test_a_missing_or_malformed_signature_is_refused(signed: str | None) -> None:
    with pytest.raises(BadSignature):
        verified(event(), signed, [SECRET])


def test_an_old_signature_is_refused() -> None:
    body = event()
    with pytest.raises(BadSignature):
        verified(body, signature(body, age=301), [SECRET])


def test_only_text_of_a_possible_length_is_an_id() -> None:
    assert id_or_none("a" * MAX_ID_LENGTH) == "a" * MAX_ID_LENGTH
    others: list[object] = ["a" * (MAX_ID_LENGTH + 1), None, 1, {}]
    assert [id_or_none(value) for value in others] == [None] * 4
