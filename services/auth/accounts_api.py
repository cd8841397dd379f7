"""HTTP API of accounts: forgotten passwords, addresses, display names and sessions."""

from typing import Any

from litestar import Response, Router, delete, get, patch, post
from litestar.background_tasks import BackgroundTask
from litestar.di import NamedDependency
from litestar.params import RequestBody
from litestar.types import ControllerRouterHandler

from contracts.api import (
    EmailChange,
    EmailChangeUndo,
    LinkBody,
    MyAccount,
    NameBody,
    PasswordReset,
    PasswordResetRequest,
    RecoveredUser,
    SessionView,
    User,
)
from contracts.internal import LinkTarget, LinkToMail, Recipient
from kit.errors import NotFound
from kit.http.guards import mail_only, services_only, signed_in
from kit.http.limits import Limited, network
from kit.http.openapi import SIGNED_IN, PathId, refusals
from kit.http.request import ApiRequest
from kit.http.responses import ModelResponse
from kit.security_log import recorded
from services.auth.accounts import Accounts
from services.auth.cookies import client_of, cookies_of
from services.auth.documents import User as StoredUser
from services.auth.rules import (
    ConfusingName,
    EmailInUse,
    LinkExpired,
    LinkOfAnotherAccount,
    ReservedName,
    TooManyFailures,
    TooManyLinks,
    TraderUnidentified,
    WeakPassword,
    WrongPassword,
)
from settings import Settings

InjectedAccounts = NamedDependency[Accounts]
InjectedSettings = NamedDependency[Settings]


@post(
    "/password-reset",
    status_code=202,
    exclude_from_auth=True,
    guards=[Limited("password-reset", "rate_sign_up", by=network)],
    summary="Send a link to choose a new password",
)
async def request_password_reset(
    data: RequestBody[PasswordResetRequest], accounts: InjectedAccounts
) -> Response[dict[str, Any]]:
    """The response is the same, and takes the same time, whether the address has an account or not.

    An account gets three links in half an hour at most, and those keep working.
    """
    with recorded("password-reset-request", account=accounts.pseudonym(data.email)):
        is_wanted = await accounts.may_send_reset(data.email)
    send = BackgroundTask(accounts.send_reset, data.email) if is_wanted else None
    return Response({}, status_code=202, background=send)


@post(
    "/password-reset/complete",
    status_code=200,
    exclude_from_auth=True,
    guards=[Limited("password-reset-complete", "rate_sign_in", by=network)],
    summary="Choose a new password with a link, and end all sessions",
    responses=refusals(WeakPassword, LinkExpired),
)
async def reset_password(
    request: ApiRequest, data: RequestBody[PasswordReset], accounts: InjectedAccounts
) -> RecoveredUser:
    """A link works once, for 30 minutes. Sign in with the new password afterwards.

    If the address was never confirmed, the passkeys are removed: somebody else may have added them.
    """
    with recorded("password-reset") as attempt:
        user = await accounts.reset_password(data.link, data.new_password, client_of(request, accounts))
        attempt.actor = user.key
    return RecoveredUser(id=user.key, email=user.email, passkeys=len(user.passkeys))


@post(
    "/confirmation",
    status_code=202,
    guards=[signed_in, Limited("confirmation", "rate_change")],
    security=SIGNED_IN,
    summary="Send me the link that confirms my address again",
    responses=refusals(TooManyLinks),
)
async def request_confirmation(request: ApiRequest, accounts: InjectedAccounts) -> Response[dict[str, Any]]:
    await accounts.send_confirmation(request.user)
    return Response({}, status_code=202)


@post(
    "/confirmation/complete",
    status_code=200,
    guards=[signed_in, Limited("confirmation-complete", "rate_change")],
    security=SIGNED_IN,
    summary="Confirm my address with a link",
    responses=refusals(LinkExpired, LinkOfAnotherAccount),
)
async def confirm_address(
    request: ApiRequest, data: RequestBody[LinkBody], accounts: InjectedAccounts, settings: InjectedSettings
) -> Response[User]:
    """The session's cookie is replaced, because the token says whether the address is confirmed."""
    with recorded("address-confirmation", actor=request.user.id):
        renewed = await accounts.confirm_address(request.user, data.link)
    user = User(id=renewed.identity.id, email=renewed.identity.email)
    return ModelResponse(user, cookies=cookies_of(renewed, settings, accounts, client_of(request, accounts)))


@post(
    "/email-change",
    status_code=202,
    guards=[signed_in, Limited("email-change", "rate_sign_in")],
    security=SIGNED_IN,
    summary="Send a link to my new address",
    responses=refusals(EmailInUse, WrongPassword, TooManyFailures, TooManyLinks),
)
async def request_email_change(
    request: ApiRequest, data: RequestBody[EmailChange], accounts: InjectedAccounts
) -> Response[dict[str, Any]]:
    """The address changes when the link is used, within an hour."""
    client = client_of(request, accounts)
    with recorded("email-change-request", actor=request.user.id):
        await accounts.request_email_change(request.user, data.email, data.current_password, client)
    return Response({}, status_code=202)


