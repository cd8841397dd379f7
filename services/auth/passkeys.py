"""Adding, naming, removing passkeys, and signing in with them."""

from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from pymongo.errors import DuplicateKeyError
from webauthn import base64url_to_bytes

from contracts.api import NewCredential, UsedCredential
from contracts.identity import Identity
from contracts.wire import now
from kit.aggregates import change
from kit.alerts import alert
from kit.changes import Changes
from kit.errors import NotFound
from kit.mongo import object_id
from kit.relying_party import RelyingParty, relying_party
from services.auth import challenges
from services.auth.actions import Auth, SignedIn
from services.auth.attempts import Client
from services.auth.ceremonies import (
    challenge_in,
    creation_options,
    request_options,
    verify_made,
    verify_used,
)
from services.auth.challenges import Challenge, Challenges
from services.auth.documents import Passkey, User
from services.auth.rules import (
    ChallengeExpired,
    InvalidPasskey,
    PasskeyCopied,
    PasskeyExists,
    PasskeyRefused,
    PasskeysUnavailable,
    TooManyPasskeys,
    UnknownPasskey,
    check_sign_count,
    require_open,
)
from services.auth.user_agents import device_name

MAX_PASSKEYS = 20

SIGN_IN = "sign-in"
"""The purpose of a challenge for signing in."""


@dataclass(frozen=True)
class Passkeys(Auth):
    """What users do with passkeys."""

    challenges: Challenges

    # The passkeys of an account

    async def passkeys_of(self, identity: Identity) -> list[Passkey]:
        """The caller's passkeys, in the order in which they were added.

        Raises:
            NotSignedIn
        """
        return (await self._user_of(identity)).passkeys

    async def begin_adding(self, identity: Identity, password: str, client: Client) -> dict[str, Any]:
        """The options to make a passkey, for a caller who knows the password.

        Raises:
            NotSignedIn, WrongPassword, TooManyFailures, TooManyPasskeys, PasskeysUnavailable
        """
        party, user = self._party(), await self._user_of(identity)
        await self._check_password(identity, user, password, client)
        _require_room(user)
        return creation_options(party, user, self.challenges.new(_to_add(identity, user)))

    async def add(
        self, identity: Identity, credential: NewCredential, name: str | None, client: Client
    ) -> Passkey:
        """Add a passkey that an authenticator has made for the caller.

        The challenge proves that the caller gave the password in this session, within the last minutes. It
        doesn't work after a change of the password.

        Raises:
            NotSignedIn, ChallengeExpired, PasskeyRefused, PasskeyExists, TooManyPasskeys, PasskeysUnavailable
        """
        party, user = self._party(), await self._user_of(identity)
        challenge = self._challenge(credential.response.client_data_json, _to_add(identity, user))
        if challenge is None:
            raise PasskeyRefused
        made = verify_made(party, credential, challenge.text)
        await challenges.claim(challenge)
        passkey = Passkey(
            name=name or device_name(client.user_agent) or "Passkey",
            credential_id=made.credential_id,
            public_key=made.public_key,
            sign_count=made.sign_count,
            transports=made.transports,
            created_at=now(),
        )

        def add(stored: User) -> Changes:
            if stored.password_hash != user.password_hash:
                raise ChallengeExpired
            if stored.passkey(passkey.credential_id) is not None:
                raise PasskeyExists
            _require_room(stored)
            return stored.with_passkeys([*stored.passkeys, passkey])

        try:
            await change(lambda: User.first({"_id": user.id}), add)
        except DuplicateKeyError:
            raise PasskeyExists from None
        return passkey

    async def rename_passkey(self, identity: Identity, passkey_id: str, name: str) -> Passkey:
        """Rename one of the caller's passkeys.

        Raises:
            NotSignedIn
            NotFound: the caller has no such passkey.
        """
        user, found = await self._user_of(identity), object_id(passkey_id)
        passkey = next((each for each in user.passkeys if each.id == found), None)
        if passkey is None or not await user.rename_passkey(found, name):
            raise NotFound
        return passkey.model_copy(update={"name": name})

    async def remove(self, identity: Identity, passkey_id: str, password: str, client: Client) -> None:
        """Remove one of the caller's passkeys. Sessions that were started with it go on.

        Raises:
            NotSignedIn, WrongPassword, TooManyFailures
            NotFound: the caller has no such passkey.
        """
        user, found = await self._user_of(identity), object_id(passkey_id)
        await self._check_password(identity, user, password, client)

        def remove(stored: User) -> Changes:
            kept = [passkey for passkey in stored.passkeys if passkey.id != found]
            if len(kept) == len(stored.passkeys):
                raise NotFound
            return stored.with_passkeys(kept)

        await change(lambda: User.first({"_id": user.id}), remove)

    # Signing in

    def begin_sign_in(self) -> dict[str, Any]:
        """The options to use a passkey. Nobody has to say whose.

        Raises:
            PasskeysUnavailable
        """
        return request_options(self._party(), self.challenges.new(SIGN_IN))

    async def sign_in_with_passkey(self, credential: UsedCredential, client: Client) -> SignedIn:
        """Start a session of the user to whom the passkey belongs.

        Raises:
            ChallengeExpired, UnknownPasskey, InvalidPasskey, PasskeyCopied, PasskeysUnavailable
            AccountSuspended, AccountClosed: the user to whom the passkey belongs can't sign in.
        """
        party = self._party()
        challenge = self._challenge(credential.response.client_data_json, SIGN_IN)
        if challenge is None:
            raise InvalidPasskey
        user, passkey = await _owner_of(credential)
        sign_count = verify_used(party, credential, challenge.text, user, passkey)
        await challenges.claim(challenge)
        try:
            check_sign_count(passkey.sign_count, sign_count)
        except PasskeyCopied:
            alert("passkey_copied", "a passkey of the user %s may have been copied", user.key)
            raise
        if not await user.mark_used(passkey, sign_count):
            raise InvalidPasskey
        require_open(user)
        is_known = self.devices.device_of(user.key, client.device_cookie) is not None
        signed_in = await self._begin_session(user, client, announce=not is_known)
        # A recovery of the account, which also removes passkeys, ends all sessions that it finds. It may have
        # missed the new session.
        if (await user.newest()).passkey(passkey.credential_id) is None:
            await self._end(signed_in.identity.session_id)
            raise UnknownPasskey
        return signed_in

    def _party(self) -> RelyingParty:
        party = relying_party(self.attempts.settings.site)
        if party is None:
            raise PasskeysUnavailable
        return party

    def _challenge(self, client_data_json: str, purpose: str) -> Challenge | None:
        """The challenge that a response answers, or None if the response is malformed.

        Raises:
            ChallengeExpired
        """
        text = challenge_in(client_data_json)
        return None if text is None else self.challenges.opened(text, purpose)


def _to_add(identity: Identity, user: User) -> str:
    """The purpose of a challenge for adding a passkey: in this session, under this password."""
    return f"add {identity.session_id} {sha256(user.password_hash.encode()).hexdigest()}"


def _require_room(user: User) -> None:
    if len(user.passkeys) >= MAX_PASSKEYS:
        raise TooManyPasskeys


async def _owner_of(credential: UsedCredential) -> tuple[User, Passkey]:
    try:
        credential_id = base64url_to_bytes(credential.id)
    except ValueError:
        raise InvalidPasskey from None
    user = await User.first({"passkeys.credential_id": credential_id})
    passkey = user.passkey(credential_id) if user else None
    if user is None or passkey is None:
        raise UnknownPasskey
    return user, passkey
