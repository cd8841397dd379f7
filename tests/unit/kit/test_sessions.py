from datetime import timedelta

import pytest

from contracts.wire import now
from kit import sessions
from kit.sessions import EndedSessions

LIFETIME = timedelta(hours=1)


def test_an_ended_session_is_remembered_until_its_token_has_expired(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = EndedSessions(LIFETIME)
    start = now()
    ended.add("first", start)
    ended.add("second", start + LIFETIME / 2)
    monkeypatch.setattr(sessions, "now", lambda: start + LIFETIME)
    ended.add("third", start + LIFETIME)
    assert ["first" in ended, "second" in ended, "third" in ended] == [True, True, True]
    monkeypatch.setattr(sessions, "now", lambda: start + LIFETIME + timedelta(milliseconds=1))
    ended.add("fourth", start + LIFETIME)
    assert ["first" in ended, "second" in ended, "third" in ended] == [False, True, True]


def test_a_session_that_ended_longer_ago_than_the_token_lifetime_is_not_stored() -> None:
    ended = EndedSessions(LIFETIME)
    ended.add("new", now())
    ended.add("old", now() - LIFETIME - timedelta(seconds=1))
    assert "new" in ended
    assert "old" not in ended


def test_adding_an_ended_session_twice_changes_nothing() -> None:
    ended = EndedSessions(LIFETIME)
    moment = now()
    ended.add("first", moment)
    ended.add("first", moment)
    assert "first" in ended
    assert "second" not in ended
