"""Sign up, in and out."""

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from bson import ObjectId
from pymongo.errors import DuplicateKeyError

from contracts.identity import Identity
from contracts.wire import now
from services.auth.documents import Session, User
from services.auth.passwords import Passwords
from services.auth.rules import EmailInUse, InvalidCredentials
from services.kit.aggregates import change
from services.kit.changes import Changes
from services.kit.errors import NotFound
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
            await user.replace_hash(await self.passwords.hash(password))
        return await self._begin_session(user)

    async def sign_out(self, token: str | None) -> None:
        """End the session of a token everywhere. Nobody's token ends nothing; ending twice is harmless."""
        identity = await self.sessions.identify(token) if token else None
        if identity is None:
            return

        def end(session: Session) -> Changes | None:
            return {"ended_at": now()} if session.ended_at is None else None

        self.sessions.ended.add(identity.session_id, now())
        with suppress(NotFound):  # a database that was set back doesn't know of it: nothing to tell others
            await change(lambda: Session.find_one({"_id": ObjectId(identity.session_id)}), end)

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
