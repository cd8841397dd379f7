"""The pages on which users delete their accounts, or get a file with their personal data."""

from collections.abc import Mapping, Sequence
from typing import Any

from litestar import Response, Router, get, post
from litestar.di import NamedDependency
from litestar.params import URLEncodedBody

from contracts.api import MatterKind, OpenMatter
from contracts.wire import now
from web.api_client import Refused, ServiceDown
from web.forms import Fields, Form
from web.page_context import Page
from web.pages.accounts import sign_in_first
from web.redirects import sign_in_address
from web.rendering.texts import N_, _

PASSWORD = Fields(("currentPassword",))

ADVICE: Mapping[MatterKind, tuple[str, str]] = {
    "reservation": (N_("Your reservation"), N_("Pay for it or release it, or wait until it ends.")),
    "purchase": (N_("A ticket that you bought"), N_("Wait until the event has begun.")),
    "payment": (
        N_("An open payment"),
        N_("Wait until it is paid, refunded or, if you dispute it, decided."),
    ),
    "listing": (N_("A ticket that you offer"), N_("Withdraw it.")),
    "payout": (N_("Money for a sale"), N_("Wait until it is paid to you.")),
    "debt": (N_("Money that you owe"), N_("Your next sale settles it, or write to us.")),
    "sale": (
        N_("A ticket that you sold"),
        N_("Wait until the event has begun, and until no dispute about it is open."),
    ),
}
"""What each kind of open matter is called, and what the user can do."""

RESERVED = N_("Somebody has reserved it. Wait until it is paid or free again. Then you can withdraw it.")


@get("/account/delete")
async def delete_page(page: NamedDependency[Page]) -> Response[Any]:
    return sign_in_first(page) or await _delete(page, Form())


@post("/account/delete")
async def delete(page: NamedDependency[Page], data: URLEncodedBody[dict[str, str]]) -> Response[Any]:
    try:
        await page.api.delete_account(data.get("currentPassword", ""))
    except Refused as refused:
        if refused.status == 401:
            return page.redirect(sign_in_address("/account/delete"))
        if refused.status == 403:
            form = Form(errors={"currentPassword": refused.problem.title})
        else:
            form = PASSWORD.with_errors({}, refused.problem)
        return await _delete(page, form, 422 if refused.status in {400, 403} else refused.status)
    except ServiceDown as down:
        # Auth says whether nothing has changed, or whether the account will be deleted later.
        form = Form(general=(down.title or _("This is unavailable for a moment. Try again"),))
        return _form(page, form, (), status=503)
    return page.redirect("/account/deleted")


async def _delete(page: Page, form: Form, status: int = 200) -> Response[Any]:
    try:
        matters = [_shown(matter) for matter in await page.api.open_matters()]
    except ServiceDown:
        alert = _("We can't check now whether money or tickets of yours are open. Try again in a moment")
        return _form(page, Form(), (), alert, 503)
    return _form(page, form, matters, status=status)


def _form(
    page: Page,
    form: Form,
    matters: Sequence[Mapping[str, Any]],
    alert: str | None = None,
    status: int = 200,
) -> Response[Any]:
    context = {"form": form, "matters": matters, "alert": alert}
    return _render(page, "account/delete.html", context, status)


def _shown(matter: OpenMatter) -> Mapping[str, Any]:
    """An open matter with its texts, and the page on which the user can do something about it."""
    name, advice = ADVICE[matter.kind]
    if matter.kind == "listing" and matter.until is not None:
        advice = RESERVED
    return {
        "name": _(name),
        "advice": _(advice),
        "title": matter.title,
        "address": _address(matter),
        "starts_at": matter.starts_at if matter.starts_at and matter.starts_at > now() else None,
        "until": matter.until if matter.kind != "payout" else None,
        "due": matter.until if matter.kind == "payout" else None,
    }


def _address(matter: OpenMatter) -> str:
    if matter.kind in {"payout", "debt"}:
        return "/account/payouts"
    is_listing = matter.kind in {"listing", "sale"}
    return f"/tickets/{matter.ticket_id}" if is_listing else f"/orders/{matter.order_id}"


@get("/account/deleted")
async def deleted_page(page: NamedDependency[Page]) -> Response[Any]:
    if page.user is not None:  # a link of somebody else must not frighten a user whose account exists
        return page.redirect("/account")
    return _render(page, "account/deleted.html", {})


@get("/account/export")
async def export_page(page: NamedDependency[Page]) -> Response[Any]:
    return sign_in_first(page) or _export(page)


@post("/account/export")
async def export(page: NamedDependency[Page]) -> Response[Any]:
    try:
        archive = await page.api.export()
    except Refused as refused:
        if refused.status == 401:
            return page.redirect(sign_in_address("/account/export"))
        return _export(page, refused.problem.title, refused.status)
    except ServiceDown as down:
        return _export(page, down.title or _("This is unavailable for a moment. Try again"), 503)
    day = now().date().isoformat()
    headers = {
        "Cache-Control": "no-store",
        "Content-Disposition": f'attachment; filename="stagedoor-{day}.json"',
    }
    return Response(archive, media_type="application/json", headers=headers)


def _export(page: Page, alert: str | None = None, status: int = 200) -> Response[Any]:
    return _render(page, "account/export.html", {"alert": alert}, status)


def _render(page: Page, template: str, context: dict[str, Any], status: int = 200) -> Response[Any]:
    return page.render(template, context, fragment=template, status=status)


router = Router(
    "/",
    route_handlers=[delete_page, delete, deleted_page, export_page, export],
)
