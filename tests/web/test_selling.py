"""A seller lists, edits and withdraws; mistakes are explained and nothing typed is lost."""

from decimal import Decimal
from typing import Any

import httpx
import pytest
from aiohttp import web

from contracts.api import Ticket, User
from tests.web.conftest import Browser, text_of
from tests.web.market import Market
from tests.web.served import Services, Tickets
from web.forms import plain_price


@pytest.fixture
def seller(browser: Browser, market: Market) -> User:
    user, token = market.user("seller@example.com")
    browser.sign_in_as(token)
    return user


@pytest.mark.parametrize("typed", ["19,99", "19.99", " 19.99 ", "$19.99", "19,99 €"])
async def test_a_price_is_understood_as_people_type_it(
    browser: Browser, market: Market, seller: User, typed: str
) -> None:
    response = await browser.submit("/sell", title="Nick Cave", price=typed)
    [ticket] = market.tickets.values()
    assert ticket.price == Decimal("19.99")
    assert response.headers["location"] == f"/tickets/{ticket.id}"


@pytest.mark.parametrize("typed", ["1,234", "1.234,50", "1 000", "free", "", "19,99,00"])
def test_a_price_is_never_guessed(typed: str) -> None:
    assert plain_price(typed) == typed.strip()


async def test_all_that_a_seller_says_arrives(browser: Browser, market: Market, seller: User) -> None:
    await browser.submit(
        "/sell", title="Nick Cave", price="20", startsAt="2026-12-12T20:00", venue="Astra", city="Berlin"
    )
    [ticket] = market.tickets.values()
    assert (ticket.title, ticket.venue, ticket.city) == ("Nick Cave", "Astra", "Berlin")
    assert ticket.starts_at is not None
    assert ticket.starts_at.isoformat() == "2026-12-12T20:00:00+00:00"


async def test_a_wrong_listing_comes_back_as_it_was_typed(
    browser: Browser, market: Market, seller: User
) -> None:
    response = await browser.submit("/sell", title=" ", price="1,234", venue="Astra")
    assert response.status_code == 422
    assert "Say what it is a ticket for" in text_of(response)
    assert '<a href="#price">' in response.text
    assert 'value="1,234"' in response.text
    assert 'value="Astra"' in response.text
    assert market.tickets == {}


async def test_whoever_isnt_signed_in_signs_in_first(browser: Browser) -> None:
    assert (await browser.get("/sell")).headers["location"] == "/signin?next=/sell"
    assert (await browser.get("/listings")).headers["location"] == "/signin?next=/listings"
    assert (await browser.submit("/sell", title="x", price="1")).headers["location"] == "/signin?next=/sell"


async def test_editing_starts_from_what_is_there(browser: Browser, market: Market, seller: User) -> None:
    ticket = market.ticket(seller, "Nick Cave", price="20.50")
    form = await browser.get(f"/tickets/{ticket.id}/edit")
    assert 'value="Nick Cave"' in form.text
    assert 'value="20.50"' in form.text
    response = await browser.submit(f"/tickets/{ticket.id}/edit", title="Nick Cave, row 1", price="25")
    assert response.headers["location"] == f"/tickets/{ticket.id}"
    assert market.tickets[ticket.id].title == "Nick Cave, row 1"


async def test_a_ticket_that_was_reserved_meanwhile_isnt_edited(
    browser: Browser, market: Market, seller: User
) -> None:
    buyer, _ = market.user("buyer@example.com")
    ticket = market.ticket(seller)
    market.order(buyer, ticket)
    response = await browser.submit(f"/tickets/{ticket.id}/edit", title="Other", price="25")
    assert response.status_code == 409
    assert "Cannot edit a reserved ticket" in text_of(response)
    assert 'value="Other"' in response.text


async def test_withdrawing_asks_first_and_needs_no_script(
    browser: Browser, market: Market, seller: User
) -> None:
    ticket = market.ticket(seller)
    question = await browser.get(f"/tickets/{ticket.id}/withdraw")
    assert "Withdraw this ticket?" in text_of(question)
    assert market.tickets[ticket.id].status == "available"
    page = await browser.submit(f"/tickets/{ticket.id}/withdraw", follow=True)
    assert market.tickets[ticket.id].status == "withdrawn"
    assert "You withdrew this ticket" in text_of(page)


