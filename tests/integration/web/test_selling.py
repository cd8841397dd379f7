"""The forms to list, edit and withdraw a ticket, and to upload its picture."""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest
from aiohttp import web

from contracts.api import Ticket, User
from contracts.problems import Problem
from contracts.wire import now
from tests.integration.web.page_client import EVENT, PageClient, text_of
from tests.support.fakes.market import Market
from tests.support.fakes.services import Services
from tests.support.fakes.tickets import Tickets
from web.forms import plain_price


@pytest.fixture
def seller(client: PageClient, market: Market) -> User:
    user, token = market.user("seller@example.com")
    client.sign_in_as(token)
    return user


@pytest.mark.parametrize("price", ["19,99", "19.99", " 19.99 ", "$19.99", "19,99 €"])
async def test_a_price_may_have_a_decimal_comma_a_currency_sign_and_spaces(
    client: PageClient, market: Market, seller: User, price: str
) -> None:
    response = await client.submit("/sell", follow=False, title="Nick Cave", price=price, **EVENT)
    [ticket] = market.tickets.values()
    assert ticket.price == Decimal("19.99")
    assert response.headers["location"] == f"/tickets/{ticket.id}"


@pytest.mark.parametrize("price", ["1,234", "1.234,50", "1 000", "free", "", "19,99,00"])
def test_an_ambiguous_or_invalid_price_is_not_changed(price: str) -> None:
    assert plain_price(price) == price.strip()


async def test_a_listed_ticket_has_the_submitted_title_venue_city_and_time(
    client: PageClient, market: Market, seller: User
) -> None:
    await client.submit(
        "/sell", title="Nick Cave", price="20", startsAt="2026-12-12T20:00", venue="Astra", city="Berlin"
    )
    [ticket] = market.tickets.values()
    assert (ticket.title, ticket.venue, ticket.city) == ("Nick Cave", "Astra", "Berlin")
    assert ticket.starts_at is not None
    assert ticket.starts_at.isoformat() == "2026-12-12T20:00:00+00:00"


async def test_an_invalid_listing_is_returned_with_errors_and_the_submitted_values(
    client: PageClient, market: Market, seller: User
) -> None:
    response = await client.submit("/sell", title=" ", price="1,234", venue="Astra")
    assert response.status_code == 422
    assert "Enter what the ticket is for" in text_of(response)
    assert '<a href="#price">' in response.text
    assert 'value="1,234"' in response.text
    assert 'value="Astra"' in response.text
    assert market.tickets == {}


async def test_selling_while_signed_out_redirects_to_sign_in(client: PageClient) -> None:
    assert (await client.get("/sell")).headers["location"] == "/signin?next=/sell"
    assert (await client.get("/listings")).headers["location"] == "/signin?next=/listings"
    sent = await client.submit("/sell", target="form#ticket-form", title="x", price="1")
    assert sent.headers["hx-redirect"] == "/signin?next=/sell"


async def test_without_javascript_a_seller_who_was_signed_out_can_send_the_form_again(
    client: PageClient, market: Market
) -> None:
    _, token = market.user("seller@example.com")
    page = await client.submit("/sell", target=None, follow=False, title="Nick Cave", price="20", **EVENT)
    assert page.status_code == 401
    assert "your browser still has the form with its files" in text_of(page).replace("\u2019", "'")
    assert '<a href="/signin" target="_blank">' in page.text
    assert market.tickets == {}
    client.sign_in_as(token)
    await client.submit("/sell", target=None, follow=False, title="Nick Cave", price="20", **EVENT)
    assert [ticket.title for ticket in market.tickets.values()] == ["Nick Cave"]


async def test_the_edit_form_is_filled_with_the_ticket_and_changes_the_ticket(
    client: PageClient, market: Market, seller: User
) -> None:
    ticket = market.ticket(seller, "Nick Cave", price="20.50")
    form = await client.get(f"/tickets/{ticket.id}/edit")
    assert 'value="Nick Cave"' in form.text
    assert 'value="20.50"' in form.text
    response = await client.submit(
        f"/tickets/{ticket.id}/edit", follow=False, title="Nick Cave, row 1", price="25", **EVENT
    )
    assert response.headers["location"] == f"/tickets/{ticket.id}"
    assert market.tickets[ticket.id].title == "Nick Cave, row 1"


