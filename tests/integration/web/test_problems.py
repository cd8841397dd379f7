"""What buyer and seller see of a reported problem, and how they report and answer."""

import html
from datetime import datetime, timedelta
from typing import Any

import pytest

from contracts.api import Order, ReportedProblem, ReportPhoto, User
from tests.integration.web.page_client import PageClient, text_of
from tests.support.fakes.market import Market

AT = datetime.fromisoformat("2031-12-12T20:00:00Z")
UNTIL = AT + timedelta(hours=48)


@pytest.fixture
def seller(market: Market) -> User:
    return market.user("seller@example.com")[0]


def problem(state: str = "open", **changes: Any) -> ReportedProblem:
    given = {
        "kind": "invalid",
        "text": "They <b>laughed</b>.",
        "reported_at": AT,
        "state": state,
        "answer_by": UNTIL,
    }
    return ReportedProblem.model_validate({**given, **changes})


def bought(market: Market, buyer: User, seller: User, **state: Any) -> Order:
    ticket = market.ticket(seller, starts_at=AT, delivery="instant", status="sold")
    order = market.order(buyer, ticket, status="complete", delivery="delivered", delivered_at=AT, **state)
    market.change_ticket(ticket.id, order_id=order.id)
    market.payment(order, "captured")
    return order


async def test_an_order_says_until_when_a_problem_can_be_reported(
    client: PageClient, market: Market, buyer: User, seller: User
) -> None:
    order = bought(market, buyer, seller, can_report=True, problem_until=UNTIL)
    page = await client.get(f"/orders/{order.id}")
    assert "You can report a problem until Sun, Dec 14, 2031" in text_of(page)
    assert f'href="/orders/{order.id}/problem"' in page.text


async def test_an_order_says_nothing_about_problems_afterwards(
    client: PageClient, market: Market, buyer: User, seller: User
) -> None:
    order = bought(market, buyer, seller, problem_until=UNTIL)
    assert "problem" not in text_of(await client.get(f"/orders/{order.id}"))
    form = await client.get(f"/orders/{order.id}/problem")
    assert "report a problem with this order" in text_of(form)
    assert "<textarea" not in form.text


async def test_a_buyer_reports_a_problem(
    client: PageClient, market: Market, buyer: User, seller: User
) -> None:
    order = bought(market, buyer, seller, can_report=True, problem_until=UNTIL)
    assert "The ticket was not accepted" in text_of(await client.get(f"/orders/{order.id}/problem"))
    answer = await client.submit(f"/orders/{order.id}/problem", kind="invalid", text="They <b>laughed</b>.")
    assert (answer.status_code, answer.headers["location"]) == (303, f"/orders/{order.id}")
    page = await client.get(f"/orders/{order.id}")
    assert 'data-problem="open"' in page.text
    assert "They &lt;b&gt;laughed&lt;/b&gt;." in page.text
    assert f'href="/orders/{order.id}/problem"' not in page.text


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"kind": "", "text": "No"}, "Choose what is wrong"),
        ({"kind": "invalid", "text": " "}, "Say what happened"),
        ({"kind": "invalid", "text": "a" * 2001}, "Say what happened"),
    ],
)
async def test_a_wrong_report_is_shown_again_with_what_is_wrong(
    client: PageClient, market: Market, buyer: User, seller: User, given: dict[str, str], message: str
) -> None:
    order = bought(market, buyer, seller, can_report=True)
    answer = await client.submit(f"/orders/{order.id}/problem", kind=given["kind"], text=given["text"])
    assert answer.status_code == 422
    assert message in text_of(answer)
    assert given["text"].strip() in answer.text
    assert market.orders[order.id].problem is None


async def test_a_report_that_is_too_late_says_so(
    client: PageClient, market: Market, buyer: User, seller: User
) -> None:
    order = bought(market, buyer, seller)
    answer = await client.submit(f"/orders/{order.id}/problem", kind="invalid", text="No")
    assert answer.status_code == 409
    assert "The time to report a problem is over" in text_of(answer)


STATES: dict[str, tuple[dict[str, Any], str]] = {
    "open": ({}, "may answer until Sun, Dec 14, 2031"),
    "answered": ({"answer": "It worked", "answered_at": AT}, "It worked"),
    "refunded": (
        {"decided_at": AT, "refunded": 2000, "reason": "Scanned twice"},
        "$20.00 back.",
    ),
    "partly-refunded": ({"decided_at": AT, "refunded": 500, "reason": "Worse seat"}, "Worse seat"),
    "rejected": ({"decided_at": AT, "reason": "The scanner let you in"}, "The scanner let you in"),
}


