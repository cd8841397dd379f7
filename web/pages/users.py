"""The pages to sign up and sign in, signing out, and the account page."""

from collections.abc import Mapping
from typing import Any, Literal

from litestar import Response, Router, get, post
from litestar.di import NamedDependency
from litestar.params import URLEncodedBody

from web.api_client import Refused, ServiceDown
from web.forms import Fields, Form
from web.page_context import Page
from web.redirects import local_address, sign_in_address
from web.rendering.texts import _
from web.request import WebRequest

Purpose = Literal["signin", "signup"]

PASSWORDS = Fields(("currentPassword", "newPassword"))
FIELDS = Fields(("email", "password"))
SECRET = frozenset({"password"})


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
        await page.api.sign_up(data.get("email", ""), data.get("password", ""))
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


@post("/account/signout")
async def sign_out_everywhere(page: NamedDependency[Page]) -> Response[Any]:
    try:
        await page.api.sign_out_everywhere()
    except Refused as refused:
        if refused.status != 401:
            raise
    return page.redirect("/")


async def _account(page: Page, form: Form, status: int = 200) -> Response[Any]:
    if page.user is None:
        if page.viewer.known:
            return page.redirect(sign_in_address("/account"))
        raise ServiceDown("auth")
    profile = await page.api.profile(page.user.id)
    context = {
        "form": form,
        "since": profile.since,
        "changed": "changed" in page.request.query_params,
    }
    return page.render("users/account.html", context, fragment="users/_account.html", status=status)


@post("/signout")
async def sign_out(page: NamedDependency[Page]) -> Response[Any]:
    await page.api.sign_out()
    return page.redirect("/")


async def _open(page: Page, request: WebRequest, purpose: Purpose) -> Response[Any]:
    then = local_address(request.query_params.get("next"))
    if page.user is not None:
        return page.redirect(then)
    return _form(page, purpose, Form(), then)


async def _refused(page: Page, purpose: Purpose, data: Mapping[str, str], refused: Refused) -> Response[Any]:
    """The form with its errors. A password is never sent back."""
    values = FIELDS.values(data, secret=SECRET)
    form = (
        FIELDS.with_errors(values, refused.problem)
        if refused.status != 401
        else Form(values, general=(_("The email and password don't match"),))
    )
    status = 422 if refused.status in {400, 401, 409} else refused.status
    answer = _form(page, purpose, form, local_address(data.get("next")), status)
    if refused.retry_after:
        answer.headers["Retry-After"] = refused.retry_after
    return answer


def _form(page: Page, purpose: Purpose, form: Form, then: str, status: int = 200) -> Response[Any]:
    context = {"form": form, "next": then}
    return page.render(
        f"users/{purpose}.html", context, fragment=f"users/_{purpose}.html", status=status, then=then
    )


router = Router(
    "/",
    route_handlers=[
        *(sign_in_page, sign_up_page, sign_in, sign_up, sign_out),
        *(account, change_password, sign_out_everywhere),
    ],
)
