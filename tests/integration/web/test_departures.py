"""The pages on which users delete their accounts or get their data, while services refuse or don't answer."""

from collections.abc import Awaitable, Callable

import pytest
import pytest_asyncio
from aiohttp import web
from markupsafe import escape

from contracts.api import MatterKind, OpenMatter
from tests.integration.web.page_client import PageClient, is_page, text_of
from tests.support.fakes.auth import Auth
from tests.support.fakes.market import PASSWORD, Market, refusal
from tests.support.fakes.services import Services

TICKET, ORDER = "65f0c0ffee0000000000000a", "65f0c0ffee0000000000000b"
DELAYED = "Your account will be deleted as soon as every part of the marketplace answers"
INCOMPLETE = "Your data can't be collected, because a part of the marketplace doesn't answer. Try again"

Answer = Callable[[web.Request], Awaitable[web.Response]]
Auths = Callable[..., Awaitable[None]]


@pytest_asyncio.fixture(loop_scope="session")
async def auth_with(client: PageClient, market: Market, services: Services) -> Auths:
    """A function that lets auth know these open matters, and answer so to deletions and exports."""
    _, token = market.user("ann@example.com")
    client.sign_in_as(token)

    async def replace(
        *matters: OpenMatter, deletion: Answer | None = None, export: Answer | None = None
    ) -> None:
        async def show(_: web.Request) -> web.Response:
            body = f"[{','.join(matter.to_json() for matter in matters)}]"
            return web.Response(text=body, content_type="application/json")

        routes = [web.get("/api/users/me/open-matters", show)]
        if deletion is not None:
            routes.append(web.post("/api/users/me/deletion", deletion))
        if export is not None:
            routes.append(web.get("/api/users/me/export", export))
        await services.replace("auth", [*routes, *Auth(market).routes()])

    return replace


def refuses(status: int, title: str) -> Answer:
    async def answer(_: web.Request) -> web.Response:
        raise refusal(status, title)

    return answer


@pytest.mark.parametrize(
    ("kind", "address", "advice"),
    [
        ("reservation", f"/orders/{ORDER}", "Pay for it or release it"),
        ("purchase", f"/orders/{ORDER}", "Wait until the event has begun"),
        ("payment", f"/orders/{ORDER}", "Wait until it is paid, refunded"),
        ("listing", f"/tickets/{TICKET}", "Withdraw it"),
        ("sale", f"/tickets/{TICKET}", "no dispute about it is open"),
    ],
)
async def test_each_open_matter_is_explained_with_a_link_and_there_is_no_form(
    kind: MatterKind, address: str, advice: str, client: PageClient, auth_with: Auths
) -> None:
    await auth_with(OpenMatter(kind=kind, ticket_id=TICKET, order_id=ORDER, title="Row <4>"))
    page = await client.get("/account/delete")
    assert page.status_code == 200
    assert f'href="{address}"' in page.text
    assert advice in text_of(page)
    assert "Row &lt;4&gt;" in page.text
    assert 'name="currentPassword"' not in page.text


async def test_without_open_matters_the_page_says_what_is_kept_and_asks_for_the_password(
    client: PageClient, auth_with: Auths
) -> None:
    await auth_with()
    page = await client.get("/account/delete")
    assert "What we keep" in text_of(page)
    assert 'name="currentPassword"' in page.text


async def test_a_wrong_password_is_reported_at_its_field(client: PageClient, auth_with: Auths) -> None:
    await auth_with(deletion=refuses(403, "Your current password is wrong"))
    answer = await client.submit("/account/delete", currentPassword="wrong horse")
    assert answer.status_code == 422
    assert is_page(answer)
    assert 'id="currentPassword-error"' in answer.text
    assert "wrong horse" not in answer.text


async def test_a_matter_that_was_opened_meanwhile_is_shown(client: PageClient, auth_with: Auths) -> None:
    matter = OpenMatter(kind="reservation", order_id=ORDER, title="Hamlet")
    await auth_with(matter, deletion=refuses(409, "Your account can't be deleted"))
    answer = await client.submit("/account/delete", currentPassword=PASSWORD)
    assert answer.status_code == 409
    assert f'href="/orders/{ORDER}"' in answer.text


async def test_a_delayed_deletion_is_announced(client: PageClient, auth_with: Auths) -> None:
    await auth_with(deletion=refuses(503, DELAYED))
    answer = await client.submit("/account/delete", currentPassword=PASSWORD)
    assert answer.status_code == 503
    assert DELAYED in text_of(answer)


async def test_there_is_no_file_while_a_service_is_down(client: PageClient, auth_with: Auths) -> None:
    await auth_with(export=refuses(503, INCOMPLETE))
    answer = await client.submit("/account/export")
    assert (answer.status_code, is_page(answer)) == (503, True)
    assert escape(INCOMPLETE) in answer.text
    assert "content-disposition" not in answer.headers


async def test_a_file_is_a_download_that_nobody_stores(client: PageClient, auth_with: Auths) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(text='{"format": "stagedoor-export-1"}', content_type="application/json")

    await auth_with(export=answer)
    file = await client.submit("/account/export")
    assert file.json() == {"format": "stagedoor-export-1"}
    assert file.headers["content-type"] == "application/json"
    assert file.headers["content-disposition"].startswith('attachment; filename="stagedoor-2')
    assert file.headers["cache-control"] == "no-store"
    assert file.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("path", ["/account/delete", "/account/export"])
async def test_guests_are_asked_to_sign_in(path: str, client: PageClient) -> None:
    assert (await client.get(path)).headers["location"] == f"/signin?next={path}"


@pytest.mark.parametrize("path", ["/account/delete", "/account/export"])
async def test_users_whose_session_has_ended_are_asked_to_sign_in(
    path: str, client: PageClient, auth_with: Auths
) -> None:
    refuse = refuses(401, "Sign in first")
    await auth_with(deletion=refuse, export=refuse)
    refused = await client.submit(path, currentPassword=PASSWORD)
    assert refused.headers["location"] == f"/signin?next={path}"
