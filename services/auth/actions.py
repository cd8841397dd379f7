"""Sign up, sign in, sign out, change the password, and suspend a user."""

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from bson import ObjectId
from pymongo.errors import DuplicateKeyError

from contracts.identity import Identity
from contracts.languages import Language
from contracts.wire import now
from kit.aggregates import change
from kit.changes import Changes
from kit.devices import Devices
from kit.errors import AccountClosed, NotFound, NotSignedIn
from kit.mongo import object_id
from kit.networks import shown_network
from kit.secrets import internal_secret
from kit.security_log import pseudonym
from kit.sessions import EndedSessions
from kit.tokens import Signer
from services.auth import links
from services.auth.attempts import Attempts, Client, key_of_account
from services.auth.documents import Link, Session, User, ending_before
from services.auth.passwords import Passwords
from services.auth.rules import (
    AccountSuspended,
    EmailInUse,
    InvalidCredentials,
    WrongPassword,
    require_open,
)
from services.auth.user_agents import device_name
from services.auth.weak_passwords import reject_weak

ENDING_TIME = timedelta(minutes=1)
"""How long the sessions of a user may take to end after a change before another process ends them."""


@dataclass(frozen=True)
class SignedIn:
    """A new session and its token."""

    identity: Identity
    token: str
    expires_at: datetime
    user: User
    """The user as stored after the session was."""