async def test_notes_of_a_thousand_characters_of_any_script_fit_into_the_edit_form(
    client: PageClient, market: Market, seller: User
) -> None:
    ticket = market.ticket(seller)
    path = f"/tickets/{ticket.id}/edit"
    assert 'enctype="multipart/form-data"' in (await client.get(path)).text
    notes = "\u7968" * 1_000
    form = {"title": "Nick Cave", "price": "25", **EVENT, "notes": notes, "privateNote": notes}
    response = await client.http.post(path, files={name: (None, value) for name, value in form.items()})
    assert response.status_code == 303
    assert market.tickets[ticket.id].notes == notes


async def test_editing_a_reserved_ticket_is_refused_and_keeps_the_submitted_values(
    client: PageClient, market: Market, seller: User, stopped_clock: datetime
) -> None:
    buyer, _ = market.user("buyer@example.com")
    ticket = market.ticket(seller)
    market.order(buyer, ticket)
    market.change_ticket(ticket.id, held_until=stopped_clock + timedelta(seconds=754))
    response = await client.submit(
        f"/tickets/{ticket.id}/edit", follow=False, title="Other", price="25", **EVENT
    )
    assert response.status_code == 409
    assert "A buyer has reserved this ticket and has 12 minutes left to pay" in text_of(response)
    assert 'value="Other"' in response.text


async def test_withdrawing_a_reserved_ticket_says_how_long_it_is_reserved(
    client: PageClient, market: Market, seller: User, stopped_clock: datetime
) -> None:
    buyer, _ = market.user("buyer@example.com")
    ticket = market.ticket(seller)
    market.order(buyer, ticket)
    market.change_ticket(ticket.id, held_until=stopped_clock + timedelta(seconds=45))
    response = await client.submit(f"/tickets/{ticket.id}/withdraw")
    assert response.status_code == 409
    assert "A buyer has reserved this ticket and has 45 seconds left to pay" in text_of(response)


async def test_a_refused_change_of_a_ticket_that_is_free_again_gives_the_reason_of_the_service(
    client: PageClient, market: Market, seller: User
) -> None:
    ticket = market.ticket(seller)
    market.order(market.user("buyer@example.com")[0], ticket)
    market.change_ticket(ticket.id, held_until=now() - timedelta(seconds=1))
    response = await client.submit(f"/tickets/{ticket.id}/withdraw")
    assert "Cannot withdraw a reserved ticket" in text_of(response)


async def test_without_javascript_a_separate_page_asks_for_confirmation_of_a_withdrawal(
    client: PageClient, market: Market, seller: User
) -> None:
    ticket = market.ticket(seller)
    confirmation = await client.get(f"/tickets/{ticket.id}/withdraw")
    assert "Withdraw this ticket?" in text_of(confirmation)
    assert market.tickets[ticket.id].status == "available"
    page = await client.submit(f"/tickets/{ticket.id}/withdraw", follow=True)
    assert market.tickets[ticket.id].status == "withdrawn"
    assert "You withdrew this ticket" in text_of(page)


async def test_only_the_seller_can_edit_or_withdraw_a_ticket(
    client: PageClient, market: Market, seller: User
) -> None:
    other, _ = market.user("other@example.com")
    ticket = market.ticket(other, "Theirs")
    assert (await client.get(f"/tickets/{ticket.id}/edit")).status_code == 303
    for action in ("edit", "withdraw"):
        response = await client.submit(
            f"/tickets/{ticket.id}/{action}", follow=False, title="Mine", price="1", **EVENT
        )
        assert response.status_code == 403
    assert market.tickets[ticket.id].title == "Theirs"


