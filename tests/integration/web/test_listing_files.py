"""Files that a seller chooses in the form that lists a ticket, as a browser without JavaScript sends them."""

import asyncio
import re

import httpx
import pytest
from aiohttp import web

from contracts.api import Ticket, User
from tests.integration.web.page_client import EVENT, PageClient, text_of
from tests.support.fakes.market import Market
from tests.support.fakes.services import Services
from tests.support.fakes.tickets import Tickets

PDF = b"%PDF-1.4 with a code"
WITHOUT_CODE = b"%PDF-1.4"
TAKEN = b"%PDF-1.4 with a code that is taken"
NO_TICKET = b"GIF89a"


@pytest.fixture
def seller(client: PageClient, market: Market) -> User:
    user, token = market.user("seller@example.com")
    client.sign_in_as(token)
    return user


async def lists(client: PageClient, *files: bytes, picture: bytes = b"", **fields: str) -> httpx.Response:
    """Send the form with these files. A field without a choice is sent as an empty file, like browsers do."""
    form = {"title": "Nick Cave", "price": "20", **EVENT, **fields}
    chosen = [
        ("files", (f"{number}.pdf" if each else "", each)) for number, each in enumerate(files or (b"",))
    ]
    return await client.http.post("/sell", data=form, files=[("picture", ("a.jpg", picture)), *chosen])


def listed(market: Market) -> Ticket:
    [ticket] = market.tickets.values()
    return ticket


async def test_files_in_the_form_make_the_delivery_instant_without_a_promise(
    client: PageClient, market: Market, seller: User
) -> None:
    answer = await lists(client, PDF)
    ticket = listed(market)
    assert (ticket.delivery, len(market.files[ticket.id])) == ("instant", 1)
    assert (answer.status_code, answer.headers["location"]) == (303, f"/tickets/{ticket.id}")


async def test_the_form_offers_the_field_and_says_why(client: PageClient, seller: User) -> None:
    page = await client.get("/sell")
    field = re.search(r'<input id="files"[^>]*>', page.text)
    assert field is not None
    assert "multiple" in field[0]
    assert "Buyers prefer instant delivery" in text_of(page)


async def test_a_listing_without_files_is_handed_over_or_promised_as_before(
    client: PageClient, market: Market, seller: User
) -> None:
    answer = await lists(client)
    assert answer.headers["location"] == f"/tickets/{listed(market).id}"
    assert (listed(market).delivery, market.files) == ("seller", {})


async def test_a_refused_file_is_named_with_its_reason_and_the_others_are_kept(
    client: PageClient, market: Market, seller: User
) -> None:
    answer = await lists(client, PDF, TAKEN, NO_TICKET)
    ticket = listed(market)
    assert answer.status_code == 303
    page = await client.get(answer.headers["location"])
    assert page.status_code == 200
    told = text_of(page)
    assert "Your ticket is on sale." in told
    assert "File 2 was refused. This ticket is in another listing already, or was sold here" in told
    assert "File 3 was refused. It must be a PDF, PNG, JPEG or Apple Wallet pass" in told
    assert (ticket.status, len(market.files[ticket.id])) == ("available", 1)


async def test_after_a_refusal_the_page_offers_another_upload(
    client: PageClient, market: Market, seller: User
) -> None:
    answer = await lists(client, NO_TICKET)
    page = await client.get(answer.headers["location"])
    assert f'action="/tickets/{listed(market).id}/files"' in page.text
    assert listed(market).delivery == "seller"


async def test_a_file_without_a_code_leads_to_the_page_that_says_so(
    client: PageClient, market: Market, seller: User
) -> None:
    answer = await lists(client, WITHOUT_CODE)
    assert answer.headers["location"] == f"/tickets/{listed(market).id}/files?listed"
    assert "No barcode was found in this file" in text_of(await client.get(answer.headers["location"]))


async def test_sending_the_form_twice_lists_one_ticket_with_its_files_once(
    client: PageClient, market: Market, seller: User
) -> None:
    first = await lists(client, PDF, idempotency_key="once")
    again = await lists(client, PDF, idempotency_key="once")
    assert first.headers["location"] == again.headers["location"]
    assert len(market.files[listed(market).id]) == 1


