"""Personal tokens of operators: granting, revoking, and what a crash or a second command could break."""

import fcntl
import json
import logging
import os
import stat
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import httpx
import pytest

from kit import security_log
from ops import operators
from ops.action_log import FILE as ACTIONS
from ops.console.app import console_app
from ops.console.sessions import MAX_FAILURES, Sessions, TooManyAttempts, WrongToken
from ops.operators import (
    FILE,
    AlreadyAnOperator,
    NoName,
    NoSuchOperator,
    Operator,
    Unreadable,
    grant,
    hash_of,
    operator_with,
    revoke,
)
from settings import Settings
from tests.support.operate import operate


@pytest.fixture
def conf(tmp_path: Path) -> Settings:
    return Settings(_env_file=None, data_dir=tmp_path / "data")


def names(conf: Settings) -> list[str]:
    return [each.name for each in operators.operators(conf)]


def test_a_token_is_its_owners_and_only_its_hash_is_stored(conf: Settings) -> None:
    token = grant(conf, "Ada Lovelace", "root")
    found = operator_with(conf, hash_of(token))
    assert found is not None
    assert (found.name, found.granted_by) == ("Ada Lovelace", "root")
    assert operator_with(conf, hash_of(token + "x")) is None
    path = conf.data_dir / FILE
    assert token not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert grant(conf, "Grace Hopper", "root") != token
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_name_has_one_token_in_whatever_case_it_is_written(conf: Settings) -> None:
    token = grant(conf, "  Ada   Lovelace ", "root")
    with pytest.raises(AlreadyAnOperator, match="Revoke the token first"):
        grant(conf, "ada lovelace", "root")
    assert revoke(conf, "ADA LOVELACE").name == "Ada Lovelace"
    assert operator_with(conf, hash_of(token)) is None
    with pytest.raises(NoSuchOperator):
        revoke(conf, "Ada Lovelace")


@pytest.mark.parametrize("name", ["", " ", "7", "<script>", "x" * 41, "a\nb<", "_"])
def test_a_text_that_is_no_name_gets_no_token(conf: Settings, name: str) -> None:
    with pytest.raises(NoName):
        grant(conf, name, "root")
    assert names(conf) == []


@pytest.mark.parametrize("content", ["", "{", "[{}]", '{"name": "Ada"}'])
def test_an_unreadable_file_makes_nobody_an_operator_and_is_left_alone(conf: Settings, content: str) -> None:
    token = grant(conf, "Ada", "root")
    sessions = Sessions(conf)
    cookie = sessions.sign_in(token)
    path = conf.data_dir / FILE
    path.write_text(content)
    assert sessions.find(cookie) is None
    with pytest.raises(Unreadable, match=r"operators\.json can't be read"):
        sessions.sign_in(token)
    with pytest.raises(Unreadable):
        grant(conf, "Grace", "root")
    assert path.read_text() == content


