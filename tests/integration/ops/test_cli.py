"""The operator's command line: help, exit codes, and error messages of one line."""

import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import get_args

import nats.errors
import pytest
import typer
from nats.js.errors import APIError
from pymongo.errors import ServerSelectionTimeoutError
from typer.testing import CliRunner

from kit.mongo import HalfRestored
from kit.nats import NoAnswer
from ops.__main__ import Follower, Owner, cli, dead
from ops.command_line import moment, order_id
from ops.errors import explain
from ops.operator_commands import operator
from ops.rebuild import NOT_REBUILT, REPLICATIONS
from ops.republish import OWNED
from sandbox.processes import FROM_CHECKOUT
from sandbox.testing import free_port
from tests.support.operate import CommandResult, operate

ORDER = "65f0c0ffee0000000000000b"


def _commands() -> Iterator[list[str]]:
    for group, prefix in ((cli, []), (dead, ["dead"]), (operator, ["operator"])):
        for command in group.registered_commands:
            assert command.callback is not None
            yield [*prefix, command.name or command.callback.__name__.replace("_", "-")]


COMMANDS = list(_commands())


def invoke(*arguments: str) -> CommandResult:
    result = CliRunner(env={"NO_COLOR": "1"}).invoke(cli, arguments)
    return CommandResult(result.exit_code, result.stdout, result.stderr)


def test_the_command_line_has_exactly_these_commands() -> None:
    assert sorted(" ".join(command) for command in COMMANDS) == sorted(
        [
            *(
                "developer-url",
                "trace",
                "stuck",
                "show",
                "audit",
                "refund",
                "cancel",
                "extend",
                "withdraw",
                "decide-problem",
                "decide-listing",
                "write-off",
                "merge-shows",
                "correct-show",
                "republish",
                "rebuild",
                "backup",
                "restore",
                "provision",
                "migrate",
            ),
            *("suspend", "lift", "end-sessions"),
            *("dead list", "dead show", "dead replay", "dead drop"),
            *("operator grant", "operator revoke", "operator list"),
        ]
    )


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_command_documents_its_purpose_and_its_exit_codes(command: list[str]) -> None:
    ran = invoke(*command, "--help")
    assert ran.code == 0
    purpose = ran.out.split("\n\n")[1].strip()
    assert purpose.endswith(".")
    assert "  Exit codes:\n    0  " in ran.out
    assert "    1  " in ran.out


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["dead"],
        ["unknown"],
        ["dead", "show"],
        ["trace"],
        ["trace", "12"],
        ["refund", ORDER, "--twice"],
        ["republish", "auth"],
        ["rebuild", "tickets"],
        ["backup"],
        ["suspend", "ada@example.com"],
        ["operator"],
        ["operator", "grant"],
        ["migrate", "orders"],
    ],
    ids=" ".join,
)
def test_wrong_arguments_print_the_usage_and_exit_with_2(arguments: list[str]) -> None:
    ran = invoke(*arguments)
    assert (ran.code, ran.out) == (2, "")
    assert "Usage: " in ran.err


@pytest.mark.parametrize("given", [ORDER, f"https://tickets.example.com/orders/{ORDER}", f"/orders/{ORDER}/"])
def test_an_order_can_be_given_as_its_id_or_as_the_address_of_its_page(given: str) -> None:
    assert order_id(given) == ORDER


@pytest.mark.parametrize("given", ["", "12", "https://tickets.example.com/orders/", ORDER.upper()])
def test_an_invalid_order_id_is_refused(given: str) -> None:
    with pytest.raises(typer.BadParameter):
        order_id(given)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("2027-03-01", datetime(2027, 3, 1, tzinfo=UTC)),
        ("2027-03-01T18:30", datetime(2027, 3, 1, 18, 30, tzinfo=UTC)),
        ("2027-03-01T18:30:05+02:00", datetime(2027, 3, 1, 16, 30, 5, tzinfo=UTC)),
    ],
)
def test_a_time_is_in_utc_unless_it_has_a_zone(given: str, expected: datetime) -> None:
    assert moment(given) == expected


