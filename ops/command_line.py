"""Runs commands, prints their results and errors, and parses the argument that names an order."""

import asyncio
import re
from collections.abc import AsyncIterator, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, NoReturn, TypeVar

import typer

from ops.errors import CommandError, explain

T = TypeVar("T")

ORDER_ID = re.compile("[0-9a-f]{24}")


def order_id(given: str) -> str:
    """The order id in `given`, which is the id itself or the address of the order's page.

    Raises:
        typer.BadParameter: there is no id in it.
    """
    return _id(given, "an order")


def ticket_id(given: str) -> str:
    """The same for a ticket.

    Raises:
        typer.BadParameter: there is no id in it.
    """
    return _id(given, "a ticket")


def show_id(given: str) -> str:
    """The same for an event.

    Raises:
        typer.BadParameter: there is no id in it.
    """
    return _id(given, "an event")


def _id(given: str, whose: str) -> str:
    found = given.rstrip("/").rpartition("/")[2]
    if not ORDER_ID.fullmatch(found):
        raise typer.BadParameter(f"{whose}'s id is the 24 digits at the end of the address of its page")
    return found


OrderId = Annotated[
    str,
    typer.Argument(parser=order_id, metavar="ORDER", help="The order's id, or the address of its page."),
]


TicketId = Annotated[
    str,
    typer.Argument(parser=ticket_id, metavar="TICKET", help="The ticket's id, or the address of its page."),
]

ShowId = Annotated[
    str,
    typer.Argument(parser=show_id, metavar="EVENT", help="The event's id, or the address of its page."),
]

Reason = Annotated[
    str, typer.Option("--reason", metavar="TEXT", help="Why; it is kept in the logs, for other operators.")
]

OrderIds = Annotated[
    list[str] | None,
    typer.Argument(parser=order_id, metavar="[ORDER]...", help="Ids of orders, or addresses of their pages."),
]

_AGO = re.compile("([0-9]{1,5})([dhm])")


def moment(given: str) -> datetime:
    """The time in `given`: a date or a time in ISO 8601, in UTC unless it has a zone, or how long ago it was.

    Raises:
        typer.BadParameter: it is none of these.
    """
    if ago := _AGO.fullmatch(given):
        unit = {"d": timedelta(days=1), "h": timedelta(hours=1), "m": timedelta(minutes=1)}[ago[2]]
        return datetime.now(UTC) - int(ago[1]) * unit
    try:
        found = datetime.fromisoformat(given)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise typer.BadParameter(
            "a time is written like 2027-03-01, 2027-03-01T18:30, 7d, 12h or 30m"
        ) from None


def run(work: Coroutine[Any, Any, T], consequence: str) -> T:
    """Run a command. If NATS or the database fails, or on a CommandError, end it with one line.

    Args:
        consequence: the beginning of the line if NATS or the database fails.
    """
    try:
        return asyncio.run(work)
    except CommandError as error:
        fail(str(error), error.exit_code)
    except Exception as error:
        if (reason := explain(error, consequence)) is None:
            raise
        fail(reason)


def fail(reason: str, exit_code: int = 1) -> NoReturn:
    """End the command with one line on standard error."""
    typer.echo(" ".join(reason.split()), err=True)
    raise typer.Exit(exit_code)


def print_lines(lines: AsyncIterator[str], consequence: str) -> None:
    """Run a command that yields what it prints, and print each line at once."""

    async def echo() -> None:
        async for line in lines:
            typer.echo(line)

    run(echo(), consequence)
