"""Forgotten passwords, confirmed and changed addresses, display names, and the list of sessions."""

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from bson import ObjectId
from pymongo.errors import DuplicateKeyError

from contracts.events import LinkKind
from contracts.identity import Identity
from contracts.wire import now
from kit.aggregates import change
from kit.changes import Changes
from kit.errors import NotFound
from kit.mongo import object_id
from services.auth import links
from services.auth.actions import Auth, SignedIn
from services.auth.attempts import Client, key_of_account
from services.auth.documents import Link, Session, User
from services.auth.links import LinkKeys
from services.auth.names import reject_reserved
from services.auth.rules import EmailInUse, LinkExpired, LinkOfAnotherAccount, WrongPassword, trader_of
from services.auth.weak_passwords import reject_weak

MAX_SESSIONS = 100
"""The most sessions that a user's list shows, those that were used last."""


@dataclass(frozen=True)
class Accounts(Auth):
    """What users do with their accounts, beyond signing up, in and out."""

    keys: LinkKeys

    # Forgotten passwords

    async def may_send_reset(self, email: str) -> bool:
        """Count a request to reset the password of the account with this address, which may not exist.

        Returns False if there were too many. Those that were sent still work then.
        """
        return await links.has_room("reset-password", key_of_account(email))

    async def send_reset(self, email: str) -> None:
        """Send a link with which the password can be reset, if there is an account with this address."""
        user = await User.first({"email": email})
        if user is not None:
            await links.send(user, "reset-password", user.email)

    async def reset_password(self, text: str, new: str, client: Client) -> User:
        """Replace a forgotten password, and end all sessions.

        Whoever has the link receives mail at the address. If the address wasn't confirmed, it is now, and the
        passkeys are removed: somebody else may have signed up with the address. Otherwise they are kept.

        Raises:
            LinkExpired, WeakPassword
        """
        link, user = await self._opened(text, "reset-password")
        reject_weak(new, user.email, field="newPassword")
        password_hash = await self.passwords.hash(new, client.networks)
        await links.claim(link)
        is_new_owner = user.confirmed_at is None
        return await self._replace_password(
            user, password_hash, remove_passkeys=is_new_owner, confirmed_at=user.confirmed_at or now()
        )

    # Addresses

    async def send_confirmation(self, identity: Identity) -> None:
        """Send the link that confirms the caller's address again, unless it is confirmed.

        Raises:
            NotSignedIn, TooManyLinks
        """
        user = await self._user_of(identity)
        if user.confirmed_at is None:
            await links.require_room("confirm-email", user.key)
            await links.send(user, "confirm-email", user.email)

    async def confirm_address(self, identity: Identity, text: str) -> SignedIn:
        """Confirm the caller's address, and return the caller's session with a new token.

        The link alone isn't enough. Somebody may have signed up with an address of others, who would confirm
        it by opening the link in their mail. Repeating it is harmless.

        Raises:
            NotSignedIn, LinkExpired, LinkOfAnotherAccount
        """
        user = await self._user_of(identity)
        if user.confirmed_at is None:
            link, user = await self._opened(text, "confirm-email")
            _check_owner(link, identity)
            await links.claim(link)

            def confirm(stored: User) -> Changes | None:
                if stored.email != link.email:
                    raise LinkExpired
                return {"confirmed_at": now()} if stored.confirmed_at is None else None

            user = await change(lambda: User.first({"_id": user.id}), confirm)
        return await self._with_new_token(user, identity)

    async def request_email_change(
        self, identity: Identity, email: str, password: str, client: Client
    ) -> None:
        """Send a link to a new address. The address changes when the caller opens it.

        Raises:
            NotSignedIn, WrongPassword, TooManyFailures, EmailInUse, TooManyLinks
        """
        user = await self._user_of(identity)
        await self._check_password(identity, user, password, client)
        await links.require_room("change-email", user.key)
        await links.require_room("change-email", key_of_account(email))  # many accounts could flood a mailbox
        await self._require_free(email, user)
        await links.send(user, "change-email", email)

    async def change_email(self, identity: Identity, text: str, client: Client) -> SignedIn:
        """Change the caller's address to the one that got the link. End all sessions, and start a new one.

        The old address gets a link that undoes the change, if it was confirmed. An address that nobody has
        confirmed may belong to somebody else, so it is only told: if it is the owner's, and the caller has
        just learned the password, the owner must notice. The link to the new address alone isn't enough
        either: its owner, if the caller mistyped it, could take over the account.

        Raises:
            NotSignedIn, LinkExpired, LinkOfAnotherAccount, EmailInUse
        """
        before = await self._user_of(identity)
        link, _ = await self._opened(text, "change-email")
        _check_owner(link, identity)
        await self._require_free(link.email, before)
        await links.claim(link)
        # First the way back: there must be no change that can't be undone. Until the change is written, the
        # link doesn't work and isn't mailed (`is_early`).
        told = await self._tell_address_before(before)

        def move(stored: User) -> Changes:
            # The owner may just have undone an earlier change or reset the password, if it isn't the caller.
            if _state(stored) != _state(before):
                raise LinkExpired
            moment = now()
            address = {"email": link.email, "email_changed_at": moment, "confirmed_at": moment}
            return {**address, "end_sessions_before": moment}

        try:
            user = await change(lambda: User.first({"_id": before.id}), move)
        except (DuplicateKeyError, LinkExpired) as error:
            if told is not None:
                await links.claim(told)
            if isinstance(error, LinkExpired):
                raise
            raise EmailInUse from None
        return await self._begin_only_session(user, client)

    async def undo_email_change(self, text: str, new: str, client: Client) -> User:
        """Return to the address before a change, with a new password and no passkeys, and end all sessions.

        Nobody has to be signed in: somebody else may have changed the address. The links that undo later
        changes stop working, because they were sent to addresses of whoever made the change.

        The link is used up last: if the process stops in between, the owner repeats the request. Each of two
        concurrent requests with the same link sets its password.

        Raises:
            LinkExpired, WeakPassword
            EmailInUse: another account has the address, which an earlier version allowed.
        """
        link, user = await self._opened(text, "undo-email-change")
        reject_weak(new, link.email, field="newPassword")
        password_hash = await self.passwords.hash(new, client.networks)
        await _void_later(link)

        def give_back(stored: User) -> Changes:
            # Whatever the password is now: changing it mustn't keep the owner from taking the account back.
            moment = now()
            address = {"email": link.email, "email_changed_at": moment, "confirmed_at": moment}
            removed = stored.with_passkeys([]) if stored.passkeys else {}
            password = {"password_hash": password_hash, "password_changed_at": moment}
            return {**password, **address, **removed, "end_sessions_before": moment}

        try:
            user = await change(lambda: User.first({"_id": user.id}), give_back)
        except DuplicateKeyError:
            raise EmailInUse from None
        await _void_later(link)  # also those of a change that was under way
        await self._sign_out_after_replacement(user)
        with suppress(LinkExpired):
            await links.claim(link)
        return user

    # Profiles

    async def account_of(self, identity: Identity) -> User:
        """The caller's account.

        Raises:
            NotSignedIn
        """
        return await self._user_of(identity)

    async def present(self, identity: Identity, profile: Changes) -> User:
        """Set some of `name`, `trader` and `trader_details`, which others see, and `language`.

        Raises:
            NotSignedIn, ReservedName, ConfusingName, TraderUnidentified
        """
        user = await self._user_of(identity)
        name = profile.get("name", user.name)
        if name != user.name:  # one from before these rules may stay
            reject_reserved(name, self.attempts.settings.site)

        def differing(stored: User) -> Changes | None:
            shown = {**profile, **trader_of(stored.trader, stored.trader_details, profile)}
            changes = {field: value for field, value in shown.items() if getattr(stored, field) != value}
            return changes or None

        return await change(lambda: User.first({"_id": user.id}), differing)

    # Sessions

    async def sessions_of(self, identity: Identity) -> list[Session]:
        """The caller's sessions, those first that were used last.

        Raises:
            NotSignedIn
        """
        user = await self._user_of(identity)
        running = {"user_id": user.key, "ended_at": None, "expires_at": {"$gt": now()}}
        newest_first = Session.find(running).sort("-used_at").limit(MAX_SESSIONS)
        return await newest_first.to_list()

    async def end_session(self, identity: Identity, session_id: str) -> None:
        """End one of the caller's sessions. A repeated call is harmless.

        Raises:
            NotSignedIn
            NotFound: the caller has no such session.
        """
        user = await self._user_of(identity)
        session = await Session.first({"_id": object_id(session_id), "user_id": user.key})
        if session is None:
            raise NotFound
        await self._end(session.key)

    async def renewed(self, identity: Identity) -> SignedIn | None:
        """The caller's session with a new token, if the one that the caller has is outdated: the address was
        confirmed, or the trader has said who they are."""
        may_be_outdated = identity.unconfirmed or identity.unidentified
        user = await User.first({"_id": ObjectId(identity.id)}) if may_be_outdated else None
        if user is None or self._identity(user, identity.session_id, identity.signed_in_at) == identity:
            return None
        with suppress(NotFound):
            return await self._with_new_token(user, identity)
        return None

    # Mail

    async def target_of(self, text: str) -> Link:
        """A link that still works, for who has it.

        Raises:
            LinkExpired
        """
        return (await self._opened(text))[0]

    async def link_to_mail(self, link_id: str) -> tuple[Link, str, User]:
        """A link that still works, its path, and its user, for the service that sends mail.

        Raises:
            NotFound, LinkExpired
        """
        link, user = await links.opened(link_id)
        return link, self.keys.path(link), user

    async def _opened(self, text: str, kind: LinkKind | None = None) -> tuple[Link, User]:
        link_id = self.keys.id_in(text)
        if link_id is None:
            raise LinkExpired
        try:
            link, user = await links.opened(link_id)
        except NotFound:
            raise LinkExpired from None
        if kind not in (link.kind, None):
            raise LinkExpired
        return link, user

    async def _replace_password(
        self, user: User, password_hash: str, confirmed_at: datetime, *, remove_passkeys: bool
    ) -> User:
        """Store a new password and end all sessions.

        Raises:
            LinkExpired: another request changed the password or the address first.
        """
        try:
            changed = await user.change_password(
                password_hash, remove_passkeys=remove_passkeys, confirmed_at=confirmed_at
            )
        except WrongPassword:
            raise LinkExpired from None
        await self._sign_out_after_replacement(changed)
        return changed

    async def _sign_out_after_replacement(self, user: User) -> None:
        """End all sessions of a user whose password was replaced with a link.

        A sign-in with the old password that is under way ends its session itself (`Auth.sign_in`). So does
        another change (`Auth._begin_only_session`).
        """
        await self._end_earlier_sessions(user)
        await self.attempts.succeeded(key_of_account(user.email))

    async def _tell_address_before(self, user: User) -> Link | None:
        """Let the user's address know that it is about to be replaced. None if it was told too often.

        Somebody may sign up with the address of others again and again, and change it each time.
        """
        if user.confirmed_at is not None:
            return await links.send(user, "undo-email-change", user.email)
        if await links.has_room("email-replaced", key_of_account(user.email)):
            return await links.send(user, "email-replaced", user.email)
        return None

    async def _require_free(self, email: str, user: User) -> None:
        if await User.first({"email": email}) is not None:
            raise EmailInUse
        await self._require_unreserved(email, user.key)

    async def _with_new_token(self, user: User, identity: Identity) -> SignedIn:
        session = await Session.first({"_id": ObjectId(identity.session_id)})
        if session is None or session.ended_at is not None:
            raise NotFound
        return self._signed_in(user, session)


def _state(user: User) -> tuple[object, ...]:
    """What a change of the address must find unchanged."""
    return user.email, user.email_changed_at, user.password_changed_at


async def _void_later(link: Link) -> None:
    """Use up the links that undo later changes of the address."""
    later = {"user_id": link.user_id, "kind": link.kind, "used_at": None}
    async for other in Link.find({**later, "created_at": {"$gt": link.created_at}}):
        with suppress(LinkExpired):
            await links.claim(other)


def _check_owner(link: Link, identity: Identity) -> None:
    if link.user_id != identity.id:
        raise LinkOfAnotherAccount
