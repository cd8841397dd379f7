"""The pages for forgotten passwords, and for confirmed and changed addresses.

Mails link to these pages. Opening one changes nothing, because programs that scan mails open links too: a
button sends the link back in a form.
"""

from dataclasses import dataclass
from typing import Any

from litestar import Response, Router, get, post
from litestar.di import NamedDependency
from litestar.params import URLEncodedBody

from contracts.api import RecoveredUser
from web.api_client import Refused, ServiceDown
from web.forms import Fields, Form
from web.page_context import Page
from web.redirects import sign_in_address
from web.rendering.isolation import isolated
from web.rendering.texts import N_, _

Data = URLEncodedBody[dict[str, str]]

EMAIL = Fields(("email",))
NEW_PASSWORD = Fields(("newPassword",))
NEW_EMAIL = Fields(("email", "currentPassword"))
MAX_LINK = 200


@dataclass(frozen=True)
class Again:
    """The link with which a user starts again after a link has expired."""

    address: str
    label: str


@dataclass(frozen=True)
class NewPassword:
    """The texts of a page on which the user chooses a new password with a link."""

    title: str
    text: str
    button: str
    done: str
    again: Again
    text_with_address: str = ""
    """Instead of `text`, if the address is known to which the account goes back."""


RESET = NewPassword(
    N_("Choose a new password"),
    N_("You will be signed out on all devices."),
    N_("Change password"),
    N_("Your password was changed."),
    Again("/account/forgot", N_("Send me a new link")),
)
UNDO = NewPassword(
    N_("Undo the change of your address"),
    N_(
        "Your account goes back to the address that received this link, and its passkeys are removed. "
        "Choose a new password, so that whoever changed the address can't sign in any more."
    ),
    N_("Undo the change"),
    N_("Your account has its previous address and a new password."),
    Again("/account/forgot", N_("Reset my password")),
    N_(
        "Your account goes back to the address %(email)s, and its passkeys are removed. "
        "Choose a new password, so that whoever changed the address can't sign in any more."
    ),
)


# Forgotten passwords


@get("/account/forgot")
async def forgot_page(page: NamedDependency[Page]) -> Response[Any]:
    return _forgot(page, Form(), sent="sent" in page.request.query_params)


@post("/account/forgot")
async def forgot(page: NamedDependency[Page], data: Data) -> Response[Any]:
    email = data.get("email", "").strip()
    if not email:
        return _forgot(page, Form(errors={"email": _("Enter your email address")}), 422)
    try:
        await page.api.request_password_reset(email)
    except Refused as refused:
        form = EMAIL.with_errors(EMAIL.values(data), refused.problem)
        return _forgot(page, form, 422 if refused.status == 400 else refused.status)
    return page.redirect("/account/forgot?sent")


def _forgot(page: Page, form: Form, status: int = 200, *, sent: bool = False) -> Response[Any]:
    template, context = "account/forgot.html", {"form": form, "sent": sent}
    return page.render(template, context, fragment=template, status=status, then="/")


async def _undo(page: Page, link: str, **state: Any) -> Response[Any]:
    """The page names the address, if the link works."""
    email = await page.api.address_of_link(link, "undo-email-change") if link else None
    return _new_password(page, UNDO, link=link, email=email, **state)


@get("/account/reset")
async def reset_page(page: NamedDependency[Page]) -> Response[Any]:
    return _new_password(page, RESET, is_done="done" in page.request.query_params)


@post("/account/reset")
async def reset(page: NamedDependency[Page], data: Data) -> Response[Any]:
    return await _replace_password(page, RESET, data)


@get("/account/undo-email-change")
async def undo_page(page: NamedDependency[Page]) -> Response[Any]:
    return await _undo(page, _link(page), is_done="done" in page.request.query_params)


@post("/account/undo-email-change")
async def undo(page: NamedDependency[Page], data: Data) -> Response[Any]:
    return await _replace_password(page, UNDO, data)


async def _replace_password(page: Page, texts: NewPassword, data: dict[str, str]) -> Response[Any]:
    link, new = data.get("link", "")[:MAX_LINK], data.get("newPassword", "")
    change = page.api.reset_password if texts is RESET else page.api.undo_email_change
    try:
        user = await change(link, new)
    except Refused as refused:
        if refused.status in {409, 410}:
            return _new_password(page, texts, expired=refused.problem.title, status=refused.status)
        form = NEW_PASSWORD.with_errors({}, refused.problem)
        status = 422 if refused.status == 400 else refused.status
        if texts is UNDO:
            return await _undo(page, link, form=form, status=status)
        return _new_password(page, texts, form, link=link, status=status)
    if page.user is not None and page.user.id == user.id:
        await page.api.sign_out()  # removes the cookie of the session, which has ended
    has_passkeys = isinstance(user, RecoveredUser) and user.passkeys
    return page.redirect(f"{page.request.scope['path']}?done{'&passkeys' if has_passkeys else ''}")