def test_a_write_that_fails_changes_nothing_and_leaves_no_file(
    conf: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    grant(conf, "Ada", "root")

    def fail(*_: object) -> None:
        raise OSError("the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", fail)
        with pytest.raises(Unreadable, match="the disk is full"):
            revoke(conf, "Ada")
    assert names(conf) == ["Ada"]
    assert sorted(path.name for path in conf.data_dir.iterdir()) == [FILE, "operators.lock"]


def grant_at_the_same_moment(conf: Settings, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Two commands that store their operator only after both have read the file, if they can."""
    read = operators._read
    both_have_read = threading.Barrier(2)

    def read_and_wait(path: Path) -> list[Operator]:
        found = read(path)
        with suppress(threading.BrokenBarrierError):  # the lock keeps the other command from reading
            both_have_read.wait(timeout=0.5)
        return found

    with monkeypatch.context() as patched:
        patched.setattr(operators, "_read", read_and_wait)
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda name: grant(conf, name, "root"), ["Ada", "Grace"]))
    return sorted(names(conf))


def test_two_commands_at_the_same_moment_both_have_their_effect(
    conf: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert grant_at_the_same_moment(conf, monkeypatch) == ["Ada", "Grace"]


def test_control_without_the_lock_one_of_two_commands_is_lost(
    conf: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fcntl, "flock", lambda *_: None)
    assert len(grant_at_the_same_moment(conf, monkeypatch)) == 1


def test_revoking_ends_the_sessions_of_this_operator_at_once(conf: Settings) -> None:
    sessions = Sessions(conf)
    ada, grace = (sessions.sign_in(grant(conf, name, "root")) for name in ("Ada", "Grace"))
    revoke(conf, "Ada")
    assert sessions.find(ada) is None
    found = sessions.find(grace)
    assert found is not None
    assert found.operator == "Grace"
    grant(conf, "Ada", "root")
    assert sessions.find(ada) is None, "a new token doesn't revive a session of the revoked one"


@pytest.mark.parametrize("token", ["", " ", "x" * 43, "x" * 60_000, "ü", "Ada"])
def test_a_wrong_token_signs_nobody_in(conf: Settings, token: str) -> None:
    grant(conf, "Ada", "root")
    with pytest.raises(WrongToken):
        Sessions(conf).sign_in(token)


def test_without_any_operator_nobody_can_sign_in(conf: Settings) -> None:
    with pytest.raises(WrongToken):
        Sessions(conf).sign_in("")


def test_too_many_wrong_tokens_stop_all_sign_ins_for_a_minute(conf: Settings) -> None:
    moment = 0.0
    sessions = Sessions(conf, lambda: moment)
    token = grant(conf, "Ada", "root")
    for _ in range(MAX_FAILURES):
        with pytest.raises(WrongToken):
            sessions.sign_in("wrong")
    with pytest.raises(TooManyAttempts):
        sessions.sign_in(token)
    moment = 60.0
    assert sessions.find(sessions.sign_in(token)) is not None


async def test_the_security_log_says_who_signed_in(
    conf: Settings, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(security_log, "_floods", security_log._Floods())
    caplog.set_level(logging.INFO, logger="security")
    transport = httpx.ASGITransport(cast("Any", console_app(conf)))
    own = {"Sec-Fetch-Site": "same-origin"}
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost", headers=own) as browser:
        for token in (grant(conf, "Ada Lovelace", "root"), "wrong"):
            await browser.post("/ops/sign-in", data={"token": token})
    lines = [json.loads(line.getMessage()) for line in caplog.records if line.name == "security"]
    assert [(line["event"], line["outcome"], line.get("operator")) for line in lines] == [
        ("operator-sign-in", "success", "Ada Lovelace"),
        ("operator-sign-in", "failure", None),
    ]


async def test_the_commands_grant_list_and_revoke(conf: Settings) -> None:
    environment = {"DATA_DIR": str(conf.data_dir)}
    granted = await operate("operator", "grant", "Ada Lovelace", environment=environment)
    assert (granted.code, granted.err) == (0, "The personal token, which isn't shown again:\n")
    token = granted.out.strip()
    assert operator_with(conf, hash_of(token)) is not None
    again = await operate("operator", "grant", "Ada Lovelace", environment=environment)
    assert (again.code, again.out) == (1, "")
    assert again.err == "Ada Lovelace is an operator. Revoke the token first to grant another.\n"
    listed = await operate("operator", "list", environment=environment)
    assert listed.code == 0
    assert "Ada Lovelace" in listed.out
    assert token not in listed.out
    revoked = await operate("operator", "revoke", "ada lovelace", environment=environment)
    assert (revoked.code, revoked.out) == (0, "Ada Lovelace is no operator any more.\n")
    none = await operate("operator", "list", environment=environment)
    assert (none.code, none.out) == (0, "There is no operator.\n")
    log = (conf.data_dir / ACTIONS).read_text()
    lines = [json.loads(line) for line in log.splitlines()]
    assert [(line["command"], line["outcome"]) for line in lines] == [
        ("grant", "started"),
        ("grant", "success"),
        ("grant", "started"),
        ("grant", "failure"),
        ("revoke", "started"),
        ("revoke", "success"),
    ]
    assert token not in log
    assert hash_of(token) not in log
