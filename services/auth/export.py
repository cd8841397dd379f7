"""The archive with everything that the marketplace stores about a person (contracts/export.py)."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from contracts.api import MyAccount
from contracts.export import (
    ExportedAccount,
    ExportedAlert,
    ExportedLink,
    ExportedListingReport,
    ExportedMatch,
    ExportedMessage,
    ExportedOptOut,
    ExportedOrder,
    ExportedPayment,
    ExportedPayout,
    ExportedPhoto,
    ExportedSession,
    ExportedTicket,
    ExportHead,
)
from contracts.internal import Part
from contracts.wire import Wire, now
from kit.errors import Unavailable
from services.auth.documents import Link, Session, User
from services.auth.neighbors import Neighbors
from services.auth.passkeys_api import passkey_view
from services.auth.rules import ExportUnavailable, TooManyExports

MAX_ENTRIES = 10_000
"""The most entries of a list, the newest. An archive takes up to 50 MB of memory while it is collected."""

MAX_CONCURRENT = 2
"""Maximum number of archives that a process collects at the same time."""


class _Entries(NamedTuple):
    json: list[str]
    is_complete: bool


class Exporter:
    """Collects archives."""

    def __init__(self, neighbors: Neighbors) -> None:
        self._neighbors = neighbors
        self._running = 0

    async def archive(self, user: User, account: MyAccount, current_session: str) -> bytes:
        """The archive as JSON.

        Args:
            current_session: the id of the session that asks.

        Raises:
            ExportUnavailable: a service doesn't answer. There is no archive without its part.
            TooManyExports
        """
        with self._permit():
            get = self._neighbors.entries
            try:
                (
                    tickets,
                    alerts,
                    matches,
                    listing_reports,
                    orders,
                    photos,
                    payments,
                    payouts,
                    messages,
                    opt_outs,
                ) = await asyncio.gather(
                    _collected(get("tickets", Part[ExportedTicket], user.key)),
                    _collected(get("tickets", Part[ExportedAlert], user.key, "alerts")),
                    _collected(get("tickets", Part[ExportedMatch], user.key, "matches")),
                    _collected(get("tickets", Part[ExportedListingReport], user.key, "listing-reports")),
                    _collected(get("orders", Part[ExportedOrder], user.key)),
                    _collected(get("orders", Part[ExportedPhoto], user.key, "photos")),
                    _collected(get("payments", Part[ExportedPayment], user.key)),
                    _collected(get("payouts", Part[ExportedPayout], user.key)),
                    _collected(get("mail", Part[ExportedMessage], user.key)),
                    _collected(get("mail", Part[ExportedOptOut], user.key, "opt-outs")),
                )
            except Unavailable as error:
                raise ExportUnavailable(retry_after=error.retry_after) from error
            return _written(
                _account(user, account),
                {
                    "sessions": await _collected(_sessions(user, current_session)),
                    "passkeys": _entries([passkey_view(passkey) for passkey in user.passkeys]),
                    "links": await _collected(_links(user)),
                    "tickets": tickets,
                    "orders": orders,
                    "payments": payments,
                    "payouts": payouts,
                    "messages": messages,
                    "optOuts": opt_outs,
                    "photos": photos,
                    "alerts": alerts,
                    "matches": matches,
                    "listingReports": listing_reports,
                },
            )

    @contextmanager
    def _permit(self) -> Iterator[None]:
        if self._running >= MAX_CONCURRENT:
            raise TooManyExports(retry_after=5)
        self._running += 1
        try:
            yield
        finally:
            self._running -= 1


async def _collected(entries: AsyncIterator[Wire]) -> _Entries:
    """The JSON of the entries. The models, which take several times the memory, don't stay."""
    collected: list[str] = []
    async for entry in entries:
        if len(collected) == MAX_ENTRIES:
            return _Entries(collected, is_complete=False)
        collected.append(entry.to_json())
    return _Entries(collected, is_complete=True)


def _entries(all_of_them: Sequence[Wire]) -> _Entries:
    return _Entries([entry.to_json() for entry in all_of_them], is_complete=True)


def _written(account: ExportedAccount, lists: dict[str, _Entries]) -> bytes:
    """The fields of `contracts.export.Export`."""
    incomplete = ",".join(f'"{name}"' for name, entries in lists.items() if not entries.is_complete)
    head = ExportHead(created_at=now()).to_json()[1:-1]
    parts = [f'"{name}":[\n{",".join(entries.json)}]' for name, entries in lists.items()]
    fields = [head, f'"account":{account.to_json()}', *parts, f'"incomplete":[{incomplete}]']
    return f"{{{','.join(fields)}}}\n".encode()


def _account(user: User, account: MyAccount) -> ExportedAccount:
    return ExportedAccount(
        **dict(account),
        confirmed_at=user.confirmed_at,
        password_changed_at=user.password_changed_at,
        email_changed_at=user.email_changed_at,
    )


async def _sessions(user: User, current: str) -> AsyncIterator[ExportedSession]:
    async for session in Session.find({"user_id": user.key}).sort("-_id"):
        assert session.id is not None, "a stored session has an id"
        began_at = session.started_at or session.id.generation_time
        yield ExportedSession(
            id=session.key,
            device=session.device,
            network=session.network,
            started_at=session.started_at,
            used_at=session.used_at or began_at,
            current=session.key == current,
            ended_at=session.ended_at,
            expires_at=session.expires_at,
        )


async def _links(user: User) -> AsyncIterator[ExportedLink]:
    async for link in Link.find({"user_id": user.key}).sort("-_id"):
        yield ExportedLink(
            id=link.key,
            kind=link.kind,
            email=link.email,
            created_at=link.created_at,
            expires_at=link.expires_at,
            used_at=link.used_at,
        )
