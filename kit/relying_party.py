"""The marketplace as browsers see it when they make and use passkeys (WebAuthn's relying party)."""

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

DEFAULT_PORTS = {"http": 80, "https": 443}

_NAME = re.compile(r"(?:[a-z0-9_](?:[a-z0-9-]*[a-z0-9])?\.)*[a-z](?:[a-z0-9-]*[a-z0-9])?", re.ASCII)
"""A host that isn't an IP address: its last part begins with a letter. Names with other letters than a to z
have to be written as browsers do, as `xn--...`."""


@dataclass(frozen=True)
class RelyingParty:
    id: str
    """The host. Passkeys belong to it."""
    origin: str
    """The scheme, the host and the port, as browsers write them."""


def relying_party(site: str) -> RelyingParty | None:
    """The relying party at this address, or None if browsers refuse passkeys there.

    They require https, except on localhost, and a name instead of an IP address.
    """
    address = urlsplit(site)
    host = address.hostname or ""
    is_local = host == "localhost" or host.endswith(".localhost")
    if not _NAME.fullmatch(host) or (address.scheme != "https" and not is_local):
        return None
    port = "" if address.port in {None, DEFAULT_PORTS.get(address.scheme)} else f":{address.port}"
    return RelyingParty(host, f"{address.scheme}://{host}{port}")
