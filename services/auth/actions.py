"""Sign up, sign in, sign out and change the password."""

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from bson import ObjectId
from pymongo.errors import DuplicateKeyError

from contracts.identity import Identity
from contracts.wire import now
from kit.aggregates import change
from kit.changes import Changes
from kit.devices import Devices
from kit.errors import NotFound, NotSignedIn
from kit.mongo import object_id
from kit.secrets import internal_secret
from kit.security_log import pseudonym
from kit.sessions import EndedSessions
from kit.tokens import Signer
from services.auth.attempts import Attempts, Client, key_of_account
from services.auth.documents import Session, User
from services.auth.passwords import Passwords
from services.auth.rules import EmailInUse, InvalidCredentials, WrongPassword
from services.auth.weak_passwords import reject_weak


@dataclass(frozen=True)
class SignedIn:
    """A new session and its token."""

    identity: Identity
    token: str
    expires_at: datetime


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

    async def sign_up(self, email: str, password: str, client: Client) -> SignedIn:
        """Add a user and sign them in.

        Raises:
            WeakPassword
            EmailInUse: another user has this address.
        """
        reject_weak(password, email, field="password")
        password_hash = await self.passwords.hash(password, client.networks)
        user = User(email=email, password_hash=password_hash, created_at=now())
        try:
            await user.insert()
        except DuplicateKeyError:
            raise EmailInUse from None
        return await self._begin_session(user)

    async def sign_in(self, email: str, password: str, client: Client) -> SignedIn:
        """Start a session.

        Raises:
            InvalidCredentials: no user has this address and password.
            TooManyFailures: the user, or this device of the user, has to wait before the next attempt.
        """
        user = await User.find_one({"email": email})
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
        if match.is_outdated:
            new_hash = await self.passwords.hash(password, client.networks, is_known_device=is_known)
            user = await user.save_hash(new_hash)
        signed_in = await self._begin_session(user)
        # A concurrent password change ends all sessions that it finds. It may have missed the new session.
        newest = await user.newest()
        if newest != user and not await self.passwords.matches(
            password, newest.password_hash, client.networks, is_known_device=is_known
        ):
            await self._end(signed_in.identity.session_id)
            raise InvalidCredentials
        return signed_in

    async def change_password(self, identity: Identity, current: str, new: str, client: Client) -> SignedIn:
        """Replace the password, end every session of the user, and start a new one for the caller.

        Raises:
            WeakPassword, NotSignedIn, WrongPassword, TooManyFailures
        """
        reject_weak(new, identity.email, field="newPassword")
        user = await self._user_of(identity)
        attempts_with = f"change:{identity.id}"
        await self.attempts.begin(attempts_with, client)
        if not await self.passwords.matches(current, user.password_hash, client.networks):
            await self.attempts.failed(client)
            raise WrongPassword
        await self.attempts.succeeded(attempts_with)
        changed = await user.save_hash(await self.passwords.hash(new, client.networks))
        if await changed.newest() != changed:
            raise WrongPassword  # another request changed it first
        await self._end_all(changed)
        return await self._begin_session(changed)

    async def sign_out_everywhere(self, identity: Identity) -> None:
        """End every session of the user.

        Raises:
            NotSignedIn: the caller's session has ended.
        """
        user = await self._user_of(identity)
        await self._end_all(user, excluded=identity.session_id)
        await self._end(identity.session_id)  # last, because a retrying client must still be authenticated

    async def profile(self, user_id: str) -> User:
        """The user with this id, for their public profile.

        Raises:
            NotFound
        """
        user = await User.find_one({"_id": object_id(user_id)})
        if user is None:
            raise NotFound
        return user

    async def _user_of(self, identity: Identity) -> User:
        current = await self.current_user(identity)
        user = await User.find_one({"_id": ObjectId(identity.id)}) if current else None
        if user is None:
            raise NotSignedIn
        return user

    async def _end_all(self, user: User, *, excluded: str | None = None) -> None:
        """End all sessions of a user, except the session with the id `excluded`."""
        async for session in Session.find({"user_id": str(user.id)}):
            if session.ended_at is None and session.key != excluded:
                await self._end(session.key)

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

    async def _begin_session(self, user: User) -> SignedIn:
        moment = now()
        expires_at = moment + self.lifetime
        session = Session(user_id=str(user.id), expires_at=expires_at, used_at=moment)
        await session.add(private=True)
        identity = Identity(id=str(user.id), email=user.email, session_id=session.key)
        return SignedIn(identity, self.signer.sign(identity, expires_at), expires_at)
