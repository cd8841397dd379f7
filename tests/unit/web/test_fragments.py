"""Parts of pages that are rendered once for the same ticket."""

from datetime import timedelta
from typing import Any

import pytest
from babel import Locale
from jinja2 import Environment
from prometheus_client import REGISTRY

from contracts.api import Ticket
from contracts.wire import now
from settings import Settings
from web.rendering import fragments, locales, ticket_texts
from web.rendering.templating import engine


@pytest.fixture(scope="module")
def templates() -> Environment:
    return engine(Settings(_env_file=None)).engine


def a_ticket(**changes: Any) -> Ticket:
    given = {
        "id": "a" * 24,
        "version": 1,
        "title": "Fish & Chips",
        "price": "1234.5",
        "user_id": "b" * 24,
        "status": "available",
        "starts_at": now() + timedelta(days=3),
    }
    return Ticket.model_validate(given | changes)


def requests(fragment: str, result: str) -> float | None:
    labels = {"fragment": fragment, "result": result}
    return REGISTRY.get_sample_value("stagedoor_web_fragment_cache_requests_total", labels)


def test_the_metrics_count_rendered_and_kept_fragments(templates: Environment) -> None:
    card, ticket = fragments.card(templates), a_ticket()
    assert (requests("card", "hit"), requests("card", "miss")) == (0, 0)
    for _ in range(3):
        card(ticket)
    assert (requests("card", "hit"), requests("card", "miss")) == (2, 1)


def test_the_card_of_an_equal_ticket_is_rendered_once(
    templates: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    card, ticket = fragments.card(templates), a_ticket()
    first = card(ticket)
    assert "Fish &amp; Chips" in first
    with monkeypatch.context() as patch:
        patch.setattr(templates, "get_template", None)
        assert card(ticket.model_copy()) is first
    assert "Fish &amp; Eggs" in card(a_ticket(title="Fish & Eggs"))


def test_each_kind_of_viewer_and_each_country_has_its_own_card(templates: Environment) -> None:
    card, ticket = fragments.card(templates), a_ticket(picture="0" * 64)
    assert len({card(ticket), card(ticket, is_mine=True), card(ticket, urgent=True)}) == 3
    assert "$1,234.50" in card(ticket)
    with locales.using(Locale("en", "DE")):
        assert "1.234,50" in card(ticket)
    assert "$1,234.50" in card(ticket)


def test_a_constant_amount_is_shown_as_in_the_current_country(templates: Environment) -> None:
    template = templates.from_string("{{ 1234.56 | money }}")
    assert template.render() == "$1,234.56"
    with locales.using(Locale("en", "DE")):
        assert "1.234,56" in template.render()


def test_a_kept_card_says_when_the_event_has_begun(
    templates: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    card, ticket = fragments.card(templates), a_ticket()
    assert "Past" not in card(ticket)
    later = now() + timedelta(days=3, seconds=1)
    monkeypatch.setattr(ticket_texts, "now", lambda: later)
    assert "Past" in card(ticket)


def test_a_kept_text_shows_the_year_only_while_the_date_is_distant(
    templates: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    begins = now() + timedelta(days=181)
    brief, ticket = fragments.brief(templates), a_ticket(starts_at=begins)
    assert f"{begins:%Y} ·" in brief(ticket)
    later = now() + timedelta(days=2)
    monkeypatch.setattr(ticket_texts, "now", lambda: later)
    assert f"{begins:%Y} ·" not in brief(ticket)