async def test_the_event_time_is_entered_and_shown_in_the_time_zone_of_the_venue(
    client: PageClient, market: Market, seller: User
) -> None:
    fields: dict[str, Any] = {**EVENT, "startsAt": "2027-07-12T20:00", "timeZone": "Europe/Berlin"}
    await client.submit("/sell", follow=False, title="Nick Cave", price="20", **fields)
    [ticket] = market.tickets.values()
    assert ticket.starts_at is not None
    assert (ticket.starts_at.isoformat(), ticket.time_zone) == ("2027-07-12T18:00:00+00:00", "Europe/Berlin")
    form = await client.get(f"/tickets/{ticket.id}/edit")
    assert 'value="2027-07-12T20:00"' in form.text
    assert '<option value="Europe/Berlin" selected>' in form.text


async def test_every_detail_is_stored_and_shown_in_the_edit_form(
    client: PageClient, market: Market, seller: User
) -> None:
    details: dict[str, Any] = {
        "category": "music",
        "seat": "Row 3",
        "quantity": "2",
        "faceValue": "45,50",
        "notes": "Two\r\nlines",
    }
    await client.submit(
        "/sell", follow=False, title="Nick Cave", price="20", timeZone="UTC", **EVENT, **details
    )
    [ticket] = market.tickets.values()
    assert (ticket.category, ticket.seat, ticket.quantity) == ("music", "Row 3", 2)
    assert (ticket.face_value, ticket.notes, ticket.time_zone) == (Decimal("45.50"), "Two\nlines", "UTC")
    form = await client.get(f"/tickets/{ticket.id}/edit")
    for expected in (
        'value="45.50"',
        'value="Row 3"',
        '"music" selected',
        '<option value="2" selected',
        "Two\nlines<",
    ):
        assert expected in form.text


async def test_invalid_details_are_errors_at_their_fields(
    client: PageClient, market: Market, seller: User
) -> None:
    details: dict[str, Any] = {
        "startsAt": "soon",
        "timeZone": "Mars/Base",
        "quantity": "11",
        "faceValue": "much",
        "notes": "<b>",
    }
    response = await client.submit("/sell", follow=False, title="Nick Cave", price="20", **details)
    assert response.status_code == 422
    for name in ("startsAt", "timeZone", "quantity", "faceValue"):
        assert f'id="{name}-error"' in response.text
        assert f'href="#{name}"' in response.text
    assert "Enter a date and a time" in text_of(response)
    assert "\n&lt;b&gt;</textarea>" in response.text
    assert market.tickets == {}


JPEG = b"\xff\xd8\xff" + bytes(300_000)


async def upload(client: PageClient, ticket: Ticket, content: bytes, name: str = "a.jpg") -> httpx.Response:
    """Submit the form for the picture of a ticket as a browser without JavaScript does."""
    return await client.http.post(f"/tickets/{ticket.id}/picture", files={"picture": (name, content)})


async def submit_listing(
    client: PageClient, content: bytes, target: str | None = None, **fields: str
) -> httpx.Response:
    """Submit the listing form with a picture, or without one if the content is empty."""
    form = {"title": "Nick Cave", "price": "20", **EVENT, **fields}
    headers = {"HX-Request": "true", "HX-Request-Type": "partial"} if target else {}
    return await client.http.post("/sell", data=form, files={"picture": ("a.jpg", content)}, headers=headers)


async def test_a_ticket_is_listed_with_its_picture(client: PageClient, market: Market, seller: User) -> None:
    response = await submit_listing(client, JPEG)
    [ticket] = market.tickets.values()
    assert response.headers["location"] == f"/tickets/{ticket.id}"
    assert market.pictures[ticket.picture or ""] == JPEG


async def test_a_ticket_is_listed_without_a_picture(client: PageClient, market: Market, seller: User) -> None:
    response = await submit_listing(client, b"")
    [ticket] = market.tickets.values()
    assert response.headers["location"] == f"/tickets/{ticket.id}"
    assert market.pictures == {}


async def test_a_ticket_whose_picture_is_refused_is_listed_and_the_error_is_shown(
    client: PageClient, market: Market, seller: User
) -> None:
    response = await submit_listing(client, b"GIF89a")
    [ticket] = market.tickets.values()
    assert response.headers["location"] == f"/tickets/{ticket.id}/edit?listed&picture=unfit"
    page = await client.get(response.headers["location"])
    assert "Your ticket is on sale. Only its picture is missing" in text_of(page)
    assert 'id="picture-error">The picture can&#39;t be used' in page.text