async def test_nobody_changes_somebody_elses_ticket(browser: Browser, market: Market, seller: User) -> None:
    other, _ = market.user("other@example.com")
    ticket = market.ticket(other, "Theirs")
    assert (await browser.get(f"/tickets/{ticket.id}/edit")).status_code == 303
    for action in ("edit", "withdraw"):
        response = await browser.submit(f"/tickets/{ticket.id}/{action}", title="Mine", price="1")
        assert response.status_code == 403
    assert market.tickets[ticket.id].title == "Theirs"


async def test_the_time_is_the_venues_own_and_comes_back_as_such(
    browser: Browser, market: Market, seller: User
) -> None:
    when: dict[str, Any] = {"startsAt": "2027-07-12T20:00", "timeZone": "Europe/Berlin"}
    await browser.submit("/sell", title="Nick Cave", price="20", **when)
    [ticket] = market.tickets.values()
    assert ticket.starts_at is not None
    assert (ticket.starts_at.isoformat(), ticket.time_zone) == ("2027-07-12T18:00:00+00:00", "Europe/Berlin")
    form = await browser.get(f"/tickets/{ticket.id}/edit")
    assert 'value="2027-07-12T20:00"' in form.text
    assert '<option value="Europe/Berlin" selected>' in form.text


async def test_every_detail_is_said_and_can_be_edited(browser: Browser, market: Market, seller: User) -> None:
    details: dict[str, Any] = {
        "category": "music",
        "seat": "Row 3",
        "quantity": "2",
        "faceValue": "45,50",
        "notes": "Two\r\nlines",
    }
    await browser.submit("/sell", title="Nick Cave", price="20", timeZone="UTC", **details)
    [ticket] = market.tickets.values()
    assert (ticket.category, ticket.seat, ticket.quantity) == ("music", "Row 3", 2)
    assert (ticket.face_value, ticket.notes, ticket.time_zone) == (Decimal("45.50"), "Two\nlines", None)
    form = await browser.get(f"/tickets/{ticket.id}/edit")
    for kept in (
        'value="45.50"',
        'value="Row 3"',
        '"music" selected',
        '<option value="2" selected',
        "Two\nlines<",
    ):
        assert kept in form.text


async def test_wrong_details_are_named_at_their_fields(
    browser: Browser, market: Market, seller: User
) -> None:
    details: dict[str, Any] = {
        "startsAt": "soon",
        "timeZone": "Mars/Base",
        "quantity": "11",
        "faceValue": "much",
        "notes": "<b>",
    }
    response = await browser.submit("/sell", title="Nick Cave", price="20", **details)
    assert response.status_code == 422
    for name in ("startsAt", "timeZone", "quantity", "faceValue"):
        assert f'id="{name}-error"' in response.text
        assert f'href="#{name}"' in response.text
    assert "Give a date and a time" in text_of(response)
    assert "\n&lt;b&gt;</textarea>" in response.text
    assert market.tickets == {}


JPEG = b"\xff\xd8\xff" + bytes(300_000)


async def upload(browser: Browser, ticket: Ticket, content: bytes, name: str = "a.jpg") -> httpx.Response:
    """As a browser without scripts sends it."""
    await browser.get(f"/tickets/{ticket.id}/edit")
    form = {"_csrf_token": browser.http.cookies["csrf"]}
    return await browser.http.post(
        f"/tickets/{ticket.id}/picture", data=form, files={"picture": (name, content)}
    )


async def lists_with_picture(
    browser: Browser, content: bytes, target: str | None = None, **fields: str
) -> httpx.Response:
    """As a browser sends the first form."""
    await browser.get("/sell")
    form = {"_csrf_token": browser.http.cookies["csrf"], "title": "Nick Cave", "price": "20", **fields}
    headers = {"HX-Request": "true", "HX-Request-Type": "partial"} if target else {}
    return await browser.http.post("/sell", data=form, files={"picture": ("a.jpg", content)}, headers=headers)


async def test_a_ticket_is_listed_with_its_picture(browser: Browser, market: Market, seller: User) -> None:
    response = await lists_with_picture(browser, JPEG)
    [ticket] = market.tickets.values()
    assert response.headers["location"] == f"/tickets/{ticket.id}"
    assert market.pictures[ticket.picture or ""] == JPEG


