"""The pages on which users ask to be told of tickets, and read what they were told of."""

from decimal import Decimal

import pytest

from contracts.api import Alert, AlertMatch, Show, User
from contracts.wire import now
from tests.integration.web.page_client import PageClient, text_of
from tests.support.fakes.market import Market
from web.api_client import ApiClient

LIST, NEW = "/account/alerts", "/account/alerts/new"


@pytest.fixture
def show(market: Market) -> Show:
    return market.show(performers=["Nick Cave", "Warren Ellis"])


@pytest.fixture
def fan(client: PageClient, market: Market) -> User:
    user, token = market.user("fan@example.com")
    client.sign_in_as(token)
    return user


def alerts_of(market: Market, user: User) -> list[Alert]:
    return [alert for owner, alert in market.alerts if owner == user.id]


async def test_the_page_of_an_event_leads_to_the_form_also_for_guests(client: PageClient, show: Show) -> None:
    page = await client.get(f"/events/{show.id}")
    assert f'href="{NEW}?event={show.id}"' in page.text
    page = await client.get(f"{NEW}?event={show.id}")
    assert (page.status_code, page.headers["location"]) == (303, f"/signin?next={NEW}%3Fevent%3D{show.id}")
    page = await client.get(LIST)
    assert (page.status_code, page.headers["location"]) == (303, f"/signin?next={LIST}")


async def test_a_reserved_ticket_leads_to_the_form_of_its_event(
    client: PageClient, market: Market, show: Show
) -> None:
    seller, buyer = market.user("seller@example.com")[0], market.user("buyer@example.com")[0]
    ticket = market.ticket(seller, show_id=show.id, starts_at=show.starts_at)
    market.order(buyer, ticket)
    page = await client.get(f"/tickets/{ticket.id}")
    assert f'href="{NEW}?event={show.id}"' in page.text
    assert "Notify me of tickets" in text_of(page)


async def test_an_alert_has_a_price_and_a_number_and_is_listed(
    client: PageClient, market: Market, fan: User, show: Show
) -> None:
    form = await client.get(f"{NEW}?event={show.id}")
    assert "You have this alert already." not in text_of(form)
    for said in ("Notify me of tickets", "At most, per ticket", "How many together", "Any number"):
        assert said in text_of(form)
    page = await client.submit(LIST, event=show.id, priceTo="49,90", quantity="2")
    assert (page.status_code, page.headers["location"]) == (303, LIST)
    [alert] = alerts_of(market, fan)
    assert (alert.kind, alert.price_to, alert.quantity) == ("alert", Decimal("49.90"), 2)
    page = await client.get(LIST)
    assert "Tempodrom, Berlin 2 tickets together At most $49.90 per ticket Alert" in text_of(page)
    assert f'data-live="alerts:me" hx-get="{LIST}"' in page.text
    form = await client.get(f"{NEW}?event={show.id}")
    assert 'value="49.90"' in form.text
    assert "Change my alert" in text_of(form)
    assert "Your alert for this event" in text_of(form)
    assert "You have this alert already." in text_of(form)


async def test_without_conditions_an_alert_is_for_any_ticket(
    client: PageClient, market: Market, fan: User, show: Show
) -> None:
    await client.submit(LIST, event=show.id, priceTo=" ", quantity="")
    [alert] = alerts_of(market, fan)
    assert (alert.price_to, alert.quantity) == (None, None)


async def test_events_and_performers_become_favorites_and_are_removed(
    client: PageClient, market: Market, fan: User, show: Show
) -> None:
    await client.submit(LIST, event=show.id, kind="favorite")
    await client.submit(LIST, event=show.id, performer="Warren Ellis")
    event, performer = alerts_of(market, fan)
    assert (event.kind, event.show, performer.performer) == ("favorite", show, "Warren Ellis")
    text = text_of(await client.get(f"{NEW}?event={show.id}"))
    assert "This event Remove from favorites Nick Cave Add to favorites Warren Ellis Remove" in text
    assert "Warren Ellis Favorite" in text_of(await client.get(LIST))
    for alert in (event, performer, performer):
        page = await client.submit(f"{LIST}/{alert.id}/remove")
        assert (page.status_code, page.headers["location"]) == (303, LIST)
    assert alerts_of(market, fan) == []
    assert "Nothing yet" in text_of(await client.get(LIST))


