"""The pages to sign up and sign in, signing out, and the account page."""

import asyncio
from collections.abc import Mapping
from typing import Any, Literal

from litestar import Response, Router, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, URLEncodedBody

from contracts.api import TraderDetails
from contracts.languages import LANGUAGES
from contracts.problems import Problem
from kit.texts import language
from web.api_client import Refused, ServiceDown
from web.forms import Fields, Form
from web.languages import cookie
from web.page_context import Page
from web.pages.passkeys import passkey_origin
from web.redirects import local_address, sign_in_address
from web.rendering.texts import N_, _
from web.request import WebRequest

Purpose = Literal["signin", "signup"]

PASSWORDS = Fields(("currentPassword", "newPassword"))
FIELDS = Fields(("email", "password"))
NAME = Fields(("name",))
TRADER_NAMES = {
    "traderName": "name",
    "traderAddress": "address",
    "traderEmail": "email",
    "traderPhone": "phone",
    "traderRegister": "registerEntry",
}
"""The fields about a trader, and their names in the API."""
TRADER = Fields(
    ("trader", *TRADER_NAMES),
    {
        "traderName": N_("Enter the name, in at most 120 characters"),
        "traderAddress": N_("Enter the address, in at most 300 characters"),
        "traderEmail": N_("Enter an email address, such as info@example.com"),
        "traderPhone": N_("Enter a phone number, such as +49 221 555010"),
        "traderRegister": N_("Enter the register in at most 120 characters, or nothing"),
    },
)
SECRET = frozenset({"password"})

_DONE = {
    "changed": N_("Your password was changed, and you were signed out on all other devices."),
    "named": N_("Your name was saved."),
    "trader": N_("Buyers now see how you sell."),
    "language": N_("Your language was saved."),
    "passkey-added": N_("Your passkey was added. From now on, you can sign in with it."),
    "passkey-named": N_("The name of your passkey was saved."),
    "passkey-removed": N_("The passkey was removed. Where you have signed in with it, you stay signed in."),
    "ended": N_("The session has ended. The device may take a second to notice."),
    "email-sent": N_("We sent a link to your new address. Open it within an hour to use the address."),
    "email-changed": N_("Your email address was changed, and you were signed out on all other devices."),
}
"""What an action has done, by the parameter with which it leads back to the account page."""


@get("/signin")
async def sign_in_page(page: NamedDependency[Page], request: WebRequest) -> Response[Any]:
    return await _open(page, request, "signin")


@get("/signup")
async def sign_up_page(page: NamedDependency[Page], request: WebRequest) -> Response[Any]:
    return await _open(page, request, "signup")


@post("/signin")
async def sign_in(page: NamedDependency[Page], data: URLEncodedBody[dict[str, str]]) -> Response[Any]:
    try:
        await page.api.sign_in(data.get("email", ""), data.get("password", ""))
    except Refused as refused:
        return await _refused(page, "signin", data, refused)
    return page.redirect(local_address(data.get("next")))


@post("/signup")
async def sign_up(page: NamedDependency[Page], data: URLEncodedBody[dict[str, str]]) -> Response[Any]:
    try:
        await page.api.sign_up(data.get("email", ""), data.get("password", ""), language())
    except Refused as refused:
        return await _refused(page, "signup", data, refused)
    return page.redirect(local_address(data.get("next")))


@get("/account")
async def account(page: NamedDependency[Page]) -> Response[Any]:
    return await _account(page, Form())


@post("/account/password")
async def change_password(page: NamedDependency[Page], data: URLEncodedBody[dict[str, str]]) -> Response[Any]:
    try:
        await page.api.change_password(data.get("currentPassword", ""), data.get("newPassword", ""))
    except Refused as refused:
        if refused.status == 401:
            return page.redirect(sign_in_address("/account"))
        if refused.status == 403:
            form = Form(errors={"currentPassword": refused.problem.title})
        else:
            form = PASSWORDS.with_errors({}, refused.problem)
        status = 422 if refused.status in {400, 403} else refused.status
        return await _account(page, form, status)
    return page.redirect("/account?changed")


@post("/account/name")
async def rename(page: NamedDependency[Page], data: URLEncodedBody[dict[str, str]]) -> Response[Any]:
    try:
        await page.api.rename(data.get("name", "").strip() or None)
    except Refused as refused:
        if refused.status == 401:
            return page.redirect(sign_in_address("/account"))
        form = NAME.with_errors(NAME.values(data), refused.problem)
        return await _account(page, Form(), 422 if refused.status == 400 else refused.status, name_form=form)
    return page.redirect("/account?named")


@post("/account/trader")
async def state_trader(page: NamedDependency[Page], data: URLEncodedBody[dict[str, str]]) -> Response[Any]:
    """Store whether the user sells as a trader, and who the trader is. Without a choice, nothing changes."""
    stated = {"true": True, "false": False}.get(data.get("trader", ""))
    if stated is None:
        return page.redirect("/account")
    values = {**TRADER.values(data), "trader": data["trader"]}
    details = {TRADER_NAMES[name]: values[name].strip() or None for name in TRADER_NAMES}
    try:
        await page.api.state_trader(stated, details if stated else None)
    except Refused as refused:
        if refused.status == 401:
            return page.redirect(sign_in_address("/account"))
        if refused.status != 400:
            raise
        form = TRADER.with_errors(values, _with_names_of_form(refused.problem))
        return await _account(page, Form(), 422, trader_form=form)
    return page.redirect("/account?trader")