async def test_a_ticket_is_listed_where_no_picture_was_chosen(
    browser: Browser, market: Market, seller: User
) -> None:
    response = await lists_with_picture(browser, b"")
    [ticket] = market.tickets.values()
    assert response.headers["location"] == f"/tickets/{ticket.id}"
    assert market.pictures == {}


async def test_a_ticket_whose_picture_is_refused_is_on_sale_and_says_so(
    browser: Browser, market: Market, seller: User
) -> None:
    response = await lists_with_picture(browser, b"GIF89a")
    [ticket] = market.tickets.values()
    assert response.headers["location"] == f"/tickets/{ticket.id}/edit?listed&picture=unfit"
    page = await browser.get(response.headers["location"])
    assert "Your ticket is on sale, only its picture is missing" in text_of(page)
    assert 'id="picture-error">The picture can&#39;t be used' in page.text


async def test_a_picture_that_gets_lost_on_the_way_doesnt_list_the_ticket_twice(
    browser: Browser, market: Market, services: Services, seller: User
) -> None:
    async def lost(request: web.Request) -> web.Response:
        return web.Response(status=503)

    path = "/api/tickets/{id}/picture"
    routes = [route for route in Tickets(market).routes() if route.path != path]
    await services.replace("tickets", [*routes, web.put(path, lost)])
    response = await lists_with_picture(browser, JPEG)
    [ticket] = market.tickets.values()
    assert response.headers["location"] == f"/tickets/{ticket.id}/edit?listed&picture=away"


async def test_a_form_that_is_sent_again_leaves_the_picture_that_there_is_now(
    browser: Browser, market: Market, seller: User
) -> None:
    await lists_with_picture(browser, JPEG, offer="once")
    [ticket] = market.tickets.values()
    newer = JPEG + b"newer"
    await upload(browser, ticket, newer)
    again = await lists_with_picture(browser, JPEG, offer="once")
    assert again.headers["location"] == f"/tickets/{ticket.id}"
    assert market.pictures[market.tickets[ticket.id].picture or ""] == newer


async def test_a_form_that_is_sent_again_brings_the_picture_that_got_lost(
    browser: Browser, market: Market, seller: User
) -> None:
    await lists_with_picture(browser, b"", offer="once")
    await lists_with_picture(browser, JPEG, offer="once")
    [ticket] = market.tickets.values()
    assert market.pictures[ticket.picture or ""] == JPEG


async def test_a_form_that_is_sent_again_when_its_ticket_is_taken_says_nothing_of_pictures(
    browser: Browser, market: Market, seller: User
) -> None:
    await lists_with_picture(browser, b"", offer="once")
    [ticket] = market.tickets.values()
    market.order(market.user("buyer@example.com")[0], ticket)
    again = await lists_with_picture(browser, JPEG, offer="once")
    assert again.headers["location"] == f"/tickets/{ticket.id}"
    assert market.pictures == {}


async def test_what_says_that_the_picture_is_missing_is_gone_when_it_is_there(
    browser: Browser, market: Market, seller: User
) -> None:
    ticket = market.ticket(seller)
    missing = "only its picture is missing"
    assert missing in text_of(await browser.get(f"/tickets/{ticket.id}/edit?listed"))
    await upload(browser, ticket, JPEG)
    assert missing not in text_of(await browser.get(f"/tickets/{ticket.id}/edit?listed"))


@pytest.mark.parametrize("target", [None, "form#ticket-form"])
async def test_a_picture_that_is_too_large_is_told_before_anything_is_listed(
    browser: Browser, market: Market, seller: User, target: str | None
) -> None:
    response = await lists_with_picture(browser, b"\xff\xd8\xff" + bytes(5_300_000), target, venue="Astra")
    assert response.status_code == 422
    assert 'id="picture-error">The picture is too large' in response.text
    assert 'value="Astra"' in response.text
    assert market.tickets == {}


async def test_a_first_form_beyond_its_limit_leads_back_to_it(
    browser: Browser, market: Market, seller: User
) -> None:
    response = await lists_with_picture(browser, bytes(6_100_000))
    assert (response.status_code, response.headers["location"]) == (303, "/sell?picture=too-large")
    page = await browser.get("/sell?picture=too-large")
    assert 'id="picture-error">The picture is too large' in page.text
    assert market.tickets == {}


