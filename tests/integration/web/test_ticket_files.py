"""The page with the files of a ticket, and the links to it."""

import pytest

from contracts.api import Ticket, TicketFile, User
from contracts.examples import API_EXAMPLES
from contracts.wire import now
from tests.integration.web.page_client import PageClient
from tests.support.fakes.market import Market


@pytest.fixture
def seller(buyer: User) -> User:
    """The signed-in user, who sells."""
    return buyer


PDF = b"%PDF-1.4 with a code"


async def upload(client: PageClient, ticket: Ticket, content: bytes = PDF) -> str:
    """Add a file as a browser without JavaScript does. Return the page that follows."""
    answer = await client.http.post(f"/tickets/{ticket.id}/files", files={"file": ("a.pdf", content)})
    if answer.status_code == 303:
        return (await client.get(answer.headers["location"])).text
    assert answer.status_code == 422
    return answer.text


async def test_a_seller_uploads_and_removes_a_file(client: PageClient, market: Market, seller: User) -> None:
    ticket = market.ticket(seller)
    page = await client.get(f"/tickets/{ticket.id}/files")
    assert "0 of 1 ticket is uploaded." in page.text
    assert "You hand the ticket over yourself, so you don" in page.text
    text = await upload(client, ticket)
    assert "the buyer gets the ticket at once after paying" in text
    assert "downloaded 0 times" in text
    (file,) = market.files[ticket.id]
    answer = await client.http.post(f"/tickets/{ticket.id}/files/{file.id}/remove")
    assert (answer.status_code, market.files[ticket.id]) == (303, [])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "Choose a file first"),
        (b"GIF89a", "The file must be a PDF, PNG, JPEG or Apple Wallet pass"),
    ],
)
async def test_the_page_shows_why_a_file_is_refused(
    client: PageClient, market: Market, seller: User, content: bytes, message: str
) -> None:
    text = await upload(client, market.ticket(seller), content)
    assert f'id="file-error">{message}' in text


async def test_a_file_without_a_code_is_flagged_to_the_seller(
    client: PageClient, market: Market, seller: User
) -> None:
    assert "No barcode was found" in await upload(client, market.ticket(seller), b"%PDF-1.4")


async def test_the_buyer_downloads_the_files_from_the_page_to_which_the_order_links(
    client: PageClient, market: Market, buyer: User
) -> None:
    seller, _ = market.user("seller@example.com")
    ticket = market.ticket(seller, delivery="instant")
    order = market.order(buyer, ticket, status="complete", delivery="delivered", delivered_at=now())
    market.payment(order, "captured")
    upload_for(market, ticket)
    assert f'href="/tickets/{ticket.id}/files"' in (await client.get(f"/orders/{order.id}")).text
    page = (await client.get(f"/tickets/{ticket.id}/files")).text
    (file,) = market.files[ticket.id]
    assert f'href="/api/tickets/{ticket.id}/files/{file.id}"' in page
    assert 'name="file"' not in page
    answer = await client.http.get(f"/api/tickets/{ticket.id}/files/{file.id}")
    assert answer.headers["content-disposition"].startswith("attachment")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"
    assert "sandbox" in answer.headers["content-security-policy"]


def upload_for(market: Market, ticket: Ticket) -> None:
    """Add a file as the seller."""
    market.files[ticket.id] = [each for each in API_EXAMPLES if isinstance(each, TicketFile)]


async def test_others_see_no_files(client: PageClient, market: Market, buyer: User) -> None:
    ticket = market.ticket(market.user("seller@example.com")[0])
    assert (await client.get(f"/tickets/{ticket.id}/files")).status_code == 403


async def test_a_guest_signs_in_first(client: PageClient, market: Market) -> None:
    ticket = market.ticket(market.user("seller@example.com")[0])
    answer = await client.http.get(f"/tickets/{ticket.id}/files")
    assert (answer.status_code, answer.headers["location"]) == (
        303,
        f"/signin?next=/tickets/{ticket.id}/files",
    )


async def test_cards_and_filters_show_instant_delivery(client: PageClient, market: Market) -> None:
    seller, _ = market.user("seller@example.com")
    instant = market.ticket(seller, "Instant Show", delivery="instant")
    market.ticket(seller, "Other Show")
    page = (await client.get("/")).text
    assert page.count('class="chip" data-tone="good">Instant delivery') <= 1
    assert "Instant delivery" in (await client.get(f"/tickets/{instant.id}/card")).text
    page = (await client.get("/?delivery=instant")).text
    assert "Instant Show" in page
    assert "Other Show" not in page


async def test_who_promises_files_continues_with_uploading_them(
    client: PageClient, market: Market, seller: User
) -> None:
    when_and_where = {"startsAt": "2036-06-05T20:30", "timeZone": "UTC", "venue": "Globe", "city": "London"}
    form = {"title": "Hamlet", "price": "10", "promised": "yes", **when_and_where}
    answer = await client.http.post("/sell", data=form, files={"picture": ("", b"")})
    (ticket,) = market.tickets.values()
    assert (answer.status_code, answer.headers["location"]) == (303, f"/tickets/{ticket.id}/files")
    assert ticket.delivery == "promised"


async def test_a_file_form_of_up_to_10_mb_is_read_and_a_larger_one_refused(
    client: PageClient, market: Market, seller: User
) -> None:
    ticket = market.ticket(seller)
    text = await upload(client, ticket, b"%PDF-" + bytes(10_400_000))
    assert "the buyer gets the ticket at once after paying" in text
    answer = await client.http.post(
        f"/tickets/{ticket.id}/files", files={"file": ("a.pdf", b"%PDF-" + bytes(11_400_000))}
    )
    assert answer.status_code in {303, 413}
