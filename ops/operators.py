"""Who may sign in at the console: `operators.json` in DATA_DIR, with names and hashes of personal tokens.

The file is in the DATA_DIR of the console. In compose that is a volume, and commands run in the console's
container.
"""

import fcntl
import hmac
import os
import re
import secrets
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from tempfile import NamedTemporaryFile

from pydantic import TypeAdapter, ValidationError

from contracts.wire import now
from ops.errors import CommandError
from settings import Settings

FILE = "operators.json"
LOCK = "operators.lock"

NAME = re.compile(r"[^\W\d_][\w .'-]{0,39}")


class NoName(CommandError):
    """The name is missing, too long, or not a name."""


class AlreadyAnOperator(CommandError):
    """The name has a token."""


class NoSuchOperator(CommandError):
    """Nobody with this name has a token."""


class Unreadable(CommandError):
    """The file of operators can't be read or written. Nobody is an operator then."""

    exit_code = 2


@dataclass(frozen=True)
class Operator:
    """Somebody who may use the console."""

    name: str
    token_hash: str
    granted_at: datetime
    granted_by: str
    """The user of the operating system who ran the command."""


_OPERATORS = TypeAdapter(list[Operator])


def grant(settings: Settings, name: str, granted_by: str) -> str:
    """Make somebody an operator. Return the personal token, which can't be read again.

    Raises:
        NoName, AlreadyAnOperator, Unreadable
    """
    known_as = _known_as(name)
    if not NAME.fullmatch(known_as):
        raise NoName(
            "A name begins with a letter, and has at most 40 letters, digits, spaces and characters of _.'-"
        )
    token = secrets.token_urlsafe(32)
    with _changing(settings) as granted:
        if any(_is_same(each.name, known_as) for each in granted):
            raise AlreadyAnOperator(f"{known_as} is an operator. Revoke the token first to grant another.")
        granted.append(Operator(known_as, hash_of(token), now(), granted_by))
    return token


def revoke(settings: Settings, name: str) -> Operator:
    """Make somebody no operator any more. The console refuses their next request. Return who it was.

    Raises:
        NoSuchOperator, Unreadable
    """
    with _changing(settings) as granted:
        found = next((each for each in granted if _is_same(each.name, _known_as(name))), None)
        if found is None:
            raise NoSuchOperator(f"No operator has the name {_known_as(name)}.")
        granted.remove(found)
    return found


def operators(settings: Settings) -> Sequence[Operator]:
    """All operators, in the order in which they got their tokens.

    Raises:
        Unreadable
    """
    return _read(settings.data_dir / FILE)


def operator_with(settings: Settings, token_hash: str) -> Operator | None:
    """The operator whose token has this hash.

    Raises:
        Unreadable
    """
    given = token_hash.encode()
    found = (each for each in operators(settings) if hmac.compare_digest(each.token_hash.encode(), given))
    return next(found, None)


def hash_of(token: str) -> str:
    """The stored hash. It needs no salt and no time, because a token has 256 random bits."""
    return sha256(token.encode()).hexdigest()


def _known_as(name: str) -> str:
    return " ".join(unicodedata.normalize("NFC", name).split())


def _is_same(name: str, other: str) -> bool:
    return name.casefold() == other.casefold()


def _read(path: Path) -> list[Operator]:
    try:
        return _OPERATORS.validate_json(path.read_bytes())
    except FileNotFoundError:
        return []
    except (OSError, ValidationError) as error:
        reason = error if isinstance(error, OSError) else "it isn't valid"
        raise Unreadable(f"The operators in {path} can't be read: {reason}.") from error


@contextmanager
def _changing(settings: Settings) -> Iterator[list[Operator]]:
    """The operators, which are stored again when the block ends. Other commands wait meanwhile."""
    path = settings.data_dir / FILE
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = os.open(path.parent / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise Unreadable(f"The operators in {path} can't be written: {error}.") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        granted = _read(path)
        yield granted
        _replace(path, _OPERATORS.dump_json(granted, indent=2))
    finally:
        os.close(lock)


def _replace(path: Path, content: bytes) -> None:
    """Replace the file as a whole, so that neither a reader nor a crash meets a half of it."""
    try:
        with NamedTemporaryFile("wb", dir=path.parent, delete=False) as draft:  # created with mode 0600
            try:
                draft.write(content)
                draft.flush()
                os.fsync(draft.fileno())
                os.replace(draft.name, path)
            except BaseException:
                os.unlink(draft.name)
                raise
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)  # or a power failure could bring back a token that was revoked
        finally:
            os.close(folder)
    except OSError as error:
        raise Unreadable(f"The operators in {path} can't be written: {error}.") from error
