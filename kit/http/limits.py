"""Guards that limit how often a caller uses a route. They run before the body is read."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, cast

from litestar.handlers import BaseRouteHandler

from contracts.identity import Identity
from kit.errors import TooManyRequests
from kit.http.request import ApiRequest
from kit.http.state import AnyConnection, state_of
from kit.network_counts import NetworkCounts
from kit.networks import networks_of
from kit.rate_limits import limit, limit_networks
from settings import Settings

Count = Callable[[str, ApiRequest, int], Awaitable[None]]
"""Counts a request for an action, and raises TooManyRequests above the limit per minute."""


async def user(action: str, request: ApiRequest, per_minute: int) -> None:
    """Count the requests of the signed-in user. The guard `signed_in` has to come first."""
    await limit(action, request.user.id, per_minute)


async def network(action: str, request: ApiRequest, per_minute: int) -> None:
    """Count the requests of the client's networks (`kit.networks`)."""
    await limit_networks(action, request.client_address, per_minute)


async def user_or_network(action: str, request: ApiRequest, per_minute: int) -> None:
    """Count the requests of the signed-in user, or of the client's networks if nobody is signed in."""
    count = user if isinstance(request.user, Identity) else network
    await count(action, request, per_minute)


class LocalNetwork:
    """Counts the requests of the client's networks in this process only.

    Two writes to the database would cost more than most reads.
    """

    def __init__(self) -> None:
        self._counts = NetworkCounts()

    def __deepcopy__(self, _: object) -> "LocalNetwork":
        """Litestar copies the handlers of routers. All copies count together."""
        return self

    async def __call__(self, action: str, request: ApiRequest, per_minute: int) -> None:
        networks = networks_of(request.client_address)
        if networks is None or per_minute == 0:
            return
        retry_after = self._counts.retry_after(action, networks, per_minute)
        if retry_after is not None:
            raise TooManyRequests(retry_after=retry_after)


@dataclass(frozen=True)
class Limited:
    """A guard that counts each request, and rejects requests above a limit before their body is parsed.

    List it with the handler rather than with its router, so that OPTIONS isn't limited.
    """

    action: str
    """Routes with the same action share their counters."""
    setting: str
    """The name of the setting with the requests per minute. If it is 0, there is no limit."""
    by: Count = user
    """Whose requests are counted together."""

    def __post_init__(self) -> None:
        if self.setting not in Settings.model_fields:
            raise ValueError(f"there is no setting {self.setting}")

    async def __call__(self, connection: AnyConnection, _: BaseRouteHandler) -> None:
        """Count the request.

        Raises:
            TooManyRequests: the limit of this minute is reached.
        """
        settings = state_of(connection).settings
        per_minute: Any = getattr(settings, self.setting)
        request = cast("ApiRequest", connection)  # routes of services are for HTTP only
        await self.by(self.action, request, per_minute)