async def test_a_failed_picture_upload_does_not_list_the_ticket_twice(
    client: PageClient, market: Market, services: Services, seller: User
) -> None:
    async def fail(request: web.Request) -> web.Response:
        return web.Response(status=503)

    path = "/api/tickets/{id}/picture"
    routes = [route for route in Tickets(market).routes() if route.path != path]
    await services.replace("tickets", [*routes, web.put(path, fail)])
    response = await submit_listing(client, JPEG)
    [ticket] = market.tickets.values()
    assert response.headers["location"] == f"/tickets/{ticket.id}/edit?listed&picture=not-saved"


async def test_repeating_a_listing_does_not_replace_a_newer_picture(
    client: PageClient, market: Market, seller: User
) -> None:
    await submit_listing(client, JPEG, idempotency_key="once")
    [ticket] = market.tickets.values()
    newer = JPEG + b"newer"
    await upload(client, ticket, newer)
    again = await submit_listing(client, JPEG, idempotency_key="once")
    assert again.headers["location"] == f"/tickets/{ticket.id}"
    assert market.pictures[market.tickets[ticket.id].picture or ""] == newer


async def test_repeating_a_listing_adds_the_missing_picture(
    client: PageClient, market: Market, seller: User
) -> None:
    await submit_listing(client, b"", idempotency_key="once")
    await submit_listing(client, JPEG, idempotency_key="once")
    [ticket] = market.tickets.values()
    assert market.pictures[ticket.picture or ""] == JPEG


async def test_repeating_a_listing_of_a_reserved_ticket_ignores_the_picture(
    client: PageClient, market: Market, seller: User
) -> None:
    await submit_listing(client, b"", idempotency_key="once")
    [ticket] = market.tickets.values()
    market.order(market.user("buyer@example.com")[0], ticket)
    again = await submit_listing(client, JPEG, idempotency_key="once")
    assert again.headers["location"] == f"/tickets/{ticket.id}"
    assert market.pictures == {}


async def test_the_notice_of_a_missing_picture_disappears_after_the_upload(
    client: PageClient, market: Market, seller: User
) -> None:
    ticket = market.ticket(seller)
    missing = "Only its picture is missing"
    assert missing in text_of(await client.get(f"/tickets/{ticket.id}/edit?listed"))
    await upload(client, ticket, JPEG)
    assert missing not in text_of(await client.get(f"/tickets/{ticket.id}/edit?listed"))


@pytest.mark.parametrize("target", [None, "form#ticket-form"])
async def test_a_listing_with_a_picture_that_is_too_large_is_refused(
    client: PageClient, market: Market, seller: User, target: str | None
) -> None:
    response = await submit_listing(client, b"\xff\xd8\xff" + bytes(5_300_000), target, venue="Astra")
    assert response.status_code == 422
    assert 'id="picture-error">The picture is too large' in response.text
    assert 'value="Astra"' in response.text
    assert market.tickets == {}


async def test_a_listing_form_above_the_size_limit_redirects_to_the_form_with_an_error(
    client: PageClient, market: Market, seller: User
) -> None:
    response = await submit_listing(client, bytes(16_600_000))
    assert (response.status_code, response.headers["location"]) == (303, "/sell?too-large")
    page = await client.get("/sell?too-large")
    assert "The picture and the files are too large" in text_of(page)
    assert market.tickets == {}


async def test_without_javascript_a_returned_form_asks_for_the_picture_again(
    client: PageClient, market: Market, seller: User
) -> None:
    request = "Choose the picture again"
    assert request in text_of(await submit_listing(client, JPEG, price="free"))
    assert request not in text_of(await submit_listing(client, JPEG, "form#ticket-form", price="free"))
    assert request not in text_of(await submit_listing(client, b"", price="free"))