async def test_errors_appear_in_the_form_and_keep_what_was_typed(
    client: PageClient, market: Market, fan: User, show: Show
) -> None:
    page = await client.submit(LIST, event=show.id, priceTo="cheap", quantity="2")
    assert page.status_code == 422
    assert "Price must be an amount such as 49.90" in text_of(page)
    assert 'value="cheap"' in page.text
    market.refuses_alert = "You have too many"
    page = await client.submit(LIST, event=show.id, priceTo="20")
    assert page.status_code == 409
    assert "You have too many" in text_of(page)
    assert alerts_of(market, fan) == []


async def test_the_page_shows_the_tickets_that_the_user_was_told_of(
    client: PageClient, market: Market, fan: User
) -> None:
    market.matches.append(
        AlertMatch(
            id=market.new_id(),
            ticket_id=market.new_id(),
            title="Nick Cave",
            price=Decimal(90),
            quantity=2,
            seat="Block A",
            starts_at=None,
            time_zone=None,
            matched_at=now(),
        )
    )
    page = await client.get(LIST)
    assert "What we told you Nick Cave Block A 2 tickets together 2 \u00d7 $45.00" in text_of(page)
    assert f'href="/tickets/{market.matches[0].ticket_id}"' in page.text


async def test_an_event_that_has_begun_has_no_form(client: PageClient, market: Market, fan: User) -> None:
    past = market.show(starts_at=now())
    text = text_of(await client.get(f"{NEW}?event={past.id}"))
    assert "The event has started" in text
    assert "At most, per ticket" not in text


async def test_who_has_stopped_the_emails_is_told_so_and_gets_them_again_with_one_button(
    client: PageClient, fan: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped = {(fan.id, "ticket-alert")}

    async def wants_mail(_: ApiClient, user_id: str, kind: str) -> bool:
        return (user_id, kind) not in stopped

    async def resume_mail(_: ApiClient, user_id: str, kind: str) -> None:
        stopped.discard((user_id, kind))

    monkeypatch.setattr(ApiClient, "wants_mail", wants_mail)
    monkeypatch.setattr(ApiClient, "resume_mail", resume_mail)
    page = text_of(await client.get(LIST))
    assert "You have stopped emails about alerts and favorites" in page
    assert "We tell you by email" not in page
    answer = await client.submit(f"{LIST}/emails")
    assert (answer.status_code, answer.headers["location"]) == (303, LIST)
    page = text_of(await client.get(LIST))
    assert "We tell you by email" in page
    assert "Send me emails again" not in page


async def test_guests_sign_in_before_emails_are_resumed(client: PageClient) -> None:
    answer = await client.submit(f"{LIST}/emails")
    assert (answer.status_code, answer.headers["location"].partition("?")[0]) == (303, "/signin")


async def test_the_alerts_are_shown_while_mail_is_unavailable(client: PageClient, fan: User) -> None:
    page = await client.get(LIST)
    assert page.status_code == 200
    assert "We tell you by email" in text_of(page)


@pytest.mark.parametrize(("kind", "is_told"), [("ticket-alert", True), ("new-device", False)])
async def test_who_stops_emails_about_alerts_reads_that_open_pages_still_tell(
    client: PageClient, monkeypatch: pytest.MonkeyPatch, kind: str, is_told: bool
) -> None:
    async def choose(_: ApiClient, token: str, *, is_wanted: bool) -> None:
        pass

    monkeypatch.setattr(ApiClient, "choose_mail", choose)
    page = await client.submit(f"/mail/unsubscribe?token=65f0c0ffee0000000000000f.{kind}.abc")
    assert ("We still tell you of tickets on open pages." in text_of(page)) == is_told
