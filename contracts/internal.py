"""Responses of one service to another. Nobody else may ask (kit/http/guards.py: `mail_only`, `auth_only`)."""

from collections.abc import Sequence
from typing import Generic, TypeVar

from contracts.api import OpenMatter
from contracts.events import LinkKind
from contracts.export import (
    ExportedAlert,
    ExportedListingReport,
    ExportedMatch,
    ExportedMessage,
    ExportedOptOut,
    ExportedOrder,
    ExportedPayment,
    ExportedPayout,
    ExportedPhoto,
    ExportedTicket,
)
from contracts.languages import Language
from contracts.wire import Id, Moment, Wire


class Recipient(Wire):
    """Whom a mail is for."""

    id: Id
    email: str
    name: str | None
    """The name that others see. None if the user has chosen none."""
    confirmed: bool
    """Whether the user has proved to receive mail at the address."""
    language: Language | None = None
    """The language of emails to the user. None if the user has chosen none."""


class LinkToMail(Wire):
    """A one-time link."""

    email: str
    """The address that gets the mail."""
    path: str
    """The path and the query of web's page on which the link is used."""
    expires_at: Moment
    language: Language | None = None
    """The language of emails to the user."""


class LinkTarget(Wire):
    """What a one-time link is about, for who has the link."""

    kind: LinkKind
    email: str
    """The address that got the mail."""


class OpenMatters(Wire):
    """What a service knows that keeps a user from deleting the account."""

    matters: Sequence[OpenMatter]


T = TypeVar(
    "T",
    ExportedOrder,
    ExportedTicket,
    ExportedPayment,
    ExportedPayout,
    ExportedMessage,
    ExportedOptOut,
    ExportedPhoto,
    ExportedAlert,
    ExportedMatch,
    ExportedListingReport,
)


class MailChoice(Wire):
    """Whether a user gets optional messages of one kind."""

    wanted: bool


class Part(Wire, Generic[T]):
    """A part of what a service stores about a user, newest first."""

    entries: Sequence[T]
    after: str | None
    """The cursor of the next part, if any."""
