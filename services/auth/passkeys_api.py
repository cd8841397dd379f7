"""HTTP API of passkeys."""

from litestar import Response, Router, get, patch, post
from litestar.di import NamedDependency
from litestar.params import RequestBody
from litestar.types import ControllerRouterHandler

from contracts.api import (
    NewPasskey,
    PasskeyNameBody,
    PasskeyOptions,
    PasskeySignIn,
    PasskeyView,
    PasswordProof,
    SignedInUser,
)
from kit.errors import AccountClosed
from kit.http.authentication import identity_in_cookie
from kit.http.guards import signed_in
from kit.http.limits import Limited, LocalNetwork, network
from kit.http.openapi import SIGNED_IN, PathId, refusals
from kit.http.request import ApiRequest
from kit.http.responses import ModelResponse
from kit.security_log import recorded
from services.auth.api import WithToken, shown
from services.auth.cookies import client_of, cookies_of
from services.auth.documents import Passkey
from services.auth.passkeys import Passkeys
from services.auth.rules import (
    AccountSuspended,
    ChallengeExpired,
    InvalidPasskey,
    PasskeyCopied,
    PasskeyExists,
    PasskeyRefused,
    PasskeysUnavailable,
    TooManyFailures,
    TooManyPasskeys,
    UnknownPasskey,
    WrongPassword,
)
from settings import Settings

InjectedPasskeys = NamedDependency[Passkeys]
InjectedSettings = NamedDependency[Settings]


@get("/passkeys", guards=[signed_in], security=SIGNED_IN, summary="My passkeys")
async def list_passkeys(request: ApiRequest, passkeys: InjectedPasskeys) -> list[PasskeyView]:
    return [passkey_view(passkey) for passkey in await passkeys.passkeys_of(request.user)]


@post(
    "/passkeys/begin",
    status_code=200,
    guards=[signed_in, Limited("passkey-begin", "rate_sign_in")],
    security=SIGNED_IN,
    summary="Begin to add a passkey, with my password",
    responses=refusals(WrongPassword, TooManyFailures, TooManyPasskeys, PasskeysUnavailable),
)
async def begin_adding_passkey(
    request: ApiRequest, data: RequestBody[PasswordProof], passkeys: InjectedPasskeys
) -> PasskeyOptions:
    """The options work once, within five minutes, in the same session."""
    client = client_of(request, passkeys)
    with recorded("passkey-begin", actor=request.user.id):
        options = await passkeys.begin_adding(request.user, data.current_password, client)
    return PasskeyOptions(public_key=options)


@post(
    "/passkeys",
    guards=[signed_in, Limited("passkey-add", "rate_change")],
    security=SIGNED_IN,
    summary="Add the passkey that my browser has made",
    responses=refusals(PasskeyRefused, ChallengeExpired, PasskeyExists, TooManyPasskeys, PasskeysUnavailable),
)
async def add_passkey(
    request: ApiRequest, data: RequestBody[NewPasskey], passkeys: InjectedPasskeys
) -> PasskeyView:
    client = client_of(request, passkeys)
    with recorded("passkey-add", actor=request.user.id):
        added = await passkeys.add(request.user, data.credential, data.name, client)
    return passkey_view(added)


@patch(
    "/passkeys/{passkey_id:str}",
    guards=[signed_in, Limited("passkey-rename", "rate_change")],
    security=SIGNED_IN,
    summary="Rename one of my passkeys",
)
async def rename_passkey(
    request: ApiRequest, passkey_id: PathId, data: RequestBody[PasskeyNameBody], passkeys: InjectedPasskeys
) -> PasskeyView:
    return passkey_view(await passkeys.rename_passkey(request.user, passkey_id, data.name))


@post(
    "/passkeys/{passkey_id:str}/remove",
    status_code=204,
    guards=[signed_in, Limited("passkey-remove", "rate_sign_in")],
    security=SIGNED_IN,
    summary="Remove one of my passkeys, with my password",
    responses=refusals(WrongPassword, TooManyFailures),
)
async def remove_passkey(
    request: ApiRequest, passkey_id: PathId, data: RequestBody[PasswordProof], passkeys: InjectedPasskeys
) -> None:
    """Sessions that were started with it go on."""
    client = client_of(request, passkeys)
    with recorded("passkey-remove", actor=request.user.id):
        await passkeys.remove(request.user, passkey_id, data.current_password, client)


@post(
    "/passkey-signin/begin",
    status_code=200,
    exclude_from_auth=True,
    guards=[Limited("passkey-sign-in-begin", "rate_sign_in", by=LocalNetwork())],
    summary="Begin to sign in with a passkey",
    responses=refusals(PasskeysUnavailable),
)
async def begin_passkey_sign_in(passkeys: InjectedPasskeys) -> PasskeyOptions:
    """The options work once, within five minutes. They are the same for every user."""
    return PasskeyOptions(public_key=passkeys.begin_sign_in())


@post(
    "/passkey-signin",
    status_code=200,
    exclude_from_auth=True,
    guards=[Limited("passkey-sign-in", "rate_sign_in", by=network)],
    summary="Sign in with a passkey",
    responses=refusals(
        *(InvalidPasskey, UnknownPasskey, PasskeyCopied),
        *(AccountSuspended, AccountClosed, ChallengeExpired, PasskeysUnavailable),
    ),
)
async def sign_in_with_passkey(
    request: ApiRequest,
    data: RequestBody[PasskeySignIn],
    passkeys: InjectedPasskeys,
    settings: InjectedSettings,
    with_token: WithToken = False,
) -> Response[SignedInUser]:
    client = client_of(request, passkeys)
    with recorded("passkey-sign-in") as attempt:
        signed_in = await passkeys.sign_in_with_passkey(data.credential, client)
        attempt.actor = signed_in.identity.id
    await passkeys.sign_out(await identity_in_cookie(request))  # the browser's previous session
    return ModelResponse(
        shown(signed_in, with_token=with_token), cookies=cookies_of(signed_in, settings, passkeys, client)
    )


passkeys = Router(
    "/api/users",
    route_handlers=[
        *(list_passkeys, begin_adding_passkey, add_passkey, rename_passkey, remove_passkey),
        *(begin_passkey_sign_in, sign_in_with_passkey),
    ],
    tags=["users"],
)
PASSKEYS_API: list[ControllerRouterHandler] = [passkeys]


def passkey_view(passkey: Passkey) -> PasskeyView:
    return PasskeyView(
        id=str(passkey.id), name=passkey.name, created_at=passkey.created_at, used_at=passkey.used_at
    )