@pytest.mark.parametrize("state", STATES)
async def test_buyer_and_seller_read_the_same(
    client: PageClient, market: Market, buyer: User, seller: User, state: str
) -> None:
    changes, text = STATES[state]
    order = bought(market, buyer, seller, problem=problem(state, **changes))
    page = await client.get(f"/orders/{order.id}")
    assert text in html.unescape(text_of(page))
    client.sign_in_as(market.token_of(seller.id))
    listings = await client.get("/listings?status=sold")
    assert f'data-problem="{state}"' in listings.text
    assert f'href="/orders/{order.id}/problem/answer"' in listings.text
    report = await client.get(f"/orders/{order.id}/problem/answer")
    assert text in html.unescape(text_of(report))
    assert ("<textarea" in report.text) == (state == "open")


async def test_whoever_reads_the_report_is_called_you(
    client: PageClient, market: Market, buyer: User, seller: User
) -> None:
    given = problem("answered", answer="It worked", answered_at=AT)
    order = bought(market, buyer, seller, problem=given)
    for path in ("", "/problem"):
        text = text_of(await client.get(f"/orders/{order.id}{path}"))
        assert "You reported on" in text
        assert "The seller answered on" in text
        assert "The buyer" not in text
    client.sign_in_as(market.token_of(seller.id))
    text = text_of(await client.get(f"/orders/{order.id}/problem/answer"))
    assert "The buyer reported on" in text
    assert "You answered on" in text
    assert "The seller" not in text


async def test_the_seller_reads_what_the_report_is_about_in_the_time_of_the_venue(
    client: PageClient, market: Market, buyer: User, seller: User
) -> None:
    about = {"starts_at": AT, "time_zone": "Europe/Berlin", "seat": "Row 4", "venue": "Old Mill"}
    ticket = market.ticket(seller, "Low Roar", status="sold", **about)
    order = market.order(
        buyer, ticket, status="complete", delivery="delivered", problem=problem(), code="7K3WPD9RXE"
    )
    client.sign_in_as(market.token_of(seller.id))
    page = await client.get(f"/orders/{order.id}/problem/answer")
    text = " ".join(html.unescape(text_of(page)).replace("\u202f", " ").split())
    assert "Low Roar Fri, Dec 12, 2031, 9:00 PM (Berlin time) Old Mill Row 4 Order 7K3WPD9RXE" in text
    assert "The buyer reported on Fri, Dec 12, 2031, 9:00 PM (Berlin time):" in text
    assert "UTC" not in text


async def test_a_refunded_order_still_shows_the_decision(
    client: PageClient, market: Market, buyer: User, seller: User
) -> None:
    decided = problem("refunded", decided_at=AT, refunded=2000, reason="Scanned twice")
    order = bought(market, buyer, seller, problem=decided)
    for relisted in (False, True):
        market.change_order(order.id, status="refunded", relisted=relisted)
        assert "Scanned twice" in text_of(await client.get(f"/orders/{order.id}"))


async def test_the_seller_answers_once(client: PageClient, market: Market, buyer: User, seller: User) -> None:
    order = bought(market, buyer, seller, problem=problem())
    client.sign_in_as(market.token_of(seller.id))
    path = f"/orders/{order.id}/problem/answer"
    assert (await client.submit(path, text=" ")).status_code == 422
    answer = await client.submit(path, text="It worked")
    assert (answer.status_code, answer.headers["location"]) == (303, path)
    assert "It worked" in text_of(await client.get(path))
    again = await client.submit(path, text="And more")
    assert again.status_code == 409
    assert "Nothing is waiting for your answer" in text_of(again)


JPEG = b"\xff\xd8\xff a photo"


async def send(
    client: PageClient, path: str, photo: bytes | None = None, **fields: str
) -> tuple[int, str, str]:
    """Send a form as a browser without JavaScript does. The status, the page and where it leads."""
    files = {"photo": ("photo.jpg", photo or b"")}
    answer = await client.http.post(path, data=fields, files=files)
    return answer.status_code, answer.text, answer.headers.get("location", "")


