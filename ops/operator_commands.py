"""The commands `python -m ops operator`: who may sign in at the console."""

from typing import Annotated

import typer

from ops.action_log import logged, shell_user
from ops.command_line import fail
from ops.errors import CommandError
from settings import load

Name = Annotated[str, typer.Argument(metavar="NAME", help="The name in the log of actions.")]

operator = typer.Typer(
    help="Grant, revoke or list the personal tokens with which operators sign in at the console.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@operator.command()
@logged
def grant(name: Name) -> None:
    """Print a personal token, with which NAME can sign in at the console.

    The token is shown only now, and only its hash is stored. Run the command where the console's DATA_DIR is.

    \b
    Exit codes:
      0  granted
      1  NAME has a token or isn't a name, or the file of operators can't be read or written
      2  wrong arguments
    """
    from ops.operators import grant

    try:
        token = grant(load(), name, shell_user())
    except CommandError as error:
        fail(str(error))
    typer.echo("The personal token, which isn't shown again:", err=True)
    typer.echo(token)


@operator.command()
@logged
def revoke(name: Name) -> None:
    """Make the token of NAME invalid, and sign NAME out of the console at once.

    \b
    Exit codes:
      0  revoked
      1  NAME has no token, or the file of operators can't be read or written
      2  wrong arguments
    """
    from ops.operators import revoke

    try:
        revoked = revoke(load(), name)
    except CommandError as error:
        fail(str(error))
    typer.echo(f"{revoked.name} is no operator any more.")


@operator.command("list")
def list_operators() -> None:
    """List the operators, with when and by whom their tokens were granted.

    \b
    Exit codes:
      0  listed, or there is none
      1  the file of operators can't be read
    """
    from ops.operators import operators

    try:
        found = operators(load())
    except CommandError as error:
        fail(str(error))
    for each in found:
        typer.echo(f"{each.name:40} since {each.granted_at:%Y-%m-%d %H:%M} UTC, by {each.granted_by}")
    if not found:
        typer.echo("There is no operator.")
