"""The networks of a client, which limits count instead of single addresses.

One subscriber of an Internet provider usually has one IPv4 address, or an IPv6 /64 with 2^64 addresses. An
attacker with more of them often has a /48 or a /24, so a second, looser limit applies to these.
"""

from ipaddress import IPv4Address, ip_network
from typing import NamedTuple

from kit.client_address import Address, parse

WIDE_FACTOR = 5
"""How many times the limit of a narrow network applies to its wide network."""


class Networks(NamedTuple):
    """The narrow and the wide network of an address."""

    narrow: str
    wide: str


def networks_of(address: str) -> Networks | None:
    """The networks of a global address: IPv4 /32 and /24, IPv6 /64 and /48.

    None if limits per network don't apply: on loopback, several browsers share one machine. Behind a proxy
    that nobody configured, all clients share its private address.
    """
    parsed = parse(address)
    if parsed is None or not parsed.is_global:
        return None
    narrow, wide = (32, 24) if isinstance(parsed, IPv4Address) else (64, 48)
    return Networks(_network(parsed, narrow), _network(parsed, wide))


def _network(address: Address, length: int) -> str:
    return str(ip_network((address, length), strict=False))
