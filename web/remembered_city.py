"""The city that a browser remembers, in which its visitor looks for events.

The home page of a city has an address of its own, so it is the same for everyone who has chosen the city, and
the page cache keeps it once. The address without a city shows the remembered one.
"""

import re
from datetime import timedelta
from urllib.parse import quote

from litestar.datastructures import Cookie

LIFETIME = timedelta(days=365)
PARAMETER = "in"
"""The parameter of the home page's address with the city."""
MAX_LENGTH = 100


class RememberedCity:
    """The cookie with the slug of a city. It contains nothing else, so everyone may read and set it."""

    def __init__(self, *, is_secure: bool) -> None:
        self.name = "__Host-city" if is_secure else "city"
        self._is_secure = is_secure
        # Percent-encoded, so that it can be part of an address.
        self._pattern = re.compile(rf"(?:^|;)\s*{re.escape(self.name)}=([\w%.~-]{{1,300}})(?:;|$)".encode())

    def cookie(self, city: str) -> Cookie:
        """The cookie that remembers a city, or forgets it if it is empty."""
        return Cookie(
            key=self.name,
            value=quote(city[:MAX_LENGTH], safe=""),
            path="/",
            max_age=int(LIFETIME.total_seconds()) if city else 0,
            httponly=True,
            samesite="lax",
            secure=self._is_secure,
        )

    def query(self, cookies: bytes) -> bytes:
        """The query of the home page of the remembered city; empty if none is remembered.

        Args:
            cookies: the header of a request.
        """
        found = self._pattern.search(cookies)
        return PARAMETER.encode() + b"=" + found[1] if found else b""
