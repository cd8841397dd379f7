"""The pages to add, rename and remove a passkey. A script adds it: static/js/forms/passkeys.js."""

from typing import Any

from litestar import Response, Router, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, URLEncodedBody

from kit.relying_party import relying_party
from web.api_client import Refused, ServiceDown, validated_id
from web.forms import Fields, Form
from web.page_context import Page
from web.redirects import sign_in_address

NAME = Fields(("name",))
PASSWORD = Fields(("currentPassword",))


def passkey_origin(page: Page) -> str:
    """Where browsers make and use passkeys. Empty if they don't do so at the address of the marketplace."""
    party = relying_party(page.settings.site)
    return party.origin if party else ""


@get("/account/passkeys/add")
async def add_page(page: NamedDependency[Page]) -> Response[Any]:
    if page.user is None:
        return _sign_in(page)
    context = {"form": Form(), "passkey_origin": passkey_origin(page)}
    return page.render("passkeys/add.html", context, fragment="passkeys/add.html")


@get("/account/passkeys/{passkey_id:str}")
async def show(page: NamedDependency[Page], passkey_id: FromPath[str]) -> Response[Any]:
    return await _show(page, passkey_id)


@post("/account/passkeys/{passkey_id:str}/rename")
async def rename(
    page: NamedDependency[Page], passkey_id: FromPath[str], data: URLEncodedBody[dict[str, str]]
) -> Response[Any]:
    try:
        await page.api.rename_passkey(passkey_id, data.get("name", ""))
    except Refused as refused:
        if refused.status in {401, 404}:
            return _refused(page, refused)
        form = NAME.with_errors(NAME.values(data), refused.problem)
        return await _show(page, passkey_id, name_form=form, status=_status(refused))
    return page.redirect("/account?passkey-named")


@post("/account/passkeys/{passkey_id:str}/remove")
async def remove(
    page: NamedDependency[Page], passkey_id: FromPath[str], data: URLEncodedBody[dict[str, str]]
) -> Response[Any]:
    try:
        await page.api.remove_passkey(passkey_id, data.get("currentPassword", ""))
    except Refused as refused:
        if refused.status in {401, 404}:
            return _refused(page, refused)
        if refused.status == 403:
            form = Form(errors={"currentPassword": refused.problem.title})
        else:
            form = PASSWORD.with_errors({}, refused.problem)
        return await _show(page, passkey_id, form=form, status=_status(refused))
    return page.redirect("/account?passkey-removed")


async def _show(
    page: Page, passkey_id: str, *, name_form: Form | None = None, form: Form | None = None, status: int = 200
) -> Response[Any]:
    if page.user is None:
        return _sign_in(page)
    found = validated_id(passkey_id)
    passkey = next((each for each in await page.api.passkeys() if each.id == found), None)
    if passkey is None:
        return page.redirect("/account")
    context = {
        "passkey": passkey,
        "name_form": name_form or Form({"name": passkey.name}),
        "form": form or Form(),
    }
    return page.render("passkeys/show.html", context, fragment="passkeys/show.html", status=status)


def _sign_in(page: Page) -> Response[Any]:
    if not page.viewer.known:
        raise ServiceDown("auth")
    return page.redirect(sign_in_address("/account"))


def _refused(page: Page, refused: Refused) -> Response[Any]:
    """A passkey that isn't there any more is as good as removed."""
    return page.redirect(sign_in_address("/account") if refused.status == 401 else "/account")


def _status(refused: Refused) -> int:
    return 422 if refused.status in {400, 403} else refused.status


router = Router("/", route_handlers=[add_page, show, rename, remove])