async def test_without_scripts_a_form_that_comes_back_asks_for_the_picture_again(
    browser: Browser, market: Market, seller: User
) -> None:
    again = "Choose the picture once more"
    assert again in text_of(await lists_with_picture(browser, JPEG, price="free"))
    assert again not in text_of(await lists_with_picture(browser, JPEG, "form#ticket-form", price="free"))
    assert again not in text_of(await lists_with_picture(browser, b"", price="free"))


async def test_what_is_said_less_often_is_folded_until_it_is(
    browser: Browser, market: Market, seller: User
) -> None:
    assert '<details class="more-fields">' in (await browser.get("/sell")).text
    wrong = await browser.submit("/sell", title="x", price="1", faceValue="much")
    assert '<details class="more-fields" open>' in wrong.text
    ticket = market.ticket(seller, notes="By post")
    assert '<details class="more-fields" open>' in (await browser.get(f"/tickets/{ticket.id}/edit")).text


async def test_only_a_new_form_asks_for_ones_own_time_zone(
    browser: Browser, market: Market, seller: User
) -> None:
    assert " data-new " in (await browser.get("/sell")).text
    assert " data-new " not in (await browser.submit("/sell", title="", price="1")).text
    ticket = market.ticket(seller)
    assert " data-new " not in (await browser.get(f"/tickets/{ticket.id}/edit")).text


async def test_a_picture_is_added_and_removed(browser: Browser, market: Market, seller: User) -> None:
    ticket = market.ticket(seller)
    response = await upload(browser, ticket, JPEG)
    assert response.headers["location"] == f"/tickets/{ticket.id}"
    [(name, kept)] = market.pictures.items()
    assert kept == JPEG
    form = await browser.get(f"/tickets/{ticket.id}/edit")
    assert f'src="/api/tickets/pictures/{name}/small" width="480" height="270"' in form.text
    response = await browser.submit(f"/tickets/{ticket.id}/picture/remove")
    assert response.headers["location"] == f"/tickets/{ticket.id}/edit"
    assert market.tickets[ticket.id].picture is None


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "Choose a picture first"),
        (b"GIF89a", "The picture must be a JPEG, PNG or WebP"),
        (b"\xff\xd8\xff" + bytes(5_300_000), "The picture is too large"),
    ],
    ids=["none", "no picture", "too large"],
)
async def test_what_is_wrong_with_a_picture_is_said_at_its_field(
    browser: Browser, market: Market, seller: User, content: bytes, words: str
) -> None:
    ticket = market.ticket(seller)
    response = await upload(browser, ticket, content, "a.jpg" if content else "")
    assert response.status_code == 422
    assert f'id="picture-error">{words}' in response.text
    assert market.pictures == {}


async def test_a_picture_form_beyond_its_limit_leads_back_to_its_field(
    browser: Browser, market: Market, seller: User
) -> None:
    ticket = market.ticket(seller)
    response = await upload(browser, ticket, bytes(6_100_000))
    assert response.status_code == 303
    assert (
        'id="picture-error">The picture is too large'
        in (await browser.get(response.headers["location"])).text
    )


async def test_a_picture_comes_only_from_our_own_form(browser: Browser, market: Market, seller: User) -> None:
    ticket = market.ticket(seller)
    response = await browser.http.post(f"/tickets/{ticket.id}/picture", files={"picture": (None, "x")})
    assert response.status_code == 403
    assert market.pictures == {}


async def test_other_forms_stay_small(browser: Browser, market: Market, seller: User) -> None:
    assert (await browser.submit("/tickets/x/edit", title="x", notes="x" * 110_000)).status_code == 413


async def test_the_api_lets_five_megabytes_pass_for_pictures_alone(
    browser: Browser, market: Market, seller: User
) -> None:
    ticket = market.ticket(seller)
    picture = b"\xff\xd8\xff".ljust(5 * 1024 * 1024, b"x")
    path = f"/api/tickets/{ticket.id}/picture"
    assert (await browser.http.put(path, content=picture)).status_code == 200
    assert (await browser.http.put(path, content=picture + b"x")).status_code == 413
    assert (await browser.http.put(f"/api/tickets/{ticket.id}", content=picture)).status_code == 413
    assert (await browser.http.post(path, content=picture)).status_code == 413
