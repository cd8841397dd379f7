"""Errors of auth, the delay after failed attempts, and when a one-time link works."""

import math
from datetime import datetime, timedelta
from typing import Protocol, Self

from contracts.api import TraderDetails
from contracts.events import LinkKind
from kit.changes import Changes
from kit.errors import (
    AccountClosed,
    Conflict,
    Forbidden,
    Invalid,
    NotSignedIn,
    ServiceError,
    TooManyRequests,
    Unavailable,
)

MAX_DELAY = timedelta(minutes=15)


def delay_after(failures: int, free: int) -> timedelta:
    """How long further attempts are rejected after this many failed ones: 1, 2, 4 ... seconds.

    Args:
        free: the number of failed attempts before the first delay.
    """
    if failures < free:
        return timedelta()
    return min(timedelta(seconds=2 ** min(failures - free, 10)), MAX_DELAY)


class EmailInUse(Conflict):
    message = "Email in use"


class WeakPassword(Invalid):
    message = "Password is too easy to guess"


class InvalidCredentials(NotSignedIn):
    """Unknown user or wrong password.

    The error is the same for both, so that nobody can find out which addresses have accounts.
    """

    message = "Invalid credentials"


class AccountSuspended(Forbidden):
    """An operator has suspended the user. Only who knows the password or has a passkey gets this error."""

    message = "This account is suspended. Please contact us if you think that is a mistake"


class TraderUnidentified(Invalid):
    message = "Traders have to state their name, address, email and phone number"


class ReservedName(Invalid):
    message = "Name must not claim to be the marketplace or its staff, such as “Support”. Choose another one"


class ConfusingName(Invalid):
    message = "Name must not mix letters of different alphabets in one word. Choose another one"


class WrongPassword(Forbidden):
    message = "Your current password is wrong"


class TooManyFailures(TooManyRequests):
    """There were too many failed attempts with this account, whether it exists or not."""

    @classmethod
    def until(cls, delay: timedelta) -> Self:
        seconds = max(1, math.ceil(delay.total_seconds()))
        wait = f"{seconds} seconds" if seconds < 60 else f"{math.ceil(seconds / 60)} minutes"
        return cls(f"There were too many failed attempts. Try again in {wait}", retry_after=seconds)


class LinkExpired(ServiceError):
    """The error is the same for used, expired, replaced and forged links."""

    status = 410
    message = "This link has expired or was already used"


class LinkOfAnotherAccount(Forbidden):
    message = "This link belongs to another account"


class TooManyLinks(TooManyRequests):
    message = "We have already sent several links. Use the newest one, or try again in half an hour"


class PasskeysUnavailable(Conflict):
    """Browsers refuse passkeys at the address of this marketplace (`kit.relying_party`)."""

    message = "Passkeys only work at an address with https and a name, or at http://localhost"


class ChallengeExpired(ServiceError):
    """The error is the same for expired, used and forged challenges."""

    status = 410
    message = "That took too long or was already done. Try again"


class PasskeyRefused(Invalid):
    message = "The passkey couldn't be verified. Try again"


class PasskeyExists(Conflict):
    message = "This passkey was already added"


class TooManyPasskeys(Conflict):
    message = "You have as many passkeys as possible. Remove one first"


class InvalidPasskey(NotSignedIn):
    """The response proves nothing: a wrong site, an unverified user, or a forged signature."""

    message = "The passkey couldn't be verified. Try again, or use your password"


class UnknownPasskey(NotSignedIn):
    """No account has the passkey."""

    message = "No account has this passkey. It may have been removed. Use your password"


class PasskeyCopied(NotSignedIn):
    """The authenticator counted fewer uses than we did: there may be two with the same key."""

    message = "This passkey may have been copied. Use your password, and remove the passkey from your account"


def check_sign_count(stored: int, reported: int) -> None:
    """Check how often an authenticator has signed. One that doesn't count reports 0.

    See step 22 of https://www.w3.org/TR/webauthn-3/#sctn-verifying-assertion.

    Raises:
        PasskeyCopied
    """
    if (stored or reported) and reported <= stored:
        raise PasskeyCopied


class MattersOpen(Conflict):
    message = "Your account can't be deleted while money or tickets are open"


class DeletionDelayed(Unavailable):
    """The account is closed, and `finish_deletions` goes on."""

    message = "Your account will be deleted as soon as every part of the marketplace answers"


class ExportUnavailable(Unavailable):
    message = "Your data can't be collected, because a part of the marketplace doesn't answer. Try again"


class TooManyExports(Unavailable):
    message = "Others are exporting their data. Try again in a moment"


class LinkState(Protocol):
    """The fields of a link that decide whether it works."""

    kind: LinkKind
    email: str
    created_at: datetime
    expires_at: datetime
    used_at: datetime | None


class Standing(Protocol):
    """What decides whether a user may sign in."""

    suspended_at: datetime | None

    @property
    def is_leaving(self) -> bool: ...


def require_open(user: Standing) -> None:
    """Check that the user may sign in.

    Raises:
        AccountSuspended, AccountClosed
    """
    if user.suspended_at is not None:
        raise AccountSuspended
    if user.is_leaving:
        raise AccountClosed


class AccountState(Protocol):
    """The fields of a user that decide whether a link works."""

    email: str
    confirmed_at: datetime | None
    password_changed_at: datetime | None
    email_changed_at: datetime | None


def check_link(link: LinkState, user: AccountState, now: datetime) -> None:
    """Check that a link may still be used for an account.

    What the link is for makes older ones useless: a new password those that were sent before, and a new
    address those that went to the old one. A new password also voids changes of the address that are pending,
    because somebody else may have asked for them. Only the link that undoes a change works whatever happened
    since, because somebody else may control the account.

    Raises:
        LinkExpired
    """
    if link.used_at is not None or link.expires_at <= now:
        raise LinkExpired
    if link.kind == "confirm-email":
        is_void = user.confirmed_at is not None or link.email != user.email
    elif link.kind == "reset-password":
        is_void = link.email != user.email or _is_older(link, user.password_changed_at)
    elif link.kind == "change-email":
        is_void = _is_older(link, user.email_changed_at) or _is_older(link, user.password_changed_at)
    else:
        is_void = False
    if is_void:
        raise LinkExpired


def is_early(link: LinkState, user: AccountState) -> bool:
    """Whether a link is about a change of the address that hasn't been written.

    Such a link is stored first, so that each change can be undone. If the process stops in between, nobody
    must be told of a change, and nothing is to be undone.
    """
    if link.kind not in ("undo-email-change", "email-replaced"):
        return False
    return user.email_changed_at is None or user.email_changed_at < link.created_at


def _is_older(link: LinkState, changed_at: datetime | None) -> bool:
    return changed_at is not None and link.created_at <= changed_at


def trader_of(trader: bool | None, details: TraderDetails | None, said: Changes) -> Changes:
    """In what capacity a user sells, after the user has said something about it.

    What is stored about a trader is removed when the user no longer sells as one. Somebody who has said so
    before details were required may change the name without them.

    Args:
        trader: what the user has said before.
        details: who the trader is, as stated before.

    Raises:
        TraderUnidentified
    """
    if not said.keys() & {"trader", "trader_details"}:
        return {}
    is_trader, stated = said.get("trader", trader), said.get("trader_details", details)
    if is_trader and stated is None:
        raise TraderUnidentified(field="traderDetails")
    return {"trader": is_trader, "trader_details": stated if is_trader else None}
