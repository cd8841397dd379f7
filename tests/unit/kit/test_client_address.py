from ipaddress import IPv4Network, IPv6Network

import pytest

from kit.client_address import Networks, client_address

TRUSTED: Networks = [IPv4Network("10.0.0.0/8"), IPv6Network("fd00::/8")]


@pytest.mark.parametrize(
    ("hops", "client"),
    [
        ("203.0.113.7", "203.0.113.7"),
        (", 203.0.113.7", "203.0.113.7"),
        ("192.0.2.1, 203.0.113.7", "203.0.113.7"),
        ("192.0.2.1, 10.0.0.1", "192.0.2.1"),
        ("192.0.2.1, fd00::1, 10.0.0.1", "192.0.2.1"),
        ("forged, 192.0.2.1, 10.0.0.1", "192.0.2.1"),
        ("10.0.0.2, 10.0.0.1", "10.0.0.2"),
        ("not an address, 10.0.0.1", "not an address"),
        ("192.0.2.1, unknown", "unknown"),
    ],
)
def test_the_client_is_the_last_hop_that_is_not_a_trusted_proxy(hops: str, client: str) -> None:
    assert client_address(hops, TRUSTED) == client


def test_without_trusted_proxies_the_client_is_the_peer() -> None:
    assert client_address("192.0.2.1, 10.0.0.1", []) == "10.0.0.1"
