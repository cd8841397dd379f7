"""HTTP API of mail, for web only: web's page passes on what its visitors choose."""

from litestar import Router, post
from litestar.di import NamedDependency
from litestar.params import RequestBody
from litestar.types import ControllerRouterHandler

from contracts.wire import Wire
from kit.http.guards import services_only
from services.mail import actions
from services.mail.unsubscribing import Tokens


class Choice(Wire):
    """What the recipient of an optional message wants."""

    token: str
    wanted: bool


@post(
    "/choices",
    status_code=204,
    exclude_from_auth=True,
    guards=[services_only],
    summary="Stop or resume optional messages",
    include_in_schema=False,
)
async def choose(data: RequestBody[Choice], tokens: NamedDependency[Tokens]) -> None:
    await actions.choose(data.token, tokens, is_wanted=data.wanted)


API: list[ControllerRouterHandler] = [Router("/internal", route_handlers=[choose])]
