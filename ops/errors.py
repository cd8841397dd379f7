"""Errors of commands, which end with one line on standard error and an exit code."""

from typing import ClassVar


class CommandError(Exception):
    """Ends a command. The message is a sentence for the operator."""

    exit_code: ClassVar[int] = 1


def explain(error: Exception, consequence: str = "") -> str | None:
    """Describe an error of NATS or the database in one line; None for any other error.

    Args:
        consequence: the beginning of the line. It is omitted if NATS couldn't be reached at all.
    """
    # Imported here because both are slow to import, and most commands need only one of them.
    from nats.errors import Error as NatsError
    from nats.js.errors import APIError

    from kit.mongo import DatabaseError, Unusable
    from kit.nats import NoAnswer

    match error:
        case NoAnswer():
            return str(error)
        case APIError(description=str(reason)):
            pass
        case NatsError() | DatabaseError() | Unusable() | TimeoutError():
            # pymongo appends the time-out and the state of every server, which are left out here.
            text = str(error) or repr(error)
            reason = text.partition(" (configured timeouts")[0].partition(", Timeout:")[0]
        case _:
            return None
    return " ".join(f"{consequence}: {reason}".removeprefix(": ").split())