@post("/account/language")
async def choose_language(page: NamedDependency[Page], data: URLEncodedBody[dict[str, str]]) -> Response[Any]:
    """Store the language of emails and of this browser's pages. Without a choice, nothing changes."""
    chosen = next((each for each in LANGUAGES if each == data.get("language")), None)
    if chosen is None:
        return page.redirect("/account")
    try:
        await page.api.choose_language(chosen)
    except Refused as refused:
        if refused.status == 401:
            return page.redirect(sign_in_address("/account"))
        raise
    response = page.redirect("/account?language")
    response.headers["Set-Cookie"] = cookie(chosen, is_secure=page.settings.cookie_secure)
    return response


def _with_names_of_form(problem: Problem) -> Problem:
    """The problem with the names of the form's fields, such as traderPhone for traderDetails.phone."""
    names = {f"traderDetails.{name}": field for field, name in TRADER_NAMES.items()}
    errors = [
        each.model_copy(update={"field": names.get(each.field or "", each.field)}) for each in problem.errors
    ]
    return problem.model_copy(update={"errors": errors})


def _stated(details: TraderDetails | None) -> Form:
    """The form with what a trader has stated before."""
    if details is None:
        return Form()
    known = details.model_dump(by_alias=True)
    return Form({field: known[name] or "" for field, name in TRADER_NAMES.items()})


@post("/account/sessions/{session_id:str}/end")
async def end_session(page: NamedDependency[Page], session_id: FromPath[str]) -> Response[Any]:
    """End a session. One that has ended meanwhile, or never was, is as good as ended."""
    try:
        await page.api.end_session(session_id)
    except Refused as refused:
        if refused.status == 401:
            return page.redirect(sign_in_address("/account"))
        if refused.status != 404:
            raise
    if session_id == page.viewer.session_id:
        await page.api.sign_out()  # removes the cookie
        return page.redirect("/")
    return page.redirect("/account?ended")


@post("/account/signout")
async def sign_out_everywhere(page: NamedDependency[Page]) -> Response[Any]:
    try:
        await page.api.sign_out_everywhere()
    except Refused as refused:
        if refused.status != 401:
            raise
    return page.redirect("/")


async def _account(
    page: Page,
    form: Form,
    status: int = 200,
    *,
    name_form: Form | None = None,
    trader_form: Form | None = None,
) -> Response[Any]:
    if page.user is None:
        if page.viewer.known:
            return page.redirect(sign_in_address("/account"))
        raise ServiceDown("auth")
    if (again := await page.confirmed_meanwhile()) is not None:
        return again
    account, sessions, passkeys = await asyncio.gather(
        page.api.account(), page.api.sessions(), page.optional(page.api.passkeys())
    )
    done = next((text for name, text in _DONE.items() if name in page.request.query_params), None)
    context = {
        "form": form,
        "name_form": name_form or Form({"name": account.name or ""}),
        "trader_form": trader_form or _stated(account.trader_details),
        "trader": trader_form["trader"] if trader_form else str(account.trader).lower(),
        "account": account,
        "sessions": sessions,
        "passkeys": passkeys,
        "passkey_origin": passkey_origin(page),
        "done": _(done) if done else None,
    }
    return page.render("users/account.html", context, fragment="users/_account.html", status=status)


@post("/signout")
async def sign_out(page: NamedDependency[Page]) -> Response[Any]:
    await page.api.sign_out()
    return page.redirect("/")


async def _open(page: Page, request: WebRequest, purpose: Purpose) -> Response[Any]:
    then = local_address(request.query_params.get("next"))
    if page.user is not None and "again" not in request.query_params:
        return page.redirect(then)
    return _form(page, purpose, Form(), then)


async def _refused(page: Page, purpose: Purpose, data: Mapping[str, str], refused: Refused) -> Response[Any]:
    """The form with its errors. A password is never sent back."""
    values = FIELDS.values(data, secret=SECRET)
    is_known = refused.problem.type == "/problems/email-in-use"
    if is_known:
        form = Form(values, {"email": _("This address has an account already")})
    elif refused.status == 401:
        form = Form(values, general=(_("The email and password don't match"),))
    else:
        form = FIELDS.with_errors(values, refused.problem)
    status = 422 if refused.status in {400, 401, 403, 409} else refused.status
    answer = _form(page, purpose, form, local_address(data.get("next")), status, is_known=is_known)
    if refused.retry_after:
        answer.headers["Retry-After"] = refused.retry_after
    return answer


def _form(
    page: Page, purpose: Purpose, form: Form, then: str, status: int = 200, *, is_known: bool = False
) -> Response[Any]:
    """`is_known`: whether the address has an account, to which the form then leads."""
    context = {"form": form, "next": then, "passkey_origin": passkey_origin(page), "is_known": is_known}
    context["has_ended"] = "ended" in page.request.query_params
    return page.render(
        f"users/{purpose}.html", context, fragment=f"users/_{purpose}.html", status=status, then=then
    )


router = Router(
    "/",
    route_handlers=[
        *(sign_in_page, sign_up_page, sign_in, sign_up, sign_out),
        *(account, change_password, rename, state_trader, choose_language, end_session, sign_out_everywhere),
    ],
)
