"""The page on which people stop or resume optional emails, without signing in (RFC 8058).

The token in the address is the permission. Opening the page changes nothing, because mail programs and
scanners open addresses.
"""

from typing import Annotated, Any, Literal

from litestar import Response, Router, get, post
from litestar.di import NamedDependency
from litestar.params import QueryParameter, URLEncodedBody

from web.page_context import Page
from web.pages.alerts import MAIL_KIND

Token = Annotated[str, QueryParameter(name="token")]
Step = Literal["ask", "stopped", "resumed"]


@get("/mail/unsubscribe")
async def unsubscribe_page(page: NamedDependency[Page], token: Token = "") -> Response[Any]:
    return _show(page, token, "ask")


@post("/mail/unsubscribe", status_code=200)
async def unsubscribe(
    page: NamedDependency[Page], data: URLEncodedBody[dict[str, str]], token: Token = ""
) -> Response[Any]:
    is_wanted = data.get("wanted") == "yes"
    await page.api.choose_mail(token, is_wanted=is_wanted)
    return _show(page, token, "resumed" if is_wanted else "stopped")


def _show(page: Page, token: str, step: Step) -> Response[Any]:
    is_alert = f".{MAIL_KIND}." in token
    context = {"token": token, "step": step, "is_alert": is_alert}
    return page.render("mail/unsubscribe.html", context, fragment="mail/_unsubscribe.html", has_secret=True)


router = Router("/", route_handlers=[unsubscribe_page, unsubscribe])
