"""Find the address of a client behind reverse proxies (X-Forwarded-For)."""

from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address

Networks = Sequence[IPv4Network | IPv6Network]


def client_address(hops: str, trusted: Networks) -> str:
    """The last address in `hops` that isn't a trusted proxy's, or the first if all are.

    `hops` is X-Forwarded-For followed by the address of the connection's peer. Each proxy appends the address
    from which it received the request. A client can forge all addresses before that, so `hops` is read from
    the end.
    """
    path = [hop.strip() for hop in hops.split(",") if hop.strip()]
    while len(path) > 1 and _is_within(path[-1], trusted):
        path.pop()
    return path[-1]


def _is_within(address: str, networks: Networks) -> bool:
    try:
        return any(ip_address(address) in network for network in networks)
    except ValueError:
        return False
