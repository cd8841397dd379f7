"""HTTP API of mail, for web only: web's page passes on what its visitors choose."""

from litestar import Router, delete, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, RequestBody
from litestar.types import ControllerRouterHandler

from contracts.internal import MailChoice
from contracts.wire import Wire
from kit.http.guards import services_only
from kit.http.openapi import PathId
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


@get(
    "/choices/{user_id:str}/{kind:str}",
    exclude_from_auth=True,
    guards=[services_only],
    summary="Whether a user gets optional messages",
    include_in_schema=False,
)
async def show_choice(user_id: PathId, kind: FromPath[str]) -> MailChoice:
    return MailChoice(wanted=await actions.wants(user_id, kind))


@delete(
    "/choices/{user_id:str}/{kind:str}",
    exclude_from_auth=True,
    guards=[services_only],
    summary="Resume optional messages for a signed-in user",
    include_in_schema=False,
)
async def resume(user_id: PathId, kind: FromPath[str]) -> None:
    """Web calls it for its visitor only. Nobody can stop messages without a token."""
    await actions.resume(user_id, kind)


API: list[ControllerRouterHandler] = [Router("/internal", route_handlers=[choose, show_choice, resume])]
