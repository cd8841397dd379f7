"""One-time links in mails: their keys, how long they work, and how often they are sent."""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping, Sequence
from datetime import timedelta

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from contracts.events import LinkKind
from contracts.wire import now
from kit.aggregates import change
from kit.changes import Changes
from kit.errors import NotFound
from kit.mongo import object_id
from kit.rate_limits import count
from services.auth.documents import Link, User
from services.auth.rules import LinkExpired, TooManyLinks, check_link, is_early

LIFETIMES: Mapping[LinkKind, timedelta] = {
    "confirm-email": timedelta(days=7),
    "reset-password": timedelta(minutes=30),
    "change-email": timedelta(hours=1),
    "undo-email-change": timedelta(days=7),
    "email-replaced": timedelta(days=7),
}

PAGES: Mapping[LinkKind, str] = {
    "confirm-email": "/account/confirm",
    "reset-password": "/account/reset",
    "change-email": "/account/change-email",
    "undo-email-change": "/account/undo-email-change",
    "email-replaced": "/",
}
"""The page of web that a link opens."""

MAX_LINKS = 3
"""How many links of one kind an account gets in `WINDOW`, so that nobody can flood a mailbox."""

WINDOW = timedelta(minutes=30)
"""Not longer than any link works: whoever uses up the limit has sent links that still work."""

_LINK = re.compile(r"(?P<id>[0-9a-f]{24})\.(?P<signature>[A-Za-z0-9_-]{86})", re.ASCII)


class LinkKeys:
    """Writes and reads the secret part of links.

    It is auth's signature of the link's id (Ed25519). So the database contains nothing with which a reader of
    a backup could use a link, no other process can make one, and asking for a link again gives the same one.

    Args:
        others: public keys of which links work as well, while the private key is replaced.
    """

    def __init__(self, private_key: Ed25519PrivateKey, others: Sequence[Ed25519PublicKey] = ()) -> None:
        self._private_key = private_key
        self._public_keys = [private_key.public_key(), *others]

    def path(self, link: Link) -> str:
        """The path and the query of the page on which the link is used.

        An address that was never confirmed gets no secret: it may belong to somebody else.
        """
        if link.kind == "email-replaced":
            return PAGES[link.kind]
        signature = urlsafe_b64encode(self._private_key.sign(_signed(link.key))).decode().rstrip("=")
        return f"{PAGES[link.kind]}?link={link.key}.{signature}"

    def id_in(self, text: str) -> str | None:
        """The id of the link, or None if the text is no link of ours."""
        found = _LINK.fullmatch(text)
        if found is None:
            return None
        signature = urlsafe_b64decode(found["signature"] + "==")
        is_ours = any(_has_signed(key, signature, found["id"]) for key in self._public_keys)
        return found["id"] if is_ours else None


async def send(user: User, kind: LinkKind, email: str) -> Link:
    """Make a link to be mailed to the address `email`."""
    moment = now()
    link = Link(
        kind=kind,
        user_id=user.key,
        email=email,
        created_at=moment,
        expires_at=moment + LIFETIMES[kind],
    )
    await link.add()
    return link


async def has_room(kind: LinkKind, whose: str) -> bool:
    """Count a request for a link. False if there were too many."""
    return await count(kind, whose, window=int(WINDOW.total_seconds())) <= MAX_LINKS


async def require_room(kind: LinkKind, whose: str) -> None:
    """Count a request for a link.

    Raises:
        TooManyLinks
    """
    if not await has_room(kind, whose):
        raise TooManyLinks(retry_after=int(WINDOW.total_seconds()))


async def opened(link_id: str) -> tuple[Link, User]:
    """A link that still works, and its account.

    Raises:
        NotFound: there is no such link or account, or the change that it is about hasn't been written.
        LinkExpired: it was used, has expired, or the account has changed since.
    """
    link = await Link.first({"_id": object_id(link_id)})
    if link is None:
        raise NotFound
    user = await User.first({"_id": object_id(link.user_id)})
    if user is None or user.is_leaving:
        raise NotFound
    check_link(link, user, now())
    if is_early(link, user):
        raise NotFound
    return link, user


async def claim(link: Link) -> None:
    """Use up a link. One of several concurrent requests succeeds.

    Raises:
        LinkExpired: another request was faster.
    """

    def use(stored: Link) -> Changes:
        if stored.used_at is not None:
            raise LinkExpired
        return {"used_at": now()}

    await change(lambda: Link.first({"_id": link.id}), use)


def _signed(link_id: str) -> bytes:
    """What is signed for a link. No token begins like this, so that neither can stand for the other."""
    return f"one-time link {link_id}".encode()


def _has_signed(key: Ed25519PublicKey, signature: bytes, link_id: str) -> bool:
    try:
        key.verify(signature, _signed(link_id))
    except InvalidSignature:
        return False
    return True
