"""Guards that limit how often a caller uses a route. They run before the body is read."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

from litestar.handlers import BaseRouteHandler

from kit.http.request import ApiRequest
from kit.http.state import AnyConnection, state_of
from kit.rate_limits import limit
from settings import Settings

Key = Callable[[ApiRequest, Settings], str]


def user(request: ApiRequest, _: Settings) -> str:
    """The signed-in user. The guard `signed_in` has to come first."""
    return request.user.id


def address(request: ApiRequest, settings: Settings) -> str:
    return request.client_address(settings.trusted_proxies)


@dataclass(frozen=True)
class Limited:
    """A guard that counts each request, and rejects requests above a limit before their body is parsed.

    List it with the handler rather than with its router, so that OPTIONS isn't limited.
    """

    action: str
    """Routes with the same action share their counters."""
    setting: str
    """The name of the setting with the requests per minute. If it is 0, there is no limit."""
    by: Key = user
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
        await limit(self.action, self.by(request, settings), per_minute)