async def test_of_two_forms_at_the_same_moment_both_say_that_the_files_are_there(
    client: PageClient, market: Market, services: Services, seller: User
) -> None:
    """The service refuses the files of the second, since those of the first have the codes."""
    real, first = Tickets(market), asyncio.Event()

    async def add_file(request: web.Request) -> web.Response:
        if first.is_set():
            return web.json_response(
                {"type": "/problems/code-taken", "title": "Taken", "status": 409, "errors": []},
                status=409,
                content_type="application/problem+json",
            )
        first.set()
        return await real.add_file(request)

    async def no_files_yet(request: web.Request) -> web.Response:
        return await real.files(request)

    path = "/api/tickets/{id}/files"
    routes = [route for route in real.routes() if route.path != path]
    await services.replace("tickets", [*routes, web.get(path, no_files_yet), web.post(path, add_file)])
    answers = await asyncio.gather(*(lists(client, PDF, idempotency_key="once") for _ in range(2)))
    assert {answer.headers["location"] for answer in answers} == {f"/tickets/{listed(market).id}"}


async def test_a_service_that_fails_while_files_follow_does_not_undo_the_listing(
    client: PageClient, market: Market, services: Services, seller: User
) -> None:
    async def fail(_request: web.Request) -> web.Response:
        return web.Response(status=503)

    path = "/api/tickets/{id}/files"
    real = Tickets(market)
    routes = [route for route in real.routes() if route.path != path]
    await services.replace("tickets", [*routes, web.get(path, real.files), web.post(path, fail)])
    answer = await lists(client, PDF)
    page = await client.get(answer.headers["location"])
    assert "File 1 was refused. It couldn't be saved. Choose it again" in text_of(page).replace("&#39;", "'")
    assert listed(market).status == "available"


async def test_files_above_10_mb_together_list_nothing_and_keep_what_was_typed(
    client: PageClient, market: Market, seller: User
) -> None:
    answer = await lists(client, b"%PDF-" + bytes(6_000_000), b"%PDF-" + bytes(6_000_000))
    assert answer.status_code == 422
    assert 'id="files-error">The files are too large together' in answer.text
    assert 'value="Nick Cave"' in answer.text
    assert market.tickets == {}


async def test_a_form_with_a_picture_and_files_of_the_largest_size_is_accepted(
    client: PageClient, market: Market, seller: User
) -> None:
    picture = b"\xff\xd8\xff" + bytes(5_200_000)
    await lists(client, PDF + bytes(10_400_000), picture=picture)
    ticket = listed(market)
    assert (ticket.delivery, market.pictures[ticket.picture or ""]) == ("instant", picture)


async def test_a_refused_listing_asks_for_the_files_again_without_javascript(
    client: PageClient, market: Market, seller: User
) -> None:
    answer = await lists(client, PDF, price="free")
    assert answer.status_code == 422
    assert "Choose the files again" in text_of(answer)
    assert "Choose the files again" not in text_of(await lists(client, price="free"))
    assert market.tickets == {}


async def test_a_refused_picture_and_a_refused_file_are_both_told(
    client: PageClient, market: Market, seller: User
) -> None:
    answer = await lists(client, TAKEN, picture=b"GIF89a")
    page = await client.get(answer.headers["location"])
    assert "Only its picture is missing" in text_of(page)
    assert "File 1 was refused" in text_of(page)


@pytest.mark.parametrize(
    "refused", ["1.<b>", "x.code-taken", "1.Call+0800", "100.code-taken", "²3.code-taken"]
)
async def test_the_page_shows_no_texts_from_its_address(
    client: PageClient, market: Market, seller: User, refused: str
) -> None:
    ticket = market.ticket(seller)
    page = await client.http.get(f"/tickets/{ticket.id}/files", params={"refused": refused})
    assert page.status_code == 200
    assert "was refused" not in page.text
