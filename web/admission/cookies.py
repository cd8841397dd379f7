"""Reads a cookie of a request before the framework does."""

import re

from litestar.types import HTTPScope


class Cookie:
    """A cookie with this name."""

    def __init__(self, name: str) -> None:
        self._pattern = re.compile(rf"(?:^|;)\s*{re.escape(name)}=([^;]*)".encode())

    def of(self, scope: HTTPScope) -> str:
        """The value in a request, or "" if there is none. Of several, the framework reads the last too."""
        found = self._pattern.findall(dict(scope["headers"]).get(b"cookie", b""))
        return found[-1].decode("latin-1").strip() if found else ""