async def test_optional_fields_are_collapsed_unless_they_are_filled_or_invalid(
    client: PageClient, market: Market, seller: User
) -> None:
    assert '<details class="more-fields">' in (await client.get("/sell")).text
    invalid = await client.submit("/sell", title="x", price="1", seat="x" * 81)
    assert '<details class="more-fields" open>' in invalid.text
    ticket = market.ticket(seller, notes="By post")
    assert '<details class="more-fields" open>' in (await client.get(f"/tickets/{ticket.id}/edit")).text


async def test_only_a_new_form_preselects_the_time_zone_of_the_browser(
    client: PageClient, market: Market, seller: User
) -> None:
    assert " data-new " in (await client.get("/sell")).text
    assert " data-new " not in (await client.submit("/sell", title="", price="1")).text
    ticket = market.ticket(seller)
    assert " data-new " not in (await client.get(f"/tickets/{ticket.id}/edit")).text


async def test_a_picture_is_added_and_removed(client: PageClient, market: Market, seller: User) -> None:
    ticket = market.ticket(seller)
    response = await upload(client, ticket, JPEG)
    assert response.headers["location"] == f"/tickets/{ticket.id}"
    [(name, content)] = market.pictures.items()
    assert content == JPEG
    form = await client.get(f"/tickets/{ticket.id}/edit")
    assert f'src="/api/tickets/pictures/{name}/small" width="480" height="270"' in form.text
    response = await client.submit(f"/tickets/{ticket.id}/picture/remove")
    assert response.headers["location"] == f"/tickets/{ticket.id}/edit"
    assert market.tickets[ticket.id].picture is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "Choose a picture first"),
        (b"GIF89a", "The picture must be a JPEG, PNG or WebP"),
        (b"\xff\xd8\xff" + bytes(5_300_000), "The picture is too large"),
    ],
    ids=["no file", "not a picture", "too large"],
)
async def test_an_invalid_picture_shows_an_error_next_to_its_field(
    client: PageClient, market: Market, seller: User, content: bytes, message: str
) -> None:
    ticket = market.ticket(seller)
    response = await upload(client, ticket, content, "a.jpg" if content else "")
    assert response.status_code == 422
    assert f'id="picture-error">{message}' in response.text
    assert market.pictures == {}


@pytest.mark.parametrize("status", [429, 503])
async def test_a_picture_that_is_refused_for_now_shows_the_reason_next_to_its_field(
    client: PageClient, market: Market, services: Services, seller: User, status: int
) -> None:
    async def refuse(request: web.Request) -> web.Response:
        problem = Problem.of(status, "Many pictures are being processed")
        return web.Response(status=status, text=problem.to_json(), headers={"Retry-After": "2"})

    path = "/api/tickets/{id}/picture"
    routes = [route for route in Tickets(market).routes() if route.path != path]
    await services.replace("tickets", [*routes, web.put(path, refuse)])
    response = await upload(client, market.ticket(seller), JPEG)
    assert response.status_code == 422
    assert 'id="picture-error">Many pictures are being processed' in response.text


async def test_a_picture_form_above_the_size_limit_redirects_to_the_form_with_an_error(
    client: PageClient, market: Market, seller: User
) -> None:
    ticket = market.ticket(seller)
    response = await upload(client, ticket, bytes(6_100_000))
    assert response.status_code == 303
    assert (
        'id="picture-error">The picture is too large' in (await client.get(response.headers["location"])).text
    )


async def test_a_form_without_a_picture_has_a_small_size_limit(
    client: PageClient, market: Market, seller: User
) -> None:
    assert (await client.submit("/tickets/x/edit", title="x", notes="x" * 110_000)).status_code == 413


async def test_the_api_accepts_five_megabytes_only_for_pictures(
    client: PageClient, market: Market, seller: User
) -> None:
    ticket = market.ticket(seller)
    picture = b"\xff\xd8\xff".ljust(5 * 1024 * 1024, b"x")
    path = f"/api/tickets/{ticket.id}/picture"
    assert (await client.http.put(path, content=picture)).status_code == 200
    assert (await client.http.put(path, content=picture + b"x")).status_code == 413
    assert (await client.http.put(f"/api/tickets/{ticket.id}", content=picture)).status_code == 413
    assert (await client.http.post(path, content=picture)).status_code == 413
