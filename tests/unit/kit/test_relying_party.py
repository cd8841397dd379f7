import pytest

from kit.relying_party import RelyingParty, relying_party


@pytest.mark.parametrize(
    ("site", "expected"),
    [
        ("http://localhost:3500", RelyingParty("localhost", "http://localhost:3500")),
        ("http://shop.localhost", RelyingParty("shop.localhost", "http://shop.localhost")),
        ("https://tickets.example.com", RelyingParty("tickets.example.com", "https://tickets.example.com")),
        ("https://Example.COM:443/", RelyingParty("example.com", "https://example.com")),
        ("https://example.com:8443", RelyingParty("example.com", "https://example.com:8443")),
        ("https://xn--mnchen-3ya.de", RelyingParty("xn--mnchen-3ya.de", "https://xn--mnchen-3ya.de")),
    ],
)
def test_passkeys_belong_to_the_host_and_work_at_the_origin(site: str, expected: RelyingParty) -> None:
    assert relying_party(site) == expected


@pytest.mark.parametrize(
    "site",
    [
        "http://127.0.0.1:3500",
        "https://203.0.113.7",
        "https://[2001:db8::1]",
        "http://example.com",
        "https://m\u00fcnchen.de",
        "https://",
        "localhost",
    ],
)
def test_there_are_no_passkeys_at_an_address_where_browsers_refuse_them(site: str) -> None:
    assert relying_party(site) is None