async def test_a_buyer_reports_a_problem_with_a_photo(
    client: PageClient, market: Market, buyer: User, seller: User
) -> None:
    order = bought(market, buyer, seller, can_report=True)
    path = f"/orders/{order.id}/problem"
    status, _, location = await send(client, path, JPEG, kind="invalid", text="They laughed")
    assert (status, location) == (303, f"/orders/{order.id}")
    [photo] = market.orders[order.id].photos
    address = f'src="/api/orders/{order.id}/problem/photos/{photo.id}"'
    assert address in (await client.get(f"/orders/{order.id}")).text
    client.sign_in_as(market.token_of(seller.id))
    answer = await client.get(f"{path}/answer")
    assert address in answer.text
    assert 'name="remove"' not in answer.text


async def test_photos_are_added_and_removed_while_the_typed_text_is_kept(
    client: PageClient, market: Market, buyer: User, seller: User
) -> None:
    order = bought(market, buyer, seller, can_report=True)
    path = f"/orders/{order.id}/problem"
    typed: dict[str, Any] = {"kind": "invalid", "text": "They laughed"}
    for number in range(3):
        status, page, _ = await send(client, path, JPEG, step="photo", **typed)
        assert status == 200
        assert page.count('name="remove"') == number + 1
        assert "They laughed" in page
        assert '<option value="invalid" selected>' in page
    assert 'type="file"' not in page
    photo = market.orders[order.id].photos[0]
    status, page, _ = await send(client, path, remove=photo.id, **typed)
    assert (status, page.count('name="remove"')) == (200, 2)
    assert "They laughed" in page
    assert market.orders[order.id].problem is None


@pytest.mark.parametrize(
    ("photo", "step", "message"),
    [
        (b"GIF89a", "", "The picture must be a JPEG, PNG or WebP"),
        (b"GIF89a", "photo", "The picture must be a JPEG, PNG or WebP"),
        (None, "photo", "Choose a photo first"),
    ],
)
async def test_a_refused_photo_keeps_the_typed_text_and_sends_nothing(
    client: PageClient,
    market: Market,
    buyer: User,
    seller: User,
    photo: bytes | None,
    step: str,
    message: str,
) -> None:
    order = bought(market, buyer, seller, can_report=True)
    typed = {"kind": "invalid", "text": "They laughed", "step": step}
    status, page, _ = await send(client, f"/orders/{order.id}/problem", photo, **typed)
    assert (status, market.orders[order.id].problem) == (422, None)
    assert f'id="photo-error">{message}' in page
    assert "They laughed" in page


async def test_a_photo_that_is_too_large_is_explained(
    client: PageClient, market: Market, buyer: User, seller: User
) -> None:
    order = bought(market, buyer, seller, can_report=True)
    path = f"/orders/{order.id}/problem"
    status, _, location = await send(client, path, b"0" * 12_000_000, kind="invalid", text="They laughed")
    assert (status, location) == (303, f"{path}?photo=too-large")
    assert "The photo is too large" in (await client.get(location)).text


async def test_a_seller_answers_with_a_photo(
    client: PageClient, market: Market, buyer: User, seller: User
) -> None:
    of_buyer = ReportPhoto(id="ab" * 16, by="buyer", size=9, uploaded_at=AT)
    order = bought(market, buyer, seller, problem=problem(), photos=[of_buyer])
    client.sign_in_as(market.token_of(seller.id))
    path = f"/orders/{order.id}/problem/answer"
    status, page, _ = await send(client, path, JPEG, step="photo", text="It worked")
    assert (status, page.count('name="remove"'), "It worked" in page) == (200, 1, True)
    status, _, location = await send(client, path, text="It worked")
    assert (status, location) == (303, path)
    page = (await client.get(path)).text
    assert page.count("<img") == 2
    assert 'name="remove"' not in page


async def test_nobody_else_reads_the_report(
    client: PageClient, market: Market, buyer: User, seller: User
) -> None:
    order = bought(market, buyer, seller, problem=problem())
    other, _ = market.user("other@example.com")
    client.sign_in_as(market.token_of(other.id))
    for path in ("problem", "problem/answer"):
        page = await client.get(f"/orders/{order.id}/{path}")
        assert page.status_code in (403, 404)
        assert "laughed" not in page.text


async def test_the_page_of_a_ticket_states_what_became_of_the_sellers_sales(
    client: PageClient, market: Market, buyer: User, seller: User
) -> None:
    ticket = market.ticket(seller)
    page = text_of(await client.get(f"/tickets/{ticket.id}"))
    assert "upheld" not in page
    assert "not delivered in time" not in page
    market.records[seller.id] = {"upheld_problems": 1, "failed_deliveries": 2}
    page = text_of(await client.get(f"/tickets/{ticket.id}"))
    assert "1 reported problem upheld" in page
    assert "2 tickets not delivered in time" in page
