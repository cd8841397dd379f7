"""Deleting an account.

While an attempt is under way, the user is closed: auth starts no sessions, and orders and tickets refuse new
reservations and listings (kit/closed_users.py). Then the services are asked what is open. If nothing is, what
says something about the person is removed. `finish_deletions` repeats an attempt that stops in between, and
removes later what a request has added that was let in before.
"""

import logging
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from bson import ObjectId

from contracts.api import OpenMatter
from contracts.identity import Identity
from contracts.wire import now
from kit.aggregates import change
from kit.changes import Changes
from kit.errors import Unavailable
from kit.security_log import record
from services.auth.accounts import Accounts
from services.auth.attempts import Client, key_of_account
from services.auth.documents import Link, Session, User
from services.auth.neighbors import Neighbors
from services.auth.rules import DeletionDelayed, MattersOpen

log = logging.getLogger(__name__)

SWEEP_SECONDS = 60.0
"""How often each process looks for attempts that have stopped."""

ATTEMPT_TIME = timedelta(minutes=2)
"""How long an attempt may take. It takes a few requests of two seconds at most."""


@dataclass(frozen=True)
class Departures(Accounts):
    """How users leave."""

    neighbors: Neighbors

    async def open_matters(self, identity: Identity) -> list[OpenMatter]:
        """What keeps the caller from deleting the account.

        Raises:
            NotSignedIn
            Unavailable: a service doesn't answer.
        """
        user = await self._user_of(identity)
        return await self.neighbors.open_matters(user.key)

    async def delete(self, identity: Identity, password: str, client: Client) -> None:
        """Delete the caller's account.

        Raises:
            NotSignedIn, WrongPassword, TooManyFailures, MattersOpen
            Unavailable: a service doesn't answer. Nothing has changed.
            DeletionDelayed: a service has stopped to answer. The account will be deleted later.
        """
        user = await self._user_of(identity)
        await self._check_password(identity, user, password, client)
        if await self.neighbors.open_matters(user.key):
            raise MattersOpen
        await self._attempt(user)

    async def finish_deletions(self) -> None:
        """Repeat the attempts that have stopped. Several instances may do so at the same time.

        After an attempt that succeeded, remove what requests have stored since that were let in before, such
        as the network of a session or the address of a link.
        """
        async for user in User.find({"closing": {"$gt": ""}}):
            assert user.closing is not None, "the filter selects users with an attempt"
            if ObjectId(user.closing).generation_time > now() - ATTEMPT_TIME:
                continue
            if user.deleted_at is not None:
                await self._forget(user)
                await user.end_closing()
                continue
            try:
                await self._attempt(user)
            except MattersOpen:
                record("account-deletion", "refused", actor=user.key)
            except Unavailable as error:
                log.warning("user %s can't be deleted yet: %s", user.key, error)
            else:
                record("account-deletion", "success", actor=user.key)

    async def _attempt(self, user: User) -> None:
        """Close the account, and delete it unless something is open.

        Raises:
            MattersOpen: a concurrent request was faster. The account is open again.
            DeletionDelayed
            Unavailable: another attempt has begun.
        """
        attempt = str(ObjectId())

        def begin(stored: User) -> Changes | None:
            return None if stored.deleted_at is not None else {"closing": attempt}

        load = partial(User.first, {"_id": user.id})
        if (await change(load, begin)).deleted_at is not None:
            return
        try:
            matters = await self.neighbors.close(user.key, attempt)
        except Unavailable as error:
            raise DeletionDelayed(retry_after=int(SWEEP_SECONDS)) from error
        if matters:
            await self._reopen(user, attempt)
            raise MattersOpen
        await change(load, partial(_anonymized, attempt=attempt))
        await self.attempts.succeeded(key_of_account(user.email))
        # Only now: another attempt may have reopened the account, while this one was slow.
        await self._forget(user)

    async def _reopen(self, user: User, attempt: str) -> None:
        """Undo an attempt, unless a newer one has begun, which then decides alone.

        Orders and tickets may have heard of this attempt last, and would accept something new.
        """

        def reopen(stored: User) -> Changes | None:
            return {"closing": None} if stored.closing == attempt else None

        if (await user.newest()).closing != attempt:
            return
        try:
            await self.neighbors.reopen(user.key, attempt)
        except Unavailable as error:  # `finish_deletions` tries again
            log.warning("user %s can't be reopened yet: %s", user.key, error)
            return
        await change(partial(User.first, {"_id": user.id}), reopen)

    async def _forget(self, user: User) -> None:
        """End all sessions, and remove what sessions and links say about the person.

        The documents themselves stay until they expire, because their events may have to be published.
        """
        await self._end_all(user)
        described = {"$set": {"device": None, "network": None}}
        await Session.get_pymongo_collection().update_many({"user_id": user.key}, described)
        addressed = {"$set": {"email": ""}}
        await Link.get_pymongo_collection().update_many({"user_id": user.key}, addressed)


def _anonymized(stored: User, *, attempt: str) -> Changes | None:
    """Changes that leave an id, and when the user signed up and left.

    The text in place of the address isn't an address, so that nobody can sign up with it. `closing` stays, so
    that `finish_deletions` finds the user once more.

    Raises:
        Unavailable: another attempt has begun.
    """
    if stored.deleted_at is not None:
        return None
    if stored.closing != attempt:
        raise Unavailable
    return {
        "email": f"deleted:{stored.key}",
        "password_hash": "",
        "name": None,
        "trader": None,
        "trader_details": None,
        "language": None,
        "passkeys": [],
        "passkeys_changed_at": None,
        "suspension_reason": None,
        "confirmed_at": None,
        "must_confirm": False,
        "password_changed_at": None,
        "email_changed_at": None,
        "end_sessions_before": None,
        "deleted_at": now(),
    }
