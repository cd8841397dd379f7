"""The address of a client. Web determines it, and vouches for it in its requests to the services."""

import hmac
import logging
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from hashlib import sha256
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any

from kit.secrets import accepted_internal_secrets
from settings import Settings

log = logging.getLogger(__name__)

CLIENT = "Stagedoor-Client"
"""A header of web's requests to services: the client's address and its signature, separated by a space."""

_CLIENT = CLIENT.lower().encode()

UNKNOWN = "unknown"

MALFORMED = "malformed"
"""Stands for all clients for which a trusted proxy forwards something that isn't an address."""

Networks = Sequence[IPv4Network | IPv6Network]
Address = IPv4Address | IPv6Address


class ClientAddresses:
    """Finds the addresses of clients behind reverse proxies (X-Forwarded-For)."""

    def __init__(self, trusted: Networks) -> None:
        self._trusted = trusted
        self._has_warned = False

    def of(self, scope: Mapping[str, Any]) -> str:
        """The address of the client that sent an HTTP request, given its ASGI scope."""
        connection = scope.get("client")  # optional in ASGI
        peer = connection[0] if connection else UNKNOWN
        forwarded = [
            value.decode("latin-1") for name, value in scope["headers"] if name == b"x-forwarded-for"
        ]
        client = client_address(forwarded, peer, self._trusted)
        if forwarded:
            self._warn(client)
        return client

    def _warn(self, client: str) -> None:
        """Warn once about a proxy that isn't in TRUSTED_PROXIES: all its clients look like one client."""
        address = parse(client)
        if self._has_warned or address is None or address.is_global or is_within(address, self._trusted):
            return
        self._has_warned = True
        log.warning(
            "%s forwards requests but isn't in TRUSTED_PROXIES: limits per network don't apply to them",
            client,
        )


def client_address(forwarded: Iterable[str], peer: str, trusted: Networks) -> str:
    """The last address of the path of a request that isn't a trusted proxy's, or the first if all are.

    The path is read from its end: each proxy appends the address from which it received the request, and a
    client can forge everything before that. `MALFORMED` if a trusted proxy appended something else.

    Args:
        forwarded: all X-Forwarded-For headers, in order.
        peer: the address from which the request was received.
    """
    hops = [hop for value in forwarded for hop in value.split(",") if hop.strip()]
    client = parse(peer)
    if client is None:
        return peer
    while hops and is_within(client, trusted):
        hop = parse(hops.pop())
        if hop is None:
            return MALFORMED
        client = hop
    return str(client)


def parse(text: str) -> Address | None:
    """Read an address, which may have a port or an IPv6 zone. None if the text isn't an address.

    An IPv4 address in IPv6 notation (::ffff:192.0.2.1) becomes an IPv4 address.
    """
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def is_within(address: Address, networks: Networks) -> bool:
    return any(address in network for network in networks)


class Vouching:
    """Signs the addresses that web determines, so that services accept them from web only."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._has_warned = False

    def sign(self, address: str) -> str:
        """The value of the header `CLIENT`."""
        return f"{address} {_signature(address, self._keys[0])}"

    def of(self, scope: Mapping[str, Any]) -> str:
        """The client's address if web vouches for it, otherwise the address of the connection's peer."""
        given = next((value for name, value in scope["headers"] if name == _CLIENT), b"").decode("latin-1")
        return self.verify(given) or (scope["client"][0] if scope["client"] else UNKNOWN)

    def verify(self, value: str | None) -> str | None:
        """The address in a header `CLIENT`. None if the header is missing, or isn't signed by web."""
        if not value:
            return None
        address, _, signature = value.partition(" ")
        if any(
            hmac.compare_digest(signature.encode(), _signature(address, key).encode()) for key in self._keys
        ):
            return address
        if not self._has_warned:
            self._has_warned = True
            log.warning("a client's address isn't signed with our INTERNAL_SECRET, and is ignored")
        return None

    @cached_property
    def _keys(self) -> Sequence[bytes]:
        """The key that signs, and all others whose signatures are accepted."""
        return [f"client address {secret}".encode() for secret in accepted_internal_secrets(self._settings)]


def _signature(address: str, key: bytes) -> str:
    return hmac.new(key, address.encode(), sha256).hexdigest()
