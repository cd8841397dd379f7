"""Sign up, sign in, sign out."""

from collections.abc import Mapping
from typing import Any, Literal

from litestar import Response, Router, get, post
from litestar.di import NamedDependency
from litestar.params import URLEncodedBody

from web.forms import Fields, Form
from web.page import Page, WebRequest, local_address
from web.services import Refused

Purpose = Literal["signin", "signup"]

FIELDS = Fields({"email": "Email", "password": "Password"})
NO_MATCH = "That email and password don't match"
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
        await page.services.sign_in(data.get("email", ""), data.get("password", ""))
    except Refused as refused:
        return await _refused(page, "signin", data, refused)
    return page.go(local_address(data.get("next")))


@post("/signup")
async def sign_up(page: NamedDependency[Page], data: URLEncodedBody[dict[str, str]]) -> Response[Any]:
    try:
        await page.services.sign_up(data.get("email", ""), data.get("password", ""))
    except Refused as refused:
        return await _refused(page, "signup", data, refused)
    return page.go(local_address(data.get("next")))


@post("/signout")
async def sign_out(page: NamedDependency[Page]) -> Response[Any]:
    await page.services.sign_out()
    return page.go("/")


async def _open(page: Page, request: WebRequest, purpose: Purpose) -> Response[Any]:
    then = local_address(request.query_params.get("next"))
    await page.look()
    if page.user is not None:
        return page.go(then)
    return _form(page, purpose, Form(), then)


async def _refused(page: Page, purpose: Purpose, data: Mapping[str, str], refused: Refused) -> Response[Any]:
    """The form again. A password is never sent back."""
    await page.look()
    values = FIELDS.values(data, secret=SECRET)
    form = (
        FIELDS.refused(values, refused.problem)
        if refused.status != 401
        else Form(values, general=(NO_MATCH,))
    )
    status = 422 if refused.status in {400, 401, 409} else refused.status
    answer = _form(page, purpose, form, local_address(data.get("next")), status)
    if refused.retry_after:
        answer.headers["Retry-After"] = refused.retry_after
    return answer


def _form(page: Page, purpose: Purpose, form: Form, then: str, status: int = 200) -> Response[Any]:
    context = {"form": form, "fields": FIELDS, "next": then}
    return page.render(f"users/{purpose}.html", context, fragment=f"users/_{purpose}.html", status=status)


router = Router("/", route_handlers=[sign_in_page, sign_up_page, sign_in, sign_up, sign_out])
