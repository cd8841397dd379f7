"""Requests to services: the body and the client's address."""

from typing import Any

from litestar import Request
from litestar.exceptions import InternalServerException

from contracts.identity import Identity
from kit.errors import NotJson, RequestAborted, UnsupportedMediaType
from kit.http.state import state_of


class ApiRequest(Request[Identity, str | None, Any]):
    """A request to a service. `user` is an Identity in handlers with the guard `signed_in`."""

    async def body(self) -> bytes:
        """The whole body.

        Raises:
            RequestAborted: the body is incomplete, or its chunks are malformed.
        """
        try:
            return await super().body()
        except InternalServerException:  # Litestar's only error here: the client disconnected
            raise RequestAborted from None

    async def json(self) -> Any:
        """The decoded body.

        Raises:
            UnsupportedMediaType: the content type isn't application/json.
            NotJson: the body is nested too deeply or isn't UTF-8.
        """
        if self.content_type[0] != "application/json":
            raise UnsupportedMediaType
        try:
            return await super().json()
        except (RecursionError, UnicodeDecodeError):
            raise NotJson from None  # Litestar answers other syntax errors with 400, but these with 500

    @property
    def client_address(self) -> str:
        """The client's address if web vouches for it, otherwise the address of the connection's peer."""
        return state_of(self).vouching.of(self.scope)
