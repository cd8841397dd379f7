"""Sign up, in and out; change a password."""

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from bson import ObjectId
from pymongo.errors import DuplicateKeyError

from contracts.identity import Identity
from contracts.wire import now
from services.auth.documents import Session, User
from services.auth.passwords import Passwords
from services.auth.rules import EmailInUse, InvalidCredentials, WrongPassword
from services.kit.aggregates import change
from services.kit.changes import Changes
from services.kit.errors import NotFound, NotSignedIn
from services.kit.mongo import object_id
from services.kit.tokens import Sessions, Signer


@dataclass(frozen=True)
class SignedIn:
    """A fresh session."""

    identity: Identity
    token: str
    expires_at: datetime


@dataclass(frozen=True)
class Auth:
    """The use cases, with what they need."""

    passwords: Passwords
    signer: Signer
    sessions: Sessions
    lifetime: timedelta

    async def sign_up(self, email: str, password: str) -> SignedIn:
        """Add a user and sign them in.

        Raises:
            EmailInUse: somebody has that address.
        """
        user = User(email=email, password_hash=await self.passwords.hash(password), created_at=now())
        try:
            await User.get_pymongo_collection().insert_one(user.model_dump(by_alias=True))
        except DuplicateKeyError:
            raise EmailInUse from None
        return await self._begin_session(user)

    async def sign_in(self, email: str, password: str) -> SignedIn:
        """Begin a session.

        Raises:
            InvalidCredentials: nobody has that address and password.
        """
        user = await User.find_one({"email": email})
        if not await self.passwords.matches(password, user.password_hash if user else None) or user is None:
            raise InvalidCredentials
        if self.passwords.is_outdated(user.password_hash):
            user = await user.with_hash(await self.passwords.hash(password))
        signed_in = await self._begin_session(user)
        # Whoever changes the password ends the sessions that are there then: this may have come just after.
        newest = await user.newest()
        if newest != user and not await self.passwords.matches(password, newest.password_hash):
            await self._end(signed_in.identity.session_id)
            raise InvalidCredentials
        return signed_in

    async def change_password(self, token: str | None, current: str, new: str) -> SignedIn:
        """Replace the password and end every session of the user; gives a new one to who did it.

        Raises:
            NotSignedIn, WrongPassword
        """
        user = await self._user_of(token)
        if not await self.passwords.matches(current, user.password_hash):
            raise WrongPassword
        changed = await user.with_hash(await self.passwords.hash(new))
        if await changed.newest() != changed:
            raise WrongPassword  # somebody else changed it first
        await self._end_all(changed)
        return await self._begin_session(changed)

    async def sign_out_everywhere(self, token: str | None) -> None:
        """End every session of whoever holds the token.

        Raises:
            NotSignedIn
        """
        user = await self._user_of(token)
        await self._end_all(user, but=token)
        await self.sign_out(token)  # last: whoever has to try again is still somebody

    async def profile(self, user_id: str) -> User:
        """What anybody may know of a user is a part of this.

        Raises:
            NotFound
        """
        user = await User.find_one({"_id": object_id(user_id)})
        if user is None:
            raise NotFound
        return user

    async def _user_of(self, token: str | None) -> User:
        identity = await self.current_user(token)
        user = await User.find_one({"_id": ObjectId(identity.id)}) if identity else None
        if user is None:
            raise NotSignedIn
        return user

    async def _end_all(self, user: User, *, but: str | None = None) -> None:
        """End all sessions of a user; not that of the token `but`."""
        spared = await self.sessions.identify(but) if but else None
        async for session in Session.find({"user_id": str(user.id)}):
            if session.ended_at is None and (spared is None or session.key != spared.session_id):
                await self._end(session.key)

    async def _end(self, session_id: str) -> None:
        def end(session: Session) -> Changes | None:
            return {"ended_at": now()} if session.ended_at is None else None

        with suppress(NotFound):  # a database that was set back doesn't know of it: nothing to tell others
            await change(lambda: Session.find_one({"_id": ObjectId(session_id)}), end)
        # Not before it is written: who is told to try again has to be somebody when they do.
        self.sessions.ended.add(session_id, now())

    async def sign_out(self, token: str | None) -> None:
        """End the session of a token everywhere. Nobody's token ends nothing; ending twice is harmless."""
        identity = await self.sessions.identify(token) if token else None
        if identity is not None:
            await self._end(identity.session_id)

    async def current_user(self, token: str | None) -> Identity | None:
        """Who holds the token. Asks the database too: it knows at once what another copy ended."""
        identity = await self.sessions.identify(token) if token else None
        if identity is None:
            return None
        session = await Session.find_one({"_id": ObjectId(identity.session_id)})
        return identity if session is not None and session.ended_at is None else None

    async def _begin_session(self, user: User) -> SignedIn:
        expires_at = now() + self.lifetime
        session = Session(user_id=str(user.id), expires_at=expires_at)
        await session.add(silently=True)
        identity = Identity(id=str(user.id), email=user.email, session_id=session.key)
        return SignedIn(identity, self.signer.sign(identity, expires_at), expires_at)