@pytest.mark.parametrize(
    ("given", "ago"), [("7d", timedelta(days=7)), ("12h", timedelta(hours=12)), ("0m", timedelta())]
)
def test_a_time_can_be_given_as_how_long_ago_it_was(given: str, ago: timedelta) -> None:
    before = datetime.now(UTC) - ago
    assert before <= moment(given) <= datetime.now(UTC) - ago


@pytest.mark.parametrize("given", ["", "7", "d", "-1d", "7 d", "yesterday", "0001-01-01T00:00+05:00"])
def test_an_invalid_time_is_refused(given: str) -> None:
    with pytest.raises(typer.BadParameter):
        moment(given)


def test_the_commands_accept_every_service_that_owns_or_replicates_entities() -> None:
    assert set(get_args(Owner)) == OWNED.keys()
    assert set(get_args(Follower)) == REPLICATIONS.keys() | NOT_REBUILT.keys()


def test_rebuilding_payouts_is_refused_with_what_to_do_instead() -> None:
    result = invoke("rebuild", "payouts")
    assert result.code == 1
    assert "can't be rebuilt from events" in result.err
    assert "just republish payments" in result.err


@pytest.mark.parametrize(
    "command",
    [
        ["trace", ORDER],
        ["dead", "list"],
        ["dead", "replay", "all"],
        ["rebuild", "orders"],
        ["backup", "nowhere"],
    ],
    ids=" ".join,
)
async def test_a_command_prints_a_one_line_error_when_nats_does_not_answer(command: list[str]) -> None:
    first, second = free_port(), free_port()
    servers = f"nats://provision:well-kept@127.0.0.1:{first},nats://127.0.0.1:{second}"
    ran = await operate(*command, environment={"NATS_URL": servers})
    addresses = f"127.0.0.1:{first}, 127.0.0.1:{second}"
    assert ran == CommandResult(1, "", f"NATS doesn't answer at {addresses}. Is the marketplace running?\n")


async def test_a_command_prints_a_one_line_error_when_the_database_does_not_answer() -> None:
    port = free_port()
    ran = await operate("republish", "tickets", environment={"MONGO_URL": f"mongodb://127.0.0.1:{port}"})
    assert (ran.code, ran.out) == (1, "")
    consequence = "The state is republished only in part; repeat the command"
    assert ran.err.startswith(f"{consequence}: 127.0.0.1:{port}: ")
    assert len(ran.err.splitlines()) == 1


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (NoAnswer(["n1:4222"]), "NATS doesn't answer at n1:4222. Is the marketplace running?"),
        (APIError(code=404, description="stream not found"), "Not done: stream not found"),
        (nats.errors.TimeoutError(), "Not done: nats: timeout"),
        (TimeoutError(), "Not done: TimeoutError()"),
        (HalfRestored("database orders is half restored"), "Not done: database orders is half restored"),
        (ServerSelectionTimeoutError("no\nprimary, Timeout: 5.0s, ..."), "Not done: no primary"),
        (KeyError("a bug"), None),
    ],
    ids=repr,
)
def test_an_outage_has_a_one_line_explanation_and_a_bug_has_none(
    error: Exception, message: str | None
) -> None:
    assert explain(error, "Not done") == message


def test_the_command_line_imports_the_libraries_of_a_command_only_when_it_runs() -> None:
    """`just up` waits for `provision`, so its imports delay every start."""
    program = "import sys, ops.__main__; print(*sys.modules)"
    child = subprocess.run(  # noqa: S603 our own program
        [sys.executable, "-c", program], env=FROM_CHECKOUT, capture_output=True, check=True, text=True
    )
    assert {"beanie", "nats", "aiohttp", "stripe", "faststream"}.isdisjoint(child.stdout.split())