def _new_password(
    page: Page,
    texts: NewPassword,
    form: Form | None = None,
    *,
    link: str | None = None,
    email: str | None = None,
    is_done: bool = False,
    expired: str | None = None,
    status: int = 200,
) -> Response[Any]:
    context = {
        "title": _(texts.title),
        "text": _(texts.text_with_address, email=isolated(email)) if email else _(texts.text),
        "button": _(texts.button),
        "done": _(texts.done) if is_done else None,
        "has_passkeys": "passkeys" in page.request.query_params,
        "again": Again(texts.again.address, _(texts.again.label)),
        "form": form or Form(),
        "link": _link(page) if link is None else link,
        "expired": expired,
    }
    template = "account/new_password.html"
    return page.render(template, context, fragment=template, status=status, has_secret=True)


# Addresses


@get("/account/confirm")
async def confirm_page(page: NamedDependency[Page]) -> Response[Any]:
    return await _confirm(page)


@post("/account/confirm")
async def confirm(page: NamedDependency[Page], data: Data) -> Response[Any]:
    try:
        await page.api.confirm_address(data.get("link", "")[:MAX_LINK])
    except Refused as refused:
        if refused.status == 401:
            return page.redirect(sign_in_address("/account/confirm"))
        return await _confirm(page, alert=_reason(refused), status=refused.status)
    return page.redirect("/account/confirm")


@post("/account/confirm/send")
async def send_confirmation(page: NamedDependency[Page]) -> Response[Any]:
    try:
        await page.api.request_confirmation()
    except Refused as refused:
        if refused.status == 401:
            return page.redirect(sign_in_address("/account/confirm"))
        return await _confirm(page, alert=refused.problem.title, status=refused.status)
    return page.redirect("/account/confirm?sent")


async def _confirm(page: Page, *, alert: str | None = None, status: int = 200) -> Response[Any]:
    if (refusal := sign_in_first(page)) is not None:
        return refusal
    if alert is None and (again := await page.confirmed_meanwhile()) is not None:
        return again
    context = {
        "account": await page.api.account(),
        "alert": alert,
        "link": None if alert else _link(page),
        "sent": "sent" in page.request.query_params,
    }
    return _render(page, "account/confirm.html", context, status)


@get("/account/email")
async def email_page(page: NamedDependency[Page]) -> Response[Any]:
    return sign_in_first(page) or _render(page, "account/email.html", {"form": Form()})


@post("/account/email")
async def request_email_change(page: NamedDependency[Page], data: Data) -> Response[Any]:
    try:
        await page.api.request_email_change(data.get("email", ""), data.get("currentPassword", ""))
    except Refused as refused:
        if refused.status == 401:
            return page.redirect(sign_in_address("/account/email"))
        values = EMAIL.values(data)
        if refused.status == 403:
            form = Form(values, {"currentPassword": refused.problem.title})
        elif refused.status == 409:
            form = Form(values, {"email": refused.problem.title})
        else:
            form = NEW_EMAIL.with_errors(values, refused.problem)
        status = 422 if refused.status in {400, 403, 409} else refused.status
        return _render(page, "account/email.html", {"form": form}, status)
    return page.redirect("/account?email-sent")


@get("/account/change-email")
async def change_email_page(page: NamedDependency[Page]) -> Response[Any]:
    if (refusal := sign_in_first(page)) is not None:
        return refusal
    return _change_email(page, new=await page.api.address_of_link(_link(page), "change-email"))


@post("/account/change-email")
async def change_email(page: NamedDependency[Page], data: Data) -> Response[Any]:
    try:
        await page.api.change_email(data.get("link", "")[:MAX_LINK])
    except Refused as refused:
        if refused.status == 401:
            return page.redirect(sign_in_address("/account"))
        return sign_in_first(page) or _change_email(page, _reason(refused), refused.status)
    return page.redirect("/account?email-changed")


def _change_email(
    page: Page, expired: str | None = None, status: int = 200, *, new: str | None = None
) -> Response[Any]:
    again = Again("/account/email", _("Enter the new address again"))
    context = {"link": _link(page), "new": new, "expired": expired, "again": again}
    return _render(page, "account/change_email.html", context, status)


def _reason(refused: Refused) -> str:
    if refused.problem.type == "/problems/link-of-another-account":
        return _("This link belongs to another account. Sign out, and sign in with that one.")
    return refused.problem.title


def _link(page: Page) -> str:
    return page.request.query_params.get("link", "")[:MAX_LINK]


def sign_in_first(page: Page) -> Response[Any] | None:
    """A redirect to the sign-in page, which leads back here, unless somebody is signed in."""
    if page.user is not None:
        return None
    if not page.viewer.known:
        raise ServiceDown("auth")
    address = page.request.address if page.request.method == "GET" else page.request.scope["path"]
    return page.redirect(sign_in_address(address))


def _render(page: Page, template: str, context: dict[str, Any], status: int = 200) -> Response[Any]:
    return page.render(template, context, fragment=template, status=status)


router = Router(
    "/",
    route_handlers=[
        *(forgot_page, forgot, reset_page, reset, undo_page, undo),
        *(confirm_page, confirm, send_confirmation),
        *(email_page, request_email_change, change_email_page, change_email),
    ],
)
