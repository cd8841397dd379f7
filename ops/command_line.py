"""Runs commands, prints their results and errors, and parses the argument that names an order."""

import asyncio
import re
from collections.abc import AsyncIterator, Coroutine
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
    found = given.rstrip("/").rpartition("/")[2]
    if not ORDER_ID.fullmatch(found):
        raise typer.BadParameter("an order's id is the 24 digits at the end of the address of its page")
    return found


OrderId = Annotated[
    str,
    typer.Argument(parser=order_id, metavar="ORDER", help="The order's id, or the address of its page."),
]


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