@post(
    "/email-change/complete",
    status_code=200,
    guards=[signed_in, Limited("email-change-complete", "rate_change")],
    security=SIGNED_IN,
    summary="Change my address with a link, and end all my other sessions",
    responses=refusals(EmailInUse, LinkExpired, LinkOfAnotherAccount),
)
async def change_email(
    request: ApiRequest, data: RequestBody[LinkBody], accounts: InjectedAccounts, settings: InjectedSettings
) -> Response[User]:
    """The address before gets a link that undoes the change within a week, if it was confirmed."""
    client = client_of(request, accounts)
    with recorded("email-change", actor=request.user.id):
        changed = await accounts.change_email(request.user, data.link, client)
    user = User(id=changed.identity.id, email=changed.identity.email)
    return ModelResponse(user, cookies=cookies_of(changed, settings, accounts, client))


@post(
    "/email-change/undo",
    status_code=200,
    exclude_from_auth=True,
    guards=[Limited("email-change-undo", "rate_sign_in", by=network)],
    summary="Return to the address before with a link and a new password; end all sessions, remove passkeys",
    responses=refusals(WeakPassword, EmailInUse, LinkExpired),
)
async def undo_email_change(
    request: ApiRequest, data: RequestBody[EmailChangeUndo], accounts: InjectedAccounts
) -> User:
    with recorded("email-change-undo") as attempt:
        user = await accounts.undo_email_change(data.link, data.new_password, client_of(request, accounts))
        attempt.actor = user.key
    return User(id=user.key, email=user.email)


@get("/me", guards=[signed_in], security=SIGNED_IN, summary="My account")
async def show_account(
    request: ApiRequest, accounts: InjectedAccounts, settings: InjectedSettings
) -> MyAccount:
    return account_view(await accounts.account_of(request.user), settings)


@patch(
    "/me",
    guards=[signed_in, Limited("rename", "rate_change")],
    security=SIGNED_IN,
    summary="Change what others see about me, or the language of emails",
    responses=refusals(ReservedName, ConfusingName, TraderUnidentified),
)
async def rename(
    request: ApiRequest, data: RequestBody[NameBody], accounts: InjectedAccounts, settings: InjectedSettings
) -> Response[MyAccount]:
    """A trader who now says who they are gets a cookie with a token that lets them list tickets."""
    profile = {name: getattr(data, name) for name in data.model_fields_set}
    account = account_view(await accounts.present(request.user, profile), settings)
    renewed = await accounts.renewed(request.user)
    cookies = cookies_of(renewed, settings, accounts, client_of(request, accounts)) if renewed else []
    return ModelResponse(account, cookies=cookies)


@get(
    "/sessions",
    guards=[signed_in],
    security=SIGNED_IN,
    summary="My sessions, the last used first",
)
async def list_sessions(request: ApiRequest, accounts: InjectedAccounts) -> list[SessionView]:
    return [
        SessionView(
            id=session.key,
            device=session.device,
            network=session.network,
            started_at=session.started_at,
            used_at=session.used_at or session.started_at or session.expires_at - accounts.lifetime,
            current=session.key == request.user.session_id,
        )
        for session in await accounts.sessions_of(request.user)
    ]


@delete(
    "/sessions/{session_id:str}",
    guards=[signed_in, Limited("session-end", "rate_change")],
    security=SIGNED_IN,
    summary="End one of my sessions",
)
async def end_session(request: ApiRequest, session_id: PathId, accounts: InjectedAccounts) -> None:
    with recorded("session-end", actor=request.user.id):
        await accounts.end_session(request.user, session_id)


@get("/internal/users/{user_id:str}", exclude_from_auth=True, guards=[mail_only], include_in_schema=False)
async def show_recipient(user_id: PathId, accounts: InjectedAccounts) -> Recipient:
    user = await accounts.profile(user_id)
    if user.deleted_at is not None:
        raise NotFound
    return Recipient(
        id=user.key,
        email=user.email,
        name=user.name,
        confirmed=user.confirmed_at is not None,
        language=user.language,
    )


@post(
    "/internal/links/{link_id:str}",
    status_code=200,
    exclude_from_auth=True,
    guards=[mail_only],
    include_in_schema=False,
)
async def show_link(link_id: PathId, accounts: InjectedAccounts) -> LinkToMail:
    """The same link each time."""
    link, path, user = await accounts.link_to_mail(link_id)
    return LinkToMail(email=link.email, path=path, expires_at=link.expires_at, language=user.language)


@post(
    "/internal/link-targets",
    status_code=200,
    exclude_from_auth=True,
    guards=[services_only],
    include_in_schema=False,
)
async def show_link_target(data: RequestBody[LinkBody], accounts: InjectedAccounts) -> LinkTarget:
    """For web's pages, which name the address before anything changes. The link stays as it is."""
    link = await accounts.target_of(data.link)
    return LinkTarget(kind=link.kind, email=link.email)


accounts = Router(
    "/api/users",
    route_handlers=[
        *(request_password_reset, reset_password),
        *(request_confirmation, confirm_address),
        *(request_email_change, change_email, undo_email_change),
        *(show_account, rename, list_sessions, end_session),
    ],
    tags=["users"],
)
ACCOUNTS_API: list[ControllerRouterHandler] = [accounts, show_recipient, show_link, show_link_target]


def account_view(user: StoredUser, settings: Settings) -> MyAccount:
    """The account as its user sees it."""
    return MyAccount(
        id=user.key,
        email=user.email,
        name=user.name,
        since=user.created_at,
        confirmed=user.confirmed_at is not None,
        restricted=user.is_restricted(settings.confirms_addresses),
        trader=user.trader,
        trader_details=user.trader_details,
        language=user.language,
    )