@dataclass(frozen=True)
class Auth:
    """The use cases of auth and their dependencies."""

    passwords: Passwords
    signer: Signer
    ended: EndedSessions
    lifetime: timedelta
    attempts: Attempts
    devices: Devices
    use_interval: timedelta
    """Minimum time between two stored uses of a session."""

    def pseudonym(self, email: str) -> str:
        """What the security log calls the account with this address."""
        return pseudonym(email, internal_secret(self.attempts.settings))

    async def sign_up(
        self, email: str, password: str, client: Client, language: Language | None = None
    ) -> SignedIn:
        """Add a user and sign them in.

        Raises:
            WeakPassword
            EmailInUse: another user has this address, or may return to it.
        """
        reject_weak(password, email, field="password")
        password_hash = await self.passwords.hash(password, client.networks)
        await self._require_unreserved(email)
        must_confirm = self.attempts.settings.confirms_addresses
        user = User(
            email=email,
            password_hash=password_hash,
            created_at=now(),
            must_confirm=must_confirm,
            language=language,
        )
        try:
            await user.add()
        except DuplicateKeyError:
            raise EmailInUse from None
        try:
            await self._require_unreserved(email)
        except EmailInUse:  # somebody has just changed from this address to another one
            await User.get_pymongo_collection().delete_one({"_id": user.id})
            raise
        if must_confirm:
            await links.send(user, "confirm-email", user.email)
        return await self._begin_session(user, client)

    async def sign_in(self, email: str, password: str, client: Client) -> SignedIn:
        """Start a session.

        Raises:
            InvalidCredentials: no user has this address and password.
            AccountSuspended: the user with this address and password is suspended.
            AccountClosed: the account is being deleted.
            TooManyFailures: the user, or this device of the user, has to wait before the next attempt.
        """
        user = await User.first({"email": email})
        device = self.devices.device_of(str(user.id), client.device_cookie) if user else None
        attempts_with = key_of_account(email) if device is None else f"device:{device}"
        await self.attempts.begin(attempts_with, client)
        is_known = device is not None
        match = await self.passwords.match(
            password, user.password_hash if user else None, client.networks, is_known_device=is_known
        )
        if match is None or user is None:
            await self.attempts.failed(client)
            raise InvalidCredentials
        await self.attempts.succeeded(attempts_with)
        require_open(user)
        if match.is_outdated:
            new_hash = await self.passwords.hash(password, client.networks, is_known_device=is_known)
            user = await user.save_hash(new_hash)
        signed_in = await self._begin_session(user, client, announce=not is_known)
        # A concurrent password change ends all sessions that it finds. It may have missed the new session.
        stored = signed_in.user.password_hash
        if stored != user.password_hash and not await self.passwords.matches(
            password, stored, client.networks, is_known_device=is_known
        ):
            await self._end(signed_in.identity.session_id)
            raise InvalidCredentials
        return signed_in

    async def change_password(self, identity: Identity, current: str, new: str, client: Client) -> SignedIn:
        """Replace the password, end every session of the user, and start a new one for the caller.

        Raises:
            WeakPassword, NotSignedIn, WrongPassword, TooManyFailures
            AccountSuspended: the user was suspended meanwhile.
        """
        reject_weak(new, identity.email, field="newPassword")
        user = await self._user_of(identity)
        await self._check_password(identity, user, current, client)
        changed = await user.change_password(await self.passwords.hash(new, client.networks))
        return await self._begin_only_session(changed, client)

    async def sign_out_everywhere(self, identity: Identity) -> None:
        """End every session of the user.

        Raises:
            NotSignedIn: the caller's session has ended.
        """
        user = await self._user_of(identity)
        await self._end_all(user, excluded=identity.session_id)
        await self._end(identity.session_id)  # last, because a retrying client must still be authenticated

    async def suspend(self, user_id: str, reason: str) -> None:
        """Keep a user from signing in. The sessions have to be ended afterwards (`end_sessions`).

        Raises:
            NotFound
        """
        await (await self._account(user_id)).suspend(reason)

    async def lift_suspension(self, user_id: str) -> User:
        """Let a user sign in again.

        Raises:
            NotFound
        """
        return await (await self._account(user_id)).lift_suspension()

    async def end_sessions(self, user_id: str) -> tuple[User, int]:
        """End all sessions of a user, who may sign in again. Return the user and the number of sessions.

        Raises:
            NotFound
        """
        user = await self._account(user_id)
        ended = await self._end_all(user)
        return await user.newest(), ended

    async def profile(self, user_id: str) -> User:
        """The user with this id, for their public profile. The account may have been deleted.

        Raises:
            NotFound
        """
        user = await User.first({"_id": object_id(user_id)})
        if user is None:
            raise NotFound
        return user

    async def _account(self, user_id: str) -> User:
        """The user with this id.

        Raises:
            NotFound: nobody has the id, or the account was deleted.
        """
        user = await self.profile(user_id)
        if user.deleted_at is not None:
            raise NotFound
        return user

    async def _user_of(self, identity: Identity) -> User:
        current = await self.current_user(identity)
        user = await User.first({"_id": ObjectId(identity.id)}) if current else None
        if user is None or user.deleted_at is not None:
            raise NotSignedIn
        return user

    async def _check_password(self, identity: Identity, user: User, password: str, client: Client) -> None:
        """Check that the caller knows the user's password.

        Raises:
            WrongPassword, TooManyFailures
        """
        attempts_with = f"change:{identity.id}"
        await self.attempts.begin(attempts_with, client)
        if not await self.passwords.matches(password, user.password_hash, client.networks):
            await self.attempts.failed(client)
            raise WrongPassword
        await self.attempts.succeeded(attempts_with)

    async def _require_unreserved(self, email: str, user_id: str | None = None) -> None:
        """Check that no other user may return to this address (`Accounts.undo_email_change`).

        Raises:
            EmailInUse
        """
        undo = {"email": email, "kind": "undo-email-change", "used_at": None, "expires_at": {"$gt": now()}}
        if await Link.first({**undo, "user_id": {"$ne": user_id}}) is not None:
            raise EmailInUse

    async def _end_all(self, user: User, *, excluded: str | None = None) -> int:
        """End all sessions of a user, except the session with the id `excluded`. Return their number."""
        ended = 0
        async for session in Session.find({"user_id": str(user.id)}):
            if session.ended_at is None and session.key != excluded:
                await self._end(session.key)
                ended += 1
        return ended

    async def finish_ending_sessions(self) -> None:
        """End the sessions that a process would have ended after a change, had it not stopped.

        Several instances may do so at the same time. Sessions that began after the change go on.
        """
        async for user in User.find(ending_before(now() - ENDING_TIME)):
            changed_at = user.end_sessions_before
            async for session in Session.find({"user_id": user.key, "ended_at": None}):
                if changed_at is None or session.started_at is None or session.started_at <= changed_at:
                    await self._end(session.key)
            await user.mark_sessions_ended()

    async def _end_earlier_sessions(self, user: User) -> None:
        """End the sessions of a user whose password or address was just changed.

        If the process stops meanwhile, `finish_ending_sessions` goes on.
        """
        await self._end_all(user)
        await user.mark_sessions_ended()

    async def _end(self, session_id: str) -> None:
        def end(session: Session) -> Changes | None:
            return {"ended_at": now()} if session.ended_at is None else None

        with suppress(NotFound):  # a restored database may lack the session: nothing to publish then
            await change(lambda: Session.first({"_id": ObjectId(session_id)}), end)
        # Persist before revoking, because a retrying client must still be authenticated.
        self.ended.add(session_id, now())

    async def sign_out(self, identity: Identity | None) -> None:
        """End the caller's session on every service. A repeated call is harmless."""
        if identity is not None:
            await self._end(identity.session_id)

    async def current_user(self, identity: Identity | None) -> Identity | None:
        """The identity, or None if its session has ended.

        The stored session is read, because another auth process may have just ended it.
        """
        if identity is None:
            return None
        session = await Session.first({"_id": ObjectId(identity.session_id)})
        return identity if session is not None and session.ended_at is None else None

    async def report_use(self, identity: Identity) -> None:
        """Store that the caller's session is in use."""
        await Session.mark_used(identity.session_id, now(), self.use_interval)

    async def _begin_session(self, user: User, client: Client, *, announce: bool = False) -> SignedIn:
        """Start a session. Publish that if `announce` is set.

        Raises:
            AccountSuspended: the user was suspended meanwhile.
            AccountClosed: the account is being deleted since.
        """
        moment = now()
        session = Session(
            user_id=str(user.id),
            expires_at=moment + self.lifetime,
            started_at=moment,
            used_at=moment,
            device=device_name(client.user_agent),
            network=shown_network(client.address),
        )
        await session.add(private=not announce)
        # A concurrent suspension or deletion ends all sessions that it finds. It may have missed the new one.
        newest = await user.newest()
        try:
            require_open(newest)
        except (AccountSuspended, AccountClosed):
            await self._end(session.key)
            raise
        return self._signed_in(newest, session)

    async def _begin_only_session(self, user: User, client: Client) -> SignedIn:
        """End all sessions of a user who was just changed, and start one for the caller.

        Raises:
            NotSignedIn: the password or the address was changed again meanwhile, perhaps by the owner, who
                takes the account back from the caller.
            AccountSuspended: the user was suspended meanwhile.
        """
        await self._end_earlier_sessions(user)
        signed_in = await self._begin_session(user, client)
        # The other change ends all sessions that it finds. It may have missed the new one.
        stored = signed_in.user
        changes = stored.password_changed_at, stored.email_changed_at
        if changes != (user.password_changed_at, user.email_changed_at):
            await self._end(signed_in.identity.session_id)
            raise NotSignedIn
        return signed_in

    def _signed_in(self, user: User, session: Session) -> SignedIn:
        """A session with a token that says what is true of the user now."""
        identity = self._identity(user, session.key, session.started_at)
        return SignedIn(identity, self.signer.sign(identity, session.expires_at), session.expires_at, user)

    def _identity(self, user: User, session_id: str, signed_in_at: datetime | None) -> Identity:
        return Identity(
            id=str(user.id),
            email=user.email,
            session_id=session_id,
            unconfirmed=user.is_restricted(self.attempts.settings.confirms_addresses),
            unidentified=user.is_unidentified,
            signed_in_at=signed_in_at.replace(microsecond=0) if signed_in_at is not None else None,
        )
