"""The networks of a client, which limits count instead of single addresses.

One subscriber of an Internet provider usually has one IPv4 address, or an IPv6 /64 with 2^64 addresses. An
attacker with more of them often has a /48 or a /24, so a second, looser limit applies to these.
"""

import hmac
from functools import cached_property
from hashlib import sha256
from ipaddress import IPv4Address, ip_network
from typing import NamedTuple

from kit.client_address import MALFORMED, Address, parse
from kit.secrets import internal_secret
from settings import Settings

WIDE_FACTOR = 5
"""How many times the limit of a narrow network applies to its wide network."""


class Networks(NamedTuple):
    """The narrow and the wide network of an address, or keyed hashes of them."""

    narrow: str
    wide: str


def networks_of(address: str) -> Networks | None:
    """The networks of a global address: IPv4 /32 and /24, IPv6 /64 and /48.

    None if limits per network don't apply: on loopback, several browsers share one machine. Behind a proxy
    that nobody configured, all clients share its private address. Clients whose addresses a proxy forwards in
    a wrong form count as one network.
    """
    if address == MALFORMED:
        return Networks(MALFORMED, f"around {MALFORMED}")
    parsed = parse(address)
    if parsed is None or not parsed.is_global:
        return None
    narrow, wide = (32, 24) if isinstance(parsed, IPv4Address) else (64, 48)
    return Networks(_network(parsed, narrow), _network(parsed, wide))


def shown_network(address: str) -> str | None:
    """The wide network of a global address, by which users recognize a session of theirs. None for others."""
    networks = networks_of(address)
    return networks.wide if networks is not None and address != MALFORMED else None


class NetworkHasher:
    """Hashes networks for storage: without the key, nobody can tell which network a hash stands for."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def of(self, address: str) -> Networks | None:
        """The hashes of the networks of an address. None if limits per network don't apply to it."""
        networks = networks_of(address)
        return None if networks is None else Networks(*map(self._hash, networks))

    def _hash(self, network: str) -> str:
        return hmac.new(self._key, network.encode(), sha256).hexdigest()[:32]

    @cached_property
    def _key(self) -> bytes:
        return f"network {internal_secret(self._settings)}".encode()


def _network(address: Address, length: int) -> str:
    return str(ip_network((address, length), strict=False))
