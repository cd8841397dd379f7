"""HTTP API for users who leave or export their data."""

from typing import Any

from litestar import Response, Router, get, post
from litestar.di import NamedDependency
from litestar.params import RequestBody
from litestar.types import ControllerRouterHandler

from contracts.api import AccountDeletion, OpenMatter
from contracts.export import Export
from kit.errors import CrossSite
from kit.http.guards import signed_in
from kit.http.limits import Limited
from kit.http.openapi import SIGNED_IN, refusals
from kit.http.request import ApiRequest
from kit.security_log import recorded
from services.auth.accounts_api import account_view
from services.auth.cookies import client_of, session_cookie
from services.auth.departures import Departures
from services.auth.export import Exporter
from services.auth.rules import (
    DeletionDelayed,
    ExportUnavailable,
    MattersOpen,
    TooManyExports,
    TooManyFailures,
    WrongPassword,
)
from settings import Settings

InjectedDepartures = NamedDependency[Departures]
InjectedSettings = NamedDependency[Settings]

FILE_NAME = "stagedoor-export.json"


@get(
    "/open-matters",
    guards=[signed_in, Limited("open-matters", "rate_change")],
    security=SIGNED_IN,
    summary="What keeps me from deleting my account",
)
async def show_open_matters(request: ApiRequest, departures: InjectedDepartures) -> list[OpenMatter]:
    """At most 20 matters of a kind. If the list is empty, the account can be deleted."""
    return await departures.open_matters(request.user)


@post(
    "/deletion",
    status_code=200,
    guards=[signed_in, Limited("account-deletion", "rate_sign_in")],
    security=SIGNED_IN,
    summary="Delete my account",
    responses=refusals(WrongPassword, TooManyFailures, MattersOpen, DeletionDelayed),
)
async def delete_account(
    request: ApiRequest,
    data: RequestBody[AccountDeletion],
    departures: InjectedDepartures,
    settings: InjectedSettings,
) -> Response[dict[str, Any]]:
    """This can't be undone. Orders, payments and sold tickets stay in the books without name and address."""
    with recorded("account-deletion", actor=request.user.id):
        await departures.delete(request.user, data.current_password, client_of(request, departures))
    return Response({}, cookies=[session_cookie(settings, "", max_age=0)])


@get(
    "/export",
    guards=[signed_in, Limited("export", "rate_export")],
    security=SIGNED_IN,
    summary="Everything that the marketplace stores about me",
    responses=refusals(CrossSite, ExportUnavailable, TooManyExports),
)
async def export_data(
    request: ApiRequest,
    departures: InjectedDepartures,
    exporter: NamedDependency[Exporter],
    settings: InjectedSettings,
) -> Response[Export]:
    """One file, with the newest 10,000 entries of each list."""
    with recorded("export", actor=request.user.id):
        user = await departures.account_of(request.user)
        account = account_view(user, settings)
        archive: Any = await exporter.archive(user, account, request.user.session_id)
    headers = {"Content-Disposition": f'attachment; filename="{FILE_NAME}"'}
    return Response(archive, media_type="application/json", headers=headers)


DEPARTURES_API: list[ControllerRouterHandler] = [
    Router(
        "/api/users/me",
        route_handlers=[show_open_matters, delete_account, export_data],
        tags=["users"],
    )
]
