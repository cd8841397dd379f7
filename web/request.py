"""A request of a browser for a page, or of htmx for a fragment."""

import re

from litestar.plugins.htmx import HTMXRequest

from kit.client_address import ClientAddresses

FRAGMENTS = re.compile(r"/results(/rows)?|/tickets/[^/]+/(card|offer)")


class WebRequest(HTMXRequest):
    """Adds what Litestar's request lacks, such as the header of htmx 4 for the type of a request."""

    @property
    def wants_fragment(self) -> bool:
        """Whether htmx replaces a part of the page, not the whole body.

        Fragments that are the same for everyone have their own paths, so that caches distinguish them.
        """
        if FRAGMENTS.fullmatch(self.scope["path"]):
            return True
        kind = self.headers.get("hx-request-type", "partial")
        return bool(self.htmx) and kind == "partial" and not self.htmx.history_restore_request

    @property
    def address(self) -> str:
        """The path with the query."""
        query = self.scope["query_string"].decode("latin-1")
        return self.scope["path"] + (f"?{query}" if query else "")

    @property
    def client_address(self) -> str:
        """The address of the browser, even if the request came through trusted proxies."""
        addresses: ClientAddresses = self.app.state.addresses
        return addresses.of(self.scope)

    def number(self, parameter: str, *, minimum: int, maximum: int) -> int:
        """A number in the query, clamped to the limits. A missing or invalid number counts as `minimum`."""
        value = self.query_params.get(parameter, "")
        is_number = value.isascii() and value.isdigit() and len(value) < 10
        return min(max(int(value), minimum), maximum) if is_number else minimum
