import time

import pytest

from kit.redaction import Redaction


@pytest.mark.parametrize("end", ["\n", "\\n"])
def test_each_line_of_a_key_in_the_settings_is_replaced(end: str) -> None:
    key = end.join(["-----BEGIN PRIVATE KEY-----", "MC4CAQAwBQYDK2Vw", "-----END PRIVATE KEY-----", ""])
    assert Redaction([key]).text("can't read MC4CAQAwBQYDK2Vw") == "can't read [secret]"
    assert Redaction([key]).text("-----BEGIN PRIVATE KEY-----") == "-----BEGIN PRIVATE KEY-----"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ann.o'hara+x@example.co.uk signed up", "ann.o'[email] signed up"),
        ("<jörg@exämple.de>", "<[email]>"),
        ("GET /?email=ann%40example.com&x=1", "GET /?email=[email]&x=1"),
        ("Key (email: 'ann@example.com') exists", "Key (email: '[email]') exists"),
        ("nats://orders:s3cret@nats:4222", "nats://[secret]@nats:4222"),
        ("mongodb://root:a%2Fb@10.0.0.1:27017/orders", "mongodb://[secret]@10.0.0.1:27017/orders"),
        ("No such key: sk_live_51Habc", "No such key: [secret]"),
        ("rk_test_51Habc and whsec_abc/def=", "[secret] and [secret]"),
        ("pi_3Mabc_secret_YrKJ for pi_3Mabc", "[secret] for pi_3Mabc"),
        ("session=eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiI2In0.c2ln-nature;", "session=[secret];"),
        ("Authorization: Bearer 0123456789abcdef", "Authorization: Bearer [secret]"),
        ('{"password": "hunter2 x"}', '{"password": "[secret]"}'),
        ('{"password":"hunter2"}', '{"password":"[secret]"}'),
        ("{'password': 'correct horse', 'id': 1}", "{'password': '[secret]', 'id': 1}"),
        ("email=a%40b.org&password=hunter2&next=/", "email=[email]&password=[secret]&next=/"),
        ("hash $argon2id$v=19$m=65536,t=3,p=4$c2FsdA$aGFzaA", "hash [secret]"),
    ],
)
def test_addresses_and_secrets_are_replaced(text: str, expected: str) -> None:
    assert Redaction().text(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "attempt 2 failed, next attempt in 1.1 s: ServerSelectionTimeoutError('127.0.0.1:27017')",
        "6563a8f0c0ffee0000000001 of pi_3MtwBwLkdIwHu7ix28a3tqPa, requires_capture",
        "http://tickets:3000/api/tickets?after=65f0",
        "streams.delivery @ 12:00",
    ],
)
def test_ids_and_ordinary_texts_are_left_unchanged(text: str) -> None:
    assert Redaction(["another secret"]).text(text) == text


def test_the_secrets_of_this_process_are_recognized_by_their_value() -> None:
    redaction = Redaction(["correct horse", "correct horse battery", "short"])
    assert redaction.text("a correct horse battery, a short one") == "a [secret], a short one"


def test_the_texts_of_a_mapping_are_redacted_too() -> None:
    assert Redaction().value({"route": "GET /ann@example.com", "count": 1}) == {
        "route": "GET /[email]",
        "count": 1,
    }


@pytest.mark.parametrize(
    "text", ["a" * 100_000 + "@", "_eyJ" * 25_000, "a.@" * 30_000, "://a" * 25_000 + "@", "eyJa-" * 20_000]
)
def test_a_long_text_takes_no_quadratic_time(text: str) -> None:
    began = time.process_time()
    Redaction(["another secret"]).text(text)
    assert time.process_time() - began < 2
